"""A process under an interpreter of its own that keeps a model, and what is asked of it; see `isolated_child`.

It has no part in this process' credentials, ends with it however that ends, and can be killed at any time: whoever
waits for its answer gets a `ChildGoneError`.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final

from asr_queue.errors import EngineLoadError, EngineNoRoomError, EngineOutOfMemoryError, RetryableError
from gpu_worker.engines import isolated_child
from gpu_worker.engines.isolated_child import Frame, GarbageError, receive, send

_logger = logging.getLogger(__name__)

_HANDED_ON: Final = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_HANDED_ON_PREFIXES: Final = ("LC_", "LD_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "PYTORCH_", "HF_", "HTTP", "NO_PROXY")
"""Of the environment. Credentials for the queue, above all, are not the model's business."""
_LONGEST_LINE: Final = 500
_MOST_LINES: Final = 200
"""That a child may say; more is a program that repeats itself."""
_PATIENCE_S: Final = 5.0
"""For what ends by itself at the end of its input."""


class ChildGoneError(RetryableError):
    """The process has ended, or had to be ended, before it answered; nothing was produced."""

    def __init__(self, message: str) -> None:
        super().__init__("engine_process_ended", message)


class IsolatedProcess:
    """One process, from its start to its end; used from one thread."""

    def __init__(self, program: Path, *, python: Path | None, options: Mapping[str, Any]) -> None:
        """Start it; nothing is loaded yet.

        Args:
            program: file with a `create(options)`, as `isolated_child` has it.
            python: interpreter; None for this one.
            options: for `create`; JSON.

        Raises:
            EngineLoadError: there is no such interpreter.
        """
        ours, theirs = socket.socketpair()
        self._connection = ours
        self._is_quiet = False
        command = [python or sys.executable, "-I", "-u", isolated_child.__file__, theirs.fileno(), os.getpid(), program]
        started: Future[subprocess.Popen[bytes]] = Future()
        with theirs:
            # The thread that starts a process has to outlive it, or the kernel takes the thread's end for the parent's.
            threading.Thread(
                target=self._listen, args=([str(part) for part in command], theirs.fileno(), started), daemon=True
            ).start()
            try:
                self._process = started.result()
            except OSError as error:
                ours.close()
                raise EngineLoadError(f"{command[0]} cannot be started: {error}") from error
        try:
            send(ours, Frame(dict(options), []))
        except OSError:
            # Whoever asks first learns that it has ended.
            _logger.debug("engine_process_is_deaf")

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended; for a moment one that was killed has not."""
        return self._process.poll() is None

    def ask(self, frame: Frame, *, timeout_s: float, is_private: bool = False) -> Frame:
        """Return the answer.

        Args:
            frame: what to do, and with what.
            timeout_s: after about that long it is killed.
            is_private: whether what it prints meanwhile could quote an item; it is thrown away then.

        Raises:
            EngineOutOfMemoryError: its device has no room for this; it goes on, as it was.
            EngineNoRoomError: the same, where a model was to be loaded.
            EngineLoadError: a model cannot be loaded, and why.
            RetryableError: `engine_bug`; something failed inside, and it goes on.
            ChildGoneError: it has ended: by itself, or because it did not answer in time or answered nonsense.
        """
        self._is_quiet = is_private
        began_s = time.monotonic()
        try:
            self._connection.settimeout(timeout_s)
            send(self._connection, frame)
            self._connection.settimeout(max(0.001, began_s + timeout_s - time.monotonic()))
            answer = receive(self._connection)
        except TimeoutError as error:
            raise self._end(f"did not answer in {timeout_s:g} s") from error
        except GarbageError as error:
            raise self._end(f"answered with {error}") from error
        except (EOFError, OSError) as error:
            raise self._end("ended by itself") from error
        finally:
            self._is_quiet = False
        match answer.head.get("error"):
            case None:
                return answer
            case "out_of_memory" if frame.head["do"] == "load":
                raise EngineNoRoomError(f"The device has too little memory for the model: {answer.head['why']}")
            case "out_of_memory":
                raise EngineOutOfMemoryError(f"No memory for this pass: {answer.head['why']}")
            case "unusable":
                raise EngineLoadError(str(answer.head["why"]))
            case "bug" if frame.head["do"] == "load":
                raise EngineLoadError(f"The engine's process cannot load its model: {answer.head['why']}.")
            case "bug":
                raise RetryableError("engine_bug", f"The engine's process failed: {answer.head['why']}.")
            case _:
                raise self._end(f"cannot go on: {answer.head.get('why')}")

    def answers(self, *, timeout_s: float) -> bool:
        """Whether it answers; one that does not in this time is ended."""
        try:
            self.ask(Frame({"do": "nothing"}, []), timeout_s=timeout_s)
        except ChildGoneError:
            return False
        return True

    def close(self) -> None:
        """End it, and wait until it has ended. Idempotent."""
        self._connection.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once. Idempotent."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _end(self, why: str) -> ChildGoneError:
        # What closed its socket is about to end; how it did is worth a moment.
        if why == "ended by itself":
            self.close()
        else:
            self.kill()
        status = self._process.returncode
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        _logger.warning("engine_process_ended", extra={"pid": self.pid, "why": why, "how": how})
        return ChildGoneError(f"The engine's process {why} ({how}).")

    def _listen(self, command: list[str], number: int, started: "Future[subprocess.Popen[bytes]]") -> None:
        """Start the process, and log what it prints until it ends."""
        try:
            process = subprocess.Popen(  # noqa: S603 - our own script
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[number],
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            started.set_exception(error)
            return
        assert process.stdout is not None
        with process.stdout as printed:
            started.set_result(process)
            self._log(printed, process.pid)

    def _log(self, printed: IO[bytes], pid: int) -> None:
        said = 0
        while line := printed.readline(_LONGEST_LINE):
            text = line.decode(errors="replace").strip()
            if text and not self._is_quiet and said < _MOST_LINES:
                said += 1
                _logger.info("engine_process_said", extra={"pid": pid, "line": text})


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - handed on, not read
        if name in _HANDED_ON or name.upper().startswith(_HANDED_ON_PREFIXES)
    }
