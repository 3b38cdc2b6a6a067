"""What the queue costs: 200 recordings through the whole system, against the bare engine on the same recordings.

    python benchmarks/queue_overhead.py                        # 0.5 to 60 s, in eleven formats
    python benchmarks/queue_overhead.py --recordings PATH      # your own: a manifest, or a folder with one

The bare side decodes 16 recordings and runs the engine over them, in one process, again and again: no queue, no store,
no second process. The queue gets everything in one submit, on a private stack whose worker has as many threads; the
clock runs from the submit to the moment when a client sees the last item finished. The bare side is measured before
and after the queue, so that a machine that slows down shows.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from corpus import CACHE, Recording, corpus, read_manifest
from report import cores, machine, publish, table
from variants import KINDS, variants
from word_errors import word_error_rate

from asr_queue.domain.languages import resolve, separator
from asr_queue.local.up import private_stack
from gpu_worker.engine import Done, EngineSettings, SpeechEngine, SpeechInput
from gpu_worker.engines.catalog import create
from gpu_worker.pipeline.cut import cut
from gpu_worker.pipeline.decode_file import decode_file

_MICRO_BATCH = 16
_LONGEST_S = 3600.0
_POLL_S = 0.5
_REQUEST_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Heard:
    """What one side made of one recording."""

    text: str
    language: str | None
    """Code."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """All recordings through one side."""

    seconds: float
    heard: list[Heard]


def bare(chosen: Sequence[Recording]) -> Run:
    """Decode and recognise in this process, 16 recordings at a time; loading and warming up are not counted."""
    engine = create("whisper", EngineSettings(cache_dir=CACHE))
    engine.load()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "samples"
        _recognised(engine, chosen[:1], target)
        began_s = time.perf_counter()
        heard: list[Heard] = []
        for first in range(0, len(chosen), _MICRO_BATCH):
            heard += _recognised(engine, chosen[first : first + _MICRO_BATCH], target)
        return Run(time.perf_counter() - began_s, heard)


def _recognised(engine: SpeechEngine, part: Sequence[Recording], target: Path) -> list[Heard]:
    inputs: list[SpeechInput] = []
    owners: list[int] = []
    for owner, recording in enumerate(part):
        decode_file(recording.path, target, sample_rate_hz=engine.limits.sample_rate_hz, max_audio_s=_LONGEST_S)
        for piece in cut(np.fromfile(target, np.float32), engine.limits):
            inputs.append(SpeechInput(samples=piece, language=None, want_words=True))
            owners.append(owner)
    texts: list[list[str]] = [[] for _ in part]
    languages: list[str | None] = [None for _ in part]
    for first in range(0, len(inputs), _MICRO_BATCH):
        last = first + _MICRO_BATCH
        for owner, outcome in zip(owners[first:last], engine.run(inputs[first:last]), strict=True):
            if isinstance(outcome, Done):
                texts[owner].append(outcome.value.text)
                languages[owner] = languages[owner] or outcome.value.language
    return [
        Heard(separator(language).join(filter(None, pieces)), language)
        for pieces, language in zip(texts, languages, strict=True)
    ]


def queued(chosen: Sequence[Recording]) -> Run:
    """Upload everything, then submit it as one batch to a private stack and wait for its end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        private_stack(Path(folder)) as (url, api_key),
        httpx.Client(base_url=url, headers={"X-API-Key": api_key}, timeout=_REQUEST_TIMEOUT_S) as api,
    ):
        _finished(api, [_uploaded(api, chosen[0])])
        items = [_uploaded(api, recording) for recording in chosen]
        began_s = time.perf_counter()
        answers = _finished(api, items)
        seconds = time.perf_counter() - began_s
        return Run(seconds, [_fetched(api, answer) for answer in answers])


def _uploaded(api: httpx.Client, recording: Recording) -> dict[str, object]:
    with recording.path.open("rb") as file:
        answer = api.post("/api/v1/files/upload", files={"file": (recording.path.name, file)}).raise_for_status()
    file_id = answer.json()["file_id"]
    return {"operation": "transcribe", "ref_audio": file_id, "language": "auto", "return_timestamps": True}


def _finished(api: httpx.Client, items: Sequence[dict[str, object]]) -> list[dict[str, str]]:
    submitted = api.post("/api/v1/queue/submit", json={"label": "overhead", "items": items}).raise_for_status().json()
    while True:
        batch = api.get(f"/api/v1/queue/status/{submitted['batch_id']}").raise_for_status().json()
        if batch["completed"] + batch["failed"] == batch["total"]:
            return list(batch["items"])
        time.sleep(_POLL_S)


def _fetched(api: httpx.Client, item: dict[str, str]) -> Heard:
    if item["status"] != "done":
        return Heard("", None, item["error"])
    transcript = api.get(item["url"]).raise_for_status().json()
    language = transcript["language"]
    return Heard(transcript["text"], language and resolve(language))


def report(chosen: Sequence[Recording], before: Run, queue: Run, after: Run, source: str) -> str:
    """Return the result in words and a table."""
    audio_s = sum(one.seconds for one in chosen)
    bare_s = (before.seconds + after.seconds) / 2
    bare_errors, queue_errors = (100 * _error_rate(chosen, run) for run in (before, queue))
    failed = [one.error for one in queue.heard if one.error is not None]
    head = ["", "seconds", "audio s/s", "word error %", "language right %", "failed"]
    rows = [
        [
            name,
            f"{run.seconds:.1f}",
            f"{audio_s / run.seconds:.1f}",
            f"{100 * _error_rate(chosen, run):.2f}",
            f"{100 * _languages_right(chosen, run):.1f}",
            str(sum(one.error is not None for one in run.heard)),
        ]
        for name, run in (("bare engine, before", before), ("queue", queue), ("bare engine, after", after))
    ]
    suffixes = sorted({one.path.suffix[1:] for one in chosen})
    return f"""# What the queue costs

- **{bare_s / queue.seconds:.3f}** of the bare engine's throughput goes through the queue; wanted: at least 0.90.
- **{abs(queue_errors - bare_errors):.2f} points** between the word error rates; wanted: at most 0.50.
- **{100 * _languages_right(chosen, queue):.1f} %** of the languages right, without hints; {len(failed)} items failed.

{table(head, rows)}

- Machine: {machine()}; Whisper base, int8, beam 5, word times on, {cores()} threads on either side.
- Recordings: {len(chosen)}, {audio_s:.0f} s in all, {min(one.seconds for one in chosen):.1f} to \
{max(one.seconds for one in chosen):.1f} s long ({", ".join(suffixes)}), from {source}.
- Bare engine: decode, cut and recognise {_MICRO_BATCH} recordings at a time in one process, nothing beside it.
- Queue: `private_stack` (embedded AWS, API, one worker); all uploaded before, one submit, polled every {_POLL_S} s;
  from the submit to the last item finished. Both sides are loaded and warmed up before.
{_listed(failed)}"""


def _listed(failed: Sequence[str]) -> str:
    return "".join(f"- failed: {error}\n" for error in failed)


def _error_rate(chosen: Sequence[Recording], run: Run) -> float:
    return word_error_rate((one.text, heard.text, one.language) for one, heard in zip(chosen, run.heard, strict=True))


def _languages_right(chosen: Sequence[Recording], run: Run) -> float:
    return sum(one.language == heard.language for one, heard in zip(chosen, run.heard, strict=True)) / len(chosen)


def _in_a_process(chosen: Sequence[Recording]) -> Run:
    """Run the bare side in a process that is gone afterwards, memory and all."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(bare, chosen).result()


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recordings", type=Path, metavar="PATH", help="a manifest, or a folder with a recordings.json"
    )
    parser.add_argument("--count", type=int, default=200, help="how many recordings at most (200)")
    arguments = parser.parse_args()
    if arguments.recordings is None:
        chosen = variants(arguments.count)
        source = f"{corpus().source}; joined, and encoded in {len(KINDS)} ways"
    else:
        known = read_manifest(arguments.recordings)
        chosen, source = known[: arguments.count], f"a manifest of {len(known)}"
    if not chosen:
        parser.error(f"no recording in {arguments.recordings}")
    publish("queue_overhead", report(chosen, _in_a_process(chosen), queued(chosen), _in_a_process(chosen), source))


if __name__ == "__main__":
    main()
