"""From tokens with times to words with times, such that the words are exactly the text's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    probabilities: tuple[float, ...] = ()
    """Of its tokens, each after those before it."""


def text_of(decoded: str) -> str:
    """Return what a model said as a text: stripped, single spaces, without halves of characters."""
    return " ".join(decoded.replace(_UNREADABLE, "").split())


def words_of(pieces: Sequence[Piece], language: str) -> tuple[Word, ...]:
    """Return the words of a text, each with its punctuation; times never decrease and never end before they start.

    A word's confidence is the mean probability of its tokens.

    In languages with spaces the words are `text_of` split at whitespace. In those without, they are the model's own
    pieces, with punctuation put to its neighbour; joined, they are the text without whitespace.
    """
    unspaced = separator(language) == ""
    words: list[Piece] = []
    is_open = False
    for piece in pieces:
        for part in re.split(r"(\s+)", piece.text.replace(_UNREADABLE, "")):
            if part.isspace():
                is_open = False
            elif part:
                if is_open and (not unspaced or _belongs_together(words[-1].text, part)):
                    words[-1] = _joined(words[-1], part, piece)
                else:
                    words.append(replace(piece, text=part))
                is_open = True
    return _in_order(words)


def _joined(before: Piece, part: str, piece: Piece) -> Piece:
    return Piece(before.text + part, before.start_s, piece.end_s, before.probabilities + piece.probabilities)


def _belongs_together(before: str, part: str) -> bool:
    return _CLOSING.issuperset(part) or _OPENING.issuperset(before)


def _in_order(words: Sequence[Piece]) -> tuple[Word, ...]:
    ordered: list[Word] = []
    reached_s = 0.0
    for word in words:
        start_s = max(reached_s, word.start_s)
        ordered.append(Word(start_s, max(start_s, word.end_s), word.text, _confidence(word.probabilities)))
        reached_s = start_s
    return tuple(ordered)


def _confidence(probabilities: Sequence[float]) -> float | None:
    # As OpenAI's Whisper and faster-whisper have it.
    return min(1.0, sum(probabilities) / len(probabilities)) if probabilities else None
