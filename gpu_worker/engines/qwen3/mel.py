"""Log-mel spectra where the model is: of each clip what `Qwen3ASRFeatureExtractor` makes of that clip alone.

The spectra come second by second, as the encoder's convolutions take them, so a clip in a batch costs its own length
and not the longest one's. Alone means that the last frame sees the clip's end mirrored, in a batch as well; the
extractor's own batches are padded with zeros before, which changes that frame, and the number of frames with it.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from gpu_worker.engine import Samples
from gpu_worker.engines.qwen3.transfer import send

SAMPLE_RATE_HZ: Final = 16_000
FRAMES_A_SECOND: Final = 100
N_MELS: Final = 128
_HOP: Final = 160
_FFT: Final = 400
_MARGIN: Final = _FFT // 2
"""Mirrored samples on each side of a clip, so that the first and the last frame are centred on its ends."""
_LEAST_SAMPLES: Final = 8_000
"""Shorter clips are filled up with silence, as the model has learnt them."""
_SECOND_SAMPLES: Final = (FRAMES_A_SECOND - 1) * _HOP + _FFT
"""What the frames of one second look at."""
_SECONDS_AT_ONCE: Final = 512
"""Bounds the spectra before the mel filters: 0.25 GB."""
_COPIED_AT_ONCE: Final = 4
_RANGE: Final = 8.0
"""Powers of ten below the clip's loudest value at which everything quieter is cut off."""


class LogMel:
    """The mel filters on a device, and the staging memory that samples go through."""

    def __init__(self, device: torch.device) -> None:
        filters = mel_filter_bank(
            num_frequency_bins=1 + _FFT // 2,
            num_mel_filters=N_MELS,
            min_frequency=0.0,
            max_frequency=8000.0,
            sampling_rate=SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        self._device = device
        self._filters = torch.from_numpy(filters).to(device, torch.float32)
        self._window = torch.hann_window(_FFT, device=device)
        self._offsets = torch.arange(_SECOND_SAMPLES, device=device)
        self._staging = _Staging(device)

    def __call__(self, clips: Sequence[Samples]) -> tuple[Tensor, list[int]]:
        """Return the spectra of all clips, one second after the other, and how many frames each clip has.

        Args:
            clips: at least one, none empty; at 16 kHz.

        Returns:
            float32[n_seconds, 100, 128] on the device: clip k has `seconds_in(n_frames[k])` of them, the last one
            filled up with zeros. Nothing has waited for the device.
        """
        lengths = [max(clip.size, _LEAST_SAMPLES) for clip in clips]
        n_frames = [frames_in(clip.size) for clip in clips]
        seconds, clip_of_second, valid = _lay_out(lengths, n_frames)
        flat = self._staging.fill(clips, lengths)
        table = send(np.stack([seconds, clip_of_second, valid]), self._device)
        return self._spectra(flat, table[0], table[1], table[2], len(clips)), n_frames

    def _spectra(self, flat: Tensor, starts: Tensor, clip_of_second: Tensor, valid: Tensor, n_clips: int) -> Tensor:
        blocks = zip(torch.split(starts, _SECONDS_AT_ONCE), torch.split(valid, _SECONDS_AT_ONCE), strict=True)
        powers = torch.cat([self._powers(flat, start, frames) for start, frames in blocks])
        loudest = torch.full((n_clips,), -torch.inf, device=self._device)
        loudest.scatter_reduce_(0, clip_of_second, powers.amax((1, 2)), "amax")
        floor = (loudest - _RANGE)[clip_of_second, None, None]
        levels: Tensor = torch.maximum(powers, floor).add_(4.0).div_(4.0)
        return levels.masked_fill_(self._is_past(valid), 0.0)

    def _powers(self, flat: Tensor, starts: Tensor, valid: Tensor) -> Tensor:
        """Return float32[n_seconds, 100, 128], log10; -inf past the end of a clip."""
        samples = flat[starts[:, None] + self._offsets]
        spectrum = torch.fft.rfft(samples.unfold(1, _FFT, _HOP) * self._window)
        powers: Tensor = spectrum.abs().square() @ self._filters
        return powers.clamp_(min=1e-10).log10_().masked_fill_(self._is_past(valid), -torch.inf)

    def _is_past(self, valid: Tensor) -> Tensor:
        past: Tensor = torch.arange(FRAMES_A_SECOND, device=self._device) >= valid[:, None]
        return past[..., None]


def frames_in(n_samples: int) -> int:
    """Return how many frames a clip of that many samples has."""
    return max(n_samples, _LEAST_SAMPLES) // _HOP


def seconds_in(n_frames: int) -> int:
    """Return how many seconds that many frames begin."""
    return -(-n_frames // FRAMES_A_SECOND)


class _Staging:
    """Clips one behind the other in memory that stays: pinned for CUDA, so that a single copy takes them over."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host = torch.empty(0)
        # The device has nothing to do meanwhile, and the samples are often in mapped files that nobody has touched yet.
        self._copying = ThreadPoolExecutor(_COPIED_AT_ONCE, thread_name_prefix="stage")
        self._sent = torch.cuda.Event() if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def fill(self, clips: Sequence[Samples], lengths: Sequence[int]) -> Tensor:
        """Return on the device, of each clip: a mirrored start, the clip, silence up to its length, a mirrored end.

        Behind the last clip there is silence for the frames of one second.
        """
        total = sum(lengths) + 2 * _MARGIN * len(clips) + _SECOND_SAMPLES
        if self._sent is not None:
            # What was staged the last time may still be on its way.
            self._sent.synchronize()
        if self._host.numel() < total:
            self._host = torch.empty(total, pin_memory=self._sent is not None)
        staged: NDArray[np.float32] = self._host[:total].numpy()
        ends = np.cumsum([length + 2 * _MARGIN for length in lengths])
        rooms = np.split(staged, ends)
        rooms.pop().fill(0.0)
        # Also waits for them, and raises what one of them raised.
        deque(self._copying.map(_lay_in, clips, rooms), maxlen=0)
        if self._sent is None:
            return self._host[:total]
        flat = self._host[:total].to(self._device, non_blocking=True)
        self._sent.record()
        return flat


def _lay_in(clip: Samples, room: NDArray[np.float32]) -> None:
    inner = room[_MARGIN:-_MARGIN]
    inner[: clip.size] = clip
    inner[clip.size :] = 0.0
    # The mirror stands on the first and the last sample, which themselves are not repeated.
    room[:_MARGIN] = inner[_MARGIN:0:-1]
    room[-_MARGIN:] = inner[-2 : -_MARGIN - 2 : -1]


def _lay_out(lengths: Sequence[int], n_frames: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return of each second, as int64[n_seconds]: where it starts in the staged samples, its clip, its valid frames."""
    counts = np.array([seconds_in(frames) for frames in n_frames])
    clip_of_second = np.repeat(np.arange(len(lengths)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    clip_starts = np.cumsum([0, *(length + 2 * _MARGIN for length in lengths[:-1])])
    starts = clip_starts[clip_of_second] + place * FRAMES_A_SECOND * _HOP
    valid = np.minimum(np.array(n_frames)[clip_of_second] - place * FRAMES_A_SECOND, FRAMES_A_SECOND)
    return starts, clip_of_second, valid
