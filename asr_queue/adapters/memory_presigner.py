"""Presigned addresses into a store in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.ports import Clock, PresignedForm, PresignedParts


@dataclass(frozen=True, slots=True)
class _Allowed:
    key: str
    expires_at: datetime
    content_type: str
    size_bytes: int = 0
    parts_id: str = ""
    number: int = 0


class MemoryPresigner:
    """Presigner for tests, and the server that its addresses lead to: `post`, `put` and `get` answer as S3 would."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._allowed: dict[str, _Allowed] = {}

    def form(self, key: str, *, size_bytes: int, content_type: str, life_s: int) -> PresignedForm:
        """Let somebody put exactly so many bytes of this type."""
        url = self._allow(_Allowed(key, self._until(life_s), content_type, size_bytes))
        return PresignedForm(url=url, fields={"key": key, "Content-Type": content_type})

    def parts(self, key: str, *, sizes_bytes: Sequence[int], content_type: str, life_s: int) -> PresignedParts:
        """Begin an upload in parts of exactly these sizes."""
        parts_id = self._store.begin_parts(key, content_type=content_type)
        until = self._until(life_s)
        urls = [
            self._allow(_Allowed(key, until, content_type, size_bytes, parts_id, number))
            for number, size_bytes in enumerate(sizes_bytes, start=1)
        ]
        return PresignedParts(parts_id=parts_id, urls=urls)

    def link(self, key: str, *, content_type: str, life_s: int) -> str:
        """Let somebody get an object, as this type."""
        return self._allow(_Allowed(key, self._until(life_s), content_type))

    def post(self, url: str, fields: Mapping[str, str], data: bytes) -> int:
        """Serve a form; return the HTTP status."""
        allowed = self._allowed[url]
        if self._clock.now() >= allowed.expires_at or fields != {
            "key": allowed.key,
            "Content-Type": allowed.content_type,
        }:
            return 403
        if len(data) != allowed.size_bytes:
            return 400
        self._store.put(allowed.key, data, content_type=allowed.content_type)
        return 204

    def put(self, url: str, data: bytes) -> int:
        """Serve a part; return the HTTP status."""
        allowed = self._allowed[url]
        if self._clock.now() >= allowed.expires_at or len(data) != allowed.size_bytes:
            return 403
        self._store.put_part(allowed.parts_id, allowed.number, data)
        return 200

    def get(self, url: str) -> tuple[int, bytes]:
        """Serve a link; return the HTTP status and the body."""
        allowed = self._allowed[url]
        data = self._store.get(allowed.key)
        return (403, b"") if self._clock.now() >= allowed.expires_at or data is None else (200, data)

    def _allow(self, allowed: _Allowed) -> str:
        url = f"memory://{uuid4()}"
        self._allowed[url] = allowed
        return url

    def _until(self, life_s: int) -> datetime:
        return self._clock.now() + timedelta(seconds=life_s)
