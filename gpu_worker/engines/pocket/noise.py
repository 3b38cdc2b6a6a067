"""The noise that speech is made from, so that a text sounds the same whatever is said beside it, and wherever."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PocketTTSForConditionalGeneration


def seed_of(text: str, digest: str) -> int:
    """Return what this text in the voice of this digest is seeded with: it is said the same way each time."""
    return int.from_bytes(hashlib.sha256(f"{digest}\n{text}".encode()).digest()[:7])


def noise_of(seeds: Sequence[int], *, n_frames: int, size: int) -> Tensor:
    """Return float32[n_frames, len(seeds), size]: what each row draws of its own generator, on the processor.

    For one and the same `n_frames`: how many are drawn at once changes the last of them.
    """
    rows = [torch.randn(n_frames, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows, dim=1)


class SeededPocketTts(PocketTTSForConditionalGeneration):  # type: ignore[no-untyped-call]
    """The model, which takes its noise from what it was given instead of from the process's generator."""

    _frames: Iterator[Tensor] | None = None

    @contextmanager
    def drawing(self, noise: Tensor) -> Iterator[None]:
        """Have one call of `generate` draw from `noise`: [frames, rows, latent_dim], scaled, on the model's device."""
        self._frames = iter(noise)
        try:
            yield
        finally:
            self._frames = None

    def sample_latent(self, condition: Tensor, noise: Tensor, num_flow_steps: int) -> Tensor:
        """Return the next latent of each row, as the model does."""
        drawn = noise if self._frames is None else next(self._frames).to(noise.dtype)
        latent: Tensor = super().sample_latent(condition, drawn, num_flow_steps)
        return latent
