"""`asr-queue status`, `doctor`, `up` and what holds for every command."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from asr_queue.client import Client, transcribe_item
from tests.cli.conftest import Run
from tests.client.contract_server import KEY, ContractServer


@pytest.fixture
def batch_id(server: ContractServer) -> str:
    with Client(server.url, KEY) as client:
        items = [
            transcribe_item(client.upload(data).file_id, custom_id=data.decode()) for data in (b"good one", b"bad one")
        ]
        return client.submit(items, label="my batch").batch_id


def test_status_tells_counts_and_reasons(run: Run, server: ContractServer, batch_id: str) -> None:
    server.polls_to_finish = 2
    assert run("status", batch_id, server=server).stdout == "queued: 0 done, 0 failed, 2 to go  my batch\n"
    assert run("status", batch_id, server=server).stdout == (
        "partial: 1 done, 1 failed, 0 to go  my batch\n  failed bad one: Invalid audio format: not audio\n"
    )


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({}, None),
        (
            {
                "audio_s": {"done": 120, "total": 3720.4, "is_estimate": True},
                "estimate": {"basis": "batch", "seconds_left": 83.7, "ahead_items": 0, "workers": 2},
            },
            "0:02:00 of about 1:02:00 of audio; about 0:01:24 left, by its own progress",
        ),
        (
            {"estimate": {"basis": "workers", "seconds_left": 10, "ahead_items": 7, "workers": 1}},
            "about 0:00:10 left, by what the workers can do; at most 7 items ahead",
        ),
        ({"estimate": {"basis": "none", "ahead_items": 0, "workers": 0}}, "no worker is there"),
        (
            {"audio_s": {"done": 60, "total": 60, "is_estimate": False}, "cost_usd": 0.00412},
            "0:01:00 of 0:01:00 of audio; 0.0041 USD",
        ),
    ],
)
def test_status_tells_in_a_line_what_the_server_knows_of_the_rest(
    run: Run, server: ContractServer, batch_id: str, told: dict, line: str | None
) -> None:
    server.polls_to_finish = 2
    server.beyond = told
    lines = run("status", batch_id, server=server).stdout.splitlines()
    assert lines[1:] == ([] if line is None else [f"  {line}"])


def test_status_as_json_is_the_servers_answer(run: Run, server: ContractServer, batch_id: str) -> None:
    answer = json.loads(run("status", batch_id, "--json", server=server).stdout)
    assert (answer["batch_id"], answer["completed"], answer["failed"]) == (batch_id, 1, 1)
    assert answer["items"][0]["url"].startswith("/api/v1/files/queue_transcribe_")


def test_status_of_an_unknown_batch_or_without_a_server_ends_with_2(run: Run, server: ContractServer) -> None:
    ran = run("status", "nonsense", server=server)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "batch_not_found" in ran.stderr
    ran = run("status", "nonsense")
    assert ran.returncode == 2
    assert "--url" in ran.stderr


def test_doctor_finds_a_server_that_works(run: Run, server: ContractServer) -> None:
    ran = run("doctor", server=server)
    assert ran.returncode == 0, ran.stdout
    assert f"ok      server: {server.url} answers and accepts the key" in ran.stdout
    assert ran.stdout.endswith(f"Transcribing works on {server.url}.\n")


def test_doctor_says_what_to_do_about_a_refused_key(run: Run, server: ContractServer) -> None:
    ran = run("doctor", "--api-key", "wrong", "--json", server=server)
    assert ran.returncode == 1
    report = json.loads(ran.stdout)
    assert report["ok"] is False
    [check] = [check for check in report["checks"] if check["name"] == "server"]
    assert check["state"] == "wrong"
    assert "key" in check["remedy"]


def test_doctor_without_a_server_looks_at_what_a_private_stack_needs(run: Run) -> None:
    ran = run("doctor", "--json")
    assert ran.returncode == 0, ran.stdout
    states = {check["name"]: check["state"] for check in json.loads(ran.stdout)["checks"]}
    assert states["whisper weights"] == states["extra local"] == states["data folder"] == "ok"
    assert states["server"] == "absent"


def test_doctor_tells_a_folder_that_cannot_hold_the_data(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".asr-queue").write_text("in the way")
    ran = run("doctor")
    assert ran.returncode == 1
    assert "wrong   data folder" in ran.stdout


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").stdout == f"asr-queue {version('asr-queue')}\n"


@pytest.mark.parametrize(
    "command", [[], ["transcribe"], ["status"], ["watch"], ["report"], ["up"], ["keys"], ["keys", "create"], ["doctor"]]
)
def test_every_command_has_help(run: Run, command: list[str]) -> None:
    ran = run(*command, "--help")
    assert ran.returncode == 0
    assert ran.stdout.startswith("Usage: ")


def test_up_refuses_a_port_that_is_none(run: Run) -> None:
    ran = run("up", "--port", "70000")
    assert ran.returncode == 2
    assert "--port" in ran.stderr


_WITHOUT = """
import sys
sys.argv = ["asr-queue", *sys.argv[2:]]
for name in {names!r}:
    sys.modules[name] = None
from asr_queue.__main__ import main
main()
"""


def without(*names: str, arguments: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _WITHOUT.format(names=names), "-", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


def test_the_client_extra_is_enough_to_transcribe_elsewhere(
    server: ContractServer, recordings: Path, tmp_path: Path
) -> None:
    others = ("boto3", "botocore", "fastapi", "numpy", "soundfile", "uvicorn", "ministack", "faster_whisper")
    arguments = ["transcribe", "recordings/a/talk.mp3", "--url", server.url, "--api-key", KEY]
    ran = without(*others, arguments=arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "first talk.\n", "")


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("typer", ["doctor"], "client"),
        ("asr_queue.local.up", ["transcribe", "recordings/a/talk.mp3"], "local"),
        ("asr_queue.local.up", ["up"], "local"),
        ("boto3", ["keys", "list"], "aws"),
        ("matplotlib", ["report", "nonsense"], "report"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(
    recordings: Path, tmp_path: Path, missing: str, arguments: list[str], extra: str
) -> None:
    ran = without(missing, arguments=arguments, cwd=tmp_path)
    assert ran.returncode in (1, 2)
    assert f"pip install 'asr-queue[{extra}]'" in ran.stderr
    assert "Traceback" not in ran.stderr
