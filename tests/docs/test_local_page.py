"""The page about one machine names every setting that takes effect at the next start only."""

import re

from asr_queue.local import environment
from tests.docs.pages import ROOT


def test_settings_that_are_parameters_of_the_stack_are_on_the_page() -> None:
    page = (ROOT / "docs" / "local.md").read_text()
    [listed] = re.findall(r"take effect at the next start: (.+?)\.\n", page, re.DOTALL)
    assert re.findall(r"`(\w+)`", listed) == list(environment._PARAMETERS)
