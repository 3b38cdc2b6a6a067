"""A trial of an engine on this machine: `python -m gpu_worker.trial --engine NAME`, for `asr-queue doctor`.

Prints one JSON object: what `try_engine` returns, or `{"error": "..."}` with exit status 1.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_queue.domain.languages import NAMES
from asr_queue.errors import AsrQueueError
from gpu_worker.engine import Done, EngineSettings, Samples, SelfChecking, SpeechEngine, SpeechInput
from gpu_worker.engines.catalog import create
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.pipeline.scratch import scratch_folder

_TONE_S: Final = 10.0
_LONGEST_RECORDING_S: Final = 30.0
"""Of a recording, its beginning: any engine takes that at once."""
_DECODE_TIMEOUT_S: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What an engine did with one clip, and with as many copies of it as it takes at once."""

    load_s: float
    audio_s: float
    """Of one copy."""
    copies: int
    alone_s: float
    together_s: float
    text: str
    language: str | None
    words: int
    """With times."""
    remarks: tuple[str, ...]
    """What is worth knowing about the text."""
    faults: tuple[str, ...]
    """What the engine found wrong in checking itself."""


def try_engine(engine: SpeechEngine, samples: Samples, *, has_speech: bool | None) -> Trial:
    """Load an engine, recognise a clip, check what can be checked, and unload.

    Args:
        engine: not loaded.
        samples: at its sample rate, at most 30 s.
        has_speech: True to have the engine work on what is no speech; None to have it find out.

    Raises:
        EngineLoadError: it cannot be loaded.
        CallerError: it refuses the clip.
    """
    load_s = _seconds(engine.load)
    clip = SpeechInput(samples=samples, language=None, want_words=True, has_speech=has_speech)
    (outcome,) = engine.run([clip])
    if not isinstance(outcome, Done):
        raise outcome.error
    said = outcome.value
    copies = [clip] * engine.limits.max_micro_batch
    alone_s, together_s = _seconds(lambda: engine.run(copies[:1])), _seconds(lambda: engine.run(copies))
    remarks = [
        said.timestamps_unavailable,
        "The text was cut off." if said.is_truncated else None,
        "The model ran in circles." if said.is_repetitive else None,
    ]
    faults = engine.self_check() if isinstance(engine, SelfChecking) else ()
    engine.unload()
    return Trial(
        load_s=load_s,
        audio_s=samples.size / engine.limits.sample_rate_hz,
        copies=len(copies),
        alone_s=alone_s,
        together_s=together_s,
        text=said.text,
        language=said.language and NAMES.get(said.language, said.language),
        words=len(said.words or ()),
        remarks=tuple(remark for remark in remarks if remark),
        faults=tuple(faults),
    )


def tone(sample_rate_hz: int) -> Samples:
    """Return ten seconds of a tone that comes and goes."""
    time_s = np.arange(round(_TONE_S * sample_rate_hz)) / sample_rate_hz
    sound = 0.3 * np.sin(2 * np.pi * 220 * time_s) * np.sin(np.pi * time_s) ** 2
    return np.asarray(sound, dtype=np.float32)


def _recording(path: Path, sample_rate_hz: int) -> Samples:
    with (
        scratch_folder() as folder,
        Decoder(
            folder,
            processes=1,
            timeout_s=_DECODE_TIMEOUT_S,
            max_audio_s=6 * 3600.0,
        ) as decoder,
    ):
        samples = decoder.decode(path.read_bytes(), sample_rate_hz=sample_rate_hz)
    return samples[: round(_LONGEST_RECORDING_S * sample_rate_hz)]


def _seconds(work: Any) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the engine that the arguments name, and return the exit status."""
    parser = argparse.ArgumentParser(description="Try an engine on this machine.")
    parser.add_argument("--engine", required=True)
    for option in ("model", "aligner", "device", "dtype"):
        parser.add_argument(f"--{option}")
    parser.add_argument("--micro-batch", type=int, default=16)
    parser.add_argument("--cache-dir", type=Path, default=Path.home() / ".cache" / "asr-queue")
    parser.add_argument("--recording", type=Path)
    told = parser.parse_args(arguments)
    try:
        engine = create(
            told.engine,
            EngineSettings(
                cache_dir=told.cache_dir,
                model=told.model,
                aligner=told.aligner,
                device=told.device,
                dtype=told.dtype,
                micro_batch=told.micro_batch,
            ),
        )
        rate_hz = engine.limits.sample_rate_hz
        samples = _recording(told.recording, rate_hz) if told.recording else tone(rate_hz)
        found: dict[str, Any] = dataclasses.asdict(
            try_engine(engine, samples, has_speech=None if told.recording else True)
        )
    except (AsrQueueError, OSError) as error:
        found = {"error": str(error)}
    print(json.dumps(found))  # noqa: T201 - the answer
    return int("error" in found)


if __name__ == "__main__":
    sys.exit(main())
