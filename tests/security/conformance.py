"""The API against its own description: Schemathesis with all its checks, as two tenants that are each other's peers.

`python -m tests.security.conformance CASES`: the long form, on a whole `asr-queue up`; `make schemathesis` runs it.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).with_name("schemathesis.toml")
_LONGEST_S: Final = 6 * 3600
_SHOWN_CHARS: Final = 6000
_PATIENCE_S: Final = 120
_PEERS: Final = '[auth.wfc]\npath = "users.json"\npeers = ["acme", "other"]\n\n'


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    is_clean: bool
    cases: int
    """Requests that were made and judged."""
    text: str
    """What Schemathesis wrote."""


def judge(url: str, keys: Mapping[str, str], *, examples: int, seed: int | None = None) -> Outcome:
    """Try every operation of the API at an address so many times in each phase.

    Args:
        url: where it is served.
        keys: the keys of `acme` and `other`.
        examples: how many cases an operation, in fuzzing and again along its links.
        seed: of the cases; None for others each time.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        users = [{"name": who, "fixedHeaders": [{"name": "X-API-Key", "value": key}]} for who, key in keys.items()]
        (folder / "users.json").write_text(json.dumps({"auth": users}))
        (folder / "schemathesis.toml").write_text(_PEERS + RULES.read_text())
        command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml"]
        command += [
            "run",
            f"{url}/openapi.json",
            "--url",
            url,
            "--checks",
            "all",
            "--continue-on-failure",
            "--no-color",
        ]
        command += ["--max-examples", str(examples), "--generation-database", "none"]
        # What is slow is this machine, and nothing is judged by that.
        command += ["--suppress-health-check", "all", "--request-timeout", str(_PATIENCE_S)]
        command += [] if seed is None else ["--seed", str(seed)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    counted = re.search(r"^ +([\d,]+) generated", done.stdout, re.MULTILINE)
    cases = 0 if counted is None else int(counted[1].replace(",", ""))
    return Outcome(done.returncode == 0, cases, done.stdout + done.stderr)


def main() -> int:
    """Run until so many cases were made, on one whole system; print what came of it."""
    from asr_queue.adapters.aws import connect
    from asr_queue.adapters.system_clock import SystemClock
    from asr_queue.settings import ResourceSettings
    from asr_queue.usecases.manage_keys import create_key
    from tests.e2e.conftest import running

    wanted, cases, is_clean = int(sys.argv[1]), 0, True
    with (
        tempfile.TemporaryDirectory() as name,
        running(Path(name), "--engine", "echo", "--voice-engine", "echo") as stack,
    ):
        environment = stack.environment()
        settings = ResourceSettings(
            bucket=environment["ASR_QUEUE_BUCKET"],
            table=environment["ASR_QUEUE_TABLE"],
            transcribe_queue_url=environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
        )
        table = connect(settings, environment=environment).table
        keys = {
            who: create_key(tenant=who, name="schemathesis", table=table, clock=SystemClock())[0]
            for who in ("acme", "other")
        }
        while cases < wanted and is_clean:
            outcome = judge(stack.url, keys, examples=500)
            print(outcome.text[-_SHOWN_CHARS:], flush=True)
            if not outcome.cases:
                return 2
            cases, is_clean = cases + outcome.cases, outcome.is_clean
    print(f"{cases:,} cases: {'no failure' if is_clean else 'FAILED'}")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
