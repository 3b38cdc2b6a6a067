"""Subtitles from word times: SRT, WebVTT and plain text with times. Pure.

A cue ends where a sentence ends, where the speaker pauses, or where the next word no longer fits into two lines of
about 42 characters; a word is never cut. The limits are the usual ones for reading (Netflix's and the BBC's guides:
42 and 37 characters a line, two lines, about 7 seconds).
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

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
_TITLES: Final = frozenset(
    ("mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "sr.", "sra.", "m.", "mme.", "mlle.", "sig.", "dott.")
)
"""Written with a point, and followed by a name."""
_MAX_SEGMENT_S: Final = 30.0

Words: TypeAlias = Sequence[TranscriptWord]
_Rule: TypeAlias = Callable[[Words, TranscriptWord], bool]
"""Whether a group must end in front of a word."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at one time."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]
    """One or two lines; longer than the limit only where a single word is."""


def cues_of(transcript: Transcript) -> list[Cue]:
    """Return a transcript's cues, in order; none where nothing was said.

    Each has a length, ends before the next one begins, and within the audio where its duration is known; to the
    millisecond.

    Raises:
        ValueError: the transcript has no word times: they were not asked for, or there are none.
    """
    joint = joint_of(transcript)

    def must_break(group: Words, word: TranscriptWord) -> bool:
        return (
            _is_heard_break(group, word)
            or word.end - group[0].start > _MAX_CUE_S
            or len(_filled([*(entry.text.strip() for entry in group), word.text.strip()], joint)) > MAX_LINES
        )

    groups = list(_grouped(_words_of(transcript), must_break))
    return [
        Cue(start_s, end_s, _balanced([word.text.strip() for word in group], joint))
        for group, (start_s, end_s) in zip(groups, _shown(groups, transcript.duration), strict=True)
    ]


def segments_of(transcript: Transcript) -> list[Words]:
    """Return a transcript's words by sentence, or by what is heard as one: at most 30 s each, none empty.

    Raises:
        ValueError: as `cues_of`.
    """
    return list(
        _grouped(
            _words_of(transcript),
            lambda group, word: _is_heard_break(group, word) or word.end - group[0].start > _MAX_SEGMENT_S,
        )
    )


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
    joint = joint_of(transcript)
    return "".join(f"[{_clock(cue.start_s, '.')}] {joint.join(cue.lines)}\n" for cue in cues_of(transcript))


def columns(text: str) -> int:
    """Return the width of a text on screen: wide characters are two columns, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(char) in _INVISIBLE else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def joint_of(transcript: Transcript) -> str:
    """Return what stands between two words of a transcript's language."""
    return separator(resolve(transcript.language) if transcript.language else None)


def _words_of(transcript: Transcript) -> list[TranscriptWord]:
    if transcript.timestamps is None:
        raise ValueError("this transcript has no word times; ask for timestamps")
    words = [word for word in transcript.timestamps if word.text.strip()]
    if not words and transcript.text:
        reason = transcript.timestamps_unavailable or "none came with it"
        raise ValueError(f"this transcript has no word times: {reason}")
    return words


def _grouped(words: Words, must_break: _Rule) -> Iterator[list[TranscriptWord]]:
    group: list[TranscriptWord] = []
    for word in words:
        if group and must_break(group, word):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _is_heard_break(group: Words, word: TranscriptWord) -> bool:
    last = group[-1]
    return word.start - last.end >= _PAUSE_S or _is_sentence_end(last.text.strip().rstrip(_CLOSERS), word.text.strip())


def _is_sentence_end(last: str, following: str) -> bool:
    if last.endswith(".") and (last.casefold() in _TITLES or following[:1].islower()):
        return False
    return last.endswith(_SENTENCE_ENDS)


def _filled(words: Sequence[str], joint: str, limit: int = MAX_LINE_CHARS) -> list[str]:
    """Fill lines one after the other; a word that is longer than the limit has a line of its own."""
    lines: list[str] = []
    width = 0
    for word in words:
        longer = width + columns(joint) + columns(word)
        if lines and longer <= limit:
            lines[-1] += joint + word
            width = longer
        else:
            lines.append(word)
            width = columns(word)
    return lines


def _balanced(words: Sequence[str], joint: str) -> tuple[str, ...]:
    """Break a cue's words into as few lines as they need, of lengths as equal as can be."""
    lines = _filled(words, joint)
    if len(lines) < 2:
        return tuple(lines)
    pairs = [(joint.join(words[:cut]), joint.join(words[cut:])) for cut in range(1, len(words))]
    fitting = [pair for pair in pairs if max(map(columns, pair)) <= MAX_LINE_CHARS]
    return min(fitting, key=lambda pair: max(map(columns, pair)), default=tuple(lines))


def _shown(groups: Sequence[Words], duration_s: float | None) -> list[tuple[float, float]]:
    """Return from when to when each cue is shown, to the millisecond."""
    times: list[tuple[float, float]] = []
    audio_end_ms = None if duration_s is None else max(1, _ms(duration_s))
    next_ms: int | None = None
    # From the last to the first: a cue whose words have no length, as at the very end, moves its start forward in time
    # rather than out of the audio.
    for group in reversed(groups):
        latest_ms = next_ms if next_ms is not None else audio_end_ms
        start_ms = _ms(group[0].start)
        if latest_ms is not None:
            start_ms = max(0, min(start_ms, latest_ms - 1))
        end_ms = max(_ms(group[-1].end), start_ms + _ms(_MIN_CUE_S))
        for bound_ms in (next_ms, audio_end_ms):
            end_ms = end_ms if bound_ms is None else min(end_ms, bound_ms)
        times.append((start_ms / 1000, max(end_ms, start_ms + 1) / 1000))
        next_ms = start_ms
    return times[::-1]


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(seconds: float, point: str) -> str:
    hours, rest_ms = divmod(_ms(seconds), 3_600_000)
    minutes, rest_ms = divmod(rest_ms, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest_ms // 1000:02d}{point}{rest_ms % 1000:03d}"
