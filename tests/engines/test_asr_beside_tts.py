"""A recogniser and a voice engine on one device that holds one of them, under the model host."""

from pathlib import Path

import numpy as np
import psutil

from asr_queue.domain.items import Operation
from gpu_worker.engine import EngineSettings, SpeechInput
from gpu_worker.engines.pocket_tts import PocketTtsEngine
from gpu_worker.engines.qwen3_asr import Qwen3AsrEngine
from gpu_worker.model_host import ModelHost
from tests.engines.clips import value_of
from tests.engines.pocket import tiny as pocket
from tests.engines.qwen3 import tiny as qwen3

SWAPS = 100
GROWTH_BYTES = 24 << 20
"""What allocators keep for themselves; a copy of either model's lot a swap would come to hundreds of MB."""


def test_a_hundred_swaps_change_nothing_that_is_heard_or_said_and_leave_nothing_behind(tmp_path: Path) -> None:
    settings = {"cache_dir": tmp_path, "device": "cpu", "threads": 1, "micro_batch": 4}
    speaker, talker = tmp_path / "asr", tmp_path / "tts"
    speaker.mkdir()
    talker.mkdir()
    engines = {
        Operation.TRANSCRIBE: Qwen3AsrEngine(
            EngineSettings(model=str(qwen3.save_speaker(speaker)), aligner="none", **settings)
        ),
        Operation.VOICE_CLONE: PocketTtsEngine(EngineSettings(model=str(pocket.save(talker)), **settings)),
    }
    heard = [SpeechInput(samples=qwen3.clip(2.0, 1), language="en", want_words=False, has_speech=True)]
    said = [pocket.asked("Good morning to you all.", pocket.voice())]
    # Either fits alone, whatever it weighs; both together do not.
    host = ModelHost(engines, memory_bytes=1)

    def outputs(operation: Operation) -> object:
        if operation is Operation.TRANSCRIBE:
            return value_of(*engines[operation].run(heard))
        return np.asarray(value_of(*engines[operation].run(said)).samples)

    host.load()
    before, held_bytes = {}, []
    for operation in engines:
        host.admit(operation)
        before[operation] = outputs(operation)
    for number in range(SWAPS):
        operation = list(engines)[number % 2]
        assert host.admit(operation) > 0
        assert host.resident() == {operation}
        np.testing.assert_equal(outputs(operation), before[operation])
        if number in (SWAPS // 10, SWAPS - 1):
            held_bytes.append(psutil.Process().memory_info().rss)
    assert held_bytes[1] - held_bytes[0] < GROWTH_BYTES
    assert host.report().swaps >= SWAPS
    host.unload()
