"""Objects in S3."""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from asr_queue.adapters.aws_errors import error_code, translated
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import StoredObject

_DELETE_AT_ONCE: Final = 1000
"""DeleteObjects takes no more (its API reference)."""


_ONE_PART_AT_A_TIME: Final = TransferConfig(use_threads=False)
"""By several threads, whatever they have not sent yet waits in memory."""


class _Stream(io.RawIOBase):
    """Bytes as they come, to be read as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        taken = min(len(buffer), len(self._left))
        buffer[:taken], self._left = self._left[:taken], self._left[taken:]
        return taken


class S3ObjectStore:
    """ObjectStore over one bucket."""

    def __init__(self, client: Any, bucket: str, *, most_bytes: int | None = None) -> None:
        """Take a boto3 S3 client and the name of a bucket that exists.

        Args:
            most_bytes: a larger object is not read: who may drop objects can replace one after it was looked at.
        """
        self._client = client
        self._bucket = bucket
        self._most_bytes = most_bytes

    def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store an object."""
        with translated("s3"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)

    def put_stream(self, key: str, chunks: Iterable[bytes], *, content_type: str) -> None:
        """Store an object from its bytes as they come, in parts of 8 MiB where there are more."""
        with translated("s3"), io.BufferedReader(_Stream(chunks)) as stream:
            self._client.upload_fileobj(
                stream, self._bucket, key, ExtraArgs={"ContentType": content_type}, Config=_ONE_PART_AT_A_TIME
            )

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None.

        Raises:
            CallerError: `payload_too_large`, before anything of it is read.
        """
        with translated("s3"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
            body = answer["Body"]
            with body:  # not `as`: that would be the bare stream, whose failures botocore does not name
                if self._most_bytes is not None and answer["ContentLength"] > self._most_bytes:
                    raise CallerError(
                        "payload_too_large",
                        f"The file has {answer['ContentLength']} bytes; {self._most_bytes} are the most.",
                        http_status=413,
                    )
                data: bytes = body.read()
        return data

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object, or None."""
        with translated("s3"):
            try:
                found = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error_code(error) == "404":  # an answer to HEAD has no body to name a code in
                    return None
                raise
        return StoredObject(
            size_bytes=found["ContentLength"],
            content_type=found["ContentType"],
            etag=found["ETag"].strip('"'),
            modified_at=found["LastModified"].astimezone(UTC),
        )

    def put_file(self, key: str, path: Path, *, content_type: str) -> None:
        """Store a file of this machine, in parts where it is large; `put` without holding it in memory.

        Raises:
            OSError: it cannot be read.
        """
        with translated("s3"):
            self._client.upload_file(str(path), self._bucket, key, ExtraArgs={"ContentType": content_type})

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            names = [{"Key": key} for key in keys[start : start + _DELETE_AT_ONCE]]
            with translated("s3"):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": names, "Quiet": True})
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise RetryableError("s3_unavailable", f"{len(answer['Errors'])} objects not deleted: {first['Code']}")

    def join_parts(self, key: str, parts_id: str, *, size_bytes: int) -> int | None:
        """Make an object of its parts, once all have come."""
        upload = {"Bucket": self._bucket, "Key": key, "UploadId": parts_id}
        pages = self._client.get_paginator("list_parts").paginate(**upload)
        with translated("s3"):
            try:
                parts = [part for page in pages for part in page.get("Parts", [])]
                have_bytes = sum(int(part["Size"]) for part in parts)
                if have_bytes == size_bytes:
                    tags = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
                    self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": tags})
            except ClientError as error:
                if error_code(error) == "NoSuchUpload":
                    return None
                raise
        return have_bytes

    def abandon_parts(self, key: str, parts_id: str) -> None:
        """Remove the parts of an upload."""
        with translated("s3"):
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=parts_id)
            except ClientError as error:
                if error_code(error) != "NoSuchUpload":
                    raise

    def abandon_all_parts(self, prefix: str) -> int:
        """Remove the parts of every upload under a prefix."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        with translated("s3"):
            uploads = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]
        for key, parts_id in uploads:
            self.abandon_parts(key, parts_id)
        return len(uploads)

    def list_keys(self, prefix: str) -> list[str]:
        """Return every key with the prefix, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with translated("s3"):
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
