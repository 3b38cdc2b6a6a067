"""The aligner's forward pass: clips and what is said in them in, the times of their tokens out.

    <|audio_start|><|audio_pad|>…<|audio_end|>word<timestamp><timestamp>word<timestamp><timestamp>…

At each timestamp the model says in which 80 ms of the clip the word begins or ends. No chat is written around it: one
moves all words (vllm-omni, pull request 7240).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from gpu_worker.engine import Samples
from gpu_worker.engines.qwen3.alignment import in_order
from gpu_worker.engines.qwen3.encoder import AudioEncoder, n_tokens
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.transfer import send

_CLASS_MS: Final = 80
_TOKENS_AT_ONCE: Final = 16_384
"""Padding included; bounds what a pass needs, while 16 clips of 30 s still go together."""
_FRAME_SAMPLES: Final = 160


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
        self._language_model = model.model.language_model
        self._embed = self._language_model.get_input_embeddings()
        self._score = model.score
        self._encoder = AudioEncoder(model)
        self._device: torch.device = self._embed.weight.device
        self._log_mel = LogMel(self._device)
        self._tokenizer = tokenizer
        self._mark: int = model.config.timestamp_token_id
        self._before, self._behind = tokenizer.convert_tokens_to_ids(["<|audio_start|>", "<|audio_end|>"])

    def times_ms(self, spoken: Sequence[Spoken]) -> list[list[int]]:
        """Return for each clip the start and end of each of its tokens, one behind the other; they never decrease.

        Raises:
            torch.OutOfMemoryError: the device has no room.
        """
        texts = [self._text_ids(one.tokens) for one in spoken]
        lengths = [
            n_tokens(one.samples.size // _FRAME_SAMPLES) + len(text) for one, text in zip(spoken, texts, strict=True)
        ]
        times: dict[int, list[int]] = {}
        for group in _groups(lengths):
            guesses = self._guess([spoken[i].samples for i in group], [texts[i] for i in group])
            times |= zip(group, (in_order(guess * _CLASS_MS) for guess in guesses), strict=True)
        return [times[i] for i in range(len(spoken))]

    def _text_ids(self, tokens: Sequence[str]) -> list[int]:
        """Return what stands behind the audio: the marks are tokens of their own, so each text is encoded by itself."""
        encoded = self._tokenizer(list(tokens), add_special_tokens=False)["input_ids"]
        return [token_id for ids in encoded for token_id in (*ids, self._mark, self._mark)]

    @torch.inference_mode()
    def _guess(self, clips: Sequence[Samples], texts: Sequence[list[int]]) -> list[NDArray[np.int64]]:
        """Return the class at each mark, clip by clip, from one pass."""
        seconds, n_frames = self._log_mel(clips)
        heard = self._encoder.encode(seconds, n_frames)
        n_audio = [n_tokens(frames) for frames in n_frames]
        rows = [[self._before, *[0] * n, self._behind, *text] for n, text in zip(n_audio, texts, strict=True)]
        longest = max(map(len, rows))
        # Padded behind the text, where nothing that counts can see it.
        ids = np.zeros((len(rows), longest), np.int64)
        for row, filled in zip(rows, ids, strict=True):
            filled[: len(row)] = row
        audio = np.concatenate([i * longest + 1 + np.arange(n) for i, n in enumerate(n_audio)])
        embedded = self._embed(send(ids, self._device))
        embedded.view(-1, embedded.shape[-1])[send(audio, self._device)] = heard
        hidden = self._language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        marks = np.flatnonzero(ids == self._mark)
        classes = self._score(hidden.flatten(0, 1)[send(marks, self._device)]).argmax(-1).cpu().numpy()
        return np.split(classes, np.cumsum([text.count(self._mark) for text in texts])[:-1])


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Return the rows' indices in groups of like length, each of a bounded size with its padding."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths[i] > _TOKENS_AT_ONCE:
            groups.append([])
        groups[-1].append(i)
    return groups
