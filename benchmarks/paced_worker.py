"""A worker whose engine is `echo`, slowed down: `python -m benchmarks.paced_worker PASS_S PASS_PER_AUDIO_S`."""

import signal
import sys

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.telemetry import log_to_stderr
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.echo import EchoEngine
from gpu_worker.pipeline.flow import Flow
from gpu_worker.pipeline.transcribe import Transcribe
from gpu_worker.settings import WorkerSettings


def main() -> int:
    """Take items until told to stop."""
    pass_s, pass_per_audio_s = (float(argument) for argument in sys.argv[1:])
    settings = WorkerSettings()
    log_to_stderr(settings.log_level)
    aws = connect(settings)
    engine = EchoEngine(EngineSettings(cache_dir=settings.cache_dir), pass_s=pass_s, pass_per_audio_s=pass_per_audio_s)
    flow = Flow(
        families=[Transcribe(engine)],
        store=aws.store,
        queues=aws.queues,
        table=aws.table,
        registry=aws.workers,
        clock=SystemClock(),
        settings=settings,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: flow.stop())
    return flow.run()


if __name__ == "__main__":
    sys.exit(main())
