"""Which files the arguments name, and where each one's transcript goes."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

# fmt: off
SUFFIXES: Final = frozenset({
    ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".avi", ".caf", ".flac", ".flv", ".m2ts", ".m4a",
    ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".oga", ".ogg", ".ogv", ".opus",
    ".spx", ".w64", ".wav", ".weba", ".webm", ".wma", ".wmv",
})
# fmt: on
"""What counts as audio or video inside a folder; a file that is named itself may be called anything."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to transcribe."""

    path: Path
    """As the arguments have it."""
    output: PurePath
    """Where its transcript goes below `--out`, but for the suffix of the format."""


@dataclass(slots=True)
class Found:
    """What the arguments name."""

    recordings: list[Recording] = field(default_factory=list)
    """Each file once, in the order of the arguments, inside folders by name."""
    problems: list[tuple[Path, str]] = field(default_factory=list)
    """What cannot be read, and why."""


def find(arguments: Sequence[Path]) -> Found:
    """Look into every argument: a file is itself, a folder all audio and video below it that is not hidden.

    Outputs mirror the folders below the deepest one that all arguments share, and keep the name of the recording;
    where two would be called the same (`talk.mp3` beside `talk.wav`), both keep their own suffix as well.
    """
    found = Found()
    paths: dict[str, Path] = {}
    roots = []
    for argument in arguments:
        try:
            is_folder = stat.S_ISDIR(argument.stat().st_mode)
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            found.problems.append((argument, getattr(error, "strerror", None) or str(error)))
            continue
        roots.append(_absolute(argument if is_folder else argument.parent))
        below: Iterable[Path] = _walk(argument, found.problems) if is_folder else [argument]
        for path in below:
            paths.setdefault(_absolute(path), path)
    if paths:
        root = os.path.commonpath(roots)
        outputs = [PurePath(os.path.relpath(absolute, root)) for absolute in paths]
        # Case is ignored, for some file systems do; whole names count too, for `talk.mp3.ogg` beside two `talk`s.
        uses = Counter(str(name).casefold() for output in outputs for name in {output, output.with_suffix("")})
        for path, output in zip(paths.values(), outputs, strict=True):
            bare = output.with_suffix("")
            found.recordings.append(Recording(path, bare if uses[str(bare).casefold()] == 1 else output))
    return found


def _absolute(path: Path) -> str:
    """Return a path from the root, without `..`; links stay what they are."""
    return os.path.normpath(path.absolute())


def _walk(folder: Path, problems: list[tuple[Path, str]]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        problems.append((Path(str(error.filename)), error.strerror or str(error)))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)
