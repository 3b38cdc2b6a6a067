"""How a page is taken apart, and what counts as shown."""

import re

import pytest

from tests.docs.elsewhere import TABLE
from tests.docs.pages import Block, Command, commands
from tests.docs.shown import last_document, looks_like


def console(text: str) -> list[Command]:
    return commands(Block("a.md", 1, "console", text, False))


def test_a_command_goes_on_after_a_backslash_and_inside_quotes() -> None:
    first, second = console("$ one \\\n    two\nseen\n$ say 'a\nb'\n")
    assert (first.text, first.shown) == ("one \\\n    two", ("seen",))
    assert (second.text, second.shown) == ("say 'a\nb'", ())
    assert second.place == "a.md:5"


def test_an_apostrophe_in_a_comment_opens_nothing() -> None:
    assert [command.shown for command in console("$ make  # it's there\nseen\n")] == [("seen",)]


@pytest.mark.parametrize("text", ["", "output alone\n"])
def test_a_console_without_a_command_is_an_error(text: str) -> None:
    with pytest.raises(AssertionError, match=r"^a\.md:1: a console"):
        console(text)


@pytest.mark.parametrize(
    ("shown", "seen", "agrees"),
    [
        ("ready http://127.0.0.1:8000", "ready http://127.0.0.1:39513", True),
        ('{"file_id":"..."}', '{"file_id":"8f14-e45f"}', True),
        ('{"file_id":"8f14…"}', '{"file_id":"c2d0-e45f"}', True),
        ("2 keys revoked,  1204 rows", "1 keys revoked, 7 rows", True),
        ("2 keys revoked", "no keys revoked", False),
        ("a.b", "aXb", False),
    ],
)
def test_what_a_page_shows_is_there_with_any_number_for_a_number(shown: str, seen: str, agrees: bool) -> None:
    assert bool(looks_like(shown).search(seen)) == agrees


def test_documents_may_follow_one_another_without_a_line_break() -> None:
    assert last_document('{"a": {"b": 1}}{"c": 2}\n') == {"c": 2}


def test_every_entry_of_what_is_not_run_has_its_reason() -> None:
    assert all(entry.reason and re.compile(entry.pattern) for entry in TABLE)
