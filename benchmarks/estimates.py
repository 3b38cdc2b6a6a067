"""How far off the estimated end of a batch is: batches of many kinds on a private stack, watched to their end.

    python -m benchmarks.estimates                 # an hour on 2 cores; keeps the runs, the report and the plot
    python -m benchmarks.estimates --replay        # the report anew, from the runs that were kept

Real recordings, joined and cut to lengths, in four formats; the whole system as `asr-queue up` runs it; and workers
whose `echo` engine takes as long for a pass as it is told, or that run `whisper`. Some batches have the workers for
themselves; others come behind a batch of their tenant, or beside one of another tenant, or have one come behind them.
While a batch goes on, its status is asked for twice a second, and each answer is kept with its instant. The error is
how far the foretold end is from the real one, as a share of the whole time from the submit to the end.
"""

import argparse
import io
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx
import numpy as np
import soundfile
import soxr

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.local import embedded, environment, programs
from asr_queue.local.processes import Child, Lifeline, Program
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.manage_keys import create_key
from benchmarks.corpus import COMMITTED, read_manifest
from benchmarks.recorded_runs import RUNS, Ended, Look, Run, errors, read, to_line
from benchmarks.report import RESULTS, machine, publish, table

RATE_HZ: Final = 16_000
LOOK_EVERY_S: Final = 0.5
SHARES: Final = (0.1, 0.25, 0.5, 0.75)
_FILES: Final = 14
"""Recordings of a run; each is several items."""
_FORMATS: Final = {
    "audio/wav": ("WAV", "PCM_16"),
    "audio/flac": ("FLAC", "PCM_16"),
    "audio/ogg": ("OGG", "VORBIS"),
    "audio/mpeg": ("MP3", "MPEG_LAYER_III"),
}
_STATE_AGE_S: Final = 3.0
"""Two seconds, and a little for the messages to go."""
_PATIENCE_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to be like."""

    items: int
    lengths: str
    """alike, clips, mixed, lectures."""
    company: str = "alone"
    """alone, ahead, beside, behind."""
    workers: int = 1
    micro_batch: int = 16
    pass_s: float = 0.3
    """What each pass costs, however little it holds."""
    wanted_s: float = 30.0
    """About how long the workers are to have for it."""
    engine: str = "echo"

    @property
    def name(self) -> str:
        """The plan in a line."""
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''} of {self.micro_batch}"
        return f"{self.items} {self.lengths}, {self.company}, {self.engine}, {workers}"


PLANS: Final = (
    Plan(items=40, lengths="alike"),
    Plan(items=120, lengths="clips", pass_s=0.6),
    Plan(items=60, lengths="mixed"),
    Plan(items=50, lengths="lectures"),
    Plan(items=200, lengths="clips", workers=2, pass_s=0.4),
    Plan(items=80, lengths="mixed", workers=2, micro_batch=8),
    Plan(items=60, lengths="alike", company="ahead"),
    Plan(items=80, lengths="mixed", company="ahead", pass_s=0.1),
    Plan(items=100, lengths="clips", company="beside", pass_s=0.5, wanted_s=20),
    Plan(items=60, lengths="mixed", company="beside", wanted_s=20),
    Plan(items=60, lengths="mixed", company="behind"),
    Plan(items=90, lengths="lectures", company="beside", workers=2, wanted_s=20),
    Plan(items=24, lengths="clips", engine="whisper", micro_batch=4),
    Plan(items=30, lengths="mixed", micro_batch=4),
    Plan(items=300, lengths="clips", workers=3, micro_batch=8, pass_s=0.2),
    Plan(items=150, lengths="mixed", wanted_s=60),
    Plan(items=100, lengths="lectures", workers=2, micro_batch=8, wanted_s=40),
    Plan(items=70, lengths="alike", company="beside", workers=2, micro_batch=8, wanted_s=20),
    Plan(items=120, lengths="mixed", company="ahead", workers=3, micro_batch=8),
    Plan(items=100, lengths="clips", company="behind", workers=2, micro_batch=8, pass_s=0.5),
    Plan(items=30, lengths="clips", engine="whisper", micro_batch=8, company="ahead"),
    Plan(items=60, lengths="lectures", company="ahead", micro_batch=8),
    Plan(items=200, lengths="alike", wanted_s=60, micro_batch=8),
    Plan(items=90, lengths="mixed", company="behind", workers=2),
    Plan(items=60, lengths="clips", engine="whisper", micro_batch=8),
)


class System:
    """A stack without workers, and two tenants."""

    def __init__(self, folder: Path, url: str, variables: dict[str, str], keys: Sequence[str], life: Lifeline) -> None:
        self.clients = [
            httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=120, trust_env=False) for key in keys
        ]
        self._folder = folder
        self._variables = variables
        self._life = life
        self._numbers = count(1)

    @contextmanager
    def workers(self, plan: Plan, pass_per_audio_s: float) -> Iterator[None]:
        """Run the workers of a plan for the block, from when all of them take work."""
        ready = Path(tempfile.mkdtemp(dir=self._folder))
        own = {
            "ASR_QUEUE_MICRO_BATCH": str(plan.micro_batch),
            "ASR_QUEUE_DECODE_PROCESSES": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        children = []
        for number in (next(self._numbers) for _ in range(plan.workers)):
            program = programs.worker(number, engine=plan.engine, ready=ready, variables={**self._variables, **own})
            if plan.engine == "echo":
                program = Program(
                    name=program.name,
                    module="benchmarks.paced_worker",
                    arguments=(str(plan.pass_s), str(pass_per_audio_s)),
                    environment=program.environment,
                )
            children.append(Child(program, lifeline=self._life, logs=self._folder / "logs"))
        try:
            _until(lambda: len(list(ready.iterdir())) == plan.workers)
            yield
        finally:
            for child in children:
                child.ask_to_end()
            for child in children:
                child.wait(20)
                child.sweep_up()
            _until(lambda: not self.clients[0].get("/api/v1/queue").json()["workers"])


@contextmanager
def system() -> Iterator[System]:
    """Run the embedded AWS and the API for the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for made in ("logs", "aws"):
            (folder / made).mkdir()
        life = stack.enter_context(Lifeline())
        aws_listening = stack.enter_context(embedded.listener(0))
        api_listening = stack.enter_context(embedded.listener(0))
        aws_url, url = embedded.url_of(aws_listening), embedded.url_of(api_listening)
        emulator = Child(embedded.program(aws_listening, folder / "aws"), lifeline=life, logs=folder / "logs")
        stack.callback(emulator.sweep_up)
        resources = embedded.deploy(aws_url, {}, lifeline=life)
        variables = {**environment.for_clients(aws_url), **resources.as_settings()}
        api = Child(programs.api(api_listening, variables), lifeline=life, logs=folder / "logs")
        stack.callback(api.sweep_up)
        _until(lambda: _is_up(url))
        names = ResourceSettings(
            bucket=resources.bucket, table=resources.table, transcribe_queue_url=resources.transcribe_queue_url
        )
        rows = connect(names, environment=variables).table
        keys = [
            create_key(tenant=tenant, name="estimates", table=rows, clock=SystemClock())[0] for tenant in ("a", "b")
        ]
        yield System(folder, url, variables, keys, life)


class Recordings:
    """Real recordings, joined and cut to any length."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._sounds = [self._read(one.path) for one in read_manifest(COMMITTED)]

    def file(self, seconds: float, kind: str) -> bytes:
        """Return a file of a length and a type."""
        parts: list[np.ndarray] = []
        while sum(part.size for part in parts) < seconds * RATE_HZ:
            parts.append(self._chance.choice(self._sounds))
        sound = np.concatenate(parts)[: round(seconds * RATE_HZ)]
        file, (form, subtype) = io.BytesIO(), _FORMATS[kind]
        with soundfile.SoundFile(file, "w", RATE_HZ, 1, format=form, subtype=subtype) as out:
            # In pieces: libsndfile puts what its Vorbis encoder is given at once on the stack, which a long one ends.
            for start in range(0, sound.size, RATE_HZ):
                out.write(sound[start : start + RATE_HZ])
        return file.getvalue()

    def _read(self, path: Path) -> np.ndarray:
        sound, rate_hz = soundfile.read(path, dtype="float32")
        return np.asarray(soxr.resample(sound, rate_hz, RATE_HZ))


def length_s(lengths: str, chance: random.Random) -> float:
    """Draw the length of a recording."""
    match lengths:
        case "alike":
            return chance.uniform(16, 24)
        case "clips":
            return chance.uniform(2, 9)
        case "mixed":
            return min(180.0, max(1.5, chance.lognormvariate(2.6, 0.9)))
    return chance.uniform(120, 300) if chance.random() < 0.15 else chance.uniform(3, 12)


def record(of: System, plan: Plan, seed: int) -> Run:
    """Let a plan happen, and watch it."""
    chance = random.Random(seed)
    sounds = Recordings(chance)
    kinds = list(_FORMATS)
    lengths = [length_s(plan.lengths, chance) for _ in range(_FILES)]
    files = [(sounds.file(length, kind), kind, length) for length, kind in zip(lengths, kinds * _FILES, strict=False)]
    chosen = [chance.randrange(_FILES) for _ in range(plan.items)]
    others = [chance.randrange(_FILES) for _ in range(plan.items)]
    audio_s = sum(lengths[one] for one in chosen)
    per_audio_s = (plan.wanted_s * plan.workers - plan.pass_s * plan.items / plan.micro_batch) / audio_s
    mine, theirs = of.clients
    uploads = {client: [_upload(client, data, kind) for data, kind, _ in files] for client in of.clients}
    with of.workers(plan, max(per_audio_s, 1e-4)):
        company: tuple[httpx.Client, str] | None = None
        if plan.company == "ahead":
            company = mine, _submit(mine, [uploads[mine][one] for one in others[: plan.items // 2]])
        if plan.company == "beside":
            company = theirs, _submit(theirs, [uploads[theirs][one] for one in others])
        batch_id = _submit(mine, [uploads[mine][one] for one in chosen])
        if plan.company == "behind":
            company = mine, _submit(mine, [uploads[mine][one] for one in others])
        status, looks = watched(mine, batch_id)
        if company is not None:
            client, other_id = company
            _until(lambda: _is_finished(_status(client, other_id)))
    created_at = datetime.fromisoformat(status["created_at"])

    def since(instant: str) -> float:
        return round((datetime.fromisoformat(instant) - created_at).total_seconds(), 3)

    items = tuple(
        Ended(
            size_bytes=len(files[one][0]),
            kind=files[one][1],
            started_s=since(item["started_at"]),
            ended_s=since(item["finished_at"]),
            audio_s=item["audio_s"],
            device_s=item["device_s"],
        )
        for item, one in zip(status["items"], chosen, strict=True)
    )
    return Run(name=plan.name, items=items, looks=tuple(_without_own(look, items) for look in looks))


def _without_own(look: Look, items: Sequence[Ended]) -> Look:
    """Take from the others what had just ended: the queue's state is two seconds old at the most."""
    just_ended = sum(look.at_s - _STATE_AGE_S < item.ended_s <= look.at_s for item in items)
    return replace(look, others_items=max(0, look.others_items - just_ended))


def watched(client: httpx.Client, batch_id: str) -> tuple[dict[str, Any], list[Look]]:
    """Poll a batch to its end; return its last status and every look on the way."""
    looks: list[Look] = []
    while True:
        status = _status(client, batch_id)
        at_s = (SystemClock().now() - datetime.fromisoformat(status["created_at"])).total_seconds()
        if _is_finished(status):
            return status, looks
        queue = client.get("/api/v1/queue").raise_for_status().json()
        waiting = sum(lane["visible"] + lane["in_flight"] for lane in queue["backlog"])
        told = status["estimate"]
        looks.append(
            Look(
                at_s=round(at_s, 3),
                workers=told["workers"] or 0,
                audio_s_per_s=queue["audio_s_per_s"] and round(queue["audio_s_per_s"], 3),
                others_items=max(0, waiting - status["queued"] - status["processing"]),
                ahead_items=told["ahead_items"] or 0,
                item_s=round(queue["waiting_audio_s"] / waiting, 3) if waiting else 60.0,
                told_left_s=told["seconds_left"],
            )
        )
        time.sleep(LOOK_EVERY_S)


def report(runs: list[Run]) -> str:
    """Return the result in words and tables."""
    lines, live = [], []
    for run in runs:
        look = run.look_after(0.1)
        if look is None:
            lines.append([run.name, f"{run.took_s:.0f}", "-", "-", "-", "-"])
            continue
        answer = run.replay(look)
        told = run.error(look, look.told_left_s) if look.told_left_s is not None else None
        if told is not None:
            live.append(told)
        now = None if answer.seconds_left is None else run.error(look, answer.seconds_left)
        lines.append(
            [
                run.name,
                f"{run.took_s:.0f}",
                f"{look.at_s:.1f}",
                "-" if answer.seconds_left is None else f"{look.at_s + answer.seconds_left:.0f}",
                "-" if now is None else f"{100 * now:.0f}",
                "-" if told is None else f"{100 * told:.0f}",
            ]
        )
    by_share = []
    for share in SHARES:
        found = errors(runs, share)
        low, _, high = quantiles(found, n=4) if len(found) > 1 else found * 3
        by_share.append(
            [
                f"{share:.0%}",
                str(len(found)),
                f"{100 * median(found):.1f}",
                f"{100 * low:.1f} to {100 * high:.1f}",
                f"{100 * max(found):.0f}",
            ]
        )
    head = [
        "run (items, lengths, company, engine, workers)",
        "took s",
        "looked at s",
        "foretold s",
        "error %",
        "told %",
    ]
    at_ten = errors(runs, 0.1)
    return f"""# How far off the estimated end of a batch is

- After a tenth of the audio, the median error over {len(at_ten)} runs is **{100 * median(at_ten):.1f} %** of the \
whole time from submit to end (wanted: less than 20); as the API told it while they ran, {100 * median(live):.1f} %.

![Foretold ends of all runs](estimates.svg)

{table(["after", "runs", "median error %", "middle half", "worst"], by_share)}

{table(head, lines)}

- *error*: |foretold end - real end| / (real end - submit), at the first look after a tenth of the audio had ended, by \
the estimator as it is now, from what was recorded. *told*: what the API answered at that moment, by the estimator as \
it was then.
- Runs are kept in `estimates.jsonl`, where a test replays them.
- Machine: {machine()}; other work ran on it at the same time.
"""


def plot(runs: list[Run], path: Path) -> None:
    """Draw each run's foretold end over its time, both as shares of its real end, and the errors after a tenth."""
    from matplotlib import rcParams  # only here: it is large
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "the same picture of the same runs"
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    for run in runs:
        answers = [(look.at_s, run.replay(look).seconds_left) for look in run.looks if run.progress(look.at_s) < 1]
        known = [(at_s / run.took_s, (at_s + left_s) / run.took_s) for at_s, left_s in answers if left_s is not None]
        known = known[:: max(1, len(known) // 40)]
        left.plot(*zip(*known, strict=True), color="tab:blue", alpha=0.35, linewidth=1)
        if (look := run.look_after(0.1)) and (left_s := run.replay(look).seconds_left) is not None:
            left.plot(look.at_s / run.took_s, (look.at_s + left_s) / run.took_s, ".", color="tab:red")
    left.axhspan(0.8, 1.2, color="tab:green", alpha=0.12)
    left.set(xlim=(0, 1), ylim=(0, 2.5), xlabel="time / real end", ylabel="foretold end / real end")
    left.set_title("each run; red: after a tenth of the audio")
    found = [100 * error for error in errors(runs, 0.1)]
    right.hist([min(error, 100) for error in found], bins=range(0, 105, 5), color="tab:blue")
    right.axvline(median(found), color="tab:red")
    right.set(xlabel="error % (100: that or more)", ylabel="runs")
    right.set_title(f"after a tenth: median {median(found):.1f} %")
    figure.savefig(path, metadata={"Date": None})


def _upload(client: httpx.Client, data: bytes, kind: str) -> str:
    answer = client.post("/api/v1/files/upload", files={"file": ("recording", data, kind)}).raise_for_status()
    return str(answer.json()["file_id"])


def _submit(client: httpx.Client, file_ids: Sequence[str]) -> str:
    items = [{"operation": "transcribe", "ref_audio": file_id} for file_id in file_ids]
    return str(client.post("/api/v1/queue/submit", json={"items": items}).raise_for_status().json()["batch_id"])


def _status(client: httpx.Client, batch_id: str) -> dict[str, Any]:
    return dict(client.get(f"/api/v1/queue/status/{batch_id}").raise_for_status().json())


def _is_finished(status: dict[str, Any]) -> bool:
    return bool(status["completed"] + status["failed"] == status["total"])


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/health", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _until(condition: Any) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.2)


def main() -> None:
    """Measure, print, and keep the runs, the report and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", action="store_true", help="measure nothing; use the runs that were kept")
    parser.add_argument("--out", type=Path, default=RUNS, help="where runs are kept")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first plan, from 0 (0)")
    parser.add_argument("--last", type=int, default=len(PLANS), help="number after the last plan (all)")
    given = parser.parse_args()
    if not given.replay:
        with system() as running, given.out.open("w", encoding="utf-8") as out:
            for number in range(given.first, given.last):
                run = record(running, PLANS[number], seed=given.seed + number)
                out.write(to_line(run) + "\n")
                out.flush()
                print(f"{number}: {run.name}: {run.took_s:.1f} s, {len(run.looks)} looks")
    runs = read(given.out)
    publish("estimates", report(runs))
    plot(runs, RESULTS / "estimates.svg")


if __name__ == "__main__":
    main()
