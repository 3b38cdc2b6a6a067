"""What one Whisper model does with a batch of clips: encode, identify, generate, align, and look again.

Every method may be called from several threads at once; the model has as many workers as it was given.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_worker.engine import Samples
from gpu_worker.engines.speech import SAMPLE_RATE_HZ
from gpu_worker.engines.whisper_words import Piece, text_of

FRAMES_PER_S: Final = 100
FULL_WINDOW_FRAMES: Final = 3_000
"""What Whisper was trained on: 30 s."""
_FRAMES_PER_POSITION: Final = 2
_ATTENTION_LIMIT: Final = FULL_WINDOW_FRAMES**2
"""Most squared frames encoded at once: one full window, whose attention takes 72 MB in Whisper base."""
_CONTEXT_TOKENS: Final = 448
"""Of Whisper's decoder: what was said before, the task, the text."""
_MOST_TEXT_TOKENS: Final = 440
"""Those less the task and the end."""
_MOST_PROMPT_TOKENS: Final = _CONTEXT_TOKENS // 2 - 1
"""Half of them, less the mark in front; as much as Whisper's reference implementation takes."""
_TOKENS_PER_S: Final = 20
"""More than anybody says, in any language's tokens; beyond it the decoder is repeating itself."""
_TOKENS_BESIDE: Final = 16
_LEAST_TOKENS_PER_S: Final = 1.0
"""Fewer over a longer clip, and words were left out: the slowest telephone prompt has 1.5."""
_SPARSE_FROM_S: Final = 6.0
_LOOK_AGAIN_TEMPERATURES: Final = (0.0, 0.4)
"""With a prompt the first one comes once more, without it: a prompt may be what led the decoder into a loop."""
_SURE_LOG_PROBABILITY: Final = -0.35
"""From here on. Measured on 250 telephone prompts in five languages: in windows of 6 s more than the speech, 18 % of
the texts are less likely; recognised again in the full window, those take the error rate from 13.9 to 12.7 %, as good
as with full windows throughout (12.7 %). With a hint: 12.7 to 12.1 % (12.0 %)."""
_UNSURE_LOG_PROBABILITY: Final = -1.0
_SILENT_PROBABILITY: Final = 0.6
_REPETITIVE_RATIO: Final = 2.4
"""This and the two above are the thresholds of Whisper's reference implementation."""

Features = NDArray[np.float32]
"""float32[n_mels, n_frames], log-mel, 100 frames a second."""
Encoded = NDArray[np.float32]
"""float32[n_clips, n_positions, width], 50 positions a second."""


class Language(NamedTuple):
    """What a clip is in."""

    code: str
    """Whisper's."""
    probability: float | None = None
    """How sure the model was of it, 0 to 1; None where it was given, or the model knows only this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the model made of one clip."""

    language: Language
    tokens: tuple[int, ...]
    """Text tokens only."""
    text: str
    is_sure: bool
    """So likely that a wider window would hardly change it."""
    is_doubtful: bool
    """Repetitive, endless or sparse: worth another, dearer look."""


class Decoder:
    """A loaded model with fixed decoding options; keeps nothing between calls."""

    def __init__(self, model: Any, beam_size: int) -> None:
        """Take a loaded `faster_whisper.WhisperModel` and how many hypotheses to keep, at least 1."""
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        self._model = model
        self._beam_size = beam_size
        self._new_tokenizer = Tokenizer
        self._tokenizers: dict[str, Any] = {}
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]))

    def features(self, samples: Samples) -> Features:
        """Return the log-mel features of at least one sample, without padding."""
        found: Features = self._model.feature_extractor(samples)[:, :-1]
        return found

    def encode(self, clips: Sequence[Features], window_frames: int) -> Encoded:
        """Encode clips, each padded to the same window.

        Args:
            clips: at least one, each at most `window_frames` long.
            window_frames: even, at most `FULL_WINDOW_FRAMES`; the time taken grows faster than it.
        """
        at_once = max(1, _ATTENTION_LIMIT // window_frames**2)
        padded = [np.pad(clip, ((0, 0), (0, window_frames - clip.shape[1]))) for clip in clips]
        parts = [
            np.asarray(self._model.model.encode(_storage(np.stack(padded[i : i + at_once])), to_cpu=True))
            for i in range(0, len(padded), at_once)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def identify(self, encoded: Encoded) -> list[Language]:
        """Return the likeliest language of each clip."""
        if not self._model.model.is_multilingual:
            return [Language("en")] * len(encoded)
        found = self._model.model.detect_language(_storage(encoded))
        return [Language(str(mark[2:-2]), float(probability)) for (mark, probability), *_ in found]

    def prompt_tokens(self, prompt: str) -> tuple[int, ...]:
        """Return a prompt as tokens of text, the last 223 of them; none of it is taken for one of Whisper's marks."""
        tokenizer = self._tokenizer("en")
        tokens = tokenizer.encode(f" {prompt.strip()}") if prompt.strip() else ()
        return tuple(token for token in tokens if token < tokenizer.eot)[-_MOST_PROMPT_TOKENS:]

    def generate(
        self,
        encoded: Encoded,
        languages: Sequence[Language],
        lengths_s: Sequence[float],
        prompts: Sequence[Sequence[int]],
    ) -> list[Draft]:
        """Write down what was said in each clip.

        Args:
            encoded: from `encode`.
            languages: of each clip.
            lengths_s: how long each clip is; bounds its text.
            prompts: from `prompt_tokens`, for each clip, all of one length: CTranslate2 takes no others together.
        """
        tokenizers = [self._tokenizer(language.code) for language in languages]
        starts = [
            [*([tokenizer.sot_prev, *prompt] if prompt else ()), *tokenizer.sot_sequence, tokenizer.no_timestamps]
            for tokenizer, prompt in zip(tokenizers, prompts, strict=True)
        ]
        results = self._model.model.generate(
            _storage(encoded),
            starts,
            beam_size=self._beam_size,
            max_length=min(_CONTEXT_TOKENS, len(starts[0]) + _most_tokens(max(lengths_s))),
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        room = _CONTEXT_TOKENS - len(starts[0])
        return [self._draft(*one, room) for one in zip(results, languages, lengths_s, strict=True)]

    def align(self, encoded: Encoded, drafts: Sequence[Draft], frames: Sequence[int]) -> list[list[Piece]]:
        """Find when each piece of each text was said, in seconds from the start of its clip.

        Args:
            encoded: from `encode`.
            drafts: what was said in each clip, all in one language and none without tokens.
            frames: length of each clip without its padding.
        """
        tokenizer = self._tokenizer(drafts[0].language.code)
        results = self._model.model.align(
            _storage(encoded), tokenizer.sot_sequence, [list(draft.tokens) for draft in drafts], list(frames)
        )
        return [
            _pieces(tokenizer, draft.tokens, result.alignments, result.text_token_probs)
            for draft, result in zip(drafts, results, strict=True)
        ]

    def look_again(self, samples: Samples, language: str | None, prompt: Sequence[int]) -> Draft:
        """Recognise one clip alone, in the full window and from time mark to time mark, so that nothing is left out.

        Args:
            samples: at most 30 s.
            language: Whisper's code, or None to identify it.
            prompt: from `prompt_tokens`.
        """
        looks: list[tuple[float, list[int] | None]] = [(temperature, None) for temperature in _LOOK_AGAIN_TEMPERATURES]
        if prompt:
            looks.insert(0, (_LOOK_AGAIN_TEMPERATURES[0], list(prompt)))
        for temperature, initial in looks:
            most = min(_most_tokens(samples.size / SAMPLE_RATE_HZ), _MOST_TEXT_TOKENS - len(initial or ()))
            segments, info = self._model.transcribe(
                samples,
                language=language,
                beam_size=self._beam_size,
                temperature=temperature,
                condition_on_previous_text=False,
                vad_filter=False,
                max_new_tokens=most,
                initial_prompt=initial,
            )
            identified = Language(info.language, info.language_probability if language is None else None)
            end = self._tokenizer(info.language).eot
            tokens = [token for segment in segments for token in segment.tokens if token < end]
            draft = self._drafted(identified, tokens[:_MOST_TEXT_TOKENS], is_sure=True)
            # Somebody may really say the same again and again, but not at the pace of a decoder in a loop.
            if len(draft.tokens) < most // 2 or not _is_repetitive(draft.text):
                break
        return draft

    def _tokenizer(self, language: str) -> Any:
        if language not in self._tokenizers:
            self._tokenizers[language] = self._new_tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]

    def _draft(self, result: Any, language: Language, length_s: float, room: int) -> Draft:
        tokens = result.sequences_ids[0]
        log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
        is_sure = log_probability >= _SURE_LOG_PROBABILITY
        if log_probability < _UNSURE_LOG_PROBABILITY and result.no_speech_prob > _SILENT_PROBABILITY:
            return self._drafted(language, [], is_sure=False)
        draft = self._drafted(language, tokens, is_sure=is_sure)
        is_endless = len(tokens) >= min(_most_tokens(length_s), room)
        is_sparse = length_s >= _SPARSE_FROM_S and len(tokens) < length_s * _LEAST_TOKENS_PER_S
        if is_endless or is_sparse or _is_repetitive(draft.text):
            return replace(draft, is_sure=False, is_doubtful=True)
        return draft

    def _drafted(self, language: Language, tokens: Sequence[int], *, is_sure: bool) -> Draft:
        tokenizer = self._tokenizer(language.code)
        said = tuple(token for token in tokens if token < tokenizer.eot)
        text = text_of(tokenizer.decode(said))
        return Draft(language=language, tokens=said, text=text, is_sure=is_sure, is_doubtful=False)


def _most_tokens(length_s: float) -> int:
    return min(_MOST_TEXT_TOKENS, round(length_s * _TOKENS_PER_S) + _TOKENS_BESIDE)


def _storage(array: NDArray[np.float32]) -> Any:
    from ctranslate2 import StorageView

    return StorageView.from_array(np.ascontiguousarray(array))


def _is_repetitive(text: str) -> bool:
    # One byte a character, whatever the script: in UTF-8 half of Cyrillic is the same two bytes, and a sound text
    # looks like a repetition.
    order: dict[str, int] = {}
    raw = bytes(order.setdefault(char, len(order)) % 256 for char in text)
    return len(raw) / len(zlib.compress(raw)) > _REPETITIVE_RATIO


def _pieces(
    tokenizer: Any, tokens: Sequence[int], alignments: Sequence[tuple[int, int]], probabilities: Sequence[float]
) -> list[Piece]:
    texts, groups = tokenizer.split_tokens_on_unicode(list(tokens))
    # The alignment walks from token to token; where it first meets one, that token begins, and the end of the
    # text counts as one more token.
    begins_s: dict[int, float] = {}
    for token_index, position in alignments:
        begins_s.setdefault(token_index, position * _FRAMES_PER_POSITION / FRAMES_PER_S)
    last_s = max(begins_s.values(), default=0.0)
    pieces: list[Piece] = []
    first = 0
    for text, group in zip(texts, groups, strict=True):
        after = first + len(group)
        certainty = tuple(probabilities[first:after])
        pieces.append(Piece(text, begins_s.get(first, last_s), begins_s.get(after, last_s), certainty))
        first = after
    return pieces
