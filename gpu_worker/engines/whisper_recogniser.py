"""The clips of one micro-batch through one model, spread over its workers.

clip ─▶ speech only ─▶ features ─▶ batch of one window ─▶ encode ─▶ identify ─▶ generate ─▶ align
        (none: "")                 (trimmed to the clip)                          │
                                            ▲                                     │
                                            └───────── not sure: full window ◀────┤
                                                       doubtful there: alone ◀────┘
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil
from typing import Any, Final, TypeVar

from asr_queue.domain.transcript import Word
from gpu_worker.engine import Recognition, Samples, SpeechInput
from gpu_worker.engines.speech import SAMPLE_RATE_HZ, Section, SpeechFinder, join, original_span
from gpu_worker.engines.whisper_decode import FRAMES_PER_S, FULL_WINDOW_FRAMES, Decoder, Draft, Features, Language
from gpu_worker.engines.whisper_words import Piece, words_of

_BATCH: Final = 4
"""Clips decoded at once by one worker."""
_SILENCE_S: Final = 6.0
"""Least padding behind the speech: without, Whisper repeats itself, and with less, it is wrong more often."""
_STEP_S: Final = 2.5
"""Windows are multiples of this, so that clips of like length share one."""
_WHISPER_CODES: Final = {"jv": "jw"}
"""Where Whisper's code of a language is not ours."""
_OUR_CODES: Final = {theirs: ours for ours, theirs in _WHISPER_CODES.items()}

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """One input with speech in it."""

    index: int
    wanted: SpeechInput
    sections: Sequence[Section]
    speech: Samples
    """The sections, joined."""
    features: Features
    prompt: tuple[int, ...]
    """What it was asked with, in Whisper's tokens."""
    window_frames: int
    """What it is padded to, whatever its neighbours."""

    @property
    def language(self) -> str | None:
        """Whisper's code of the hint."""
        code = self.wanted.language
        return code and _WHISPER_CODES.get(code, code)

    @property
    def is_trimmed(self) -> bool:
        """Whether a wider window may give a better text."""
        return self.window_frames < FULL_WINDOW_FRAMES


class Recogniser:
    """A decoder, a speech finder and as many threads as the model has workers."""

    def __init__(self, model: Any, *, workers: int, beam_size: int) -> None:
        """Take a loaded `faster_whisper.WhisperModel` with `workers` workers."""
        self._decoder = Decoder(model, beam_size)
        self._finder = SpeechFinder()
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="whisper")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def recognise(self, inputs: Sequence[tuple[int, SpeechInput]]) -> dict[int, Recognition]:
        """Return what was said in each input, by the index that came with it.

        Raises:
            MemoryError: none left; nothing is kept.
        """
        prepared = self._spread(self._prepare, inputs)
        recognised = {
            index: Recognition(text="", language=one.language, words=() if one.want_words else None)
            for index, one in inputs
        }
        clips = [clip for clip in prepared if clip is not None]
        while clips:
            outcomes = list(chain.from_iterable(self._spread(self._recognise, self._batches(clips))))
            recognised.update((clip.index, one) for clip, one in outcomes if one is not None)
            clips = [replace(clip, window_frames=FULL_WINDOW_FRAMES) for clip, one in outcomes if one is None]
        return recognised

    def _spread(self, work: Callable[[In], Out], things: Sequence[In]) -> list[Out]:
        """Do the work on every worker, the first things first; all of it has ended on return, failed or not."""
        futures = [self._pool.submit(work, thing) for thing in things]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]

    def _prepare(self, numbered: tuple[int, SpeechInput]) -> _Clip | None:
        index, wanted = numbered
        sections = self._finder.find(wanted.samples)
        if not sections:
            return None
        speech = join(wanted.samples, sections)
        features = self._decoder.features(speech)
        return _Clip(
            index=index,
            wanted=wanted,
            sections=sections,
            speech=speech,
            features=features,
            prompt=self._decoder.prompt_tokens(wanted.prompt),
            window_frames=_window_frames(features.shape[1]),
        )

    def _batches(self, clips: Sequence[_Clip]) -> list[list[_Clip]]:
        """Put clips of one window together, the dearest batch first, so that the workers end at about the same time.

        Those with prompts of unlike lengths stay apart, as the decoder wants it.
        """
        alike: dict[tuple[int, int], list[_Clip]] = defaultdict(list)
        for clip in clips:
            alike[clip.window_frames, len(clip.prompt)].append(clip)
        size = min(_BATCH, ceil(len(clips) / self._workers))
        batches = [together[i : i + size] for together in alike.values() for i in range(0, len(together), size)]
        return sorted(batches, key=lambda batch: -len(batch) * batch[0].window_frames)

    def _recognise(self, clips: Sequence[_Clip]) -> list[tuple[_Clip, Recognition | None]]:
        """Recognise clips of one window; None where the full window is needed."""
        decoder = self._decoder
        encoded = decoder.encode([clip.features for clip in clips], clips[0].window_frames)
        languages = {i: Language(clip.language) for i, clip in enumerate(clips) if clip.language is not None}
        unknown = [i for i in range(len(clips)) if i not in languages]
        if unknown:
            languages |= zip(unknown, decoder.identify(encoded[unknown]), strict=True)
        in_order = [languages[i] for i in range(len(clips))]
        lengths_s = [clip.speech.size / SAMPLE_RATE_HZ for clip in clips]
        drafts = decoder.generate(encoded, in_order, lengths_s, [clip.prompt for clip in clips])
        is_open = [not draft.is_sure and clip.is_trimmed for clip, draft in zip(clips, drafts, strict=True)]
        pieces: dict[int, list[Piece]] = {}
        for rows in _by_language(
            drafts, [i for i, clip in enumerate(clips) if clip.wanted.want_words and not is_open[i]]
        ):
            frames = [clips[i].features.shape[1] for i in rows]
            pieces |= zip(rows, decoder.align(encoded[rows], [drafts[i] for i in rows], frames), strict=True)
        del encoded
        outcomes: list[tuple[_Clip, Recognition | None]] = []
        for i, (clip, draft) in enumerate(zip(clips, drafts, strict=True)):
            if is_open[i]:
                outcomes.append((clip, None))
            elif draft.is_doubtful:
                outcomes.append((clip, self._look_again(clip)))
            else:
                outcomes.append((clip, _recognition(clip, draft, pieces.get(i, ()))))
        return outcomes

    def _look_again(self, clip: _Clip) -> Recognition:
        draft = self._decoder.look_again(clip.speech, clip.language, clip.prompt)
        pieces: Sequence[Piece] = ()
        if draft.text and clip.wanted.want_words:
            encoded = self._decoder.encode([clip.features], FULL_WINDOW_FRAMES)
            pieces = self._decoder.align(encoded, [draft], [clip.features.shape[1]])[0]
        return _recognition(clip, draft, pieces)


def _window_frames(speech_frames: int) -> int:
    window_s = ceil((speech_frames / FRAMES_PER_S + _SILENCE_S) / _STEP_S) * _STEP_S
    return min(FULL_WINDOW_FRAMES, round(window_s * FRAMES_PER_S))


def _by_language(drafts: Sequence[Draft], rows: Iterable[int]) -> Iterable[list[int]]:
    """Return the rows that can be aligned, those of one language together."""
    by_language: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if drafts[row].text and not drafts[row].is_doubtful:
            by_language[drafts[row].language.code].append(row)
    return by_language.values()


def _recognition(clip: _Clip, draft: Draft, pieces: Sequence[Piece]) -> Recognition:
    said = bool(draft.text)
    code, probability = draft.language
    language = _OUR_CODES.get(code, code) if said else clip.wanted.language
    words = _in_clip(words_of(pieces, code), clip) if clip.wanted.want_words else None
    return Recognition(
        text=draft.text, language=language, language_probability=probability if said else None, words=words
    )


def _in_clip(words: Sequence[Word], clip: _Clip) -> tuple[Word, ...]:
    """Move words from the time of the speech to the time of the clip."""

    def joined(time_s: float) -> int:
        return min(round(time_s * SAMPLE_RATE_HZ), clip.speech.size)

    spans = [original_span(joined(word.start_s), joined(word.end_s), clip.sections) for word in words]
    return tuple(
        replace(word, start_s=span.start / SAMPLE_RATE_HZ, end_s=span.end / SAMPLE_RATE_HZ)
        for word, span in zip(words, spans, strict=True)
    )
