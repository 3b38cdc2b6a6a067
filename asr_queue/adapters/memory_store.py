"""An object store in a dictionary."""

import threading
from collections.abc import Sequence


class MemoryStore:
    """ObjectStore for tests; safe to use from several threads."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store an object."""
        del content_type
        with self._lock:
            self._objects[key] = bytes(data)

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None."""
        with self._lock:
            return self._objects.get(key)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def list_keys(self, prefix: str) -> list[str]:
        """Return every key with the prefix, sorted."""
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix))
