"""Subtitles from word times: SRT, WebVTT and plain text with times. Pure.

A cue ends where a sentence ends, where the speaker pauses, or where the next word no longer fits into two lines of
about 42 characters; a word is never cut. The limits are the usual ones for reading (Netflix's and the BBC's guides:
42 and 37 characters a line, two lines, about 7 seconds).
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from asr_queue.domain.languages import resolve, separator
from asr_queue.wire.transcript import Transcript, TranscriptWord

MAX_LINE_CHARS: Final = 42
"""Columns a line; a wide (East Asian) character counts as two."""
MAX_LINES: Final = 2
_MAX_CUE_S: Final = 7.0
_PAUSE_S: Final = 0.7
"""A gap that is heard as a break."""
_MIN_CUE_S: Final = 1.0
"""A cue is shown at least so long, where the next one leaves room."""
_SENTENCE_ENDS: Final = (".", "!", "?", "…", "。", "！", "？", "।", "؟", "։")
_INVISIBLE: Final = frozenset({"Mn", "Me", "Cf"})
_CLOSERS: Final = "\"'”’»)]」』"


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at one time."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]
    """One or two lines; longer than the limit only where a single word is."""


def cues_of(transcript: Transcript) -> list[Cue]:
    """Return a transcript's cues, in order; none where nothing was said. They overlap only where words do.

    Raises:
        ValueError: the transcript has no word times, because they were not asked for.
    """
    if transcript.timestamps is None:
        raise ValueError("this transcript has no word times; ask for timestamps")
    joint = _joint(transcript)
    groups = list(_grouped(_kept(transcript.timestamps), joint))
    return [
        Cue(group[0].start, _shown_until(group, groups[index + 1] if index + 1 < len(groups) else None), lines)
        for index, group in enumerate(groups)
        if (lines := _balanced([word.text.strip() for word in group], joint))
    ]


def to_srt(transcript: Transcript) -> str:
    """Return a transcript as SubRip.

    Raises:
        ValueError: it has no word times.
    """
    blocks = [
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n" + "\n".join(cue.lines) + "\n"
        for number, cue in enumerate(cues_of(transcript), start=1)
    ]
    return "\n".join(blocks)


def to_vtt(transcript: Transcript) -> str:
    """Return a transcript as WebVTT.

    Raises:
        ValueError: it has no word times.
    """
    blocks = ["WEBVTT\n"] + [
        # "&" and "<" begin markup there; an escaped ">" keeps "-->" out of a cue.
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        + "\n".join(escape(line, quote=False) for line in cue.lines)
        + "\n"
        for cue in cues_of(transcript)
    ]
    return "\n".join(blocks)


def to_timed_text(transcript: Transcript) -> str:
    """Return a transcript as plain text, a line a cue, each with the time at which it begins.

    Raises:
        ValueError: it has no word times.
    """
    joint = _joint(transcript)
    return "".join(f"[{_clock(cue.start_s, '.')}] {joint.join(cue.lines)}\n" for cue in cues_of(transcript))


def columns(text: str) -> int:
    """Return the width of a text on screen: wide characters are two columns, combining marks none."""
    return sum(
        0 if unicodedata.category(char) in _INVISIBLE else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _joint(transcript: Transcript) -> str:
    return separator(resolve(transcript.language) if transcript.language else None)


def _kept(words: Sequence[TranscriptWord]) -> list[TranscriptWord]:
    return [word for word in words if word.text.strip()]


def _grouped(words: Sequence[TranscriptWord], joint: str) -> Iterator[list[TranscriptWord]]:
    group: list[TranscriptWord] = []
    for word in words:
        if group and _must_break(group, word, joint):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _must_break(group: Sequence[TranscriptWord], word: TranscriptWord, joint: str) -> bool:
    last = group[-1]
    return (
        last.text.strip().rstrip(_CLOSERS).endswith(_SENTENCE_ENDS)
        or word.start - last.end >= _PAUSE_S
        or word.end - group[0].start > _MAX_CUE_S
        or len(_filled([*(entry.text.strip() for entry in group), word.text.strip()], joint)) > MAX_LINES
    )


def _filled(words: Sequence[str], joint: str, limit: int = MAX_LINE_CHARS) -> list[str]:
    """Fill lines one after the other; a word that is longer than the limit has a line of its own."""
    lines: list[str] = []
    for word in words:
        if lines and columns(lines[-1] + joint + word) <= limit:
            lines[-1] += joint + word
        else:
            lines.append(word)
    return lines


def _balanced(words: Sequence[str], joint: str) -> tuple[str, ...]:
    """Break a cue's words into as few lines as they need, of lengths as equal as can be."""
    lines = _filled(words, joint)
    if len(lines) < 2:
        return tuple(lines)
    pairs = [(joint.join(words[:cut]), joint.join(words[cut:])) for cut in range(1, len(words))]
    fitting = [pair for pair in pairs if max(map(columns, pair)) <= MAX_LINE_CHARS]
    return min(fitting, key=lambda pair: max(map(columns, pair)), default=tuple(lines))


def _shown_until(group: Sequence[TranscriptWord], following: Sequence[TranscriptWord] | None) -> float:
    end_s = max(group[-1].end, group[0].start + _MIN_CUE_S)
    return min(end_s, following[0].start) if following and following[0].start > group[0].start else end_s


def _clock(seconds: float, point: str) -> str:
    total_ms = max(0, round(seconds * 1000))
    hours, rest_ms = divmod(total_ms, 3_600_000)
    minutes, rest_ms = divmod(rest_ms, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest_ms // 1000:02d}{point}{rest_ms % 1000:03d}"
