"""`asr-queue transcribe` in pipes, folders and with what goes wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run, environment
from tests.client.contract_server import KEY, ContractServer, Refuse


def files_below(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_one_file_gives_its_text_and_nothing_else(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", recordings / "a" / "talk.mp3", server=server)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "first talk.\n", "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--format", "json"], '{"text":"first talk.","language":"English","language_probability":null}\n'),
        (["--timestamps"], "[00:00:00.000] first talk.\n"),
        (["--format", "srt"], "1\n00:00:00,000 --> 00:00:01,500\nfirst talk.\n"),
        (["--format", "VTT"], "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nfirst talk.\n"),
    ],
)
def test_one_file_in_each_format(
    run: Run, server: ContractServer, recordings: Path, options: list[str], expected: str
) -> None:
    ran = run("transcribe", recordings / "a" / "talk.mp3", *options, server=server)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, expected, "")


def test_a_prompt_and_a_priority_go_with_the_batch(run: Run, server: ContractServer, recordings: Path) -> None:
    options = ["--prompt", "Ljubljana", "--priority", "HIGH"]
    assert run("transcribe", recordings / "a" / "talk.mp3", *options, server=server).returncode == 0
    [batch] = server.batches.values()
    assert (batch["priority"], batch["items"][0]["prompt"]) == ("high", "Ljubljana")


def test_a_prompt_that_is_too_long_is_a_wrong_argument(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", recordings / "a" / "talk.mp3", "--prompt", "x" * 2001, server=server)
    assert ran.returncode == 2
    assert "2001 characters are more than 2000" in ran.stderr


def test_json_has_word_times_when_they_are_asked_for(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", recordings / "a" / "talk.mp3", "--format", "json", "--timestamps", server=server)
    assert json.loads(ran.stdout)["timestamps"][0] == {"start": 0.0, "end": 0.5, "text": "first"}


def test_verbose_json_has_the_shape_that_openai_gives_it(run: Run, server: ContractServer, recordings: Path) -> None:
    path = recordings / "a" / "talk.mp3"
    told = json.loads(run("transcribe", path, "--timestamps", "--format", "verbose_json", server=server).stdout)
    assert told["words"][0] == {"word": "first", "start": 0.0, "end": 0.5}
    [line] = run("transcribe", recordings / "a", "--format", "verbose_json", server=server).stdout.splitlines()
    assert json.loads(line)["task"] == "transcribe"


def test_a_folder_gives_headed_texts_and_a_bad_file_costs_only_itself(
    run: Run, server: ContractServer, recordings: Path
) -> None:
    ran = run("transcribe", "recordings", server=server)
    assert ran.returncode == 1
    blocks = ran.stdout.split("\n\n")
    assert sorted(blocks[:-1]) == [
        "==> recordings/a/talk.mp3 <==\nfirst talk.",
        "==> recordings/b/deep/film.MP4 <==\na film.",
        "==> recordings/b/talk.mp3 <==\nsecond talk.",
    ]
    lines = ran.stderr.splitlines()
    assert len(lines) == 5
    assert sum("failed recordings/b/broken.wav: Invalid audio format" in line for line in lines) == 1
    assert lines[-1].startswith("3 done, 1 failed")


def test_the_last_line_tells_what_the_server_tells(run: Run, server: ContractServer, recordings: Path) -> None:
    server.beyond_of_items = [{"audio_s": 3000.0, "device_s": 12.5, "cost_usd": 0.25}] * 4
    last = run("transcribe", "recordings", server=server).stderr.splitlines()[-1]
    assert re.fullmatch(
        r"3 done, 1 failed; 9000\.0 s of audio in [\d.]+ s, [\d.]+ audio s/s; 50\.0 device s; 1\.0000 USD", last
    )


def test_json_of_several_is_one_line_each_failures_included(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", "recordings", "--format", "json", server=server)
    lines = {entry["path"]: entry for entry in map(json.loads, ran.stdout.splitlines())}
    assert lines["recordings/b/talk.mp3"] == {
        "path": "recordings/b/talk.mp3",
        "text": "second talk.",
        "language": "English",
        "language_probability": None,
    }
    assert lines["recordings/b/broken.wav"]["error_code"] == "item_failed"
    assert len(lines) == 4


def test_out_mirrors_the_folders(run: Run, server: ContractServer, recordings: Path, tmp_path: Path) -> None:
    ran = run("transcribe", "recordings", "--format", "srt", "--out", "subtitles", server=server)
    assert (ran.returncode, ran.stdout) == (1, "")
    written = files_below(tmp_path / "subtitles")
    assert set(written) == {"a/talk.srt", "b/talk.srt", "b/deep/film.srt"}
    assert written["b/talk.srt"] == "1\n00:00:00,000 --> 00:00:01,500\nsecond talk.\n"


def test_files_of_equal_names_from_several_folders_do_not_collide(
    run: Run, server: ContractServer, recordings: Path, tmp_path: Path
) -> None:
    ran = run("transcribe", "recordings/a/talk.mp3", "recordings/b/talk.mp3", "--out", "texts", server=server)
    assert ran.returncode == 0
    assert files_below(tmp_path / "texts") == {"a/talk.txt": "first talk.\n", "b/talk.txt": "second talk.\n"}


def test_names_that_differ_only_in_their_suffix_keep_it(
    run: Run, server: ContractServer, recordings: Path, tmp_path: Path
) -> None:
    for name in ("talk.wav", "TALK.ogg", "talk.mp3.flac", "other.wav"):
        (recordings / "a" / name).write_text(name)
    ran = run("transcribe", "recordings/a", "--out", "texts", server=server)
    assert ran.returncode == 0
    assert set(files_below(tmp_path / "texts")) == {
        "talk.mp3.txt",
        "talk.wav.txt",
        "TALK.ogg.txt",
        "talk.mp3.flac.txt",
        "other.txt",
    }


def test_a_file_named_twice_is_done_once(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", "recordings/a", "recordings/a/talk.mp3", "./recordings/b/../a/talk.mp3", server=server)
    assert ran.returncode == 0
    assert len(server.uploads) == 1


def test_a_path_that_is_missing_costs_only_itself(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", "absent.mp3", "recordings/a", server=server)
    assert ran.returncode == 1
    assert "first talk." in ran.stdout
    assert "[1/2] failed absent.mp3: No such file or directory" in ran.stderr


def test_a_folder_with_one_recording_is_still_a_folder(run: Run, server: ContractServer, recordings: Path) -> None:
    ran = run("transcribe", "recordings/a", server=server)
    assert ran.stdout == "==> recordings/a/talk.mp3 <==\nfirst talk.\n\n"


def test_a_transcript_that_cannot_be_written_is_a_failure(
    run: Run, server: ContractServer, recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "b").write_text("in the way")
    ran = run("transcribe", "recordings/a", "recordings/b/talk.mp3", "--out", "texts", server=server)
    assert ran.returncode == 1
    assert "cannot write texts/b/talk.txt" in ran.stderr
    assert set(files_below(tmp_path / "texts")) == {"b", "a/talk.txt"}


def test_the_language_reaches_the_server(run: Run, server: ContractServer, recordings: Path) -> None:
    assert run("transcribe", "recordings/a", "--language", "German", server=server).returncode == 0
    [batch] = server.batches.values()
    assert [(item["language"], item["return_timestamps"]) for item in batch["items"]] == [("German", False)]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing argument"),
        (["absent.mp3"], "absent.mp3: No such file"),
        (["recordings/.git"], "No such file"),
        (["recordings/a", "--language", "Klingon"], "'Klingon' is no language"),
        (["recordings/a", "--format", "pdf"], "pdf"),
        (["recordings/a", "--format", "srt"], "needs --out"),
        (["recordings/a", "--out", "recordings/a/talk.mp3"], "talk.mp3"),
        (["recordings/a", "--url", "nonsense"], "'nonsense' is not an address"),
        (["recordings/a", "--api-key", "wrong"], "unauthorized"),
    ],
)
def test_arguments_that_make_no_sense_end_with_2(
    run: Run, server: ContractServer, recordings: Path, arguments: list[str], complaint: str
) -> None:
    (recordings / ".git" / "x.wav").unlink()
    (recordings / ".git").rmdir()
    ran = run("transcribe", *arguments, server=server)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert complaint in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not server.uploads


def test_a_folder_without_recordings_ends_with_2(run: Run, server: ContractServer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("transcribe", "empty", server=server)
    assert ran.returncode == 2
    assert "no audio or video in empty" in ran.stderr


def test_a_server_that_is_away_ends_with_2(run: Run, recordings: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ran = run("transcribe", "recordings", "--url", url, "--api-key", "k")
    assert ran.returncode == 2
    assert f"no answer from {url}" in ran.stderr


def test_an_address_without_a_key_ends_with_2(run: Run, recordings: Path) -> None:
    ran = run("transcribe", "recordings", "--url", "http://127.0.0.1:1")
    assert ran.returncode == 2
    assert "--api-key" in ran.stderr


def test_the_server_that_runs_from_this_folder_is_found(
    run: Run, server: ContractServer, recordings: Path, tmp_path: Path
) -> None:
    data = tmp_path / ".asr-queue"
    data.mkdir()
    (data / "url").write_text(f"{server.url}\n")
    (data / "api-key").write_text(f"{KEY}\n")
    ran = run("transcribe", "recordings/a/talk.mp3")
    assert (ran.returncode, ran.stdout) == (0, "first talk.\n")


def test_retries_are_silent(run: Run, server: ContractServer, recordings: Path) -> None:
    server.script("submit", Refuse(503), Refuse(503))
    ran = run("transcribe", recordings / "a" / "talk.mp3", server=server)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "first talk.\n", "")


def test_text_that_the_terminals_encoding_lacks_is_no_failure(run: Run, server: ContractServer, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("добрый день")
    ran = run("transcribe", "a.wav", server=server, PYTHONIOENCODING="latin-1")
    assert (ran.returncode, ran.stdout) == (0, "?????? ????\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupt_ends_at_once_and_leaves_nothing_half_written(
    server: ContractServer, recordings: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    server.polls_to_finish = 10**9
    with subprocess.Popen(
        [*COMMAND, "transcribe", "recordings", "--out", "texts"],
        cwd=tmp_path,
        env=environment(ASR_QUEUE_URL=server.url, ASR_QUEUE_API_KEY=KEY),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        patience_s = time.monotonic() + 60
        while not server.times("status") or not server.batches:
            assert time.monotonic() < patience_s
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in err
    assert files_below(tmp_path / "texts") == {}


def test_a_reader_that_leaves_early_is_no_traceback(server: ContractServer, recordings: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [*COMMAND, "transcribe", "recordings"],
        cwd=tmp_path,
        env=environment(ASR_QUEUE_URL=server.url, ASR_QUEUE_API_KEY=KEY),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writing)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "Exception" not in ran.stderr
