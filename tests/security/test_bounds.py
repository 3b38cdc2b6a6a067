"""What is bounded before it is read, in the places that the tables of attacks do not reach."""

from uuid import uuid4

import pytest

from asr_queue.adapters.aws import connect
from asr_queue.errors import CallerError
from asr_queue.settings import ResourceSettings
from asr_queue.wire.submits import MAX_BODY_BYTES, read_submit
from tests.conftest import EmbeddedAws


def test_an_object_that_grew_after_it_was_looked_at_is_not_read(embedded_aws: EmbeddedAws) -> None:
    settings = ResourceSettings(
        bucket=embedded_aws.environment["ASR_QUEUE_BUCKET"],
        table=embedded_aws.environment["ASR_QUEUE_TABLE"],
        transcribe_queue_url=embedded_aws.environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
        max_upload_bytes=1000,
    )
    store = connect(settings, environment=embedded_aws.environment).store
    key = f"drop/acme/{uuid4()}.wav"
    store.put(key, bytes(1000), content_type="audio/wav")
    assert store.get(key) == bytes(1000)
    store.put(key, bytes(1001), content_type="audio/wav")
    with pytest.raises(CallerError) as caught:
        store.get(key)
    assert caught.value.code == "payload_too_large"
    store.put(key, bytes(10), content_type="audio/wav")
    assert store.get(key) == bytes(10), "the connection is good for the next one"


@pytest.mark.parametrize("depth", [250, 100_000])
@pytest.mark.parametrize("place", ['{"items": %s}', '{"items": [%s]}', '{"nobody reads this": %s}', "%s"])
def test_json_nests_to_a_bound(place: str, depth: int) -> None:
    with pytest.raises(CallerError) as caught:
        read_submit((place % ("[" * depth + "]" * depth)).encode())
    assert caught.value.code == "malformed_json"
    assert "recursion limit" in caught.value.message


def test_the_longest_batch_that_is_allowed_is_read() -> None:
    item = b'{"operation": "transcribe", "ref_audio": "%s", "custom_id": "%s", "text": "%s"}'
    full = item % (b"x" * 1024, "ключ".encode() * 125, (b"A text, whose words go on and on and on. " * 250)[:10_000])
    body = b'{"items": [' + b", ".join([full] * 1000) + b"]}"
    assert len(body) < MAX_BODY_BYTES
    assert len(read_submit(body).items) == 1000
