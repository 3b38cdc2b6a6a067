"""docs/security.md names tests, and docs/attacks.md is what the tables say."""

import re
from pathlib import Path

import pytest

from tests.security.page import page

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+(?:::\w+)?))?`", SECURITY)))
THREATS = re.findall(r"^\| [A-Z]\d+ \|.*$", SECURITY, re.MULTILINE)


def test_every_threat_has_a_test_beside_it_or_says_why_not() -> None:
    assert len(THREATS) >= 30
    for threat in THREATS:
        assert "`tests/" in threat or "not tested:" in threat, threat


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part.rpartition("/")[2])
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    for part in filter(None, name.split("::")):
        assert re.search(rf"^ *(?:def|class) {part}\b", text, re.MULTILINE), f"{file} has no {part}"


def test_the_page_of_attacks_is_what_runs() -> None:
    assert (ROOT / "docs" / "attacks.md").read_text() == page(), "python -m tests.security.page > docs/attacks.md"
