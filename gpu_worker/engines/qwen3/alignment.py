"""From the aligner's guesses, one a token, to the words of a text: complete, in order, each with its punctuation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final
from unicodedata import combining, normalize

import numpy as np
from numpy.typing import NDArray

from asr_queue.domain.languages import separator
from asr_queue.domain.transcript import Word

LANGUAGES: Final = frozenset({"de", "en", "es", "fr", "it", "ja", "ko", "pt", "ru", "yue", "zh"})
"""Codes of the languages that the aligner was trained on."""
_SNAPPED: Final = 2
"""So many wrong times in a row take a neighbour's time; more are spread between the neighbours."""
_OPENING: Final = frozenset("“‘¿¡([{«「『（《〈【")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, in characters."""

    start: int
    end: int


def locate(tokens: Sequence[str], text: str) -> list[Span] | None:
    """Return where each token stands in the text; None where they are not its characters in order.

    Args:
        tokens: of at least one character each; what they leave out of the text is punctuation and space.
        text: as it was split, or before the splitter brought it into Unicode's form NFKC, as nagisa does.
    """
    found = _find(tokens, [(character, i) for i, character in enumerate(text)])
    if found is None:
        found = _find([normalize("NFKC", token) for token in tokens], _compatible(text))
    return found


def _find(tokens: Sequence[str], characters: Sequence[tuple[str, int]]) -> list[Span] | None:
    """Find tokens among characters, each of which comes with its place in the text."""
    left = iter(characters)
    spans = []
    for token in tokens:
        # A search in an iterator goes on where the last one ended.
        places = [next((i for found, i in left if found == character), None) for character in token]
        if places[0] is None or places[-1] is None:
            return None
        spans.append(Span(places[0], places[-1] + 1))
    return spans


def _compatible(text: str) -> list[tuple[str, int]]:
    """Return the characters of the text's form NFKC, each with the place of what it stands for."""
    # What combines with the character before it has to be brought into that form together with it.
    starts = [i for i, character in enumerate(text) if not combining(normalize("NFKC", character)[0])]
    return [
        (character, start)
        for start, end in pairwise([*starts, len(text)])
        for character in normalize("NFKC", text[start:end])
    ]


def words_of(text: str, tokens: Sequence[Span], times_s: Sequence[float], language: str | None) -> tuple[Word, ...]:
    """Return the words of a text, from the times of its tokens.

    In languages with spaces the words are the text split at whitespace. In those without they are the tokens, with
    punctuation put to its neighbour; joined, they are the text without whitespace.

    Args:
        text: stripped.
        tokens: in order and apart.
        times_s: start and end of each token in turn, never decreasing.
        language: code.
    """
    if not tokens:
        return ()
    spans = _between_spaces(text) if separator(language) else _around(tokens, text)
    words: list[Word] = []
    first = 0
    reached_s = times_s[0]
    for span in spans:
        behind = first
        while behind < len(tokens) and tokens[behind].start < span.end:
            behind += 1
        # A word without letters has no token: it is where the one before it ended.
        start_s, end_s = (times_s[2 * first], times_s[2 * behind - 1]) if behind > first else (reached_s, reached_s)
        words.append(Word(start_s, end_s, "".join(text[span.start : span.end].split())))
        first, reached_s = behind, end_s
    return tuple(words)


def in_order(guessed: NDArray[Any]) -> list[int]:
    """Return times that never decrease, from guesses some of which are wrong.

    The longest run of guesses that do not decrease is kept. Up to two others in a row take the time of the nearer
    neighbour, more are spread evenly between their neighbours. The same as transformers' `Qwen3ASRProcessor` does, of
    which this is the quadratic part without Python's inner loop.

    Args:
        guessed: [n_times], n_times >= 1.
    """
    kept = _longest_run(guessed)
    times = guessed.astype(np.float64)
    for left, right in pairwise([-1, *kept, guessed.size]):
        n_wrong = right - left - 1
        if not n_wrong:
            continue
        before = times[left] if left >= 0 else times[right]
        after = times[right] if right < guessed.size else before
        ranks = np.arange(1, n_wrong + 1)
        if n_wrong <= _SNAPPED:
            times[left + 1 : right] = np.where(ranks <= n_wrong + 1 - ranks, before, after)
        else:
            times[left + 1 : right] = before + (after - before) / (n_wrong + 1) * ranks
    return [int(time) for time in times]


def _longest_run(guessed: NDArray[Any]) -> list[int]:
    """Return the indices of the longest subsequence that does not decrease; of equals, the first found."""
    lengths = np.ones(guessed.size, np.int64)
    previous = np.full(guessed.size, -1)
    for i in range(1, guessed.size):
        fitting = np.where(guessed[:i] <= guessed[i], lengths[:i], 0)
        best = int(fitting.argmax())
        if fitting[best]:
            lengths[i], previous[i] = fitting[best] + 1, best
    run = [int(lengths.argmax())]
    while (before := int(previous[run[-1]])) >= 0:
        run.append(before)
    return run[::-1]


def _between_spaces(text: str) -> list[Span]:
    spans, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        spans.append(Span(start, at))
    return spans


def _around(tokens: Sequence[Span], text: str) -> list[Span]:
    """Give each token what stands between it and its neighbours."""
    cuts = [_cut(text, one.end, other.start) for one, other in pairwise(tokens)]
    return [Span(start, end) for start, end in pairwise([0, *cuts, len(text)])]


def _cut(text: str, start: int, end: int) -> int:
    """Return where what stands between two tokens parts: at a space, or before what opens."""
    return next((i for i in range(start, end) if text[i].isspace() or text[i] in _OPENING), end)
