"""The machine, small on each push; `--hypothesis-profile=nightly` runs it deep."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Protocol

_IS_NIGHTLY = settings.get_current_profile_name() == "nightly"
_SETTINGS = settings(
    max_examples=1000 if _IS_NIGHTLY else 200,
    stateful_step_count=120 if _IS_NIGHTLY else 60,
    deadline=None,
    report_multiple_bugs=False,
)


# In parts, for Hypothesis remembers all examples of a run: 20,000 at once would take some 10 GB.
@pytest.mark.parametrize("part", range(20 if _IS_NIGHTLY else 1))
def test_the_protocol_holds_whatever_happens_in_whatever_order(part: int) -> None:
    del part
    run_state_machine_as_test(Protocol, settings=_SETTINGS)
