"""What Qwen3-ASR writes, such as `language English<asr_text>It was late.`, taken apart."""

import re
from dataclasses import dataclass
from typing import Final

from asr_queue.domain.languages import resolve

_MARKER: Final = "<asr_text>"
_PREFIX: Final = "language "
_NOTHING_SAID: Final = "none"
"""What stands in a language's place where the model heard no speech."""
_UNREADABLE: Final = "\ufffd"
"""What half a character decodes to."""

# The limits of the model's authors, by whom it was measured (qwen-asr 0.0.6, `detect_and_fix_repetitions`).
_MOST_REPEATS: Final = 20
_MOST_PATTERN: Final = 20
_LOOKED_AT: Final = 2 * _MOST_REPEATS
"""Patterns that begin in fewer than the last so many characters are left alone."""
_SAME_CHARACTER: Final = re.compile(rf"(.)\1{{{_MOST_REPEATS},}}", re.DOTALL)
_SAME_PATTERN: Final = re.compile(rf"(.{{1,{_MOST_PATTERN}}}?)\1{{{_MOST_REPEATS - 1},}}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One output of the model."""

    text: str
    """Stripped, single spaces, without halves of characters."""
    language: str | None
    """Code of the language that the model named; None where it named none or one that we have no code for."""
    is_repetitive: bool
    """Whether the model had said one thing more than twenty times in a row; the text has it once."""


def parse(decoded: str) -> Parsed:
    """Take an output apart, with its special tokens left out; one without a marker is all text."""
    whole = decoded.strip()
    once = without_repetitions(whole)
    before, marker, behind = once.partition(_MARKER)
    said, named = (behind, before) if marker else (before, "")
    return Parsed(
        text=" ".join(said.replace(_UNREADABLE, "").split()),
        language=_language(named),
        is_repetitive=once != whole,
    )


def without_repetitions(text: str) -> str:
    """Say once what is said more than twenty times in a row: a character, or a pattern of up to twenty of them.

    The same as transformers' `Qwen3ASRProcessor` does, in about linear time.
    """
    once = _SAME_CHARACTER.sub(r"\1", text)
    last = len(once) - _LOOKED_AT
    return _SAME_PATTERN.sub(lambda found: found[1] if found.start() <= last else found[0], once)


def _language(named: str) -> str | None:
    lines = named.strip().splitlines()
    if not lines:
        return None
    first = lines[0].strip()
    if first.casefold().startswith(_PREFIX):
        first = first[len(_PREFIX) :].strip()
    # Speech in two languages is named after both: "English,Chinese". The first is that of most of it.
    first = first.partition(",")[0]
    return None if first.casefold() == _NOTHING_SAID else resolve(first)
