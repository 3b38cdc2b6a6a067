"""Cutting a text into pieces to be said one after the other.

Sentences are found by sentencex (MIT, of the Wikimedia Foundation): it knows abbreviations and quotes of some thirty
languages and full stops of all, keeps every character, and takes 0.2 s for the worst 10,000 characters that were
found. pySBD takes more than 20 s for forty characters, digits in brackets (its issues 58, 76, 79).
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import sentencex

from asr_queue.errors import CallerError

_SENSIBLE_WEIGHT: Final = 200
"""Up to this, sentences are said in one go, some 13 s: each piece more is a join more that can be heard."""
_LEAST_WEIGHT: Final = 30
"""Less than two seconds; models say single words badly, so whatever is lighter joins a neighbour."""
_WEIGHT_OF_WIDE: Final = 3
"""A Chinese, Japanese or Korean character takes as long to say as three letters."""
_ZERO_WIDTH_JOINER: Final = "\u200d"
_UNSAID: Final = {
    **{code: " " for code in (*range(0x20), *range(0x7F, 0xA0), 0x200B) if not chr(code).isspace()},
    # Soft hyphens, directions and marks of order, tags; joiners stay, for they change how letters are read.
    **dict.fromkeys((0xAD, 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)),
    **dict.fromkeys((*range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))),
    **dict.fromkeys(range(0xD800, 0xE000)),
}
"""What becomes of characters that stand for no sound and have no shape."""
_CLAUSE_END: Final = re.compile(
    r"""[,;:.!?…،؛؟।—–]["'”’»)\]]*\s | [、，；：。！？…]["'”’»」』）]*\s? """,
    re.VERBOSE,
)


def cut_text(text: str, language: str | None, *, max_chars: int) -> list[str]:
    """Cut into whole sentences, of which short neighbours stay together; where one is too long, inside it.

    A sentence over the limit is cut at the end of a clause, else between words, else between characters.

    Args:
        text: any; its white space counts for nothing but that an empty line ends a sentence.
        language: code of the language whose abbreviations are to be known; None for those of English.
        max_chars: of a piece, at least 1.

    Returns:
        Pieces with something to say in each; one behind the other they are the text, but for white space, what has no
        sound or shape (controls, soft hyphens, marks of direction, halves of surrogates), and stretches of nothing
        but signs that are too long to stay with their neighbours.

    Raises:
        CallerError: `text_empty`: nothing in it can be said.
    """
    parts = [
        part
        for paragraph in _paragraphs(text)
        for sentence in _sentences(paragraph, language)
        for part in _within(sentence, max_chars)
    ]
    pieces = [piece for piece in _joined(parts, max_chars) if any(map(str.isalnum, piece))]
    if not pieces:
        raise CallerError("text_empty", "There is nothing in the text that could be said; send words.")
    return pieces


def _paragraphs(text: str) -> list[str]:
    """Return what empty lines divide, with single spaces as its only white space and one at its end."""
    lines = (" ".join(line.split()) for line in text.translate(_UNSAID).splitlines())
    return [" ".join(group) + " " for has_text, group in groupby(lines, bool) if has_text]


def _sentences(paragraph: str, language: str | None) -> list[str]:
    """Return the sentences, with the spaces behind them; end to end they are the paragraph."""
    try:
        found: list[str] = sentencex.segment(language or "en", paragraph)
    except BaseException as error:
        # A panic of the library's, which is no Exception: seen with separators of lines alone, which are gone by now.
        if type(error).__name__ != "PanicException":
            raise
        return [paragraph]
    return found if "".join(found) == paragraph else [paragraph]


def _within(sentence: str, max_chars: int) -> Iterator[str]:
    """Cut what is too long, spaces at the end not counted."""
    while len(sentence.rstrip()) > max_chars:
        at = _where_to_cut(sentence, max_chars)
        yield sentence[:at]
        sentence = sentence[at:]
    yield sentence


def _where_to_cut(text: str, max_chars: int) -> int:
    """Return the last good place within the limit that leaves, where the limit allows, no snippet behind it."""
    end = max(1, min(max_chars, max(len(text) - _LEAST_WEIGHT, max_chars // 2)))
    half = end // 2
    # A space behind the limit may go with what is before it: no piece keeps it.
    clauses = [found.end() for found in _CLAUSE_END.finditer(text, half, end + 1)]
    fitting = [at for at in clauses if at <= end or text[at - 1] == " "]
    if fitting:
        return fitting[-1]
    space = text.rfind(" ", half, end + 1)
    if space >= 0:
        return space + 1
    return next((at for at in range(end, half, -1) if not _is_one_sign(text[at - 1], text[at])), end)


def _is_one_sign(first: str, second: str) -> bool:
    """Whether two neighbours make one sign: a letter and its accent or vowel, two pictures that are joined."""
    return _ZERO_WIDTH_JOINER in (first, second) or unicodedata.category(second).startswith("M")


def _joined(parts: Sequence[str], max_chars: int) -> list[str]:
    """Put neighbours together up to a sensible weight, and what stays light with what is before it."""
    grown: list[str] = []
    weight = 0
    for part in parts:
        more = _weight(part)
        is_light = weight < _LEAST_WEIGHT or weight + more <= _SENSIBLE_WEIGHT
        if grown and is_light and len((grown[-1] + part).strip()) <= max_chars:
            grown[-1] += part
            weight += more
        else:
            grown.append(part)
            weight = more
    pieces: list[str] = []
    for piece in grown:
        if pieces and _weight(piece) < _LEAST_WEIGHT and len((pieces[-1] + piece).strip()) <= max_chars:
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return [piece.strip() for piece in pieces]


def _weight(text: str) -> int:
    """Return how long a text takes to say, in letters."""
    return len(text) + (_WEIGHT_OF_WIDE - 1) * sum(unicodedata.east_asian_width(sign) in "FW" for sign in text)
