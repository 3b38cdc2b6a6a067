"""The aligner's forward pass: clips and what is said in them in, the times of their tokens out.

    <|audio_start|><|audio_pad|>…<|audio_end|>word<timestamp><timestamp>word<timestamp><timestamp>…

At each timestamp the model says in which 80 ms of the clip the word begins or ends. No chat is written around it: one
moves all words (vllm-omni, pull request 7240).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_worker.engine import Samples
from gpu_worker.engines.qwen3.alignment import in_order
from gpu_worker.engines.qwen3.cache import scratch
from gpu_worker.engines.qwen3.choice import operations_for
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.encoder import AudioEncoder, n_tokens
from gpu_worker.engines.qwen3.inflight import MAX_PREFILL_TOKENS
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.packing import Prompt, pack
from gpu_worker.engines.qwen3.transfer import send

_CLASS_MS: Final = 80
_MOST_TOKENS: Final = 32_768
"""Of one clip: 300 s, and the longest text that the recogniser makes of them, with its marks."""
_TOKEN_SAMPLES: Final = 16_000 // 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A clip and the tokens that are said in it."""

    samples: Samples = field(repr=False)
    """At least one sample, at 16 kHz."""
    tokens: Sequence[str]
    """At least one: words, or characters."""


class Aligning:
    """A `Qwen3ASRForTokenClassification` on its device, with its tokenizer. Not for several threads at once."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Take the model; some of its weights become views of fused ones.

        Raises:
            ValueError: it is of another kind.
        """
        if model.score.bias is not None:
            raise ValueError("The aligner's head has a bias, which is not known here.")
        language_model = model.model.language_model
        weight = model.score.weight
        self._device: torch.device = weight.device
        self._dtype: torch.dtype = weight.dtype
        self._text_config = language_model.config
        operations = operations_for(self._text_config, self._device, self._dtype)
        self._decoder = Decoder(language_model, model.score, operations, max_positions=_MOST_TOKENS)
        self._encoder = AudioEncoder(model)
        self._log_mel = LogMel(self._device)
        self._tokenizer = tokenizer
        self._mark: int = model.config.timestamp_token_id
        self._before, self._behind = tokenizer.convert_tokens_to_ids(["<|audio_start|>", "<|audio_end|>"])

    def weights(self) -> Iterator[Tensor]:
        """Return every tensor that it computes with, none of which it writes to."""
        yield from self._decoder.weights()
        yield from self._encoder.weights()

    def times_ms(self, spoken: Sequence[Spoken]) -> list[list[int]]:
        """Return for each clip the start and end of each of its tokens, one behind the other; they never decrease.

        Raises:
            torch.OutOfMemoryError: the device has no room.
        """
        texts = [self._text_ids(one.tokens) for one in spoken]
        times: list[list[int]] = []
        lengths = [one.samples.size // _TOKEN_SAMPLES + len(text) for one, text in zip(spoken, texts, strict=True)]
        for group in _groups(lengths):
            guesses = self._guess([spoken[i].samples for i in group], [texts[i] for i in group])
            times += (in_order(guess * _CLASS_MS) for guess in guesses)
        return times

    def _text_ids(self, tokens: Sequence[str]) -> tuple[int, ...]:
        """Return what stands behind the audio: the marks are tokens of their own, so each text is encoded by itself."""
        encoded = self._tokenizer(list(tokens), add_special_tokens=False)["input_ids"]
        return tuple(token_id for ids in encoded for token_id in (*ids, self._mark, self._mark))

    @torch.inference_mode()
    def _guess(self, clips: Sequence[Samples], texts: Sequence[tuple[int, ...]]) -> list[NDArray[np.int64]]:
        """Return the class at each mark, clip by clip, from one pass."""
        seconds, n_frames = self._log_mel(clips)
        heard = self._encoder.encode(seconds, n_frames)
        prompts: list[Prompt] = []
        for frames, text in zip(n_frames, texts, strict=True):
            start = prompts[-1].start + prompts[-1].length if prompts else 0
            prompts.append(Prompt((self._before,), n_tokens(frames), (self._behind, *text), start))
        packed = pack(prompts, self._device)
        embedded = self._decoder.embed(packed.ids)
        embedded[packed.audio] = heard
        kept_nowhere = scratch(self._text_config, n_tokens=len(embedded), device=self._device, dtype=self._dtype)
        marks = _marks(prompts, self._mark)
        logits = self._decoder.prefill(embedded, packed, kept_nowhere, send(marks, self._device))
        classes = logits.argmax(-1).cpu().numpy()
        return np.split(classes, np.cumsum([text.count(self._mark) for text in texts])[:-1])


def _marks(prompts: Sequence[Prompt], mark: int) -> NDArray[np.int64]:
    """Return where among all prompts' tokens the marks are."""
    places = [
        prompt.start + prompt.length - len(prompt.after) + np.flatnonzero(np.array(prompt.after) == mark)
        for prompt in prompts
    ]
    return np.concatenate(places)


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Return the clips' indices in order, in groups of at most so many tokens; a longer clip goes alone."""
    groups: list[list[int]] = []
    n_in_group = 0
    for i, length in enumerate(lengths):
        if not groups or n_in_group + length > MAX_PREFILL_TOKENS:
            groups.append([])
            n_in_group = 0
        groups[-1].append(i)
        n_in_group += length
    return groups
