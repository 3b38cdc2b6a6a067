"""`asr-queue say` and `voices`, on the real API."""

import json
import subprocess
from pathlib import Path

import pytest

from asr_queue.client import Client
from tests.cli.conftest import COMMAND, Run, environment
from tests.client.test_real_api import Running, running

__all__ = ["running"]


@pytest.fixture
def told(running: Running) -> dict[str, str]:
    return {"ASR_QUEUE_URL": running.url, "ASR_QUEUE_API_KEY": running.api_key}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "anna.wav"
    path.write_text("anna")
    return path


def test_a_text_is_said_into_a_file(run: Run, told: dict[str, str], sample: Path, tmp_path: Path) -> None:
    ran = run("say", "Hello.", "--voice", sample, "-o", "out.mp3", "--format", "mp3", "--language", "en", **told)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "out.mp3\n", "")
    assert (tmp_path / "out.mp3").read_text() == "Hello. like anna"


def test_a_text_comes_from_standard_input_and_a_voice_by_its_id(
    running: Running, told: dict[str, str], tmp_path: Path
) -> None:
    with Client(running.url, running.api_key) as client:
        voice = client.upload(b"anna").file_id
    command = [*COMMAND, "say", "-", "--voice", voice, "-o", "out.wav"]
    for text, status in (("Déjà vu.".encode(), 0), (b"\xff", 2)):
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment(**told), input=text, capture_output=True, timeout=60, check=False
        )
        assert ran.returncode == status, ran.stderr
    assert (tmp_path / "out.wav").read_text() == "Déjà vu. like anna"


@pytest.mark.parametrize(
    ("name", "form"), [("out.FLAC", "flac"), ("out.mp3", "mp3"), ("out.m4a", "wav"), ("out", "wav")]
)
def test_a_file_is_of_the_format_that_its_name_ends_in(
    running: Running, run: Run, told: dict[str, str], sample: Path, name: str, form: str
) -> None:
    assert run("say", "Hello.", "--voice", sample, "-o", name, **told).returncode == 0
    with Client(running.url, running.api_key) as client:
        newest = next(client.list_batches())
        [item] = client.status(newest.batch_id).items
    assert item.url is not None
    assert item.url.endswith(f".{form}")


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (("x" * 10_001, "--voice", "anna.wav"), 1, "10001 characters"),
        (("...", "--voice", "anna.wav"), 2, "text_empty"),
        (("Hello.", "--voice", "none.wav"), 2, "cannot read none.wav"),
        (("Hello.", "--voice", "00000000-0000-4000-8000-000000000000"), 2, "file_not_found"),
        (("Hello.", "--voice", "anna.wav", "--language", "Klingon"), 2, "Klingon"),
        (("Hello.", "--voice", "anna.wav", "--format", "ogg"), 2, "ogg"),
        (("Hello.", "--voice", "anna.wav", "--out", "none/out.wav"), 2, "cannot write none/out.wav"),
    ],
)
def test_what_cannot_be_said_ends_with_its_reason_and_no_file(
    run: Run, told: dict[str, str], sample: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, why: str
) -> None:
    ran = run("say", "--out", "out.wav", *arguments, **told)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert why in ran.stderr
    assert list(tmp_path.iterdir()) == [sample]


def test_voices_are_added_listed_and_deleted(
    run: Run, running: Running, told: dict[str, str], sample: Path, tmp_path: Path
) -> None:
    ids = []
    for name in ("Anna", "B\x1b[2J"):
        ran = run("voices", "add", name, sample, "--consent", "--said", "Hello.", **told)
        assert (ran.returncode, ran.stderr) == (0, "")
        ids.append(ran.stdout.strip())
        running.clock.advance(1)
    lines = run("voices", "list", **told).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert lines[0].endswith("  4 bytes  B\N{REPLACEMENT CHARACTER}[2J")
    listed = [json.loads(line) for line in run("voices", "list", "--json", **told).stdout.splitlines()]
    assert [voice["said"] for voice in listed] == ["Hello.", "Hello."]
    assert run("say", "Hello.", "--voice", ids[0], "-o", "out.wav", **told).returncode == 0
    assert (tmp_path / "out.wav").read_text() == "Hello. like anna"
    assert run("voices", "delete", ids[0], **told).returncode == 0
    assert [line.split()[0] for line in run("voices", "list", **told).stdout.splitlines()] == ids[1:]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("add", "Anna", "anna.wav"), "--consent"),
        (("add", "Anna", "none.wav", "--consent"), "cannot read none.wav"),
        (("add", "x" * 101, "anna.wav", "--consent"), "101 characters"),
        (("add", "Anna", "anna.wav", "--consent", "--said", "x" * 1_001), "1001 characters"),
        (("delete", "nonsense"), "voice_not_found"),
    ],
)
def test_a_voice_that_cannot_be_had_ends_with_2(
    run: Run, told: dict[str, str], sample: Path, arguments: tuple[str, ...], why: str
) -> None:
    ran = run("voices", *arguments, **told)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert why in ran.stderr
    assert run("voices", "list", **told).stdout == ""
