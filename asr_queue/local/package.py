"""The code of the Lambda functions as one archive."""

import hashlib
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("asr_queue", "handlers")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: the same code makes the same bytes."""


def pack() -> bytes:
    """Return a zip of the packages that the functions need; what they depend on, their interpreter has."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for package in PACKAGES:
            root = root_of(package)
            for source in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
                name = source.relative_to(root.parent).as_posix()
                writer.writestr(zipfile.ZipInfo(name, _EPOCH), source.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def digest(data: bytes) -> str:
    """Return a short name for the content."""
    return hashlib.sha256(data).hexdigest()[:16]


def root_of(package: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed")
    return Path(spec.submodule_search_locations[0])
