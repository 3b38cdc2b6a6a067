"""`asr-queue doctor --engine`: the real load and a real pass, told in words."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_worker.engine import EngineSettings
from gpu_worker.engines.qwen3.generation import Generator
from gpu_worker.engines.qwen3_asr import Qwen3AsrEngine
from gpu_worker.trial import tone, try_engine
from tests.cli.conftest import environment

RECORDING = Path(__file__).parents[2] / "recordings" / "librivox-0880.flac"


def doctor(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "asr_queue", "doctor", *map(str, arguments)],
        # Threads that wait for each other inside tiny operations take twenty times as long on a busy machine.
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.fixture
def settings(settings: EngineSettings) -> EngineSettings:
    return replace(settings, micro_batch=2)


def test_an_engine_is_tried_on_a_recording(settings: EngineSettings) -> None:
    ran = doctor(
        "--engine", "qwen3-asr", "--model", settings.model, "--aligner", settings.aligner, "--recording", RECORDING
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("ok      engine qwen3-asr: loaded in ")
    assert "3.0 s of speech in " in ran.stdout
    assert "times as fast as it is long" in ran.stdout
    assert ran.stdout.endswith("The engine works here.\n")


def test_what_is_wrong_is_told_as_json() -> None:
    ran = doctor("--engine", "mumble", "--json")
    assert ran.returncode == 1
    report = json.loads(ran.stdout)
    assert not report["ok"]
    (check,) = report["checks"]
    assert (check["name"], check["state"]) == ("engine mumble", "wrong")
    assert "known are: echo, qwen3-asr, whisper" in check["detail"]


def test_an_engine_that_needs_no_weights_is_tried_on_a_tone() -> None:
    ran = doctor("--engine", "echo")
    assert ran.returncode == 0, ran.stderr
    assert "10.0 s of a tone in " in ran.stdout
    assert "'echo of 10.00 s'" in ran.stdout


def test_steps_that_differ_from_plain_ones_are_a_fault(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = try_engine(Qwen3AsrEngine(settings), tone(16_000), has_speech=True)
    assert found.faults == ()
    assert found.text
    inside = Generator.generate

    def wrong_without_graphs(self, requests):
        generated = inside(self, requests)
        return generated if self._parts.steps.are_used else generated[::-1]

    monkeypatch.setattr(Generator, "generate", wrong_without_graphs)
    found = try_engine(Qwen3AsrEngine(settings), tone(16_000), has_speech=True)
    assert found.faults == ("6 of 6 texts differ between captured and launched steps.",)
