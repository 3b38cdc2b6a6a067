"""An object store in a dictionary."""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from asr_queue.adapters.system_clock import SystemClock
from asr_queue.ports import Clock, StoredObject


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    known: StoredObject


@dataclass(frozen=True, slots=True)
class _Upload:
    key: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryStore:
    """ObjectStore for tests; safe to use from several threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Make an empty store; objects are as old as the clock says."""
        self._clock = clock or SystemClock()
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store an object."""
        known = StoredObject(
            size_bytes=len(data),
            content_type=content_type,
            etag=hashlib.sha256(data).hexdigest(),
            modified_at=self._clock.now().replace(microsecond=0),
        )
        with self._lock:
            self._objects[key] = _Object(bytes(data), known)

    def put_stream(self, key: str, chunks: Iterable[bytes], *, content_type: str) -> None:
        """Store an object from its bytes as they come."""
        self.put(key, b"".join(chunks), content_type=content_type)

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None."""
        with self._lock:
            found = self._objects.get(key)
        return None if found is None else found.data

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object, or None."""
        with self._lock:
            found = self._objects.get(key)
        return None if found is None else found.known

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """Begin an upload in parts; return its id."""
        parts_id = str(uuid4())
        with self._lock:
            self._uploads[parts_id] = _Upload(key, content_type)
        return parts_id

    def put_part(self, parts_id: str, number: int, data: bytes) -> None:
        """Store a part; KeyError where there is no such upload."""
        with self._lock:
            self._uploads[parts_id].parts[number] = bytes(data)

    def join_parts(self, key: str, parts_id: str, *, size_bytes: int) -> int | None:
        """Make an object of its parts, once all have come."""
        with self._lock:
            upload = self._uploads.get(parts_id)
            if upload is None or upload.key != key:
                return None
            data = b"".join(upload.parts[number] for number in sorted(upload.parts))
            if len(data) == size_bytes:
                del self._uploads[parts_id]
        if len(data) == size_bytes:
            self.put(key, data, content_type=upload.content_type)
        return len(data)

    def abandon_parts(self, key: str, parts_id: str) -> None:
        """Remove the parts of an upload."""
        del key
        with self._lock:
            self._uploads.pop(parts_id, None)

    def abandon_all_parts(self, prefix: str) -> int:
        """Remove the parts of every upload under a prefix."""
        with self._lock:
            ids = [parts_id for parts_id, upload in self._uploads.items() if upload.key.startswith(prefix)]
            for parts_id in ids:
                del self._uploads[parts_id]
            return len(ids)

    def list_keys(self, prefix: str) -> list[str]:
        """Return every key with the prefix, sorted."""
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix))
