"""The worker: `python -m gpu_worker`. SIGTERM and SIGINT end it cleanly."""

import signal
import sys
from dataclasses import replace
from types import FrameType

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.telemetry import log_to_stderr
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create, create_voice, hearing
from gpu_worker.pipeline.families import Family
from gpu_worker.pipeline.flow import Flow
from gpu_worker.pipeline.speak import Speak
from gpu_worker.pipeline.transcribe import Transcribe
from gpu_worker.protection import EcsSettings, TaskProtection
from gpu_worker.settings import WorkerSettings


def main() -> int:
    """Take items until told to stop, and return the exit status: see `Flow.run`."""
    settings = WorkerSettings()
    log_to_stderr(settings.log_level)
    aws = connect(settings)
    families = _families(settings)
    agent_uri = EcsSettings().ecs_agent_uri
    flow = Flow(
        families=families,
        store=aws.store,
        queues=aws.queues,
        table=aws.table,
        notice_queue=aws.notice_queue,
        registry=aws.workers,
        clock=SystemClock(),
        settings=settings,
        protection=TaskProtection(agent_uri) if agent_uri else None,
    )

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        flow.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return flow.run()


def _families(settings: WorkerSettings) -> list[Family]:
    for_all = EngineSettings(
        cache_dir=settings.cache_dir,
        device=settings.device,
        dtype=settings.dtype,
        micro_batch=settings.micro_batch,
        threads=settings.threads,
        memory_bytes=settings.device_memory_bytes,
    )
    speech = create(settings.engine, replace(for_all, model=settings.model, aligner=settings.aligner))
    families: list[Family] = [Transcribe(speech)]
    if settings.voice_engine:
        voice = create_voice(
            settings.voice_engine, replace(for_all, model=settings.voice_model, python=settings.voice_python)
        )
        families.append(Speak(voice, hears=hearing()))
    return families


if __name__ == "__main__":
    sys.exit(main())
