"""Real recordings with what is said in them, as many, as long and in as many formats as a measurement needs.

The telephone prompts of Debian's asterisk-core-sounds packages are fetched with `apt-get download` into a folder of
this checkout, unpacked and not installed. Where there is no apt or no network, the recordings of tests/recordings
are used instead, again and again; `Corpus.is_repeated` says so.
"""

import gzip
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import soundfile

_ROOT = Path(__file__).resolve().parent.parent
COMMITTED = _ROOT / "tests" / "recordings" / "recordings.json"
"""The manifest of the recordings in this repository."""
CACHE = _ROOT / ".asr-queue" / "corpus"
"""Where fetched and generated recordings are kept; never committed."""
LANGUAGES = ("en", "es", "fr", "it", "ru")
_VOICES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
_FETCH_TIMEOUT_S = 180
_WORDS_PER_S = (0.7, 5.0)
"""A prompt outside this range has another text than its reference says."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A sound file and what is said in it."""

    path: Path
    language: str
    """Code of `asr_queue.domain.languages`."""
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """What there is to choose from."""

    recordings: tuple[Recording, ...]
    source: str
    """In words, for the head of a result."""


def recordings(
    count: int,
    languages: Sequence[str] = LANGUAGES,
    min_s: float = 1.0,
    max_s: float = 10.0,
    seed: int = 0,
    least_words: int = 3,
) -> list[Recording]:
    """Return `count` recordings between the two lengths, the languages in turn; the same for the same arguments.

    Where there are fewer in a language, its recordings come again. One word alone is often a matter of luck.

    Raises:
        ValueError: a language has no recording of such a length.
    """
    chance = random.Random(seed)
    known = [one for one in corpus().recordings if len(one.text.split()) >= least_words]
    chosen: list[Recording] = []
    turns = {code: _in_turn(_of(known, code, min_s, max_s), chance) for code in languages}
    while len(chosen) < count:
        chosen.append(next(turns[languages[len(chosen) % len(languages)]]))
    return chosen


def corpus() -> Corpus:
    """Return all recordings that can be had here, fetching Debian's the first time."""
    try:
        prompts = _prompts(_fetched())
    except (OSError, subprocess.SubprocessError) as error:
        committed = read_manifest(COMMITTED)
        source = f"the {len(committed)} recordings of this repository, repeated (Debian's cannot be fetched: {error})"
        return Corpus(tuple(committed), source)
    return Corpus(
        (*read_manifest(COMMITTED), *prompts), "Debian's asterisk-core-sounds and this repository's recordings"
    )


def read_manifest(path: Path) -> list[Recording]:
    """Return the recordings of a manifest, or of a folder with one named recordings.json.

    The manifest is a list of objects with `file` (relative to it), `language`, `text` and, if known, `seconds`.
    """
    if path.is_dir():
        path /= "recordings.json"
    return [
        Recording(
            path=path.parent / entry["file"],
            language=entry["language"],
            text=entry["text"],
            seconds=entry["seconds"] if "seconds" in entry else _seconds(path.parent / entry["file"]),
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]


def _seconds(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except soundfile.LibsndfileError:
        with av.open(str(path)) as file:
            return (file.duration or 0) / av.time_base


def _of(known: Sequence[Recording], language: str, min_s: float, max_s: float) -> list[Recording]:
    fitting = [one for one in known if one.language == language and min_s <= one.seconds <= max_s]
    if not fitting:
        raise ValueError(f"No recording in {language!r} lasts between {min_s} and {max_s} s.")
    return fitting


def _in_turn(known: list[Recording], chance: random.Random) -> Iterator[Recording]:
    while True:
        yield from chance.sample(known, len(known))


def _fetched() -> Path:
    """Return the folder with Debian's packages unpacked."""
    unpacked = CACHE / "debian"
    if unpacked.is_dir():
        return unpacked
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise FileNotFoundError("there is no apt-get here")
    fresh = CACHE / "debian-unfinished"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    names = [f"asterisk-core-sounds-{code}{kind}" for code in LANGUAGES for kind in ("", "-wav")]
    subprocess.run(
        [apt, "-qq", "download", *names], cwd=fresh, check=True, timeout=_FETCH_TIMEOUT_S, capture_output=True
    )
    for package in fresh.glob("*.deb"):
        subprocess.run([dpkg, "-x", package, fresh], check=True, timeout=_FETCH_TIMEOUT_S)
        package.unlink()
    fresh.rename(unpacked)
    return unpacked


def _prompts(unpacked: Path) -> list[Recording]:
    found: list[Recording] = []
    for language, voice in _VOICES.items():
        folder = unpacked / "usr/share/asterisk/sounds" / voice
        texts = unpacked / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
        for name, text in _texts(texts):
            path = folder / f"{name}.wav"
            if path.is_file():
                recording = Recording(path, language, text, soundfile.info(path).duration)
                if _is_plausible(recording):
                    found.append(recording)
    return found


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    for line in gzip.decompress(path.read_bytes()).decode("utf-8-sig").splitlines():
        name, separator, text = line.partition(":")
        # Names with a slash are digits and letters; brackets describe a sound instead of saying what is said.
        if separator and not line.startswith(";") and "/" not in name and not re.search(r"[\[\](){}<>]", text):
            yield name.strip(), " ".join(text.split())


def _is_plausible(recording: Recording) -> bool:
    slowest, fastest = _WORDS_PER_S
    # By multiplication: one prompt lasts 0 s.
    return slowest * recording.seconds <= len(recording.text.split()) <= fastest * recording.seconds
