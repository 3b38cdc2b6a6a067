"""Addresses into a bucket, signed with our rights."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from asr_queue.adapters.aws_errors import translated
from asr_queue.ports import PresignedForm, PresignedParts


class S3Presigner:
    """Presigner over one bucket. Signing is arithmetic; only an upload in parts asks S3 for anything."""

    def __init__(self, new_client: Callable[[], Any], bucket: str) -> None:
        """Take what makes a boto3 S3 client, which few requests need, and the name of a bucket.

        The client must sign by version 4, the version before it has no such conditions, and add no checksums of its own
        making: they would be those of an empty body.
        """
        self._new_client = new_client
        self._bucket = bucket

    @cached_property
    def _client(self) -> Any:
        return self._new_client()

    def form(self, key: str, *, size_bytes: int, content_type: str, life_s: int) -> PresignedForm:
        """Let somebody put exactly so many bytes of this type."""
        signed = self._client.generate_presigned_post(
            self._bucket,
            key,
            Fields={"Content-Type": content_type},
            Conditions=[{"Content-Type": content_type}, ["content-length-range", size_bytes, size_bytes]],
            ExpiresIn=life_s,
        )
        return PresignedForm(url=signed["url"], fields=signed["fields"])

    def parts(self, key: str, *, sizes_bytes: Sequence[int], content_type: str, life_s: int) -> PresignedParts:
        """Begin an upload in parts of exactly these sizes."""
        with translated("s3"):
            upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=content_type)
        urls = [
            self._client.generate_presigned_url(
                "upload_part",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "UploadId": upload["UploadId"],
                    "PartNumber": number,
                    "ContentLength": size_bytes,  # a signed header: another length is another signature
                },
                ExpiresIn=life_s,
            )
            for number, size_bytes in enumerate(sizes_bytes, start=1)
        ]
        return PresignedParts(parts_id=upload["UploadId"], urls=urls)

    def link(self, key: str, *, content_type: str, life_s: int) -> str:
        """Let somebody get an object, as this type."""
        url: str = self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": key, "ResponseContentType": content_type},
            ExpiresIn=life_s,
        )
        return url
