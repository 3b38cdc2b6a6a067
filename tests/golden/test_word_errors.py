"""The ruler itself: what counts as a wrong word."""

import pytest

from benchmarks.word_errors import normalise, word_error_rate


@pytest.mark.parametrize(
    ("written", "heard", "language"),
    [
        ("Press 1 to send a reply.", "press one to send a reply", "en"),
        ("I'm sorry, that's wrong.", "Im sorry thats wrong", "en"),
        ("Mr. Dashwood", "Mister Dashwood", "en"),
        ("extensión número 20", "extension numero veinte", "es"),
        ("l'appel, s'il-vous-plaît", "L’appel s’il vous plait", "fr"),
        ("in attesa da 3 minuti", "In attesa da tre minuti!", "it"),
        ("Нажмите решётку", "нажмите решетку.", "ru"),
        ("1,000 calls", "one thousand calls", "en"),
        ("PIN 0042", "pin zero zero four two", "en"),
    ],
)
def test_case_punctuation_accents_and_digits_do_not_count(written: str, heard: str, language: str) -> None:
    assert normalise(written, language) == normalise(heard, language)


def test_wrong_missing_and_added_words_count_over_all_texts_together() -> None:
    pairs = [
        ("one two three four", "one too three", "en"),  # one wrong, one missing
        ("five six", "five six", "en"),
        ("", "seven", "en"),  # one added where nothing was said
    ]
    assert word_error_rate(pairs) == pytest.approx(3 / 6)


def test_nothing_said_and_nothing_heard_is_no_error() -> None:
    assert word_error_rate([("", "", "en")]) == 0
