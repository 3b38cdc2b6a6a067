"""Subtitles: where lines and cues break, and that nothing of the words is lost."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_queue.client import Transcript, TranscriptWord
from asr_queue.wire.subtitles import MAX_LINE_CHARS, columns, cues_of, segments_of, to_srt, to_timed_text, to_vtt


def spoken(text: str, *, language: str | None = "English", word_s: float = 0.3) -> Transcript:
    """Say words one after the other, without pauses; in Japanese each character is a word."""
    words = list(text) if language == "Japanese" else text.split()
    times = [TranscriptWord(start=i * word_s, end=(i + 1) * word_s, text=word) for i, word in enumerate(words)]
    return Transcript(text=text, language=language, timestamps=times)


def test_a_sentence_ends_its_cue() -> None:
    cues = cues_of(spoken('He said "no." She said yes! Did they?'))
    assert [cue.lines for cue in cues] == [('He said "no."',), ("She said yes!",), ("Did they?",)]


def test_a_title_or_an_abbreviation_inside_a_sentence_ends_none() -> None:
    cues = cues_of(spoken("And Mr. Dashwood came, etc. and so on. Yes."))
    assert [cue.lines for cue in cues] == [("And Mr. Dashwood came, etc. and so on.",), ("Yes.",)]


def test_a_pause_ends_a_cue() -> None:
    words = [
        TranscriptWord(start=0, end=1, text="before"),
        TranscriptWord(start=1.6, end=2, text="still"),
        TranscriptWord(start=2.7, end=3, text="after"),
    ]
    cues = cues_of(Transcript(text="", language="English", timestamps=words))
    assert [cue.lines for cue in cues] == [("before still",), ("after",)]


def test_a_long_sentence_becomes_cues_of_two_even_lines() -> None:
    cues = cues_of(spoken("the quick brown fox jumps over the lazy dog " * 4, word_s=0.1))
    assert len(cues) > 1
    for cue in cues:
        assert len(cue.lines) <= 2
        assert all(len(line) <= MAX_LINE_CHARS for line in cue.lines)
    first = cues[0].lines
    assert abs(len(first[0]) - len(first[1])) <= 8, "of even lengths"


def test_slow_speech_ends_a_cue_before_its_lines_are_full() -> None:
    cues = cues_of(spoken("one two three four five six", word_s=2.0))
    assert [cue.lines for cue in cues] == [("one two three",), ("four five six",)]


def test_a_word_longer_than_a_line_is_left_whole() -> None:
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    assert cues_of(spoken(f"die {word} ist", language="German"))[0].lines == ("die", word)


def test_languages_without_spaces_are_joined_without_them_and_counted_in_columns() -> None:
    cues = cues_of(spoken("今日はいい天気ですね。明日も晴れるといいですね。", language="Japanese", word_s=0.1))
    assert [cue.lines for cue in cues] == [("今日はいい天気ですね。",), ("明日も晴れるといいですね。",)]
    long = cues_of(spoken("あ" * 60, language="Japanese", word_s=0.1))
    assert [columns(line) for cue in long for line in cue.lines] == [42, 42, 36]
    assert to_timed_text(spoken("あ" * 30, language="Japanese", word_s=0.1)) == f"[00:00:00.000] {'あ' * 30}\n"


def test_marks_that_take_no_room_are_not_counted() -> None:
    assert columns("e\u0301") == 1
    assert columns("ที่") == 1
    assert columns("語") == 2


def test_srt_is_numbered_and_timed_with_commas() -> None:
    assert to_srt(spoken("Yes. No.", word_s=3661.5)) == (
        "1\n00:00:00,000 --> 01:01:01,500\nYes.\n\n2\n01:01:01,500 --> 02:02:03,000\nNo.\n"
    )


def test_vtt_has_its_header_and_no_markup_of_the_speakers() -> None:
    vtt = to_vtt(spoken("a <b> & --> c"))
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert vtt.endswith("\na &lt;b&gt; &amp; --&gt; c\n")


def test_silence_has_no_cues() -> None:
    silence = Transcript(text="", language=None, timestamps=[])
    assert cues_of(silence) == []
    assert to_srt(silence) == ""
    assert to_vtt(silence) == "WEBVTT\n"


def test_a_short_cue_stays_long_enough_to_be_read_unless_the_next_one_comes() -> None:
    cues = cues_of(spoken("Hm. Yes. No.", word_s=0.2))
    assert [(round(cue.start_s, 1), round(cue.end_s, 1)) for cue in cues] == [(0.0, 0.2), (0.2, 0.4), (0.4, 1.4)]


def test_a_transcript_without_word_times_says_what_to_ask_for() -> None:
    with pytest.raises(ValueError, match="timestamps"):
        cues_of(Transcript(text="hello", language="English"))
    unaligned = Transcript(text="hej", language="Swedish", timestamps=[], timestamps_unavailable="No Swedish.")
    with pytest.raises(ValueError, match="No Swedish"):
        to_srt(unaligned)


def test_a_short_cue_at_the_end_is_not_shown_beyond_the_audio() -> None:
    word = TranscriptWord(start=9.5, end=9.8, text="Yes.")
    [cue] = cues_of(Transcript(text="Yes.", language="English", duration=10.0, timestamps=[word]))
    assert (cue.start_s, cue.end_s) == (9.5, 10.0)


def test_cues_of_words_without_length_are_shown_one_after_the_other_within_the_audio() -> None:
    words = [TranscriptWord(start=10.0, end=10.0, text=text) for text in ("Yes.", "No.", "Well.")]
    cues = cues_of(Transcript(text="Yes. No. Well.", language="English", duration=10.0, timestamps=words))
    assert [(cue.start_s, cue.end_s) for cue in cues] == [(9.997, 9.998), (9.998, 9.999), (9.999, 10.0)]


def test_segments_are_sentences_whatever_a_line_holds() -> None:
    said = spoken("The quick brown fox jumps over the lazy dog, and so does the other one that came late. Yes.")
    assert [len(words) for words in segments_of(said)] == [18, 1]


@given(
    words=st.lists(
        st.tuples(st.text("ab,.!? é語", min_size=0, max_size=50), st.floats(0, 3), st.floats(0, 3)), max_size=60
    ),
    language=st.sampled_from(["English", "Chinese", None, "Klingon"]),
)
def test_every_word_is_shown_once_in_order_and_no_line_is_too_long(
    words: list[tuple[str, float, float]], language: str | None
) -> None:
    now_s = 0.0
    timed = []
    for text, pause_s, length_s in words:
        timed.append(TranscriptWord(start=now_s + pause_s, end=now_s + pause_s + length_s, text=text))
        now_s += pause_s + length_s
    duration_s = now_s + 1
    cues = cues_of(Transcript(text="", language=language, timestamps=timed, duration=duration_s))
    shown = "".join(line for cue in cues for line in cue.lines)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", "".join(text for text, _, _ in words))
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert 0 <= cue.start_s < cue.end_s <= duration_s + 0.001
        for line in cue.lines:
            assert columns(line) <= MAX_LINE_CHARS or any(text.strip() == line for text, _, _ in words)
    assert all(cue.end_s <= following.start_s for cue, following in pairwise(cues))
