"""What only a GPU can show of parking: that the device gets its memory back, and how fast. CI has none."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpu_worker.engines.catalog import create_voice
from tests.engines.qwen3_tts.test_engine import TEXTS, asked, said, voice

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.timeout(900),
]


def test_a_hundred_swaps_change_no_output_and_no_memory(tts_settings):
    engine = create_voice("qwen3-tts", replace(tts_settings(), device="cuda", dtype="float32"))
    engine.load()
    inputs = [asked(text, voice(said="It was late.")) for text in TEXTS]
    before = said(engine, *inputs)
    engine.park()
    assert engine.device_bytes == 0
    free_bytes, _ = torch.cuda.mem_get_info()
    for _ in range(100):
        began_s = time.monotonic()
        engine.load()
        assert time.monotonic() - began_s < 0.25
        engine.park()
        assert torch.cuda.mem_get_info()[0] == free_bytes
    engine.load()
    for one, other in zip(said(engine, *inputs), before, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
    engine.unload()


def test_a_process_holds_no_more_than_it_is_allowed(tts_settings):
    engine = create_voice("qwen3-tts", replace(tts_settings(), device="cuda", memory_bytes=256 << 20))
    engine.load()
    said(engine, *(asked("a" * 300, voice()) for _ in range(16)))
    assert engine.device_bytes <= 256 << 20
    engine.unload()
