"""Word error rate on normalised text: the one way this project compares what was said with what was written."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import jiwer
from num2words import num2words

_ABBREVIATIONS = {
    "en": {"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay", "vs": "versus"},
}
_ELISION = re.compile(r"(?<=\w)['’](?=\w)")
_NUMBER = re.compile(r"\d+")
_GROUPED = re.compile(r"(?<=\d)[.,\u00a0\u202f](?=\d{3}\b)")


def normalise(text: str, language: str) -> str:
    """Return a text as words to be counted: no case, punctuation or accents; digits written out in the language."""
    spoken = _GROUPED.sub("", text)
    spoken = _NUMBER.sub(lambda digits: f" {_in_words(digits.group(), language)} ", spoken).casefold()
    # In English the apostrophe is within a word (don't), in French and Italian it ends one (l'agent).
    spoken = _ELISION.sub("" if language == "en" else " ", spoken)
    bare = "".join(char for char in unicodedata.normalize("NFKD", spoken) if not unicodedata.combining(char))
    words = re.sub(r"[^\w\s]|_", " ", bare).split()
    abbreviations = _ABBREVIATIONS.get(language, {})
    return " ".join(abbreviations.get(word, word) for word in words)


def word_error_rate(pairs: Iterable[tuple[str, str, str]]) -> float:
    """Return wrong, missing and added words over the words there are, all texts together.

    Args:
        pairs: what was written, what was recognised, and the language code; texts without a word are left out
            of the count of words, but what was recognised in them counts as added.
    """
    wrong = total = 0
    for reference, hypothesis, language in pairs:
        expected, heard = normalise(reference, language), normalise(hypothesis, language)
        if not expected:
            wrong += len(heard.split())
            continue
        measured = jiwer.process_words(expected, heard)
        wrong += measured.substitutions + measured.deletions + measured.insertions
        total += len(expected.split())
    return wrong / total if total else float(wrong > 0)


@lru_cache(maxsize=4096)
def _in_words(digits: str, language: str) -> str:
    # A long run of digits, or one that begins with 0, is read digit by digit.
    numbers = list(digits) if len(digits) > 4 or digits.startswith("0") else [digits]
    try:
        return " ".join(str(num2words(int(number), lang=language)) for number in numbers)
    except NotImplementedError:
        return " ".join(numbers)
