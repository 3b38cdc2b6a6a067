"""The embedded AWS as a process: `python -m asr_queue.local.emulator FD FOLDER`.

FD is a listening socket, FOLDER is where everything is kept. Its environment is `environment.for_emulator`.
"""

import asyncio
import contextlib
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from ministack import app as ministack
from ministack.core import lambda_runtime

from asr_queue.local import fair_queues
from asr_queue.local.snapshots import Snapshots
from asr_queue.telemetry import log_to_stderr

_KEEP_ALIVE_S = 3600
"""boto3 keeps its connections; a server that closes idle ones makes it fail and retry now and then."""


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn's own handling ends the process when it has closed its connections."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True


async def serve(listener: socket.socket, folder: Path) -> None:
    """Serve until SIGTERM, and end with a snapshot. What cannot be kept is not served: then it ends at once.

    uvicorn in the place of ministack's hypercorn: it takes a fifth less processor time a request.
    """
    snapshots = Snapshots(folder)
    config = uvicorn.Config(
        ministack.app,
        http="h11",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,  # long polls would hold it up
    )
    keeping = asyncio.create_task(snapshots.keep())
    serving = asyncio.create_task(_Server(config).serve(sockets=[listener]))
    try:
        await asyncio.wait({keeping, serving}, return_when=asyncio.FIRST_COMPLETED)
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        await snapshots.take()
    finally:
        lambda_runtime.reset()


def main() -> None:
    """Run the emulator."""
    fd, folder = sys.argv[1:]
    log_to_stderr("WARNING")
    fair_queues.install()
    unpacked = Path(folder) / "tmp"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    asyncio.run(serve(socket.socket(fileno=int(fd)), Path(folder)))


if __name__ == "__main__":
    main()
