"""The machine, small on each push; `--hypothesis-profile=nightly` runs it deep."""

from hypothesis import settings

from tests.stateful.machine import Protocol

_IS_NIGHTLY = settings.get_current_profile_name() == "nightly"

TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=20_000 if _IS_NIGHTLY else 200,
    stateful_step_count=120 if _IS_NIGHTLY else 60,
    deadline=None,
    report_multiple_bugs=False,
)
