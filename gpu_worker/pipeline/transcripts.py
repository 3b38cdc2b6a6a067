"""The transcript of an item, from what was recognised in its chunks."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from asr_queue.domain.languages import NAMES, separator
from asr_queue.domain.transcript import Word
from asr_queue.wire.transcript import Transcript, TranscriptWord
from gpu_worker.engine import Recognition
from gpu_worker.work import Processed, SpeechChunk

_TICKS_PER_S: Final = 1000
"""Word times are kept to the millisecond."""
_DIGITS: Final = 3
"""Of seconds and probabilities; more would be made up."""
_INCOMPLETE: Final = "The alignment has lost words, so there are no word times."


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedTranscript:
    """An item's whole text, and its word times if asked for."""

    audio_s: float
    text: str
    language: str | None
    """Language code."""
    language_probability: float | None = None
    """How sure the engine was of it, over all that was said; None where it was given, or the engine does not say."""
    words: tuple[Word, ...] | None
    timestamps_unavailable: str | None = None
    """Why there are no word times though they were asked for; for people."""
    is_truncated: bool = False
    """Whether the text of any chunk may lack its end."""
    is_repetitive: bool = False
    """Whether the model ran in circles in any chunk."""


Recognised: TypeAlias = Processed[SpeechChunk, Recognition]


def join(parts: Sequence[Recognised]) -> JoinedTranscript:
    """Join all chunks of one item, in any order, to its transcript.

    The language is the given one, or that of most of the audio in which anything was said. Its probability is the mean
    over that audio, in which a chunk of another language counts as 0: of speech in two languages none is sure.

    Word times count from the start of the item; they never decrease, never overlap and never go beyond the audio,
    whatever the engine said. They are those of the whole text or none: a gap would look like silence.
    """
    parts = sorted(parts, key=lambda part: part.chunk.position)
    last = parts[-1].chunk
    audio_s = last.offset_s + last.duration_s
    item = last.claimed.item
    language = item.language or _most_spoken(parts)
    text = separator(language).join(part.output.text for part in parts if part.output.text)
    words = _words(parts, audio_s) if item.return_timestamps else None
    reasons = (part.output.timestamps_unavailable for part in parts)
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is None and words is not None and separator(language) and len(words) < len(text.split()):
        reason = _INCOMPLETE
    return JoinedTranscript(
        audio_s=audio_s,
        text=text,
        language=language,
        language_probability=None if item.language else _probability(parts, language),
        words=words if reason is None or words is None else (),
        timestamps_unavailable=reason,
        is_truncated=any(part.output.is_truncated for part in parts),
        is_repetitive=any(part.output.is_repetitive for part in parts),
    )


def _most_spoken(parts: Iterable[Recognised]) -> str | None:
    spoken_s: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        if part.output.text and part.output.language:
            spoken_s[part.output.language] += part.chunk.duration_s
    return max(spoken_s, key=spoken_s.__getitem__, default=None)


def _probability(parts: Iterable[Recognised], language: str | None) -> float | None:
    """Return how sure a language is over all that was said; None where of a chunk of it nobody knows."""
    sure_s = spoken_s = 0.0
    for part in parts:
        said = part.output
        if not said.text:
            continue
        spoken_s += part.chunk.duration_s
        if said.language == language:
            if said.language_probability is None:
                return None
            sure_s += said.language_probability * part.chunk.duration_s
    return sure_s / spoken_s if spoken_s else None


def _words(parts: Iterable[Recognised], audio_s: float) -> tuple[Word, ...]:
    last_tick = math.floor(audio_s * _TICKS_PER_S)
    spans = [
        (_tick(word.start_s, part.chunk, last_tick), _tick(word.end_s, part.chunk, last_tick), word)
        for part in parts
        for word in part.output.words or ()
    ]
    words: list[Word] = []
    # From the last to the first: starts are the surer of an engine's two times, so an end gives way to the next start.
    next_start = last_tick
    for start, end, word in reversed(spans):
        begin = min(start, next_start)
        until = max(begin, min(end, next_start))
        words.append(replace(word, start_s=begin / _TICKS_PER_S, end_s=until / _TICKS_PER_S))
        next_start = begin
    return tuple(reversed(words))


def _tick(time_s: float, chunk: SpeechChunk, last_tick: int) -> int:
    within_s = min(max(time_s, 0.0), chunk.duration_s)
    return min(round((chunk.offset_s + within_s) * _TICKS_PER_S), last_tick)


def transcript(joined: JoinedTranscript) -> Transcript:
    """Give an item's text its shape on the wire."""
    words = joined.words
    return Transcript(
        text=joined.text,
        language=None if joined.language is None else NAMES.get(joined.language, joined.language),
        language_probability=_rounded(joined.language_probability),
        duration=round(joined.audio_s, _DIGITS),
        timestamps=None if words is None else [_on_the_wire(word) for word in words],
        timestamps_unavailable=joined.timestamps_unavailable,
        no_speech=not joined.text,
        truncated=joined.is_truncated,
        repetition=joined.is_repetitive,
    )


def _on_the_wire(word: Word) -> TranscriptWord:
    return TranscriptWord(start=word.start_s, end=word.end_s, text=word.text, confidence=_rounded(word.confidence))


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, _DIGITS)
