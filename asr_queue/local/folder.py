"""The folder of one local stack: what is in it, and the right to use it.

api-key      the key of tenant `local`
stack.env    how to speak to the embedded AWS, as NAME=VALUE lines
url          where the API is, while it is up
logs/        a log a process
aws/         what the embedded AWS keeps
run/         marks of processes that are ready
lock         held by the supervisor
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from asr_queue.domain.keys import new_key


class FolderInUseError(Exception):
    """Another supervisor has the folder."""


class DataFolder:
    """Paths and small files of a folder that this process holds (`held`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = path / "url"
        self.logs = path / "logs"
        self.aws = path / "aws"
        self.run = path / "run"

    def api_key(self) -> str:
        """Return the key, made at the first call in the folder's life."""
        kept = self.path / "api-key"
        key = kept.read_text().strip() if kept.exists() else ""
        if not key:
            key = new_key()
            _write_secret(kept, f"{key}\n")
        return key

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Write `stack.env`."""
        _write_secret(self.path / "stack.env", "".join(f"{name}={value}\n" for name, value in variables.items()))

    def write_url(self, url: str) -> None:
        """Tell others where the API is; readers see the whole of it or nothing."""
        partial = self.url.with_suffix(".partial")
        partial.write_text(f"{url}\n")
        partial.replace(self.url)


@contextmanager
def held(path: Path) -> Iterator[DataFolder]:
    """Hold a folder, made where it is missing, for the block.

    Raises:
        FolderInUseError: another process holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    with (path / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUseError(f"{path} is in use by another `asr-queue up`") from error
        folder = DataFolder(path)
        folder.url.unlink(missing_ok=True)
        shutil.rmtree(folder.run, ignore_errors=True)
        for made in (folder.logs, folder.aws, folder.run):
            made.mkdir(exist_ok=True)
        try:
            yield folder
        finally:
            folder.url.unlink(missing_ok=True)


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, never seen in part."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
