"""The command as a user has it: a process of its own, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.contract_server import KEY, ContractServer, serving

COMMAND = [sys.executable, "-m", "asr_queue"]
_TIMEOUT_S = 120

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what would lead the command to a server or to AWS."""
    own = os.environ
    return {**{name: value for name, value in own.items() if not name.startswith(("ASR_QUEUE_", "AWS_"))}, **extra}


@pytest.fixture
def server() -> Iterator[ContractServer]:
    with serving() as running:
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command in the test's folder; `server` is named by the environment."""

    def go(*arguments: str | Path, server: ContractServer | None = None, **extra: str) -> object:
        if server is not None:
            extra = {"ASR_QUEUE_URL": server.url, "ASR_QUEUE_API_KEY": KEY, **extra}
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**extra),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    return go  # type: ignore[return-value]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A tree: three good files (two of one name), one bad, one hidden, one that is no audio."""
    for name, text in {
        "a/talk.mp3": "first talk.",
        "b/talk.mp3": "second talk.",
        "b/deep/film.MP4": "a film.",
        "b/broken.wav": "bad",
        "b/.hidden.wav": "hidden",
        ".git/x.wav": "hidden too",
        "b/notes.txt": "no audio",
    }.items():
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "recordings"
