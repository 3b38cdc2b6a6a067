"""Putting the chunks of an item together again. Only here is anything half finished."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from asr_queue.domain.languages import separator
from asr_queue.domain.transcript import Word
from gpu_worker.work import Assembled, Chunk, Failed, Recognised

_TICKS_PER_S: Final = 1000
"""Word times are kept to the millisecond."""
_INCOMPLETE: Final = "The alignment has lost words, so there are no word times."


class Assembler:
    """Items of which some chunks have been recognised. For one thread."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Recognised]] = {}

    def add(self, part: Recognised) -> Assembled | None:
        """Take a recognised chunk, and return its item once this was the last one missing."""
        claimed = part.chunk.claimed
        parts = self._parts.setdefault(claimed.key, [])
        parts.append(part)
        if len(parts) < part.chunk.of:
            return None
        del self._parts[claimed.key]
        return join(parts)

    def drop(self, failed: Failed) -> Failed:
        """Forget an item that failed; no further chunk of it may be added.

        Returns the failure, with what the device spent on the chunks that had been recognised.
        """
        parts = self._parts.pop(failed.claimed.key, None)
        return failed if parts is None else add_spent(failed, *parts)


def add_spent(failed: Failed, *others: Recognised | Failed) -> Failed:
    """Return a failure with what the device spent on other chunks of its item, or on other failures of it."""
    every = (failed, *others)
    spent_s = [one.device_s for one in every if one.device_s is not None]
    shared = [one.micro_batch for one in every if one.micro_batch is not None]
    return replace(failed, device_s=sum(spent_s) if spent_s else None, micro_batch=max(shared, default=None))


def join(parts: Sequence[Recognised]) -> Assembled:
    """Join all chunks of one item, in any order, to its transcript.

    The language is the given one, or that of most of the audio in which anything was said. Its probability is the mean
    over that audio, in which a chunk of another language counts as 0: of speech in two languages none is sure.

    Word times count from the start of the item; they never decrease, never overlap and never go beyond the audio,
    whatever the engine said. They are those of the whole text or none: a gap would look like silence.
    """
    parts = sorted(parts, key=lambda part: part.chunk.position)
    last = parts[-1].chunk
    audio_s = last.offset_s + last.duration_s
    claimed = last.claimed
    language = claimed.item.language or _most_spoken(parts)
    text = separator(language).join(part.recognition.text for part in parts if part.recognition.text)
    words = _words(parts, audio_s) if claimed.item.return_timestamps else None
    reasons = (part.recognition.timestamps_unavailable for part in parts)
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is None and words is not None and separator(language) and len(words) < len(text.split()):
        reason = _INCOMPLETE
    return Assembled(
        claimed=claimed,
        audio_s=audio_s,
        text=text,
        language=language,
        language_probability=None if claimed.item.language else _probability(parts, language),
        device_s=sum(part.device_s for part in parts),
        micro_batch=max(part.micro_batch for part in parts),
        words=words if reason is None or words is None else (),
        timestamps_unavailable=reason,
        is_truncated=any(part.recognition.is_truncated for part in parts),
        is_repetitive=any(part.recognition.is_repetitive for part in parts),
    )


def _most_spoken(parts: Iterable[Recognised]) -> str | None:
    spoken_s: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        if part.recognition.text and part.recognition.language:
            spoken_s[part.recognition.language] += part.chunk.duration_s
    return max(spoken_s, key=spoken_s.__getitem__, default=None)


def _probability(parts: Iterable[Recognised], language: str | None) -> float | None:
    """Return how sure a language is over all that was said; None where of a chunk of it nobody knows."""
    sure_s = spoken_s = 0.0
    for part in parts:
        said = part.recognition
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
        for word in part.recognition.words or ()
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


def _tick(time_s: float, chunk: Chunk, last_tick: int) -> int:
    within_s = min(max(time_s, 0.0), chunk.duration_s)
    return min(round((chunk.offset_s + within_s) * _TICKS_PER_S), last_tick)
