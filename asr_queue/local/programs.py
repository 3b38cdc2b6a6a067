"""The programs of a local stack beside the embedded AWS."""

from collections.abc import Mapping
from pathlib import Path
from socket import socket

from asr_queue.local import environment
from asr_queue.local.processes import Program

_SYNC_WAIT_S = "600"
"""No API Gateway gives up here: as long as OpenAI's clients wait by themselves."""
_WORKER = "gpu_worker"
"""Named, not imported: it is the other half."""


def api(listening: socket, variables: Mapping[str, str]) -> Program:
    """Return the HTTP API, to be served on a socket.

    Args:
        variables: what leads it to the stack.
    """
    return Program(
        name="api",
        module="asr_queue.local.api",
        arguments=(str(listening.fileno()),),
        environment={"ASR_QUEUE_SYNC_WAIT_S": _SYNC_WAIT_S, **environment.plain(), **variables},
        fds=(listening.fileno(),),
        patience_s=1.5,
    )


def worker(number: int, *, engine: str, ready: Path, variables: Mapping[str, str]) -> Program:
    """Return a worker.

    Args:
        number: from 1.
        engine: name of its engine.
        ready: folder of the marks of those that take work.
        variables: what leads it to the stack.
    """
    name = f"worker-{number}"
    own = {"ASR_QUEUE_ENGINE": engine, "ASR_QUEUE_READY_FILE": str(ready / name)}
    return Program(
        name=name,
        module=_WORKER,
        environment={**environment.plain(), **variables, **own},
        patience_s=5.0,  # what it has in hand after that comes back by itself
    )
