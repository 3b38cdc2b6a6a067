"""Log-mel spectra against transformers' own, clip by clip."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3ASRFeatureExtractor

from gpu_worker.engines.qwen3 import mel as mel_module
from gpu_worker.engines.qwen3.mel import LogMel, seconds_in
from tests.engines.qwen3.tiny import SAMPLE_RATE_HZ, clip

_CPU = torch.device("cpu")
_DURATIONS_S = (0.1, 0.5, 1.0, 7.9, 8.0, 8.1, 30.0)


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(_CPU)


def _native(samples) -> torch.Tensor:
    """Spectra of one clip alone, time-major, without what fills up the last second."""
    made = Qwen3ASRFeatureExtractor()([samples], sampling_rate=SAMPLE_RATE_HZ, padding=True, return_attention_mask=True)
    return made["input_features"][0, :, : made["attention_mask"].sum()].T


def _by_clip(seconds: torch.Tensor, n_frames: list[int]) -> list[torch.Tensor]:
    parts = seconds.split([seconds_in(frames) for frames in n_frames])
    return [part.flatten(0, 1) for part in parts]


def _assert_as_native(log_mel: LogMel, clips) -> None:
    seconds, n_frames = log_mel(clips)
    for one, frames, got in zip(clips, n_frames, _by_clip(seconds, n_frames), strict=True):
        want = _native(one)
        assert frames == len(want)
        torch.testing.assert_close(got[:frames], want, rtol=0, atol=1e-5)
        assert not got[frames:].any()


@pytest.mark.parametrize("duration_s", _DURATIONS_S)
def test_a_clip_alone_has_transformers_spectra(log_mel, duration_s):
    _assert_as_native(log_mel, [clip(duration_s)])


def test_clips_of_all_lengths_together_have_the_spectra_that_each_has_alone(log_mel):
    _assert_as_native(log_mel, [clip(duration_s, seed) for seed, duration_s in enumerate(_DURATIONS_S)])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=5))
def test_any_lengths_in_any_company_have_the_spectra_that_each_has_alone(log_mel, lengths):
    _assert_as_native(log_mel, [clip(length / SAMPLE_RATE_HZ, length) for length in lengths])


def test_a_quiet_clip_keeps_its_own_floor_beside_a_loud_one(log_mel):
    _assert_as_native(log_mel, [clip(2.0), clip(2.0, 1) * np.float32(1e-3), np.zeros(20_000, np.float32)])


def test_more_seconds_than_are_transformed_at_once_come_whole(log_mel, monkeypatch):
    monkeypatch.setattr(mel_module, "_SECONDS_AT_ONCE", 4)
    _assert_as_native(log_mel, [clip(9.5), clip(1.0), clip(4.0, 1)])


def test_what_was_staged_before_leaves_nothing_behind(log_mel):
    log_mel([clip(9.0), clip(20.0)])
    _assert_as_native(log_mel, [clip(0.1, 3), clip(1.2, 4)])


def test_samples_that_must_not_be_written_to_are_taken(log_mel):
    locked = clip(1.0)
    locked.setflags(write=False)
    _assert_as_native(log_mel, [locked])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_has_the_spectra_of_the_processor(log_mel):
    there = LogMel(torch.device("cuda"))
    for _ in range(3):
        clips = [clip(duration_s, seed) for seed, duration_s in enumerate(_DURATIONS_S)]
        (expected, n_frames), (seconds, n_frames_there) = log_mel(clips), there(clips)
        assert n_frames_there == n_frames
        # Another library's Fourier transform: what is 80 dB below the loudest is the sum of its rounding.
        torch.testing.assert_close(seconds.cpu(), expected, rtol=0, atol=2e-3)
