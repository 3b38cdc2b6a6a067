"""The embedded AWS as a process: `python -m asr_queue.local.emulator FD FOLDER`.

FD is a listening socket, FOLDER is where everything is kept. Its environment is `environment.for_emulator`.
"""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import hypercorn.asyncio
import hypercorn.config
from ministack import app as ministack
from ministack.core import lambda_runtime, persistence


async def serve(listener: socket.socket, folder: Path) -> None:
    """Serve until SIGTERM."""
    persistence.STATE_DIR = str(folder / "state")
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 3600
    config.loglevel = "WARNING"
    try:
        await hypercorn.asyncio.serve(ministack.app, config, shutdown_trigger=stopping.wait)
    finally:
        lambda_runtime.reset()


def main() -> None:
    """Run the emulator."""
    fd, folder = sys.argv[1:]
    (Path(folder) / "tmp").mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(socket.socket(fileno=int(fd)), Path(folder)))


if __name__ == "__main__":
    main()
