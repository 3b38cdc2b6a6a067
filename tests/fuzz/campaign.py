"""Damaged files through the worker's own decoder: its processes, its bounds, its refusals."""

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from asr_queue.errors import CallerError
from gpu_worker.pipeline.decode import Decoder
from tests.fuzz.mutations import mutated

PROCESSES: Final = 2
TIMEOUT_S: Final = 20.0
MAX_AUDIO_S: Final = 60.0
RATE_HZ: Final = 16_000
KILLED: Final = "audio_undecodable"
"""The refusal of a file at which a decoding process crashed, or was stopped by its bounds."""
_DECODED: Final = "decoded"


@dataclass(slots=True)
class Report:
    """What came of a campaign."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many files by kind and outcome: `decoded`, or the code of the refusal."""
    killed: dict[int, str] = field(default_factory=dict)
    """Why each file's process did not survive it, by the file's number: contained, and worth a look."""
    bugs: dict[int, str] = field(default_factory=dict)
    """What came out of the decoder that is no refusal, by the file's number: none may be."""
    slowest: tuple[float, int] = (0.0, -1)
    """Seconds of the slowest file, and its number."""
    peak_bytes: int = 0
    """Most memory that a decoding process ever had resident."""

    def note(self, number: int, kind: str, outcome: str, took_s: float) -> None:
        """Count a file."""
        self.outcomes[kind, outcome] += 1
        self.slowest = max(self.slowest, (took_s, number))


def run(numbers: Iterable[int]) -> Report:
    """Decode the damaged files of these numbers, several at a time."""
    report = Report()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (
            Decoder(folder, processes=PROCESSES, timeout_s=TIMEOUT_S, max_audio_s=MAX_AUDIO_S) as decoder,
            ThreadPoolExecutor(PROCESSES) as pool,
        ):
            for _ in pool.map(lambda number: _one(number, decoder, report), numbers):
                pass
        assert not list(folder.iterdir()), "files were left behind"
    return report


def _one(number: int, decoder: Decoder, report: Report) -> None:
    kind, data = mutated(number)
    began_s = time.monotonic()
    outcome = _DECODED
    try:
        samples = decoder.decode(data, sample_rate_hz=RATE_HZ)
        assert samples.size <= (MAX_AUDIO_S + 1) * RATE_HZ
        assert abs(samples).max() <= 1.0
    except CallerError as error:
        outcome = error.code
        if error.code == KILLED:
            report.killed[number] = f"{kind}: {error.message.split(';')[0]}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        outcome = "bug"
        report.bugs[number] = f"{kind}: {type(error).__name__}: {error}"
    report.note(number, kind, outcome, time.monotonic() - began_s)
    if number % 50 == 0:
        report.peak_bytes = max(report.peak_bytes, peak_bytes())


def peak_bytes() -> int:
    """Return the most memory that one of the processes that decode now has had."""
    most = 0
    for child in psutil.Process().children():
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            continue
        [peak] = [line for line in status.splitlines() if line.startswith("VmHWM")] or ["VmHWM 0 kB"]
        most = max(most, int(peak.split()[1]) * 1024)
    return most
