"""Several queues as one, for whoever holds messages of all of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from asr_queue.errors import RetryableError
from asr_queue.ports import Delivery, WorkQueue

Name = TypeVar("Name", bound=str)


class QueueGroup(Generic[Name]):
    """Queues by name, whose receipt handles say which one they are of; safe to use from several threads."""

    def __init__(self, queues: Mapping[Name, WorkQueue]) -> None:
        """Take the queues; no name holds a colon."""
        self._queues: dict[str, WorkQueue] = {str(name): queue for name, queue in queues.items()}

    def receive(self, name: Name, *, max_messages: int, wait_s: int) -> list[Delivery]:
        """Receive from one of them."""
        got = self._queues[name].receive(max_messages=max_messages, wait_s=wait_s)
        return [replace(delivery, receipt_handle=f"{name}:{delivery.receipt_handle}") for delivery in got]

    def extend(self, receipt_handles: Sequence[str], *, visibility_s: int) -> list[str]:
        """Hide messages for `visibility_s` from now; return the handles that failed."""
        return self._by_queue(receipt_handles, lambda queue, handles: queue.extend(handles, visibility_s=visibility_s))

    def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Acknowledge messages; return the handles that failed."""
        return self._by_queue(receipt_handles, lambda queue, handles: queue.delete(handles))

    def _by_queue(
        self, receipt_handles: Sequence[str], call: Callable[[WorkQueue, Sequence[str]], list[str]]
    ) -> list[str]:
        """Make a call for the handles of each queue; return those that failed.

        A call that fails as a whole has failed for its handles, unless all do.
        """
        handles: dict[str, list[str]] = defaultdict(list)
        failed: list[str] = []
        for receipt_handle in receipt_handles:
            name, _, handle = receipt_handle.partition(":")
            if name in self._queues:
                handles[name].append(handle)
            else:
                failed.append(receipt_handle)
        failures: list[RetryableError] = []
        for name, of_queue in handles.items():
            try:
                refused = call(self._queues[name], of_queue)
            except RetryableError as error:
                failures.append(error)
                refused = of_queue
            failed += [f"{name}:{handle}" for handle in refused]
        if failures and len(failures) == len(handles):
            raise failures[0]
        return failed
