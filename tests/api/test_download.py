"""A whole batch as one file."""

import io
import json
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.domain.files import File
from asr_queue.domain.items import Item, ItemError
from asr_queue.errors import RetryableError
from asr_queue.usecases.download_batch import download_batch, keep_download
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.downloads import Archive, entry_name
from asr_queue.wire.formats import Format
from asr_queue.wire.transcript import Transcript, TranscriptWord
from handlers.api import app
from handlers.wiring import Services, services
from tests.api.conftest import FILE_TTL_S, System


def finished(system: System, *texts: str | None, custom_ids: list[str] | None = None, words: bool = True) -> str:
    """Return a batch whose items have these texts; None is one that failed."""
    file_id = system.upload()
    names = custom_ids or [f"chunk {number}" for number in range(len(texts))]
    items = [
        {"operation": "transcribe", "ref_audio": file_id, "return_timestamps": words, "custom_id": name}
        for name in names
    ]
    batch_id = str(system.api.post("/api/v1/queue/submit", json={"items": items}).json()["batch_id"])
    for item, text in zip(loaded(system, batch_id), texts, strict=True):
        end(system, item, text)
    return batch_id


def loaded(system: System, batch_id: str) -> list[Item]:
    found = system.table.load_batch(batch_id)
    assert found is not None
    return found[1]


def end(system: System, item: Item, text: str | None) -> None:
    claimed = system.table.claim_item(item.batch_id, item.index, now=system.clock.now())
    assert claimed is not None
    outcome = Outcome(item=claimed, error=ItemError("audio_undecodable", "This is no audio."))
    if text is not None:
        times = [TranscriptWord(start=i, end=i + 0.5, text=word) for i, word in enumerate(text.split())]
        timed = {"timestamps": times} if item.return_timestamps else {}
        transcript = Transcript(text=text, language="English", duration=float(len(times)), **timed)
        size_bytes = write_result(claimed, transcript.to_json(), store=system.store)
        outcome = Outcome(item=claimed, audio_s=1.0, result_bytes=size_bytes)
    record_outcomes([outcome], store=system.store, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S)


def download(system: System, batch_id: str, **params: str) -> Any:
    path = f"/api/v1/queue/batches/{batch_id}/download"
    return system.api.get(path, params=params, follow_redirects=False)


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.decode().splitlines()]


def unzipped(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_zip_has_a_file_an_item_in_the_order_of_the_submit(system: System) -> None:
    answer = download(system, finished(system, "Hello.", None, "Grüße."))
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    files = unzipped(answer.content)
    assert list(files) == ["0001_chunk_0.json", "0003_chunk_2.json", "errors.json"]
    assert json.loads(files["0003_chunk_2.json"])["text"] == "Grüße."
    [failed] = json.loads(files["errors.json"])
    assert (failed["custom_id"], failed["status"], failed["error_code"]) == ("chunk 1", "error", "audio_undecodable")


def test_a_zip_of_what_went_well_has_no_errors(system: System) -> None:
    files = unzipped(download(system, finished(system, "Hello."), format="srt", **{"as": "zip"}).content)
    assert files == {"0001_chunk_0.srt": "1\n00:00:00,000 --> 00:00:01,000\nHello.\n"}


@pytest.mark.parametrize("form", Format)
def test_a_line_an_item_has_the_transcript_in_the_format_or_the_error(system: System, form: Format) -> None:
    batch_id = finished(system, "Hello.", None)
    answer = download(system, batch_id, format=form, **{"as": "jsonl"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    done, failed = lines(answer)
    [first, second] = loaded(system, batch_id)
    assert (done["item_id"], failed["item_id"]) == (first.item_id, second.item_id)
    assert set(done) == set(failed) == {"item_id", "custom_id", "status", "transcript", "url", "error", "error_code"}
    assert (done["status"], done["error"], done["error_code"]) == ("done", None, None)
    assert (failed["status"], failed["transcript"]) == ("error", None)
    assert (failed["error"], failed["error_code"]) == ("This is no audio.", "audio_undecodable")
    alone = system.api.get(f"/api/v1/files/{first.result_name}", params={"format": form})
    assert done["transcript"] == (alone.json() if form.is_json else alone.text)


def test_what_has_expired_or_was_deleted_is_said_of_the_item_that_it_was(system: System) -> None:
    batch_id = finished(system, "Old.", "Deleted.")
    deleted = loaded(system, batch_id)[1]
    assert system.api.delete(f"/api/v1/files/{deleted.result_name}").status_code == 204
    first, second = lines(download(system, batch_id, **{"as": "jsonl"}))
    assert first["transcript"]["text"] == "Old."
    assert (second["status"], second["transcript"], second["error_code"]) == ("done", None, "file_expired")
    system.clock.advance(FILE_TTL_S)
    assert {line["error_code"] for line in lines(download(system, batch_id, **{"as": "jsonl"}))} == {"file_expired"}


def test_a_format_that_one_item_has_no_words_for_costs_that_item_alone(system: System) -> None:
    batch_id = finished(system, "Hello.", words=False)
    [line] = lines(download(system, batch_id, format="vtt", **{"as": "jsonl"}))
    assert (line["error_code"], line["transcript"]) == ("no_word_times", None)
    assert lines(download(system, batch_id, format="txt", **{"as": "jsonl"}))[0]["transcript"] == "Hello.\n"


def test_a_batch_that_is_not_finished_is_refused(system: System) -> None:
    batch_id = finished(system, "Hello.")
    waiting = str(system.submit(system.upload())["batch_id"])
    answer = download(system, waiting)
    assert (answer.status_code, answer.json()["code"]) == (409, "batch_unfinished")
    assert "0 of the 1 items" in answer.json()["detail"]
    system.api.delete(f"/api/v1/queue/batches/{batch_id}")
    assert download(system, batch_id).json()["code"] == "batch_deleted"


def test_names_of_entries_are_safe_and_no_two_are_alike(system: System) -> None:
    hostile = ["../../etc/passwd", "C:\\x", "same", "same", "", "ü" * 300, "a\x00b\nc", "..", "naïve name.mp3"]
    files = unzipped(download(system, finished(system, *["x"] * 9, custom_ids=hostile), format="txt").content)
    assert list(files) == [
        "0001_etc_passwd.txt",
        "0002_C_x.txt",
        "0003_same.txt",
        "0004_same.txt",
        "0005.txt",
        f"0006_{'ü' * 60}.txt",
        "0007_a_b_c.txt",
        "0008.txt",
        "0009_naïve_name.mp3.txt",
    ]
    assert entry_name(12, None, Format.VERBOSE_JSON.suffix) == "0012.json"


class TestTooLargeForAnAnswer:
    """As in Lambda, with a bound of a few bytes."""

    @pytest.fixture
    def narrow(self, system: System) -> Services:
        wired = replace(system.wired, settings=system.wired.settings.model_copy(update={"inline_max_bytes": 1000}))
        app.dependency_overrides[services] = lambda: wired
        return wired

    def test_it_is_written_to_the_store_and_answered_with_a_link(self, system: System, narrow: Services) -> None:
        presigner = system.wired.presigner
        assert isinstance(presigner, MemoryPresigner)
        batch_id = finished(system, *["word " * 2000] * 20)
        answer = download(system, batch_id, **{"as": "jsonl"})
        assert answer.status_code == 307
        assert answer.headers["cache-control"] == "private, no-store"
        status, data = presigner.get(answer.headers["location"])
        assert (status, len(data.splitlines())) == (200, 20)
        system.clock.advance(60)
        assert presigner.get(answer.headers["location"])[0] == 403

    def test_who_cannot_look_at_a_redirect_is_told_the_link_and_led_nowhere(
        self, system: System, narrow: Services
    ) -> None:
        presigner = system.wired.presigner
        assert isinstance(presigner, MemoryPresigner)
        batch_id = finished(system, *["word " * 2000] * 20)
        path = f"/api/v1/queue/batches/{batch_id}/download"
        answer = system.api.get(path, headers={"Prefer": "no-redirect"}, follow_redirects=False)
        assert (answer.status_code, answer.content) == (204, b"")
        assert presigner.get(answer.headers["location"])[0] == 200

    def test_what_was_written_expires_as_a_file_does_or_goes_with_the_batch(
        self, system: System, narrow: Services
    ) -> None:
        batch_id = finished(system, *["word " * 2000] * 20)
        assert download(system, batch_id, **{"as": "jsonl"}).status_code == 307
        [key] = [key for key in system.store.list_keys("") if "/downloads/" in key]
        assert key.startswith(f"results/acme/{batch_id}/downloads/")
        due = system.table.due_files(now=system.clock.now() + timedelta(seconds=300), limit=100)
        assert [file.object_key for file in due] == [key]
        system.api.delete(f"/api/v1/queue/batches/{batch_id}")
        assert key not in system.store.list_keys("")

    def test_what_is_small_is_answered(self, system: System, narrow: Services) -> None:
        answer = download(system, finished(system, "Hello."))
        assert answer.status_code == 200
        assert not [key for key in system.store.list_keys("") if "/downloads/" in key]


def test_a_store_that_is_away_is_an_error_and_no_broken_archive(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = finished(system, *["Hello."] * 40)

    def away(key: str) -> bytes:
        raise RetryableError("s3_unavailable", key)

    monkeypatch.setattr(system.store, "get", away)
    answer = download(system, batch_id)
    assert (answer.status_code, answer.json()["code"]) == (503, "s3_unavailable")


class _Sparse:
    """A batch of any size, each transcript made when it is read, so that nothing of it is in memory before."""

    def __init__(self, system: System, count: int) -> None:
        batch_id = finished(system, "Hello.")
        found = system.table.load_batch(batch_id)
        assert found is not None
        [file] = system.table.get_files([found[1][0].item_id]).values()
        self.batch = found[0]
        self.items = [replace(found[1][0], index=i, item_id=f"item-{i}") for i in range(count)]
        words = [TranscriptWord(start=i, end=i + 0.5, text=f"word{i}", confidence=0.5) for i in range(100)]
        text = " ".join(word.text for word in words)
        self._data = Transcript(text=text, language="English", timestamps=words, duration=100.0).to_json()
        self._file = replace(file, size_bytes=len(self._data))
        self.lock = threading.Lock()
        self.reads = 0

    def load_batch(self, batch_id: str) -> Any:
        return self.batch, self.items

    def get_files(self, file_ids: list[str]) -> dict[str, File]:
        return dict.fromkeys(file_ids, self._file)

    def get(self, key: str) -> bytes:
        with self.lock:
            self.reads += 1
        return bytes(bytearray(self._data))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(("form", "archive"), [(Format.JSON, Archive.ZIP), (Format.TXT, Archive.JSONL)])
def test_a_thousand_items_take_no_more_memory_than_a_few_dozen(
    system: System, traced: None, form: Format, archive: Archive
) -> None:
    def peak_bytes(count: int) -> int:
        made = _Sparse(system, count)
        chunks = download_batch(
            made.batch.batch_id, tenant="acme", form=form, archive=archive, store=made, table=made, clock=system.clock
        ).chunks
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        total = sum(len(chunk) for chunk in chunks)
        assert made.reads == count
        assert total > count * 300
        return tracemalloc.get_traced_memory()[1] - before

    peak_bytes(40)
    few, many = peak_bytes(40), peak_bytes(1000)
    # What remains of an item is its name in the archive and where it begins.
    assert many < 1.5 * few + 1_500_000, f"{few} bytes for 40 items, {many} for 1,000"


def test_nothing_is_read_further_ahead_than_sixteen_items(system: System) -> None:
    made = _Sparse(system, 100)
    chunks = download_batch(
        made.batch.batch_id,
        tenant="acme",
        form=Format.JSON,
        archive=Archive.JSONL,
        store=made,
        table=made,
        clock=system.clock,
    ).chunks
    packed = next(chunks).count(b"\n")
    assert made.reads <= packed + 17
    chunks.close()


def test_an_archive_that_cannot_be_written_leaves_its_row_to_expire(system: System) -> None:
    batch_id = finished(system, "Hello.")
    asked = download_batch(
        batch_id,
        tenant="acme",
        form=Format.JSON,
        archive=Archive.ZIP,
        store=system.store,
        table=system.table,
        clock=system.clock,
    )

    def broken() -> Iterator[bytes]:
        yield next(asked.chunks)
        raise RetryableError("s3_unavailable", "It is away.")

    with pytest.raises(RetryableError):
        keep_download(
            asked,
            broken(),
            store=system.store,
            presigner=system.wired.presigner,
            table=system.table,
            clock=system.clock,
        )
    assert len(system.table.due_files(now=system.clock.now() + timedelta(seconds=300), limit=100)) == 1
    assert not [key for key in system.store.list_keys("") if "/downloads/" in key]
