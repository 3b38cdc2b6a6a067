"""Many files at once, against a real server that misbehaves: every source gives exactly one result."""

import asyncio
import gc
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asr_queue.client import AsyncClient, Client, FileProgress, ItemResult, Progress
from asr_queue.client.runs import BATCH_ITEMS, MAX_IN_FLIGHT
from asr_queue.client.transcribing import MAX_FETCHED
from tests.client.conftest import NO_RETRY, POLL, RETRY
from tests.client.contract_server import KEY, ContractServer, Plain, Refuse, Reset, Slow


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """Six files; the third is no audio."""
    return [written(tmp_path, f"{n}.wav", "bad" if n == 2 else f"words {n}") for n in range(6)]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def by_name(results: Iterator[ItemResult]) -> dict[str, ItemResult]:
    collected = list(results)
    names = [result.path.name for result in collected]
    assert len(set(names)) == len(names), "a source gave two results"
    for result in collected:
        assert (result.transcript is None) != (result.error is None)
    return {result.path.name: result for result in collected}


def codes(results: dict[str, ItemResult]) -> Counter[str | None]:
    return Counter(result.error.code if result.error else None for result in results.values())


def test_each_file_gives_its_own_transcript_or_error(client: Client, recordings: list[Path]) -> None:
    missing = recordings[0].with_name("missing.wav")
    results = by_name(client.transcribe([*recordings, missing], timestamps=True))
    assert len(results) == 7
    assert codes(results) == {None: 5, "item_failed": 1, "unreadable_source": 1}
    assert "Invalid audio format" in str(results["2.wav"].error)
    fourth = results["4.wav"].transcript
    assert fourth is not None
    assert fourth.text == "words 4"
    assert [word.text for word in fourth.timestamps or []] == ["words", "4"]
    assert results["4.wav"].batch_id
    assert results["missing.wav"].batch_id is None


def test_what_helps_the_engine_and_the_order_goes_with_every_batch(
    client: Client, server: ContractServer, recordings: list[Path]
) -> None:
    list(client.transcribe(recordings[:2], prompt="Ljubljana", priority="low"))
    [batch] = server.batches.values()
    assert batch["priority"] == "low"
    assert {item["prompt"] for item in batch["items"]} == {"Ljubljana"}


def test_each_file_is_told_of_from_its_upload_to_its_end(
    client: Client, server: ContractServer, recordings: list[Path]
) -> None:
    server.polls_to_finish = 3
    missing = recordings[0].with_name("missing.wav")
    moves: dict[int, list[FileProgress]] = defaultdict(list)

    def note(progress: Progress) -> None:
        assert progress.file is not None
        moves[progress.file.number].append(progress.file)

    list(client.transcribe([recordings[1], recordings[2], missing, recordings[1]], on_progress=note))
    whole = ["uploading", "uploaded", "queued", "processing", "fetching", "done"]
    states = {number: list(dict.fromkeys(file.state.value for file in moved)) for number, moved in moves.items()}
    assert states == {1: whole, 2: [*whole[:-2], "failed"], 3: ["uploading", "failed"], 4: whole}
    assert {file.path for file in moves[4]} == {recordings[1]}


def test_an_upload_tells_how_far_it_is_and_begins_anew_with_each_try(
    client: Client, server: ContractServer, tmp_path: Path
) -> None:
    path = written(tmp_path, "long.wav", "bad" + "x" * 999_997)
    server.script("upload", Reset(after_effect=True))
    sent: list[int] = []

    def note(progress: Progress) -> None:
        if progress.file and progress.file.size_bytes:
            assert progress.file.size_bytes == 1_000_000
            sent.append(progress.file.sent_bytes)

    list(client.transcribe([path], on_progress=note))
    assert set(sent) >= {262_144, 524_288, 786_432, 1_000_000}
    assert sent.count(262_144) == sent.count(524_288) == 2, "once a try"


def test_what_the_server_tells_of_time_and_cost_reaches_the_caller(
    client: Client, server: ContractServer, recordings: list[Path]
) -> None:
    server.polls_to_finish = 3
    server.beyond = {"estimate": {"basis": "batch", "seconds_left": 40.0}}
    server.beyond_of_items = [{"audio_s": 2.5, "device_s": 0.5, "cost_usd": 0.25}]
    seen: list[Progress] = []
    [result] = client.transcribe(recordings[:1], on_progress=seen.append)
    assert (result.audio_s, result.device_s, result.cost_usd) == (2.5, 0.5, 0.25)
    left = {progress.file.state.value: progress.seconds_left for progress in seen if progress.file}
    assert left["uploading"] is left["queued"] is None
    assert left["processing"] == pytest.approx(40.0, abs=1.0)


def test_one_batch_that_nothing_is_expected_of_leaves_all_unknown(
    client: Client, server: ContractServer, tmp_path: Path
) -> None:
    paths = [written(tmp_path, f"{n}.wav", "words") for n in range(BATCH_ITEMS + 1)]
    server.polls_to_finish = 10**9
    status = server.status

    def half_informed(batch_id: str) -> dict[str, Any]:
        told = status(batch_id)
        is_first = batch_id == next(iter(server.batches))
        return {**told, "estimate": {"basis": "batch", "seconds_left": 40.0} if is_first else None}

    server.status = half_informed  # type: ignore[method-assign]
    seen: list[Progress] = []

    def note(progress: Progress) -> None:
        seen.append(progress)
        if progress.submitted == len(paths) and all(batch["polls"] for batch in server.batches.values()):
            server.polls_to_finish = 1

    list(client.transcribe(paths, on_progress=note))
    both = [progress for progress in seen if progress.submitted == len(paths) and progress.done == 0]
    assert both
    assert both[-1].seconds_left is None


def test_nothing_to_do_is_done_at_once(client: Client, server: ContractServer) -> None:
    assert list(client.transcribe([])) == []
    assert server.calls == []


def test_a_path_that_comes_twice_gives_two_results(client: Client, recordings: list[Path]) -> None:
    assert [result.path for result in client.transcribe([recordings[0]] * 2)] == [recordings[0]] * 2


def test_files_go_in_batches_of_two_hundred_and_side_by_side(
    client: Client, server: ContractServer, tmp_path: Path
) -> None:
    paths = [written(tmp_path, f"{n}.wav", f"words {n}") for n in range(2 * BATCH_ITEMS + 1)]
    seen: list[Progress] = []
    server.always["upload"] = Slow(0.01)
    results = by_name(client.transcribe(paths, on_progress=seen.append))
    assert all(results[path.name].transcript.text == path.read_text() for path in paths)  # type: ignore[union-attr]
    sizes = [len(batch["items"]) for batch in server.batches.values()]
    assert max(sizes) <= BATCH_ITEMS
    assert len(sizes) <= 5, "three, and one more for each time that a slow machine's uploads were not waited for"
    assert 4 <= server.most_at_once <= 32
    last = seen[-1]
    assert (last.started, last.uploaded, last.submitted, last.done, last.failed) == (401, 401, 401, 401, 0)


def test_single_faults_anywhere_cost_nothing(client: Client, server: ContractServer, recordings: list[Path]) -> None:
    server.script("upload", Reset(), Refuse(503), Reset(after_effect=True))
    server.script("submit", Reset(after_effect=True), Refuse(429))
    server.script("status", Refuse(500), Reset())
    server.script("fetch", Refuse(502), Reset(after_effect=True), Refuse(503))
    assert codes(by_name(client.transcribe(recordings))) == {None: 5, "item_failed": 1}
    assert len(server.batches) == 1


def test_a_transcript_that_has_expired_costs_only_itself(
    client: Client, server: ContractServer, recordings: list[Path]
) -> None:
    server.script("fetch", Refuse(410, "file_expired"))
    assert codes(by_name(client.transcribe(recordings))) == {None: 4, "item_failed": 1, "file_expired": 1}


def test_an_upload_that_is_gone_at_submit_costs_only_itself(
    client: Client, server: ContractServer, tmp_path: Path
) -> None:
    paths = [written(tmp_path, f"{n}.wav", f"words {n}") for n in range(40)]
    original = server.upload

    def forgetful(name: str, data: bytes) -> dict[str, str]:
        answer = original(name, data)
        if name in ("7.wav", "23.wav"):
            del server.uploads[answer["file_id"]]
        return answer

    server.upload = forgetful  # type: ignore[method-assign]
    results = by_name(client.transcribe(paths))
    assert codes(results) == {None: 38, "file_not_found": 2}
    assert {name for name, result in results.items() if result.error} == {"7.wav", "23.wav"}


def test_a_refused_key_fails_every_file_with_few_requests(server: ContractServer, tmp_path: Path) -> None:
    paths = [written(tmp_path, f"{n}.wav", "words") for n in range(300)]
    with Client(server.url, "wrong", retry=RETRY) as client:
        assert codes(by_name(client.transcribe(paths))) == {"unauthorized": 300}
    assert len(server.calls) <= 8


def test_a_server_that_is_gone_fails_every_file_soon(server: ContractServer, tmp_path: Path) -> None:
    paths = [written(tmp_path, f"{n}.wav", "words") for n in range(300)]
    for step in ("upload", "status"):
        server.always[step] = Reset()  # type: ignore[index]
    with Client(server.url, KEY, retry=NO_RETRY) as client:
        assert codes(by_name(client.transcribe(paths))) == {"no_answer": 300}
    assert len(server.times("upload")) <= 16


def test_one_upload_that_never_gets_through_costs_only_itself(
    client: Client, server: ContractServer, recordings: list[Path]
) -> None:
    with Client(server.url, KEY, retry=NO_RETRY, poll=POLL) as hasty:
        server.script("upload", Reset())
        assert codes(by_name(hasty.transcribe(recordings)))["no_answer"] == 1


def test_polls_that_fail_for_good_fail_their_batch(server: ContractServer, recordings: list[Path]) -> None:
    server.always["status"] = Plain()
    with Client(server.url, KEY, retry=NO_RETRY, poll=POLL) as client:
        results = by_name(client.transcribe(recordings))
    assert codes(results) == {"bad_answer": 6}
    assert all(result.item_id for result in results.values())


def test_what_is_not_finished_at_the_deadline_gets_that_as_its_result(
    client: Client, server: ContractServer, recordings: list[Path]
) -> None:
    server.polls_to_finish = 10**9
    results = by_name(client.transcribe(recordings, deadline_s=0.4))
    assert codes(results) == {"deadline_exceeded": 6}


def test_memory_is_bounded_however_many_files_there_are(client: Client, tmp_path: Path) -> None:
    path = written(tmp_path, "same.wav", "words")
    drawn = 0

    def endless() -> Iterator[Path]:
        nonlocal drawn
        while True:
            drawn += 1
            yield path

    results = client.transcribe(endless())
    for taken in range(1, 4):
        assert next(results).transcript
        assert drawn <= MAX_IN_FLIGHT + taken
    results.close()  # type: ignore[attr-defined]


def test_transcripts_that_nobody_takes_are_not_heaped_up(
    client: Client, server: ContractServer, tmp_path: Path
) -> None:
    path = written(tmp_path, "same.wav", "words")
    results = client.transcribe([path] * (MAX_FETCHED + 20))
    next(results)
    patience_s = time.monotonic() + 60
    while len(server.times("fetch")) < MAX_FETCHED:
        assert time.monotonic() < patience_s
        time.sleep(0.02)
    time.sleep(0.1)
    assert len(server.times("fetch")) == MAX_FETCHED
    assert len(list(results)) == MAX_FETCHED + 19


def test_leaving_early_stops_everything(client: Client, server: ContractServer, recordings: list[Path]) -> None:
    server.polls_to_finish = 10**9
    missing = recordings[0].with_name("missing.wav")
    for result in client.transcribe([*recordings * 50, missing]):
        assert result.path == missing
        break
    patience_s, calls = time.monotonic() + 60, -1
    while calls != len(server.calls):  # those that were under way come late on a busy machine
        assert time.monotonic() < patience_s, "batches are polled for ever"
        calls = len(server.calls)
        time.sleep(5 * POLL.longest_wait_s)
    client.check_access()


def test_closing_the_client_ends_a_run_that_was_left_open(
    server: ContractServer, recordings: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with Client(server.url, KEY, retry=RETRY, poll=POLL) as client:
        results = client.transcribe(recordings * 50)
        next(results)
    assert not any(thread.name == "asr-queue-client" for thread in threading.enumerate())
    with pytest.raises(RuntimeError):
        next(results)
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == [], "no task ended unheard"


def test_what_breaks_the_sources_reaches_the_caller_as_itself(client: Client, recordings: list[Path]) -> None:
    def broken() -> Iterator[Path]:
        yield recordings[0]
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        list(client.transcribe(broken()))


def test_the_asynchronous_client_stops_when_its_task_is_cancelled(
    server: ContractServer, recordings: list[Path]
) -> None:
    server.polls_to_finish = 10**9

    async def cancelled() -> None:
        async with AsyncClient(server.url, KEY, retry=RETRY, poll=POLL) as client:
            async with asyncio.timeout(0.3):
                async for _ in client.transcribe(recordings):
                    pass

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
