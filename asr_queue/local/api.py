"""The HTTP API as a process: `python -m asr_queue.local.api FD`, on a listening socket.

The app object is the one that Lambda serves. uvicorn's own `--fd` takes the socket for another kind and leaves
Nagle's algorithm on, which costs a client up to 40 ms a call.
"""

import socket
import sys

import uvicorn

APP = "handlers.api:app"


def main() -> None:
    """Serve until SIGTERM."""
    [fd] = sys.argv[1:]
    config = uvicorn.Config(
        APP, http="h11", proxy_headers=False, access_log=False, log_level="warning", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(fd))])


if __name__ == "__main__":
    main()
