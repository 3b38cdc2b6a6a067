"""How fast the API function starts: from the first import to the first response, in a fresh process.

    python benchmarks/cold_start.py                 # runs `sam build`
    python benchmarks/cold_start.py --artefact DIR  # what it made before, such as .aws-sam/build/ApiFunction

Beside it, in turns, the least function that could do the same: FastAPI, Mangum, boto3 and the three clients, one route
that reads the table; it finds its packages in the same folder. Both run on what was built and the standard library
alone, and read a table in the embedded AWS. Twice: as built, so that Python compiles every module at each start, as in
Lambda, whose folder is read only; and with compiled modules beside the sources.
"""

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from report import machine, publish, spread, table

from asr_queue.local import embedded, environment
from asr_queue.local.processes import Child, Lifeline

ROOT = Path(__file__).parents[1]
_WANTED_RATIO = 1.3
_LIMIT_BYTES = 50_000_000
_HEAVY = ("torch", "numpy", "av", "ctranslate2")

BARE = """
import os
from functools import cache

import boto3
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@cache
def clients():
    return boto3.client("s3"), boto3.client("sqs"), boto3.client("dynamodb")


@app.get("/api/v1/health")
def health() -> dict[str, str]:
    key = {"pk": {"S": "KEY#health"}, "sk": {"S": "META"}}
    clients()[2].get_item(TableName=os.environ["ASR_QUEUE_TABLE"], Key=key, ConsistentRead=True)
    return {"status": "ok"}


handler = Mangum(app, lifespan="off")
"""

START = """
import time

began_s = time.perf_counter()
import importlib
import json
import sys
from types import SimpleNamespace

event = json.load(sys.stdin)
context = SimpleNamespace(
    function_name="api",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:api",
    aws_request_id="52fdfc07-2182-454f-963f-5f0f9a621d72",
)
handler = importlib.import_module(sys.argv[1]).handler
imported_s = time.perf_counter()
answer = handler(event, context)
answered_s = time.perf_counter()
assert answer["statusCode"] == 200, answer
sys.stdout.write("\\n" + json.dumps([imported_s - began_s, answered_s - imported_s]))
"""


def built(to: Path) -> Path:
    """Run `sam build` for the Python that runs; return the API function's folder."""
    folders = [str(ROOT / ".venv-infra" / "bin"), str(Path(sys.executable).parent), environment.plain()["PATH"]]
    tools = os.pathsep.join(folders)
    sam = shutil.which("sam", path=tools)
    if sam is None:
        sys.exit("there is no `sam`; `make infra-check` installs it")
    runtime = f"PythonRuntime=python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run(
        [sam, "build", "--build-dir", str(to), "--parameter-overrides", runtime],
        cwd=ROOT,
        env={**environment.plain(), "PATH": tools, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"},
        check=True,
        capture_output=True,
    )
    return to / "ApiFunction"


@contextmanager
def stack(folder: Path) -> Iterator[dict[str, str]]:
    """Run an embedded AWS with the deployed template for the block; yield what leads a function to it."""
    folder.mkdir()
    with Lifeline() as lifeline, embedded.listener(0) as listening:
        emulator = Child(embedded.program(listening, folder), lifeline=lifeline, logs=folder)
        try:
            url = embedded.url_of(listening)
            resources = embedded.deploy(url, {"Triggers": "DISABLED"}, lifeline=lifeline)
            yield {**environment.for_clients(url), **resources.as_settings()}
        finally:
            emulator.sweep_up()


def start(module: str, artefact: Path, beside: Path, variables: Mapping[str, str]) -> tuple[float, float]:
    """Start one function; return the seconds of its import and of its first response."""
    event = (ROOT / "events" / "api_health.json").read_text(encoding="utf-8")
    # -S and -P: nothing but what was built, the standard library, and the folder of the bare function.
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", START, module],
        env={**variables, "PYTHONPATH": f"{artefact}:{beside}", "PYTHONDONTWRITEBYTECODE": "1"},
        input=event,
        capture_output=True,
        text=True,
        check=True,
    )
    imported_s, answered_s = json.loads(done.stdout.splitlines()[-1])
    return imported_s, answered_s


def in_turns(
    artefact: Path, beside: Path, variables: Mapping[str, str], runs: int
) -> dict[str, list[tuple[float, float]]]:
    """Start both functions in turns, after one start of each that does not count."""
    starts: dict[str, list[tuple[float, float]]] = {"handlers.api": [], "bare": []}
    for number in range(runs + 1):
        for module, seen in starts.items():
            measured = start(module, artefact, beside, variables)
            if number:
                seen.append(measured)
    return starts


def ratio(starts: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    """Return how many times as long as the bare function ours takes, by the medians."""
    ours, bare = (median(sum(one) for one in starts[name]) for name in ("handlers.api", "bare"))
    return ours / bare


def report(
    as_built: dict[str, list[tuple[float, float]]],
    compiled: dict[str, list[tuple[float, float]]],
    artefact_bytes: int,
    runs: int,
) -> str:
    """Return the result in words and a table."""
    rows = [
        [
            f"{'this API' if name == 'handlers.api' else 'bare FastAPI + Mangum'}, {how}",
            spread([imported_s for imported_s, _ in seen]),
            spread([answered_s for _, answered_s in seen]),
            spread([sum(one) for one in seen]),
        ]
        for how, starts in (("as built", as_built), ("compiled", compiled))
        for name, seen in starts.items()
    ]
    head = ["seconds: median (least-most)", "import", "first response", "both"]
    return f"""# How fast the API function starts

- **{ratio(as_built):.2f}** times the bare function as built, **{ratio(compiled):.2f}** with compiled modules;
  wanted: at most {_WANTED_RATIO}.
- **{artefact_bytes / 1e6:.1f} MB** unzipped, of at most {_LIMIT_BYTES / 1e6:.0f}; none of {", ".join(_HEAVY)} in it.

{table(head, rows)}

- Machine: {machine()}.
- {runs} starts each, in turns, each in a fresh process, after one that does not count. The first response is
  `GET /api/v1/health`: client creation and a read of the table in the embedded AWS included.
- As built: what `sam build` makes holds no compiled modules, and Lambda's folder is read only, so Python compiles them
  at each start. Compiled: the same folder after `python -m compileall`.
"""


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artefact", type=Path, metavar="DIR", help="the built function (default: build it)")
    parser.add_argument("--runs", type=int, default=15, help="starts of each function (15)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        artefact = shutil.copytree(arguments.artefact or built(folder / "built"), folder / "artefact")
        assert not any((artefact / name).exists() for name in _HEAVY)
        artefact_bytes = sum(path.stat().st_size for path in artefact.rglob("*") if path.is_file())
        assert artefact_bytes < _LIMIT_BYTES, artefact_bytes
        beside = folder / "beside"
        beside.mkdir()
        (beside / "bare.py").write_text(BARE, encoding="utf-8")
        with stack(folder / "aws") as variables:
            as_built = in_turns(artefact, beside, variables, arguments.runs)
            compileall.compile_dir(artefact, quiet=2, workers=1)
            compileall.compile_dir(beside, quiet=2)
            compiled = in_turns(artefact, beside, variables, arguments.runs)
    publish("cold_start", report(as_built, compiled, artefact_bytes, arguments.runs))


if __name__ == "__main__":
    main()
