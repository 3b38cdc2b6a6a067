"""A function as Lambda runs it: the built artefact, AWS's own runtime client, a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any

from tests.lambda_runtime.runtime_api import (
    REQUEST_LIMIT_BYTES,
    EnvironmentLostError,
    Invocation,
    PayloadTooLargeError,
    RuntimeApi,
)

_RUNTIME = ("awslambdaric", "snapshot-restore-py", "simplejson")
"""What Lambda brings beside Python itself; the runtime client and what it needs."""


def runtime_folder(folder: Path) -> Path:
    """Put the runtime client alone where a function finds it, by links, as Lambda has it in /var/runtime."""
    folder.mkdir()
    for name in _RUNTIME:
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files if file.parts[0] != ".."}:
            (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the template and the build say of a function."""

    name: str
    handler: str
    artefact: Path
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float
    """Of an invocation; that of the first counts the import too, which Lambda gives ten seconds of its own."""
    memory_mb: int


class _Process:
    """One execution environment: serves an invocation after another until it dies."""

    def __init__(self, function: Description, *, runtime: Path, log: Path) -> None:
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"
        self.init_error: Future[EnvironmentLostError] = Future()
        self.api = RuntimeApi(arn=arn, on_init_error=self.init_error.set_result)
        environment = {
            **function.environment,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "LAMBDA_TASK_ROOT": str(function.artefact),
            "PYTHONPATH": f"{function.artefact}:{runtime}",
            "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read only
            "TZ": ":UTC",
        }
        # -S and -P: this interpreter's own packages and the folder we are in must not stand in for what was not built.
        # Should we die, the client loses its connection, and ends by itself.
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-S", "-P", "-m", "awslambdaric", function.handler],
                cwd=function.artefact,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.ended: Future[int] = Future()
        Thread(target=lambda: self.ended.set_result(self.child.wait()), name="lambda-end", daemon=True).start()

    def invoke(self, payload: bytes, timeout_s: float) -> bytes:
        invocation = Invocation(payload, time.time() + timeout_s)
        self.api.hand_over(invocation)
        done, _ = wait([invocation.answer, self.init_error, self.ended], timeout_s, return_when="FIRST_COMPLETED")
        if invocation.answer.done():
            return invocation.answer.result()
        if self.init_error.done():
            raise self.init_error.result()
        if not done:
            raise EnvironmentLostError("Sandbox.Timedout", f"Task timed out after {timeout_s:.2f} seconds")
        raise EnvironmentLostError("Runtime.ExitError", f"Runtime exited with status {self.ended.result()}")

    def end(self) -> None:
        self.child.kill()
        self.ended.result()
        self.api.close()


class Function:
    """Serves one invocation at a time, in one execution environment, which is made anew when it has died."""

    def __init__(self, description: Description, *, runtime: Path, logs: Path) -> None:
        self._description = description
        self._runtime = runtime
        self.log = logs / f"{description.name}.log"
        """What the function printed."""
        self._process: _Process | None = None
        self._lock = Lock()

    def __enter__(self) -> "Function":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def invoke(self, event: object) -> Any:
        """Return what the function answers to an event.

        Raises:
            PayloadTooLargeError: the event is larger than Lambda takes.
            FunctionError: the function raised, died, took too long, or answered more than Lambda passes on.
        """
        payload = json.dumps(event).encode()
        if len(payload) > REQUEST_LIMIT_BYTES:
            raise PayloadTooLargeError(f"Request must be smaller than {REQUEST_LIMIT_BYTES} bytes")
        with self._lock:
            if self._process is None:
                self._process = _Process(self._description, runtime=self._runtime, log=self.log)
            try:
                return json.loads(self._process.invoke(payload, self._description.timeout_s))
            except EnvironmentLostError:
                self._end()
                raise

    def end(self) -> None:
        """Kill the process, in the middle of an invocation or not."""
        process = self._process
        if process is not None:
            process.child.kill()  # an invocation that runs ends by it, and gives the lock back
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None
