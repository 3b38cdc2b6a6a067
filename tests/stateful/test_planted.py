"""The machine finds each bug that is planted: what passes it has been asked the right questions."""

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Protocol
from tests.stateful.planted import PLANTED

SEED = 1
EXAMPLES = 400
"""Most that the machine may need; it gets 200 on each push and 20,000 in a night, each of them other ones."""
_SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    database=None,
    derandomize=False,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def examples_until_found(name: str, *, seed_number: int = SEED) -> tuple[int, str]:
    """Return how many examples a bug survived, and what gave it away.

    Raises:
        AssertionError: it survived them all.
    """
    begun = 0

    class Planted(Protocol):
        parts = PLANTED[name]

        def __init__(self) -> None:
            nonlocal begun
            begun += 1
            super().__init__()

    try:
        run_state_machine_as_test(seed(seed_number)(Planted), settings=_SETTINGS)
    except (AssertionError, Flaky) as error:  # flaky: ids are drawn anew when the example is shown again
        return begun, str(error).splitlines()[0] if str(error) else type(error).__name__
    raise AssertionError(f"{name!r} survived {begun} examples")


@pytest.mark.parametrize("name", PLANTED)
def test_the_machine_finds_what_is_planted(name: str) -> None:
    examples, _ = examples_until_found(name)
    assert examples <= EXAMPLES
