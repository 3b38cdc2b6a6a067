"""The supervisor, with tiny programs of its own kind: real processes, real signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from asr_queue.local import environment
from asr_queue.local.processes import Lifeline, Program
from asr_queue.local.supervisor import Supervisor

STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
PARENT = (
    "import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\ntime.sleep(60)"
)
QUIET = "import time\nprint('up', flush=True)\ntime.sleep(60)"
SUPERVISOR = """
import sys, time
from pathlib import Path
from asr_queue.local.processes import Lifeline, Program
from asr_queue.local.supervisor import Supervisor
folder = Path(sys.argv[1])
supervisor = Supervisor(lifeline=Lifeline(), logs=folder, say=print)
supervisor.start(Program(name="parent", module="parent", environment={"PYTHONPATH": str(folder)}))
time.sleep(60)
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    def make(name: str, source: str, patience_s: float = 3.0) -> Program:
        (tmp_path / f"{name}.py").write_text(source)
        found = {**environment.plain(), "PYTHONPATH": str(tmp_path)}
        return Program(name=name, module=name, environment=found, patience_s=patience_s)

    return make


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    with Lifeline() as lifeline:
        supervisor = Supervisor(lifeline=lifeline, logs=tmp_path, say=said.append)
        yield supervisor
        supervisor.stop()


def lines(log: Path, count: int = 1) -> list[str]:
    """Wait until a program has written so many lines."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        found = log.read_text().splitlines() if log.exists() else []
        if len(found) >= count:
            return found
        time.sleep(0.02)
    pytest.fail(f"{log.name} has not got {count} lines")


def has_gone(pid: int) -> bool:
    """Wait until a process is no more, a zombie counting as gone."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_program_that_dies_is_started_again_and_that_is_said_in_one_line(
    supervisor: Supervisor, program: Callable[..., Program], said: list[str], tmp_path: Path
) -> None:
    supervisor.start(program("writer", f"import os\nprint(os.getpid(), flush=True)\n{QUIET}"))
    first = int(lines(tmp_path / "writer.log")[0])
    os.kill(first, signal.SIGKILL)
    while len(found := lines(tmp_path / "writer.log")) < 3:
        supervisor.tend()
        time.sleep(0.02)
    assert int(found[2]) != first
    assert said == ["writer ended (SIGKILL); starts again in 0.5 s"]


def test_a_program_that_dies_at_once_is_started_less_and_less_often(
    supervisor: Supervisor, program: Callable[..., Program], said: list[str]
) -> None:
    supervisor.start(program("broken", "raise SystemExit(3)"))
    until_s = time.monotonic() + 60
    while supervisor.hopeless(3) is None:
        assert time.monotonic() < until_s
        supervisor.tend()
        time.sleep(0.02)
    assert [line.rpartition("in ")[2] for line in said] == ["0.5 s", "1 s", "2 s"]
    assert "status 3" in said[0]
    assert supervisor.hopeless(3) == "broken"


def test_what_does_not_end_in_time_is_killed(
    supervisor: Supervisor, program: Callable[..., Program], said: list[str], tmp_path: Path
) -> None:
    supervisor.start(program("stubborn", STUBBORN, patience_s=0.5))
    lines(tmp_path / "stubborn.log")
    began_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began_s >= 0.5
    assert said == ["stubborn did not end in time and is killed"]


def test_the_last_started_ends_first(supervisor: Supervisor, program: Callable[..., Program], tmp_path: Path) -> None:
    when = "import signal, sys, time, pathlib\ndef end(*_):\n    time.sleep(0.3)\n    "
    source = when + "print(time.monotonic(), flush=True)\n    sys.exit()\nsignal.signal(signal.SIGTERM, end)\n" + QUIET
    supervisor.start(program("store", source))
    supervisor.start(program("user", source))
    for name in ("store", "user"):
        lines(tmp_path / f"{name}.log")
    supervisor.stop()
    ended_s = {name: float(lines(tmp_path / f"{name}.log", 2)[1]) for name in ("store", "user")}
    assert ended_s["user"] + 0.25 < ended_s["store"]


def test_what_a_program_started_ends_with_it(
    supervisor: Supervisor, program: Callable[..., Program], tmp_path: Path
) -> None:
    supervisor.start(program("parent", PARENT))
    grandchild = int(lines(tmp_path / "parent.log")[0])
    supervisor.stop()
    assert has_gone(grandchild)


def test_nothing_outlives_a_supervisor_that_is_killed(program: Callable[..., Program], tmp_path: Path) -> None:
    program("parent", PARENT)
    killed = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path)])
    grandchild = int(lines(tmp_path / "parent.log")[0])
    child = psutil.Process(grandchild).ppid()
    killed.kill()
    killed.wait()
    assert has_gone(child)
    assert has_gone(grandchild)


def test_a_log_is_put_aside_when_it_is_large(
    supervisor: Supervisor, program: Callable[..., Program], tmp_path: Path
) -> None:
    (tmp_path / "writer.log").write_bytes(b"x" * (6 * 1024 * 1024))
    supervisor.start(program("writer", QUIET))
    assert lines(tmp_path / "writer.log") == ["up"]
    assert (tmp_path / "writer.1.log").stat().st_size == 6 * 1024 * 1024
