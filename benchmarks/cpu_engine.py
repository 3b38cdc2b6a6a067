"""Our CPU engine against faster-whisper's own two ways, on the same short recordings.

    python benchmarks/cpu_engine.py                        # 100 recordings in five languages
    python benchmarks/cpu_engine.py --recordings PATH      # your own: a manifest, or a folder with a recordings.json

A manifest is a list of {"file": path relative to it, "language": "en", "text": "what is said"}. Each side has a process
of its own, all with the same weights, threads, beam and word times; decoding to samples is not measured. The sides take
turns, one micro-batch of recordings after the other, so that whatever else the machine does meets all of them.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from corpus import CACHE, Recording, corpus, read_manifest, recordings
from report import cores, machine, peak_rss_bytes, publish, spread, table
from word_errors import word_error_rate

_MICRO_BATCH = 16
_LONGEST_S = 30.0
"""What our engine takes at once; in the queue, longer recordings are cut before it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same on every side."""

    threads: int
    beam_size: int
    want_words: bool
    is_hinted: bool


@dataclass(frozen=True, slots=True)
class Pass:
    """One micro-batch on one side."""

    seconds: float
    heard: list[tuple[str, str | None]]
    """Text and language code of each recording."""
    peak_rss_bytes: int


@dataclass(slots=True)
class Side:
    """All that one side did."""

    name: str
    passes: list[Pass] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """What all its passes took."""
        return sum(one.seconds for one in self.passes)

    @property
    def heard(self) -> list[tuple[str, str | None]]:
        """Text and language code of every recording."""
        return [heard for one in self.passes for heard in one.heard]


Recognise = Callable[[Sequence[Any], Sequence[str | None]], list[tuple[str, str | None]]]
"""Samples at 16 kHz and hints in; text and language code of each out."""


def _our_engine(setup: Setup) -> Recognise:
    from gpu_worker.engine import Done, EngineSettings, SpeechInput
    from gpu_worker.engines.whisper_cpu import WhisperCpuEngine

    engine = WhisperCpuEngine(EngineSettings(cache_dir=CACHE, threads=setup.threads), beam_size=setup.beam_size)
    engine.load()

    def recognise(clips: Sequence[Any], hints: Sequence[str | None]) -> list[tuple[str, str | None]]:
        inputs = [
            SpeechInput(samples=samples, language=hint, want_words=setup.want_words)
            for samples, hint in zip(clips, hints, strict=True)
        ]
        outcomes = engine.run(inputs)
        return [(one.value.text, one.value.language) if isinstance(one, Done) else ("", None) for one in outcomes]

    return recognise


def _transcribe(setup: Setup) -> Recognise:
    return _one_by_one(_model(setup), setup)


def _batched_pipeline(setup: Setup) -> Recognise:
    from faster_whisper import BatchedInferencePipeline

    return _one_by_one(BatchedInferencePipeline(_model(setup)), setup)


def _model(setup: Setup) -> Any:
    from faster_whisper import WhisperModel

    from gpu_worker.engines.whisper_weights import embedded_folder

    return WhisperModel(str(embedded_folder(CACHE)), device="cpu", compute_type="int8", cpu_threads=setup.threads)


def _one_by_one(model: Any, setup: Setup) -> Recognise:
    def recognise(clips: Sequence[Any], hints: Sequence[str | None]) -> list[tuple[str, str | None]]:
        heard: list[tuple[str, str | None]] = []
        for samples, hint in zip(clips, hints, strict=True):
            segments, info = model.transcribe(
                samples, language=hint, beam_size=setup.beam_size, word_timestamps=setup.want_words
            )
            heard.append(("".join(segment.text for segment in segments), info.language))
        return heard

    return recognise


_SIDES = {
    "our engine": _our_engine,
    "WhisperModel.transcribe": _transcribe,
    "BatchedInferencePipeline": _batched_pipeline,
}
_OURS = "our engine"
_recognise: Recognise
"""Of the process that this is."""


def _start(name: str, setup: Setup, first: Path) -> None:
    """Load, and warm up with one recording, in a side's own process."""
    global _recognise  # The initialiser of a pool has no other place to leave anything.
    _recognise = _SIDES[name](setup)
    _run([first], [None])


def _run(paths: Sequence[Path], hints: Sequence[str | None]) -> Pass:
    from faster_whisper.audio import decode_audio

    clips = [decode_audio(str(path)) for path in paths]
    began_s = time.perf_counter()
    heard = _recognise(clips, hints)
    return Pass(time.perf_counter() - began_s, heard, peak_rss_bytes())


def measure(chosen: Sequence[Recording], setup: Setup, limit_s: float) -> list[Side]:
    """Run every side over the recordings, in turns; who begins changes from turn to turn.

    No turn begins after `limit_s`, so that the last recordings may be left out on a slow machine.
    """
    began_s = time.monotonic()
    sides = [Side(name) for name in _SIDES]
    with ExitStack() as stack:
        workers = {
            side.name: stack.enter_context(
                ProcessPoolExecutor(
                    1,
                    multiprocessing.get_context("spawn"),
                    initializer=_start,
                    initargs=(side.name, setup, chosen[0].path),
                )
            )
            for side in sides
        }
        for turn, first in enumerate(range(0, len(chosen), _MICRO_BATCH)):
            if time.monotonic() - began_s > limit_s:
                break
            part = chosen[first : first + _MICRO_BATCH]
            hints = [one.language if setup.is_hinted else None for one in part]
            for place in range(len(sides)):
                side = sides[(turn + place) % len(sides)]
                side.passes.append(workers[side.name].submit(_run, [one.path for one in part], hints).result())
            print(f"{first + len(part)} of {len(chosen)}", file=sys.stderr, flush=True)
    return sides


def report(chosen: Sequence[Recording], setup: Setup, sides: Sequence[Side], source: str) -> str:
    """Return the result in words and tables."""
    audio_s = sum(one.seconds for one in chosen)
    ours = next(side for side in sides if side.name == _OURS)
    rivals = [side for side in sides if side is not ours]
    errors = {side.name: 100 * _error_rate(chosen, side) for side in sides}
    peaks_gb = {side.name: max(one.peak_rss_bytes for one in side.passes) / 1e9 for side in sides}
    fastest = min(rivals, key=lambda side: side.seconds)
    rows = [
        [
            side.name,
            f"{audio_s / side.seconds:.1f}",
            spread([a.seconds / b.seconds for a, b in zip(side.passes, ours.passes, strict=True)]),
            f"{errors[side.name]:.2f}",
            f"{100 * _languages_right(chosen, side):.0f}",
            f"{peaks_gb[side.name]:.2f}",
        ]
        for side in sides
    ]
    head = ["", "audio s/s", "its time / ours", "word error %", "language right %", "peak RSS GB"]
    return f"""# The CPU engine against faster-whisper

- **{fastest.seconds / ours.seconds:.2f} times** the audio seconds a second of the faster of the two \
({fastest.name}); wanted: at least 2.5.
- **{errors[_OURS] - min(errors[side.name] for side in rivals):+.2f} points** of word error rate to the better \
of the two; wanted: at most +0.30.
- **{peaks_gb[_OURS]:.2f} GB** of memory at the most; wanted: less than 1.5.

{table(head, rows)}

`its time / ours`: median (least-most) over {len(ours.passes)} turns of up to {_MICRO_BATCH} recordings; the sides
take turns, and who begins changes.

- Machine: {machine()}.
- Recordings: {len(chosen)}, {audio_s:.0f} s in all, {min(one.seconds for one in chosen):.1f} to \
{max(one.seconds for one in chosen):.1f} s long, from {source}.
- On every side: Whisper base, int8, {setup.threads} threads in all, beam {setup.beam_size}, word times \
{"on" if setup.want_words else "off"}, language {"given" if setup.is_hinted else "identified"}. Decoding to samples is
  not counted. Each side has a process of its own, loaded and warmed up before.
- faster-whisper is otherwise as it comes: `transcribe` without its voice activity filter (it is slower with it), the
  pipeline with it. Both take one recording a call, and fill it up to a window of 30 s.
- Our engine takes {_MICRO_BATCH} recordings a call, trims the windows to the speech in them, and runs one worker a
  thread. Its voice activity filter is counted.
"""


def _error_rate(chosen: Sequence[Recording], side: Side) -> float:
    return word_error_rate((one.text, text, one.language) for one, (text, _) in zip(chosen, side.heard, strict=True))


def _languages_right(chosen: Sequence[Recording], side: Side) -> float:
    return sum(one.language == code for one, (_, code) in zip(chosen, side.heard, strict=True)) / len(chosen)


def _mixed(known: Sequence[Recording], count: int) -> list[Recording]:
    """Return at most `count`, the languages in turn."""
    by_language: dict[str, list[Recording]] = {}
    for one in known:
        by_language.setdefault(one.language, []).append(one)
    return [one for turn in zip_longest(*by_language.values()) for one in turn if one is not None][:count]


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recordings", type=Path, metavar="PATH", help="a manifest, or a folder with a recordings.json"
    )
    parser.add_argument("--count", type=int, default=100, help="how many recordings at most (100)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each side (all cores)")
    parser.add_argument("--beam", type=int, default=5, help="hypotheses kept on each side (5)")
    parser.add_argument("--minutes", type=float, default=8, help="begin nothing more after this (8)")
    parser.add_argument("--no-words", action="store_true", help="measure without word times")
    parser.add_argument("--hinted", action="store_true", help="give the language instead of having it identified")
    arguments = parser.parse_args()
    if arguments.recordings is None:
        chosen, source = recordings(arguments.count), corpus().source
    else:
        known = read_manifest(arguments.recordings)
        fitting = [one for one in known if one.seconds <= _LONGEST_S]
        chosen = _mixed(fitting, arguments.count)
        source = f"a manifest of {len(known)}, {len(known) - len(fitting)} longer than {_LONGEST_S:g} s left out"
    if not chosen:
        parser.error(f"no recording of at most {_LONGEST_S:g} s in {arguments.recordings}")
    setup = Setup(arguments.threads, arguments.beam, not arguments.no_words, arguments.hinted)
    sides = measure(chosen, setup, 60 * arguments.minutes)
    publish("cpu_engine", report(chosen[: len(sides[0].heard)], setup, sides, source))


if __name__ == "__main__":
    main()
