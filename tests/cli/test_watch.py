"""`asr-queue watch`: on a terminal a picture that follows, elsewhere what there is now."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.terminals import CTRL_C, SHOW_CURSOR, on_terminal
from tests.client.contract_server import KEY, ContractServer, Plain, Refuse, Reset, serving

_NORMAL_SCREEN = "\x1b[?1049l"


def worker(number: int, **fields: object) -> dict[str, Any]:
    told = {
        "worker_id": f"worker-{number}",
        "engine": "qwen3-asr",
        "started_at": "2026-01-31T12:00:00.000Z",
        "seen_at": "2026-01-31T13:12:03.000Z",
        "held_items": 32,
        "micro_batch_max": 16,
        "micro_batch_fill": 0.75,
        "audio_s_per_s": 200.0,
        "busy": 0.98,
        "items_done": 1234,
        "audio_s_done": 7200.0,
        "resident": ["transcribe"],
        "swaps": 0,
        "mean_swap_s": None,
        "device_bytes": None,
    }
    return {**told, **fields}


def batch(number: int, **fields: object) -> dict[str, Any]:
    told = {
        "batch_id": f"{number:08}-0000-0000-0000-000000000000",
        "label": f"calls {number}",
        "status": "processing",
        "priority": "normal",
        "completed": 120,
        "failed": 1,
        "queued": 863,
        "processing": 16,
        "total": 1000,
        "created_at": "2026-01-31T12:00:00.000Z",
        "finished_at": None,
        "retry_of": None,
    }
    return {**told, **fields}


@pytest.fixture
def server(server: ContractServer) -> ContractServer:
    server.queue = queue(worker(1), worker(2))
    server.listed = [batch(1), batch(2, completed=1000, failed=0, queued=0, processing=0, status="completed")]
    return server


def queue(*workers: dict[str, Any], waiting: int = 1240) -> dict[str, Any]:
    return {
        "backlog": [
            {"priority": "high", "visible": 0, "in_flight": 0},
            {"priority": "normal", "visible": waiting, "in_flight": 32},
            {"priority": "low", "visible": 7, "in_flight": 0},
        ],
        "waiting_audio_s": 36_000.0,
        "audio_s_per_s": 400.0 if workers else None,
        "workers": list(workers),
    }


def named(server: ContractServer) -> dict[str, str]:
    return {"ASR_QUEUE_URL": server.url, "ASR_QUEUE_API_KEY": KEY}


SNAPSHOT = """\
backlog: high 0, normal 1,240 + 32 in flight, low 7
waiting: 10:00:00 of audio, 400.0 audio s/s, empty in 0:01:30
worker worker-1: qwen3-asr, holds 32, fill 12.0/16, 200.0 audio s/s, busy 98%, 1,234 items, 2:00:00 of audio in 1:12:03
worker worker-2: qwen3-asr, holds 32, fill 12.0/16, 200.0 audio s/s, busy 98%, 1,234 items, 2:00:00 of audio in 1:12:03
batch 00000001-0000-0000-0000-000000000000: processing, normal, 120 done, 1 failed, 16 processing, 863 queued  calls 1
"""


def test_elsewhere_than_on_a_terminal_it_is_printed_once(run: Run, server: ContractServer) -> None:
    ran = run("watch", server=server)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, SNAPSHOT, "")


def test_once_prints_the_same_on_a_terminal(server: ContractServer, tmp_path: Path) -> None:
    with on_terminal(tmp_path, "watch", "--once", columns=200, extra=named(server)) as terminal:
        assert terminal.ended() == 0
    assert terminal.seen == SNAPSHOT.replace("\n", "\r\n")


def test_json_is_the_servers_answers(run: Run, server: ContractServer) -> None:
    told = json.loads(run("watch", "--json", server=server).stdout)
    assert told == {"queue": server.queue, "batches": server.listed[:1]}  # type: ignore[index]


def test_what_is_not_known_is_said_to_be_so(run: Run, server: ContractServer) -> None:
    server.queue, server.listed = queue(worker(1, micro_batch_fill=None, audio_s_per_s=None)), None
    server.queue["audio_s_per_s"] = None
    told = run("watch", server=server).stdout
    assert "waiting: 10:00:00 of audio, - audio s/s, empty in -\n" in told
    assert "holds 32, fill -, - audio s/s" in told
    assert "batch" not in told
    assert json.loads(run("watch", "--json", server=server).stdout)["batches"] is None


def test_without_workers_it_says_so(run: Run, server: ContractServer) -> None:
    server.queue = queue()
    assert "\nno worker\n" in run("watch", server=server).stdout


def test_names_cannot_steer_the_terminal(run: Run, server: ContractServer) -> None:
    server.queue = queue(worker(1, engine="e\x1b[2J"))
    server.listed = [batch(1, label="a\x1b]0;owned\x07\nworker")]
    told = run("watch", server=server).stdout
    assert "\x1b" not in told
    assert "\x07" not in told
    assert len(told.splitlines()) == 4


@pytest.mark.parametrize(
    ("fault", "complaint"), [(Refuse(401, "unauthorized"), "unauthorized"), (Plain(), "not an answer of asr-queue")]
)
def test_a_first_look_that_fails_ends_with_2(
    run: Run, server: ContractServer, tmp_path: Path, fault: Refuse | Plain, complaint: str
) -> None:
    server.always["queue"] = fault
    ran = run("watch", server=server)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert complaint in ran.stderr
    with on_terminal(tmp_path, "watch", extra=named(server)) as terminal:
        assert terminal.ended() == 2
    assert complaint in terminal.plain


def test_on_a_terminal_it_follows_and_q_ends_it(server: ContractServer, tmp_path: Path) -> None:
    with on_terminal(tmp_path, "watch", columns=130, extra=named(server)) as terminal:
        seen = terminal.until(r"calls 1")
        assert "normal 1,240 + 32 in flight" in seen
        assert "empty in 0:01:30" in seen
        assert "worker-2" in seen
        assert "12.0/16" in seen
        assert "2 workers" in seen
        assert "00000001-0000-0000-0000-000000000000" in seen
        assert "calls 2" not in seen, "it is finished"
        server.queue = queue(worker(1), waiting=7)
        terminal.until(r"normal 7 \+ 32 in flight")
        terminal.type("xq")
        assert terminal.ended() == 0
        assert terminal.is_echoing
    ending = terminal.seen[-200:]
    assert _NORMAL_SCREEN in ending
    assert SHOW_CURSOR in ending


@pytest.mark.parametrize("status", [130, 143])
def test_however_it_is_ended_the_terminal_is_in_order(server: ContractServer, tmp_path: Path, status: int) -> None:
    with on_terminal(tmp_path, "watch", extra=named(server)) as terminal:
        terminal.until("worker-2")
        if status == 130:
            terminal.type(CTRL_C)
        else:
            terminal.process.terminate()
        assert terminal.ended() == status
        assert terminal.is_echoing
    assert "Traceback" not in terminal.plain
    assert _NORMAL_SCREEN in terminal.seen
    assert SHOW_CURSOR in terminal.seen[terminal.seen.rindex("worker-2") :]


def test_it_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    with ExitStack() as running:
        before = running.enter_context(serving())
        before.queue = queue(worker(1))
        with on_terminal(tmp_path, "watch", columns=150, extra=named(before)) as terminal:
            terminal.until("worker-1")
            before.always["queue"] = Reset()  # the connection that is open already
            running.close()
            assert "worker-1" in terminal.until(r"as it was 0:00:0\d ago; trying again: no answer from http://127")
            terminal.forget()
            with serving(int(before.url.rpartition(":")[2])) as after:
                after.queue = queue(worker(8))
                assert "trying again" not in terminal.until(r"worker-8").rpartition("q ends")[2]
                terminal.type("q")
                assert terminal.ended() == 0


def test_a_small_window_is_never_overrun_and_one_that_grows_is_filled(server: ContractServer, tmp_path: Path) -> None:
    server.queue = queue(*(worker(number) for number in range(30)))
    server.listed = [batch(number) for number in range(30)]
    with on_terminal(tmp_path, "watch", rows=15, columns=60, extra=named(server)) as terminal:
        seen = terminal.until(r"and 28 more")
        assert "30 workers (28 not shown)" in seen
        assert "worker-2" not in seen
        pictures = terminal.seen.split("\x1b[H")[1:]
        assert pictures
        assert all(picture.count("\n") < 15 for picture in pictures)
        terminal.forget()
        terminal.resize(rows=60, columns=130)
        terminal.until(r"worker-20[\s\S]*calls 20")
        terminal.type("q")
        assert terminal.ended() == 0
