"""The worker: `python -m gpu_worker`. SIGTERM and SIGINT end it cleanly."""

import signal
import sys
from types import FrameType

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.items import Operation
from asr_queue.telemetry import log_to_stderr
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create
from gpu_worker.pipeline.flow import Flow
from gpu_worker.protection import EcsSettings, TaskProtection
from gpu_worker.settings import WorkerSettings


def main() -> int:
    """Take items until told to stop, and return the exit status: see `Flow.run`."""
    settings = WorkerSettings()
    log_to_stderr(settings.log_level)
    aws = connect(settings)
    engine = create(
        settings.engine,
        EngineSettings(
            cache_dir=settings.cache_dir,
            model=settings.model,
            aligner=settings.aligner,
            device=settings.device,
            dtype=settings.dtype,
            micro_batch=settings.micro_batch,
            threads=settings.threads,
        ),
    )
    agent_uri = EcsSettings().ecs_agent_uri
    flow = Flow(
        engine=engine,
        store=aws.store,
        work_queue=aws.queues[Operation.TRANSCRIBE],
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


if __name__ == "__main__":
    sys.exit(main())
