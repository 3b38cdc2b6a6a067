"""An object store in a dictionary."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from asr_queue.adapters.system_clock import SystemClock
from asr_queue.ports import Clock, StoredObject


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    known: StoredObject


class MemoryStore:
    """ObjectStore for tests; safe to use from several threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Make an empty store; objects are as old as the clock says."""
        self._clock = clock or SystemClock()
        self._objects: dict[str, _Object] = {}
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

    def list_keys(self, prefix: str) -> list[str]:
        """Return every key with the prefix, sorted."""
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix))
