"""What is measured: clips of noise, how long each is, and how many tokens each becomes."""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
AUDIO_TOKENS_A_SECOND = 13
PROMPT_TOKENS = 15
"""Around the audio, without a hint."""
_TOKENS_A_SECOND = 2.7
"""Of speech."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Clips that are handed over together."""

    name: str
    durations_s: tuple[float, ...]
    n_new_tokens: tuple[int, ...]
    at_once: int
    """Clips that one pass holds; a longer stream is handed over in so many, where there is nothing better."""

    @property
    def audio_s(self) -> float:
        """Audio in all, nothing padded."""
        return sum(self.durations_s)

    def clips(self) -> list[NDArray[np.float32]]:
        """Return quiet noise, the same in every process."""
        generator = np.random.default_rng(0)
        lengths = [round(SAMPLE_RATE_HZ * duration_s) for duration_s in self.durations_s]
        noise = 0.1 * generator.standard_normal(max(lengths), np.float32)
        return [np.roll(noise, i)[:length].copy() for i, length in enumerate(lengths)]


def equal(rows: int, *, duration_s: float = 30.0, n_new_tokens: int = 80) -> Workload:
    """Return clips of one length."""
    name = f"{rows} x {duration_s:g} s x {n_new_tokens} tokens"
    return Workload(name, (duration_s,) * rows, (n_new_tokens,) * rows, rows)


def ragged(rows: int, *, at_once: int, longest_s: float = 30.0) -> Workload:
    """Return clips of 2 s to `longest_s`, every length as likely, in no order."""
    drawn = random.Random(rows)
    durations_s = tuple(round(drawn.uniform(2.0, longest_s), 2) for _ in range(rows))
    n_new_tokens = tuple(max(1, round(_TOKENS_A_SECOND * duration_s)) for duration_s in durations_s)
    return Workload(f"{rows} x 2-{longest_s:g} s, {at_once} at once", durations_s, n_new_tokens, at_once)
