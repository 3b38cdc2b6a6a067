"""Outputs are taken apart as transformers' own processor does, and what that hides is told."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3ASRProcessor
from transformers.models.qwen3_asr import processing_qwen3_asr as native

from gpu_worker.engines.qwen3.parsing import parse, without_repetitions

RUNS = st.lists(st.tuples(st.text("ab c", min_size=1, max_size=22), st.integers(1, 45)), max_size=5)
"""Patterns and how often each is said."""


@settings(deadline=None)
@given(RUNS)
def test_repetitions_are_taken_out_as_transformers_does(runs: list[tuple[str, int]]) -> None:
    text = "".join(pattern * times for pattern, times in runs)
    assert without_repetitions(text) == native._detect_and_fix_repetitions(text)


@settings(deadline=None)
@given(
    st.sampled_from(["English", "Chinese", "Filipino", "None"]),
    st.text(string.ascii_letters + " ,.!äß我们", max_size=60),
)
def test_language_and_text_are_those_of_transformers(
    tiny_processor: Qwen3ASRProcessor, language: str, text: str
) -> None:
    written = f"language {language}<asr_text>{text}"
    theirs, ours = tiny_processor.parse_output(written), parse(written)
    codes = {"English": "en", "Chinese": "zh", "Filipino": "tl", None: None}
    assert ours.language == codes[theirs["language"]]
    assert ours.text == " ".join(theirs["transcription"].split())
    assert not ours.is_repetitive


@pytest.mark.parametrize(
    ("written", "language", "text"),
    [
        ("language English<asr_text>It was late.", "en", "It was late."),
        ("  language english<asr_text> It  was\nlate. ", "en", "It was late."),
        ("language None<asr_text>", None, ""),
        ("It was late.", None, "It was late."),
        ("language English,Chinese<asr_text>OK 我们走", "en", "OK 我们走"),
        ("Chinese<asr_text>我们走", "zh", "我们走"),
        ("language Klingon<asr_text>nuqneH", None, "nuqneH"),
        ("language <asr_text>It was.", None, "It was."),
        ("language English<asr_text>half a \ufffdcharacter\ufffd", "en", "half a character"),
        ("", None, ""),
    ],
)
def test_an_output_is_taken_apart(written: str, language: str | None, text: str) -> None:
    parsed = parse(written)
    assert (parsed.language, parsed.text, parsed.is_repetitive) == (language, text, False)


def test_a_loop_is_told_and_said_once() -> None:
    parsed = parse("language English<asr_text>and so" + " on and" * 60 + " ended")
    assert parsed.is_repetitive
    assert parsed.text == "and so on and ended"
    assert not parse("language English<asr_text>" + "no, " * 19).is_repetitive, "people do say that"


def test_a_long_output_is_searched_in_little_time() -> None:
    text = "".join(chr(0x4E00 + i * 37 % 20_000) for i in range(24_000))
    assert without_repetitions(text) == text
