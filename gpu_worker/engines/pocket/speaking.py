"""Texts and voices to samples: one batch through the model, then row by row through the codec.

text ─▶ prompt ─┐
                ├─▶ model: a latent of 80 ms each step, for all rows at once ─▶ codec ─▶ samples
voice ─▶ latents┘
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from gpu_worker.engine import Samples, Speech
from gpu_worker.engines.pocket.noise import noise_of, seed_of
from gpu_worker.engines.pocket.weights import Checkpoint

_TEMPERATURE: Final = 0.7
"""Where the checkpoint names none: the authors' own."""
_S_PER_TOKEN: Final = 1 / 3
_S_BESIDE: Final = 2.0
"""With the seconds a token: as long as the authors let a text last."""
_LONGEST_S: Final = 60.0
"""However many tokens a text has: letters of a script that the vocabulary lacks come to several each."""


@dataclass(frozen=True, slots=True)
class Line:
    """One text to say."""

    text: str
    digest: str
    """Of its voice."""
    voice: Tensor
    """What `Speaker.hear` made of the voice's sample."""


class Speaker:
    """A checkpoint that hears and speaks. Not safe to call from several threads at once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Take a loaded checkpoint."""
        self._model, self._codec, self._processor = checkpoint.model, checkpoint.codec, checkpoint.processor
        self._markers = sorted(set(self._processor.tokenizer.all_special_tokens), key=len, reverse=True)
        temperature = self._model.generation_config.temperature
        self._temperature = _TEMPERATURE if temperature is None else float(temperature)

    @property
    def rate_hz(self) -> int:
        """Of samples, heard and spoken."""
        return int(self._codec.config.sampling_rate)

    def plain(self, text: str) -> str:
        """Return the text without what would be a marker of the model in it."""
        for marker in self._markers:
            text = text.replace(marker, " ")
        return text

    @torch.inference_mode()
    def hear(self, samples: Samples) -> Tensor:
        """Return what the codec makes of a voice's sample: float32[frames, latent_dim], on the host."""
        # A copy: PyTorch warns of arrays that may not be written to.
        heard = self._processor.feature_extractor([samples.copy()], sampling_rate=self.rate_hz)
        encoded = self._codec.encode(heard["input_values"].to(self._codec.device, torch.float32))
        n_frames = int(self._processor.feature_extractor.get_num_frames(heard["padding_mask"])[0])
        # A copy of its own: what is kept must not hold more than it is.
        latents: Tensor = encoded.latents[0, :n_frames].float().cpu().clone()
        return latents

    @torch.inference_mode()
    def say(self, lines: Sequence[Line]) -> list[Speech]:
        """Say each line, for as long as its tokens allow; the lines' lengths and voices may differ."""
        inputs = self._inputs(lines)
        spoken_tokens = inputs["attention_mask"].sum(-1) - torch.tensor([len(line.voice) for line in lines])
        most = [self._frames(min(_S_BESIDE + n * _S_PER_TOKEN, _LONGEST_S)) for n in spoken_tokens.tolist()]
        # One frame beyond what the longest may have: a row that is not at its end where it must be has more than that.
        n_frames = max(most) + 1
        seeds = [seed_of(line.text, line.digest) for line in lines]
        drawn = noise_of(seeds, n_frames=self._frames(_LONGEST_S) + 1, size=self._model.config.latent_dim)
        noise = drawn[:n_frames].to(self._model.device) * math.sqrt(self._temperature)
        with self._model.drawing(noise):
            made: Any = self._model.generate(
                **{name: value.to(self._model.device) for name, value in inputs.items()},
                do_sample=True,
                temperature=self._temperature,
                max_new_tokens=n_frames,
                return_dict_in_generate=True,
            )
        counts = made.audio_latents_mask.sum(-1).tolist()
        return [
            Speech(samples=self._samples(latents[: min(count, limit)]), is_truncated=count > limit)
            for latents, count, limit in zip(made.audio_latents, counts, most, strict=True)
        ]

    def _inputs(self, lines: Sequence[Line]) -> Any:
        return self._processor(
            text=[self._prompt(line.text) for line in lines],
            audio_prompt_latents=[line.voice for line in lines],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )

    def _prompt(self, text: str) -> str:
        """Return the voice's place, the text as the checkpoint's template prepares it, and where the speech begins."""
        processor = self._processor
        said: Any = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        prepared = processor.apply_chat_template(said)
        for token in processor.placeholder_tokens:
            prepared = prepared.replace(token, "")
        return f"{processor.audio_prompt_bos_token or ''}{processor.audio_token}{prepared}{processor.audio_bos_token}"

    def _frames(self, seconds: float) -> int:
        return math.ceil(seconds * self._model.config.frame_rate)

    def _samples(self, latents: Tensor) -> Samples:
        # Alone: a batch would take as much memory for each row as for the longest, and the codec is the smaller part.
        decoded: Any = self._processor.decode(latents)
        return np.asarray(np.clip(decoded.numpy(), -1, 1), dtype=np.float32)
