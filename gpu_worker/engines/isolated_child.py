"""The other end of `isolated_process`: keeps a model, and answers what the worker asks of it.

    PYTHON -I isolated_child.py SOCKET PARENT PROGRAM

SOCKET is the number of an open socket, PARENT the id of the process that must live, PROGRAM a file with a function
`create(options)` that returns a `Model`. Nothing is imported here but the standard library and numpy, since PYTHON may
be one that has no other package of ours: 3.10 or later.

A frame, both ways, is the length of its head (4 bytes, little-endian), the head as JSON, and float32 arrays whose
lengths the head has under `sizes`. There is no pickle: this process handles what strangers send.
"""

import ctypes
import importlib.util
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_HEAD_BYTES: Final = 4 << 20
MOST_SAMPLES: Final = 256 << 20
"""In all arrays of a frame: 1 GiB, three hours at 24 kHz."""
_PR_SET_PDEATHSIG: Final = 1
_FIRST_FOR_THE_KERNEL: Final = b"500"
"""Of -1000 to 1000: where memory runs out, this process is ended and not the worker."""

Samples = NDArray[np.float32]


class Frame(NamedTuple):
    """What travels."""

    head: dict[str, Any]
    arrays: list[Samples]


class GarbageError(Exception):
    """What came is no frame."""


class OutOfMemoryError(Exception):
    """The model's device has too little memory; the model is as it was before."""


class LostDeviceError(Exception):
    """The model's device cannot be used by this process any more."""


class UnusableModelError(Exception):
    """The model cannot be loaded; the message, for operators, says why."""


class Model(Protocol):
    """What a program makes. Each method returns what the worker is told; `load` comes first, `run` only after it."""

    def load(self) -> dict[str, Any]:
        """Put the weights on the device, from wherever they are; raises the errors of this module."""

    def park(self) -> dict[str, Any]:
        """Give the device's memory back."""

    def run(self, head: Mapping[str, Any], arrays: Sequence[Samples]) -> Frame:
        """Make what is asked for."""


def send(connection: socket.socket, frame: Frame) -> None:
    """Write one frame; raises OSError where nobody reads it, TimeoutError among them."""
    head = json.dumps({**frame.head, "sizes": [array.size for array in frame.arrays]}).encode()
    connection.sendall(struct.pack("<I", len(head)) + head)
    for array in frame.arrays:
        connection.sendall(np.ascontiguousarray(array, dtype="<f4").data.cast("B"))


def receive(connection: socket.socket) -> Frame:
    """Read one frame.

    Raises:
        EOFError: the other end is closed.
        GarbageError: what came is no frame.
        OSError: as for `send`.
    """
    (head_bytes,) = struct.unpack("<I", _exactly(connection, 4))
    if head_bytes > MOST_HEAD_BYTES:
        raise GarbageError(f"a head of {head_bytes} bytes")
    try:
        head = json.loads(_exactly(connection, head_bytes))
        sizes = [int(size) for size in head.pop("sizes")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GarbageError(f"a head that cannot be read ({type(error).__name__})") from None
    if any(size < 0 for size in sizes) or sum(sizes) > MOST_SAMPLES:
        raise GarbageError(f"{len(sizes)} arrays of {sum(sizes)} samples")
    return Frame(head, [np.frombuffer(_exactly(connection, 4 * size), dtype="<f4") for size in sizes])


def _exactly(connection: socket.socket, n_bytes: int) -> bytearray:
    data = bytearray(n_bytes)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return data


def serve(connection: socket.socket, create: Callable[[Mapping[str, Any]], Model]) -> None:
    """Answer until the other end is closed. The first frame brings the model's options."""
    model = create(receive(connection).head)
    calls = {
        "nothing": lambda _: Frame({}, []),
        "load": lambda _: Frame(model.load(), []),
        "park": lambda _: Frame(model.park(), []),
    }
    while True:
        try:
            asked = receive(connection)
        except EOFError:
            return
        call = calls.get(asked.head["do"], lambda asked: model.run(asked.head, asked.arrays))
        send(connection, _answer(call, asked))


def _answer(call: Callable[[Frame], Frame], asked: Frame) -> Frame:
    try:
        return call(asked)
    except (OutOfMemoryError, MemoryError) as error:
        return Frame({"error": "out_of_memory", "why": str(error)}, [])
    except LostDeviceError as error:
        return Frame({"error": "lost_device", "why": str(error)}, [])
    except UnusableModelError as error:
        return Frame({"error": "unusable", "why": str(error)}, [])
    except Exception as error:  # noqa: BLE001 - a bug in a library: what it is, is for the worker to say
        return Frame({"error": "bug", "why": _where(error)}, [])


def _where(error: Exception) -> str:
    """Return the error's type and the way to it. Its message may hold what somebody sent, and stays here."""
    place, steps = error.__traceback__, []
    while place is not None:
        steps.append(f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}")
        place = place.tb_next
    return f"{type(error).__name__} at {' > '.join(steps[-6:])}"


def _follow(parent: int) -> None:
    """End when the parent does, and not when a signal for it, or its whole group, comes by here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # Elsewhere this process learns of its parent's end when it next reads.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        Path("/proc/self/oom_score_adj").write_bytes(_FIRST_FOR_THE_KERNEL)
    if os.getppid() != parent:
        sys.exit(1)


def main(number: str, parent: str, program: str) -> None:
    """Serve the model of one program."""
    _follow(int(parent))
    spec = importlib.util.spec_from_file_location("program", program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # So that the program finds this file's classes by the name that it has among us, and not a second copy of them.
    sys.modules["gpu_worker.engines.isolated_child"] = sys.modules["__main__"]
    with socket.socket(fileno=int(number)) as connection:
        spec.loader.exec_module(module)
        serve(connection, module.create)


if __name__ == "__main__":
    main(*sys.argv[1:])
