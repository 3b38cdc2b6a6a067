"""`asr-queue up`: the whole system on one machine, as processes on loopback.

supervisor ─┬─ aws        the embedded AWS; runs the sweep and the dead-letter function
            ├─ api        uvicorn with the app of `handlers`
            └─ worker-1…  python -m gpu_worker
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from types import FrameType

from asr_queue.local import embedded, environment, programs
from asr_queue.local.folder import DataFolder, FolderInUseError, held
from asr_queue.local.processes import Child, Lifeline, Program
from asr_queue.local.supervisor import Supervisor

_LOOK_EVERY_S = 0.1
_MOST_DEATHS_AT_START = 3
_STOP_PATIENCE_S = 12.0
_NEEDED = ("ministack", "samtranslator", "boto3", "uvicorn", "fastapi", "av")
"""What the extra `local` brings; looked for before anything is started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `asr-queue up` can be told; the rest comes from `ASR_QUEUE_*` variables."""

    port: int
    """Port of the API; 0 for any free one."""
    data: Path
    """Folder that everything is kept in; made where it is missing."""
    engine: str
    """Name of the speech engine."""
    voice_engine: str = ""
    """Name of the engine that speaks; empty for the one of `ASR_QUEUE_VOICE_ENGINE`, if that is set."""
    workers: int
    """How many workers, at least 1."""


class _Stopped(BaseException):
    """Somebody asked for the end; like KeyboardInterrupt, for every signal that asks."""


class StackFailedError(Exception):
    """The stack cannot be brought up; the message says why."""


def run(options: UpOptions) -> int:
    """Run the system until SIGINT or SIGTERM; print `ready URL` once a submitted item would be worked on.

    Returns:
        The exit status: 0 after it was asked to end, 1 where it could not start, 2 where the folder or the port is
        in use.
    """
    with _signals_stop():
        try:
            with held(options.data) as folder, _api_listener(options.port) as listening:
                _run(options, folder, listening)
        except _Stopped:
            return 0
        except (FolderInUseError, _PortTakenError) as error:
            _say(str(error))
            return 2
        except StackFailedError as error:
            _say(str(error))
            return 1
    return 0


@contextmanager
def private_stack(
    folder: Path, *, engine: str = "whisper", voice_engine: str = "", workers: int = 1
) -> Iterator[tuple[str, str]]:
    """Run a system of one's own for the block, on a free port; yield its URL and API key.

    It ends with this process, however that ends.

    Raises:
        FolderInUseError: another system runs on the folder.
        StackFailedError: it did not come up.
    """
    with held(folder) as data:  # which also removes the `url` of one that was killed
        pass
    program = Program(
        name="up",
        module="asr_queue.local.up",
        arguments=("0", str(data.path), engine, str(workers)),
        environment={**environment.plain(), **environment.voice(voice_engine)},
    )
    with Lifeline() as lifeline:
        supervisor = Child(program, lifeline=lifeline, logs=data.logs)
        try:
            while not data.url.exists():
                if supervisor.exit_status() is not None:
                    raise StackFailedError(_last_line(data.logs / "up.log"))
                time.sleep(_LOOK_EVERY_S)
            yield data.url.read_text().strip(), data.api_key()
        finally:
            supervisor.ask_to_end()
            supervisor.wait(_STOP_PATIENCE_S)
            supervisor.sweep_up()


def _last_line(log: Path) -> str:
    """Return the last line of a log, or "" where there is none."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""


def _last_error(log: Path) -> str:
    """Return the last line of the last traceback in a program's log, be it printed or in an event."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        try:
            told = json.loads(line)["exception"]
        except (ValueError, TypeError):  # no event
            told = line
        except KeyError:
            continue
        if str(told).strip():
            return str(told).strip().splitlines()[-1]
    return "its log does not say why"


def _run(options: UpOptions, folder: DataFolder, listening: socket) -> None:
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise StackFailedError(f"{', '.join(missing)} not installed; run: pip install 'asr-queue[local]'")
    with embedded.listener(0) as aws_listening, Lifeline() as lifeline:
        supervisor = Supervisor(lifeline=lifeline, logs=folder.logs, say=_say)
        try:
            supervisor.start(embedded.program(aws_listening, folder.aws))
            aws_url = embedded.url_of(aws_listening)
            voice = environment.voice(options.voice_engine)
            resources = _deployed(aws_url, folder, lifeline, supervisor, environment.stack_parameters(voice))
            variables = environment.for_clients(aws_url) | resources | voice
            folder.write_environment(variables)
            supervisor.start(programs.api(listening, variables))
            numbers = range(1, options.workers + 1)
            supervisor.start(
                *(programs.worker(n, engine=options.engine, ready=folder.run, variables=variables) for n in numbers)
            )
            _await_ready(supervisor, embedded.url_of(listening), folder)
            while True:
                supervisor.tend()
                time.sleep(_LOOK_EVERY_S)
        finally:
            _ignore_signals()
            folder.url.unlink(missing_ok=True)
            supervisor.stop()


def _deployed(
    aws_url: str, folder: DataFolder, lifeline: Lifeline, supervisor: Supervisor, parameters: dict[str, str]
) -> dict[str, str]:
    try:
        resources = embedded.deploy(
            aws_url,
            parameters,
            lifeline=lifeline,
            api_key=folder.api_key(),
            meanwhile=lambda: _tend(supervisor, folder),
        )
    except RuntimeError as error:
        raise StackFailedError(f"{error}; see {folder.logs / 'aws.log'}") from error
    return resources.as_settings()


def _await_ready(supervisor: Supervisor, url: str, folder: DataFolder) -> None:
    """Wait until the API answers and a worker has loaded its engine; then say so."""
    api_ready = False
    while not (api_ready and any(folder.run.iterdir())):
        _tend(supervisor, folder)
        time.sleep(_LOOK_EVERY_S)
        api_ready = api_ready or _is_healthy(url)
    folder.write_url(url)
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()
    _say(f"the console is at {url}/console")


def _tend(supervisor: Supervisor, folder: DataFolder) -> None:
    """Tend what is starting, until that is hopeless."""
    supervisor.tend()
    if (name := supervisor.hopeless(_MOST_DEATHS_AT_START)) is not None:
        log = folder.logs / f"{name}.log"
        raise StackFailedError(f"{name} does not start (its log: {log}): {_last_error(log)}")


def _is_healthy(url: str) -> bool:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/api/v1/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class _PortTakenError(Exception):
    """Something else listens there."""


def _api_listener(port: int) -> socket:
    try:
        return embedded.listener(port)
    except OSError as error:
        raise _PortTakenError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error


@contextmanager
def _signals_stop() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    """The end has begun and has its own limit of time; asking again changes nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _say(line: str) -> None:
    sys.stderr.write(f"asr-queue: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    _port, _data, _engine, _workers = sys.argv[1:]
    sys.exit(run(UpOptions(port=int(_port), data=Path(_data), engine=_engine, workers=int(_workers))))
