"""How a worker process ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from gpu_worker.pipeline.flow import STATUS_STUCK

ROOT = Path(__file__).parents[2]


@pytest.fixture
def worker(tmp_path) -> Callable[..., subprocess.Popen]:
    with ExitStack() as processes:

        def start(*, pass_s: float, pass_timeout_s: float) -> subprocess.Popen:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.pipeline.stubborn_worker", str(pass_s), str(pass_timeout_s)],
                cwd=ROOT,
                env={"TMPDIR": str(tmp_path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


def next_line(process: subprocess.Popen) -> dict:
    return json.loads(process.stdout.readline())


def test_a_pass_that_does_not_end_ends_the_worker_and_gives_everything_else_back(worker, tmp_path):
    process = worker(pass_s=600, pass_timeout_s=1)
    size = next_line(process)["pass_of"]
    helpers = psutil.Process(process.pid).children(recursive=True)
    left = next_line(process)
    assert process.wait(60) == STATUS_STUCK
    assert left == {"visible": 40 - size, "in_flight": size, "done": 0}
    assert psutil.wait_procs(helpers, timeout=60)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_the_pass_publishes_it_gives_the_rest_back_and_exits_with_0(worker, tmp_path):
    process = worker(pass_s=0.5, pass_timeout_s=60)
    next_line(process)
    process.send_signal(signal.SIGTERM)
    lines = [json.loads(line) for line in process.stdout]
    assert process.wait(60) == 0
    left = lines[-1]
    assert left["in_flight"] == 0
    assert left["done"] > 0
    assert left["visible"] == 40 - left["done"]
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_killed_leaves_no_process_and_no_file_behind(worker, tmp_path):
    process = worker(pass_s=600, pass_timeout_s=60)
    next_line(process)
    helpers = psutil.Process(process.pid).children(recursive=True)
    assert helpers
    process.kill()
    assert psutil.wait_procs(helpers, timeout=60)[1] == []
    assert list(tmp_path.iterdir()) == []
