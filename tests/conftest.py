"""Fixtures that several suites share."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from asr_queue.local import embedded, environment
from asr_queue.local.processes import Child, Lifeline
from tests.sam import build

# The same examples on each run, however slow the machine; `--hypothesis-profile=nightly` looks for new ones.
hypothesis.settings.register_profile("push", deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=2000, print_blob=True)
hypothesis.settings.load_profile("push")

# A shell that starts something in the background has it ignore Ctrl-C, nohup the end of the terminal, and so do their
# children, for ever. Tests that interrupt would wait for nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True, slots=True)
class EmbeddedAws:
    """A running emulator with the deployed stack; its schedule and event sources are off: tests call by hand."""

    environment: Mapping[str, str]
    """What boto3 and `ResourceSettings` need, complete."""
    dead_letter_queue_url: str


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam build` makes: a folder a function (`ApiFunction/`, ...), as its zip is."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def embedded_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """One emulator for the session: tests keep out of each other's way by their ids and tenants."""
    folder = tmp_path_factory.mktemp("aws")
    with Lifeline() as lifeline, embedded.listener(0) as listening:
        emulator = Child(embedded.program(listening, folder), lifeline=lifeline, logs=folder)
        try:
            url = embedded.url_of(listening)
            resources = embedded.deploy(url, {"Triggers": "DISABLED"}, lifeline=lifeline)
            yield EmbeddedAws(
                environment={**environment.for_clients(url), **resources.as_settings()},
                dead_letter_queue_url=resources.dead_letter_queue_url,
            )
        finally:
            emulator.ask_to_end()
            emulator.wait(emulator.program.patience_s)
            emulator.sweep_up()


@pytest.fixture(scope="session")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the `openai` package of npm, at the version of the lock, and the programs that use it."""
    complain = pytest.fail if "CI" in os.environ else pytest.skip
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        complain(f"{', '.join(missing)} not installed")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(Path(__file__).parent / "e2e" / "openai_node", folder, dirs_exist_ok=True)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        complain(f"npm ci: {done.stderr[-500:]}")
    return folder


@pytest.fixture
def event_loop_of_the_main_thread() -> Iterator[None]:
    """Mangum takes it, as Lambda's process has it; another test of this process may have used it up."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
