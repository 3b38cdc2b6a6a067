"""Settings of one worker, built once at its entry and passed down."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from asr_queue.settings import LeaseSettings, ResourceSettings


class WorkerSettings(ResourceSettings, LeaseSettings):
    """Everything that a worker can be told."""

    # An image's build argument that was not given arrives as an empty variable.
    model_config = SettingsConfigDict(env_prefix="ASR_QUEUE_", frozen=True, extra="ignore", env_ignore_empty=True)

    engine: str = "whisper"
    """Name of the speech engine, as `gpu_worker.engines.catalog` has it."""
    model: str | None = None
    """Folder or hub name of other weights; None for the engine's own."""
    aligner: str | None = None
    """Folder or hub name of other weights for word times, or `none`; None for the engine's own."""
    voice_model: str | None = None
    """Folder or hub name of other weights of the voice engine; None for its own."""
    voice_python: Path | None = None
    """Interpreter of a voice engine whose model has a process of its own; None for this one."""
    device_memory_bytes: int | None = Field(default=None, ge=1)
    """Most that the models of both operations may hold of the device together; None for as much as there is. What does
    not fit takes turns."""
    family_wait_s: float = Field(default=60.0, gt=0)
    """Longest that items wait for the device while it has the other operation's model; half of it for high priority,
    four times as long for low."""
    device: str | None = None
    """Where an engine that uses PyTorch computes; None for the GPU if there is one."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Type of such an engine's weights; None for bfloat16 on a GPU and float32 elsewhere."""
    cache_dir: Path = Field(default_factory=lambda: Path.home() / ".cache" / "asr-queue")
    """Folder that weights may be kept in."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads of the engine; None for every core that the process may run on."""
    micro_batch: int = Field(default=16, ge=1)
    """Most chunks in one pass; an engine that takes fewer gets fewer."""
    pass_timeout_s: float = Field(default=600.0, gt=0)
    """Longest that one pass may last; after it the worker exits with status 75, to be started again."""
    max_audio_s: float = Field(default=6 * 3600.0, gt=0)
    """Longest audio of one item."""
    decode_processes: int = Field(default_factory=lambda: min(8, max(2, (os.cpu_count() or 2) // 2)), ge=1)
    """Files that are decoded at the same time, each in a process of its own of about 60 MB; by default as many as half
    the cores, 2 to 8. One core decodes about 1,900 s of audio a second (benchmarks/pipe_utilisation.py)."""
    decode_timeout_s: float = Field(default=120.0, gt=0)
    """Longest that the decoding of one file may last; six hours of mp3 take about 15 s."""
    ready_file: Path | None = None
    """File that exists while the worker takes work: made once the engine is loaded, touched whenever it looks for work,
    removed at the end."""
