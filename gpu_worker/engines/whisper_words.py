"""From tokens with times to words with times, such that the words are exactly the text's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asr_queue.domain.languages import separator
from asr_queue.domain.transcript import Word

_OPENING: Final = frozenset("“‘¿¡([{«「『（《〈【")
_CLOSING: Final = frozenset("”’.。,，、!！?？:：;；)]}»」』）》〉】…")
_UNREADABLE: Final = "\ufffd"
"""What half a character decodes to."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of tokens that decodes to whole characters, spaces included, and when it was said."""

    text: str
    start_s: float
    end_s: float


def text_of(decoded: str) -> str:
    """Return what a model said as a text: stripped, single spaces, without halves of characters."""
    return " ".join(decoded.replace(_UNREADABLE, "").split())


def words_of(pieces: Sequence[Piece], language: str) -> tuple[Word, ...]:
    """Return the words of a text, each with its punctuation; times never decrease and never end before they start.

    In languages with spaces the words are `text_of` split at whitespace. In those without, they are the model's own
    pieces, with punctuation put to its neighbour; joined, they are the text without whitespace.
    """
    unspaced = separator(language) == ""
    words: list[Word] = []
    is_open = False
    for piece in pieces:
        for part in re.split(r"(\s+)", piece.text.replace(_UNREADABLE, "")):
            if part.isspace():
                is_open = False
            elif part:
                if is_open and (not unspaced or _belongs_together(words[-1].text, part)):
                    words[-1] = Word(words[-1].start_s, piece.end_s, words[-1].text + part)
                else:
                    words.append(Word(piece.start_s, piece.end_s, part))
                is_open = True
    return _in_order(words)


def _belongs_together(before: str, part: str) -> bool:
    return _CLOSING.issuperset(part) or _OPENING.issuperset(before)


def _in_order(words: Sequence[Word]) -> tuple[Word, ...]:
    ordered: list[Word] = []
    reached_s = 0.0
    for word in words:
        start_s = max(reached_s, word.start_s)
        ordered.append(Word(start_s, max(start_s, word.end_s), word.text))
        reached_s = start_s
    return tuple(ordered)
