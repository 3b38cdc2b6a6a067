"""Our encoder against transformers' own tower and projector, clip by clip."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3ASRFeatureExtractor

from gpu_worker.engines.qwen3 import encoder as encoder_module
from gpu_worker.engines.qwen3.encoder import AudioEncoder, n_tokens
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.windows import Windows, attend_padded
from tests.engines.qwen3 import tiny

_CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(_CPU)


@pytest.fixture(scope="module")
def encoder(tiny_asr) -> AudioEncoder:
    return AudioEncoder(tiny_asr)


def _native(model, samples) -> torch.Tensor:
    made = Qwen3ASRFeatureExtractor()(
        [samples], sampling_rate=tiny.SAMPLE_RATE_HZ, padding=True, return_attention_mask=True
    )
    return model.model.get_audio_features(made["input_features"], made["attention_mask"]).pooler_output


def _assert_as_native(encoder, log_mel, model, clips) -> None:
    seconds, n_frames = log_mel(clips)
    tokens = encoder.encode(seconds, n_frames).split([n_tokens(frames) for frames in n_frames])
    for one, got in zip(clips, tokens, strict=True):
        torch.testing.assert_close(got, _native(model, one), rtol=0, atol=1e-5)


@pytest.mark.parametrize("duration_s", [0.1, 0.5, 1.0, 7.9, 8.0, 8.1, 30.0])
def test_a_clip_alone_is_encoded_as_transformers_does(encoder, log_mel, tiny_asr, duration_s):
    _assert_as_native(encoder, log_mel, tiny_asr, [tiny.clip(duration_s)])


def test_clips_of_all_lengths_together_are_encoded_as_each_is_alone(encoder, log_mel, tiny_asr):
    durations_s = (0.1, 8.0, 30.0, 0.5, 7.9, 1.0, 8.1, 16.01)
    clips = [tiny.clip(duration_s, seed) for seed, duration_s in enumerate(durations_s)]
    _assert_as_native(encoder, log_mel, tiny_asr, clips)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 17 * tiny.SAMPLE_RATE_HZ), min_size=1, max_size=4))
def test_any_lengths_in_any_company_are_encoded_as_each_is_alone(encoder, log_mel, tiny_asr, lengths):
    clips = [tiny.clip(length / tiny.SAMPLE_RATE_HZ, length) for length in lengths]
    _assert_as_native(encoder, log_mel, tiny_asr, clips)


def test_more_than_is_encoded_at_once_comes_whole(encoder, log_mel, tiny_asr, monkeypatch):
    # The third and the fourth window are of one clip, and so are the fifth and the sixth second.
    monkeypatch.setattr(encoder_module, "_WINDOWS_AT_ONCE", 3)
    monkeypatch.setattr(encoder_module, "_SECONDS_CONVOLVED_AT_ONCE", 5)
    _assert_as_native(encoder, log_mel, tiny_asr, [tiny.clip(7.0), tiny.clip(41.3), tiny.clip(12.7, 1)])


def test_the_aligners_encoder_is_the_same_thing(log_mel, tiny_aligner):
    _assert_as_native(AudioEncoder(tiny_aligner), log_mel, tiny_aligner, [tiny.clip(9.3), tiny.clip(2.0, 1)])


def test_silence_between_others_changes_nothing(encoder, log_mel, tiny_asr):
    _assert_as_native(encoder, log_mel, tiny_asr, [tiny.clip(3.0), np.zeros(50_000, np.float32), tiny.clip(8.0, 2)])


def test_bfloat16_is_no_further_from_float32_than_transformers_own(log_mel, tiny_asr):
    exact = _native(tiny_asr, tiny.clip(9.0))
    half = tiny.asr_model().to(torch.bfloat16)
    seconds, n_frames = log_mel([tiny.clip(9.0)])
    made = Qwen3ASRFeatureExtractor()(
        [tiny.clip(9.0)], sampling_rate=tiny.SAMPLE_RATE_HZ, padding=True, return_attention_mask=True
    )
    native = half.model.get_audio_features(made["input_features"].bfloat16(), made["attention_mask"]).pooler_output
    ours = AudioEncoder(half).encode(seconds, n_frames)
    assert ours.dtype is torch.bfloat16
    assert (ours - exact).norm() < 1.25 * (native - exact).norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-3), (torch.bfloat16, 3e-2)])
def test_a_gpu_encodes_what_the_processor_does(encoder, log_mel, dtype, share):
    # In float32 the windows are padded, in bfloat16 they are FlashAttention's.
    clips = [tiny.clip(duration_s, seed) for seed, duration_s in enumerate((0.1, 8.0, 30.0, 7.9, 8.1, 16.01))]
    device = torch.device("cuda")
    there = AudioEncoder(tiny.asr_model().to(device, dtype))
    expected = encoder.encode(*log_mel(clips))
    heard = there.encode(*LogMel(device)(clips)).cpu().float()
    assert (heard - expected).norm() < share * expected.norm()


def test_no_token_sees_another_window():
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 17, 2, 8, generator=generator)
    windows = Windows(np.array([5, 1, 11]), _CPU)
    before = attend_padded(q, k, v, windows)
    k[5:6], v[5:6] = 9.0, 9.0
    changed = (attend_padded(q, k, v, windows) != before).any(-1).any(-1)
    assert changed.nonzero().flatten().tolist() == [5]
