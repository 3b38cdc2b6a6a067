"""What this worker holds: messages that it received and has neither acknowledged nor given back.

A held message stays hidden, because its visibility timeout is renewed long before it runs out. If that renewal
dies, the worker must stop: its messages come back on their own, and nothing may go on believing otherwise.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from asr_queue.errors import RetryableError

_logger = logging.getLogger(__name__)


class HeldMessages(Protocol):
    """What leases ask of the queue, or queues, that their messages are of; see `WorkQueue`."""

    def extend(self, receipt_handles: Sequence[str], *, visibility_s: int) -> list[str]:
        """Hide messages for `visibility_s` from now; return the handles that failed."""

    def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Acknowledge messages; return the handles that failed."""


class Leases:
    """Leases by receipt handle; safe to use from several threads. Receipt handles are never logged, item ids are."""

    def __init__(self, queue: HeldMessages, *, visibility_timeout_s: int) -> None:
        self._queue = queue
        self._visibility_timeout_s = visibility_timeout_s
        self._item_ids: dict[str, str] = {}
        self._lost: set[str] = set()
        self._changed = threading.Condition()
        # Held while visibility is changed, so that no renewal under way can hide again what was just given back.
        self._changing_visibility = threading.Lock()

    def hold(self, receipt_handle: str, *, item_id: str) -> None:
        """Keep a message hidden from now on, for as long as `keep_alive` runs."""
        with self._changed:
            self._item_ids[receipt_handle] = item_id

    def holds(self, receipt_handle: str) -> bool:
        """Whether a message was neither acknowledged nor given back; a lost lease still counts as held."""
        with self._changed:
            return receipt_handle in self._item_ids

    def held(self) -> list[str]:
        """Return the handles of all that is held, oldest first."""
        with self._changed:
            return list(self._item_ids)

    def wait_for_room(self, wanted: int, *, most: int, timeout_s: float, prefix: str = "") -> bool:
        """Wait until `wanted` more would make no more than `most`; return whether that is so.

        Args:
            wanted: how many more.
            most: how many there may be.
            timeout_s: how long to wait.
            prefix: of the handles that count.
        """

        def has_room() -> bool:
            return sum(handle.startswith(prefix) for handle in self._item_ids) + wanted <= most

        with self._changed:
            return self._changed.wait_for(has_room, timeout_s)

    def acknowledge(self, receipt_handles: Sequence[str]) -> None:
        """Delete messages whose items are final. One that cannot be deleted comes again, and is deleted then."""
        self._forget(receipt_handles)
        try:
            failed, code = self._queue.delete(receipt_handles), "refused"
        except RetryableError as error:
            failed, code = list(receipt_handles), error.code
        if failed:
            _logger.warning("acknowledgement_failed", extra={"code": code, "messages": len(failed)})

    def give_back(self, receipt_handles: Sequence[str], *, visibility_s: int) -> None:
        """Let what is held of these messages come again in `visibility_s` seconds.

        One that SQS cannot be told so comes again when its lease ends.
        """
        given_back = self._forget(receipt_handles)
        if not given_back:
            return
        with self._changing_visibility:
            try:
                failed, code = self._queue.extend(given_back, visibility_s=visibility_s), "refused"
            except RetryableError as error:
                failed, code = given_back, error.code
        if failed:
            _logger.warning("give_back_failed", extra={"code": code, "messages": len(failed)})

    def keep_alive(self, *, heartbeat_s: float, until: threading.Event) -> None:
        """Renew every lease each `heartbeat_s` seconds, until told to end."""
        while not until.wait(heartbeat_s):
            self.renew()

    def renew(self) -> None:
        """Hide all that is held for another visibility timeout.

        A handle that is refused is a lost lease: somebody else may have the message by now. Its work goes on all the
        same, since publishing is decided by a conditional write.
        """
        with self._changing_visibility:
            handles = self.held()
            if not handles:
                return
            try:
                refused = self._queue.extend(handles, visibility_s=self._visibility_timeout_s)
            except RetryableError as error:
                _logger.warning("heartbeat_failed", extra={"code": error.code, "messages": len(handles)})
                return
        self._note_lost(refused)

    def _note_lost(self, refused: Sequence[str]) -> None:
        with self._changed:
            lost = {handle: self._item_ids[handle] for handle in refused if handle in self._item_ids}
            newly_lost = [item_id for handle, item_id in lost.items() if handle not in self._lost]
            self._lost = set(lost)
        for item_id in newly_lost:
            _logger.warning("lease_lost", extra={"item_id": item_id})

    def _forget(self, receipt_handles: Sequence[str]) -> list[str]:
        with self._changed:
            known = [handle for handle in receipt_handles if self._item_ids.pop(handle, None) is not None]
            self._lost.difference_update(known)
            self._changed.notify_all()
            return known
