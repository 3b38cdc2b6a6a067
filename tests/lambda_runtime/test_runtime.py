"""The local Runtime API treats a function as Lambda does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lambda_runtime.function import Description, Function, runtime_folder
from tests.lambda_runtime.runtime_api import FunctionError, PayloadTooLargeError

HANDLERS = """
import os, time

def echo(event, context):
    return {"event": event, "name": context.function_name, "left_ms": context.get_remaining_time_in_millis()}

def raising(event, context):
    raise LookupError("nothing there")

def dying(event, context):
    os._exit(3)

def slow(event, context):
    time.sleep(30)

def large(event, context):
    return "x" * event

def imports(event, context):
    try:
        import pytest
    except ImportError:
        return "nothing but what was built"
"""


@pytest.fixture
def function(tmp_path: Path) -> Iterator[Callable[..., Function]]:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sample.py").write_text(HANDLERS)
    runtime = runtime_folder(tmp_path / "runtime")
    made: list[Function] = []

    def make(handler: str, timeout_s: float = 10) -> Function:
        described = Description(
            name="sample",
            handler=handler,
            artefact=tmp_path / "code",
            environment={},
            timeout_s=timeout_s,
            memory_mb=128,
        )
        made.append(Function(described, runtime=runtime, logs=tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_an_event_comes_back_with_the_context_that_lambda_gives(function: Callable[..., Function]) -> None:
    answer = function("sample.echo").invoke({"text": "grün"})
    assert answer["event"] == {"text": "grün"}
    assert answer["name"] == "sample"
    assert 0 < answer["left_ms"] <= 10_000


def test_nothing_but_the_artefact_can_be_imported(function: Callable[..., Function]) -> None:
    assert function("sample.imports").invoke(None) == "nothing but what was built"


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("sample.raising", "LookupError"),
        ("sample.dying", "Runtime.ExitError"),
        ("sample.slow", "Sandbox.Timedout"),
        ("sample.missing", "Runtime.HandlerNotFound"),
        ("absent.handler", "Runtime.ImportModuleError"),
    ],
)
def test_each_failure_has_the_type_that_lambda_gives_it(
    function: Callable[..., Function], handler: str, kind: str
) -> None:
    failing = function(handler, timeout_s=1 if handler == "sample.slow" else 10)
    for _ in range(2):  # the process may have died with the first
        with pytest.raises(FunctionError) as raised:
            failing.invoke({})
        assert raised.value.kind == kind


def test_six_megabytes_go_either_way_and_no_more(function: Callable[..., Function]) -> None:
    large = function("sample.large")
    assert len(large.invoke(6_291_000)) == 6_291_000
    with pytest.raises(FunctionError) as raised:
        large.invoke(6_300_000)
    assert raised.value.kind == "Function.ResponseSizeTooLarge"
    with pytest.raises(PayloadTooLargeError):
        large.invoke("x" * 6_300_000)
    assert large.invoke(3) == "xxx"
