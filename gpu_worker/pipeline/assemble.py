"""Putting the chunks of an item together again. Only here is anything half finished."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from gpu_worker.work import Failed, Processed

T = TypeVar("T")


class Assembler(Generic[T]):
    """Items of which some chunks have been processed. For one thread."""

    def __init__(self, join: Callable[[Sequence[Processed[Any, Any]]], T]) -> None:
        """Take what makes all chunks of one item, in any order, into the whole."""
        self._join = join
        self._parts: dict[str, list[Processed[Any, Any]]] = {}

    def add(self, part: Processed[Any, Any]) -> T | None:
        """Take a processed chunk, and return its item once this was the last one missing.

        Raises:
            Exception: whatever `join` raises; then the item is forgotten.
        """
        key = part.chunk.claimed.key
        parts = self._parts.setdefault(key, [])
        parts.append(part)
        if len(parts) < part.chunk.of:
            return None
        del self._parts[key]
        return self._join(parts)

    def drop(self, failed: Failed) -> Failed:
        """Forget an item that failed; no further chunk of it may be added.

        Returns the failure, with what the device spent on the chunks that had been processed.
        """
        parts = self._parts.pop(failed.claimed.key, None)
        return failed if parts is None else add_spent(failed, *parts)


def add_spent(failed: Failed, *others: Processed[Any, Any] | Failed) -> Failed:
    """Return a failure with what the device spent on other chunks of its item, or on other failures of it."""
    every = (failed, *others)
    spent_s = [one.device_s for one in every if one.device_s is not None]
    shared = [one.micro_batch for one in every if one.micro_batch is not None]
    return replace(failed, device_s=sum(spent_s) if spent_s else None, micro_batch=max(shared, default=None))
