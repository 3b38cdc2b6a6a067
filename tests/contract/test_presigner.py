"""What Presigner promises, and what ObjectStore promises about uploads in parts."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from asr_queue.adapters.aws import connect
from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.ports import ObjectStore, Presigner
from asr_queue.settings import ResourceSettings

LIFE_S = 60
PART_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class Side:
    """A store, what signs for it, and somebody without rights who sends to what was signed."""

    store: ObjectStore
    presigner: Presigner
    post: Callable[[str, Mapping[str, str], bytes], int]
    put: Callable[[str, bytes], int]
    get: Callable[[str], tuple[int, bytes]]


@pytest.fixture(params=["fake", "emulator"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "fake":
        store = MemoryStore()
        fake = MemoryPresigner(store, SystemClock())
        yield Side(store, fake, fake.post, fake.put, fake.get)
        return
    aws = request.getfixturevalue("embedded_aws")
    settings = ResourceSettings(
        bucket=aws.environment["ASR_QUEUE_BUCKET"],
        table=aws.environment["ASR_QUEUE_TABLE"],
        transcribe_queue_url=aws.environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
    )
    connected = connect(settings, environment=aws.environment)
    http = httpx.Client(trust_env=False, timeout=30)

    def get(url: str) -> tuple[int, bytes]:
        answer = http.get(url)
        return answer.status_code, answer.content

    yield Side(
        store=connected.store,
        presigner=connected.presigner,
        post=lambda url, fields, data: http.post(url, data=dict(fields), files={"file": data}).status_code,
        put=lambda url, data: http.put(url, content=data).status_code,
        get=get,
    )
    http.close()


def a_key() -> str:
    return f"uploads/acme/{uuid4()}.presigned"


class TestForm:
    def test_what_was_agreed_is_taken(self, side: Side) -> None:
        key = a_key()
        form = side.presigner.form(key, size_bytes=9, content_type="audio/x-wav", life_s=LIFE_S)
        assert side.post(form.url, form.fields, b"123456789") in (200, 204)
        found = side.store.head(key)
        assert found is not None
        assert (found.size_bytes, found.content_type) == (9, "audio/x-wav")
        assert side.store.get(key) == b"123456789"

    @pytest.mark.parametrize("data", [b"1234567890", b"12345678", b""])
    def test_another_size_is_refused(self, side: Side, data: bytes) -> None:
        key = a_key()
        form = side.presigner.form(key, size_bytes=9, content_type="audio/x-wav", life_s=LIFE_S)
        assert side.post(form.url, form.fields, data) >= 400
        assert side.store.head(key) is None

    @pytest.mark.parametrize("change", [{"Content-Type": "text/html"}, {"key": "uploads/other/x.presigned"}])
    def test_another_type_or_key_is_refused(self, side: Side, change: dict[str, str]) -> None:
        key = a_key()
        form = side.presigner.form(key, size_bytes=4, content_type="audio/x-wav", life_s=LIFE_S)
        assert side.post(form.url, {**form.fields, **change}, b"RIFF") == 403
        assert side.store.head(key) is None
        assert side.store.head("uploads/other/x.presigned") is None

    def test_it_ends_on_time(self, side: Side) -> None:
        key = a_key()
        form = side.presigner.form(key, size_bytes=4, content_type="audio/x-wav", life_s=1)
        time.sleep(2.1)  # S3 counts whole seconds
        assert side.post(form.url, form.fields, b"RIFF") == 403
        assert side.store.head(key) is None


class TestParts:
    def test_parts_in_any_order_make_one_object_when_all_have_come(self, side: Side) -> None:
        key, sizes = a_key(), [PART_BYTES, PART_BYTES, 3]
        total = sum(sizes)
        upload = side.presigner.parts(key, sizes_bytes=sizes, content_type="audio/flac", life_s=LIFE_S)
        data = [bytes([number]) * size for number, size in enumerate(sizes)]
        assert side.put(upload.urls[2], data[2]) == 200
        assert side.put(upload.urls[0], data[0]) == 200
        assert side.store.join_parts(key, upload.parts_id, size_bytes=total) == PART_BYTES + 3
        assert side.store.head(key) is None
        assert side.put(upload.urls[1], data[1]) == 200
        assert side.store.join_parts(key, upload.parts_id, size_bytes=total) == total
        assert side.store.get(key) == b"".join(data)
        found = side.store.head(key)
        assert found is not None
        assert found.content_type == "audio/flac"
        assert side.store.join_parts(key, upload.parts_id, size_bytes=total) is None, "it is joined already"

    def test_a_part_of_another_size_is_refused(self, side: Side) -> None:
        upload = side.presigner.parts(a_key(), sizes_bytes=[4], content_type="audio/flac", life_s=LIFE_S)
        assert side.put(upload.urls[0], b"12345") == 403

    def test_what_was_abandoned_is_gone_and_may_be_abandoned_again(self, side: Side) -> None:
        key = a_key()
        upload = side.presigner.parts(key, sizes_bytes=[4], content_type="audio/flac", life_s=LIFE_S)
        assert side.put(upload.urls[0], b"RIFF") == 200
        for _ in range(2):
            side.store.abandon_parts(key, upload.parts_id)
        assert side.store.join_parts(key, upload.parts_id, size_bytes=4) is None
        assert side.store.head(key) is None


class TestLink:
    def test_an_object_is_fetched_until_the_link_ends(self, side: Side) -> None:
        key = a_key()
        side.store.put(key, b"RIFF", content_type="text/html")
        url = side.presigner.link(key, content_type="audio/wav", life_s=1)
        assert side.get(url) == (200, b"RIFF")
        time.sleep(2.1)
        assert side.get(url)[0] == 403

    def test_all_parts_under_a_prefix_are_removed_and_no_others(self, side: Side) -> None:
        tenant = f"tenant-{uuid4()}"
        mine = [f"uploads/{tenant}/{uuid4()}" for _ in range(2)]
        other = f"uploads/{tenant}-other/{uuid4()}"
        uploads = {
            key: side.presigner.parts(key, sizes_bytes=[4], content_type="audio/flac", life_s=LIFE_S)
            for key in (*mine, other)
        }
        for upload in uploads.values():
            assert side.put(upload.urls[0], b"part") == 200
        assert side.store.abandon_all_parts(f"uploads/{tenant}/") == 2
        for key in mine:
            assert side.store.join_parts(key, uploads[key].parts_id, size_bytes=4) is None
        assert side.store.join_parts(other, uploads[other].parts_id, size_bytes=4) == 4
        assert side.store.abandon_all_parts(f"uploads/{tenant}/") == 0
