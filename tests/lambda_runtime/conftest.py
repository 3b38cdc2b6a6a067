"""The deployed stack in an embedded AWS of its own, and the functions as `sam build` makes them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asr_queue.adapters.aws import Aws, connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.local import embedded, environment
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.manage_keys import create_key
from tests.lambda_runtime.function import Description, Function, runtime_folder
from tests.local.emulators import Emulator, emulator


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A stack of the tests of this folder: the sweep touches whatever is expired."""

    emulator: Emulator
    resources: embedded.Resources
    aws: Aws
    api_key: str
    """Of tenant `acme`."""
    other_key: str
    """Of another tenant."""

    def configuration(self, function: str) -> dict[str, Any]:
        """Return what the stack says of a function, by its name in the template."""
        functions = self.emulator.client("lambda").list_functions()["Functions"]
        [found] = [entry for entry in functions if function in entry["FunctionName"]]
        return dict(found)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with emulator(tmp_path_factory.mktemp("lambda-aws")) as running:
        resources = running.deploy()
        settings = ResourceSettings(
            bucket=resources.bucket, table=resources.table, transcribe_queue_url=resources.transcribe_queue_url
        )
        aws = connect(settings, environment=environment.for_clients(running.url))
        keys = [create_key(tenant=name, name="test", table=aws.table, clock=SystemClock())[0] for name in ("acme", "b")]
        yield Deployed(emulator=running, resources=resources, aws=aws, api_key=keys[0], other_key=keys[1])


@pytest.fixture(scope="session")
def functions(
    stack: Deployed, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Function]]:
    """Functions by their names in the template, each with a process of its own, from what was built."""
    folder = tmp_path_factory.mktemp("lambda")
    runtime = runtime_folder(folder / "runtime")
    running: dict[str, Function] = {}
    with ExitStack() as ends:

        def named(name: str) -> Function:
            if name not in running:
                described = stack.configuration(name)
                description = Description(
                    name=name,
                    handler=described["Handler"],
                    artefact=built / name,
                    environment={
                        **described["Environment"]["Variables"],
                        **environment.for_clients(stack.emulator.url),
                    },
                    timeout_s=described["Timeout"],
                    memory_mb=described["MemorySize"],
                )
                running[name] = ends.enter_context(Function(description, runtime=runtime, logs=folder))
            return running[name]

        yield named
