"""What ObjectStore promises."""

import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from asr_queue.adapters.system_clock import SystemClock
from asr_queue.errors import RetryableError
from asr_queue.ports import ObjectStore


def test_an_object_comes_back_as_it_was_put(store: ObjectStore) -> None:
    key = f"uploads/{uuid4()}/a"
    data = bytes(range(256)) * 5000
    store.put(key, data, content_type="audio/x-wav")
    assert store.get(key) == data


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_stream_comes_back_as_one_object_however_long_it_is(store: ObjectStore, count: int) -> None:
    key = f"results/{uuid4()}/downloads/a.zip"
    chunk = bytes(range(256)) * 2000
    store.put_stream(key, (chunk[i:] for i in range(count)), content_type="application/zip")
    assert store.get(key) == b"".join(chunk[i:] for i in range(count))
    known = store.head(key)
    assert known is not None
    assert known.content_type == "application/zip"


@pytest.mark.parametrize("count", [0, 40])
def test_a_stream_that_breaks_off_leaves_nothing(store: ObjectStore, count: int) -> None:
    def broken() -> Iterator[bytes]:
        yield from (bytes(500_000) for _ in range(count))
        raise RetryableError("file_not_stored", "It cannot be read right now.")

    key = f"results/{uuid4()}/downloads/a.zip"
    with pytest.raises(RetryableError, match="right now"):
        store.put_stream(key, broken(), content_type="application/zip")
    assert store.head(key) is None
    assert store.abandon_all_parts(key) == 0, "it has done that itself"


@pytest.mark.parametrize("kind", ["emulator", "moto"], indirect=True)
def test_a_long_stream_is_never_in_memory(store: ObjectStore) -> None:
    key = f"results/{uuid4()}/downloads/a.zip"
    store.put_stream(key, (bytes(1_000_000) for _ in range(9)), content_type="application/zip")
    tracemalloc.start()
    store.put_stream(key, (bytes(1_000_000) for _ in range(60)), content_type="application/zip")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    known = store.head(key)
    assert known is not None
    assert known.size_bytes == 60_000_000
    assert peak_bytes < 35_000_000, f"{peak_bytes} bytes at the most"


def test_an_object_that_is_not_there_is_none(store: ObjectStore) -> None:
    assert store.get(f"uploads/{uuid4()}") is None


def test_a_head_tells_size_type_age_and_an_etag_of_the_bytes(store: ObjectStore) -> None:
    key = f"drop/{uuid4()}/a b+ä.wav"
    assert store.head(key) is None
    began = SystemClock().now().replace(microsecond=0)
    store.put(key, b"first", content_type="audio/x-wav")
    first = store.head(key)
    assert first is not None
    assert (first.size_bytes, first.content_type) == (5, "audio/x-wav")
    assert began <= first.modified_at <= SystemClock().now()
    assert first.modified_at.microsecond == 0
    assert first.modified_at.utcoffset() == timedelta(0)
    store.put(key, b"first", content_type="audio/x-wav")
    again = store.head(key)
    store.put(key, b"other", content_type="audio/x-wav")
    other = store.head(key)
    assert again is not None
    assert other is not None
    assert again.etag == first.etag != other.etag


def test_a_second_put_replaces_the_first(store: ObjectStore) -> None:
    key = f"uploads/{uuid4()}"
    store.put(key, b"first", content_type="text/plain")
    store.put(key, b"second", content_type="text/plain")
    assert store.get(key) == b"second"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    key = f"uploads/{uuid4()}"
    store.put(key, b"", content_type="text/plain")
    assert store.get(key) == b""


def test_deletion_removes_what_is_there_and_ignores_what_is_not(store: ObjectStore) -> None:
    prefix = f"uploads/{uuid4()}/"
    keys = [f"{prefix}{i}" for i in range(3)]
    for key in keys:
        store.put(key, b"x", content_type="text/plain")
    store.delete([keys[0], f"{prefix}never", keys[2]])
    assert store.list_keys(prefix) == [keys[1]]


def test_deleting_nothing_does_nothing(store: ObjectStore) -> None:
    store.delete([])


def test_more_than_a_page_is_listed_and_deleted(store: ObjectStore) -> None:
    prefix = f"results/{uuid4()}/"
    keys = [f"{prefix}{i:04}" for i in range(1002)]
    for key in keys:
        store.put(key, b"x", content_type="text/plain")
    store.put(prefix.replace("results", "uploads") + "other", b"x", content_type="text/plain")
    assert store.list_keys(prefix) == keys
    store.delete(keys)
    assert store.list_keys(prefix) == []
