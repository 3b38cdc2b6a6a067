"""An answer of S3 that ends too early: nothing of it may be taken for the object."""

import socket
import threading
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from asr_queue.adapters.s3 import S3ObjectStore
from asr_queue.errors import RetryableError

HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nthe first bytes"


@pytest.fixture
def half_answering() -> Iterator[str]:
    """URL of a server that closes each connection within its answer."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(HALF)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_half_an_object_is_a_service_that_failed(half_answering: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=half_answering,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    with pytest.raises(RetryableError) as failure:
        S3ObjectStore(client, "bucket").get("key")
    assert failure.value.code == "s3_unreachable"
