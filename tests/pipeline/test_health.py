"""The container's health check, as it is called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_worker.health import STALE_S

NAMES = {"ASR_QUEUE_BUCKET": "b", "ASR_QUEUE_TABLE": "t", "ASR_QUEUE_TRANSCRIBE_QUEUE_URL": "q"}


def health(**variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gpu_worker.health"],
        env={**NAMES, **variables},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    return tmp_path / "ready"


def test_a_worker_that_looked_for_work_just_now_is_well(ready: Path) -> None:
    ready.touch()
    assert health(ASR_QUEUE_READY_FILE=str(ready)) == (0, "")


def test_a_worker_that_no_longer_looks_for_work_is_not(ready: Path) -> None:
    ready.touch()
    long_ago_s = ready.stat().st_mtime - STALE_S - 1
    os.utime(ready, (long_ago_s, long_ago_s))
    status, why = health(ASR_QUEUE_READY_FILE=str(ready))
    assert status == 1
    assert "has not looked for work for 18" in why


def test_a_worker_that_never_got_ready_is_not(ready: Path) -> None:
    status, why = health(ASR_QUEUE_READY_FILE=str(ready))
    assert (status, "not loaded its engine" in why) == (1, True)


def test_without_a_file_to_look_at_nothing_is_well() -> None:
    assert health()[0] == 1
