"""The table in dictionaries."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from asr_queue.adapters.memory_notices import MemoryNoticeTable
from asr_queue.domain.batches import Batch
from asr_queue.domain.files import File
from asr_queue.domain.items import Item, ItemStatus, Operation, pins_by_upload
from asr_queue.domain.keys import ApiKey
from asr_queue.domain.notices import Notice
from asr_queue.domain.quotas import Usage, pinned_enough
from asr_queue.errors import CallerError
from asr_queue.ports import (
    IDEMPOTENCY_LOCK_S,
    IDEMPOTENCY_RETENTION_S,
    UNSENT_CHECK_S,
    Clock,
    IdempotencyClaim,
    StoredAnswer,
)

Due = TypeVar("Due", File, Batch)


@dataclass(slots=True)
class _Execution:
    request_hash: str
    token: str
    claimed_at: datetime
    answer: str | None = None


class MemoryTable:
    """ItemTable for tests; safe to use from several threads. Rows stay for ever."""

    def __init__(self, clock: Clock, *, chance: random.Random | None = None) -> None:
        """Make an empty table.

        Args:
            clock: what tells which uploads have expired.
            chance: draws what DynamoDB leaves open: whether a list of what is due is that of the time before.
                Without it, lists are always new.
        """
        self.notices = MemoryNoticeTable()
        """Where the notices of finished batches go."""
        self._clock = clock
        self._chance = chance
        self._due_before: dict[str, list[Any]] = {}
        self._lock = threading.RLock()
        self._files: dict[str, File] = {}
        self._settled: set[str] = set()
        self._not_due_before: dict[str, datetime] = {}
        self._batches: dict[str, Batch] = {}
        self._next_checks: dict[str, datetime] = {}
        self._items: dict[str, dict[int, Item]] = {}
        self._ended: Counter[str] = Counter()
        self._typical_item_s: dict[Operation, float] = {}
        self._keys: dict[str, ApiKey] = {}
        self._requests: Counter[str] = Counter()
        self._requests_second = 0
        self._executions: dict[tuple[str, str], _Execution] = {}

    # -- files -------------------------------------------------------------------------------------------------

    def put_file(self, file: File) -> None:
        """Register a file."""
        with self._lock:
            known = self._files.get(file.file_id)
            if known is None or not known.pinned_by:
                self._files[file.file_id] = file

    def renew_file(self, file: File) -> None:
        """Register a file, or a known one's new put."""
        with self._lock:
            known = self._files.get(file.file_id)
            if known is None:
                self._files[file.file_id] = file
            elif known.expires_at < file.expires_at:
                self._files[file.file_id] = replace(file, pinned_by=known.pinned_by)
                self._settled.discard(file.file_id)

    def complete_file(self, file: File) -> bool:
        """Note that an awaited file's bytes have come."""
        with self._lock:
            known = self._files.get(file.file_id)
            if known is None or not known.is_awaited or file.file_id in self._settled:
                return False
            self._files[file.file_id] = replace(
                known,
                size_bytes=file.size_bytes,
                content_type=file.content_type,
                expires_at=file.expires_at,
                is_awaited=False,
                parts_id=None,
            )
            return True

    def get_file(self, file_id: str) -> File | None:
        """Return a file."""
        with self._lock:
            return self._files.get(file_id)

    def get_files(self, file_ids: Sequence[str]) -> dict[str, File]:
        """Return those of the files that exist."""
        with self._lock:
            return {file_id: self._files[file_id] for file_id in file_ids if file_id in self._files}

    def settle_file(self, file: File) -> bool:
        """Note that the bytes are gone."""
        with self._lock:
            if self._files[file.file_id].pinned_by:
                return False
            self._settled.add(file.file_id)
            return True

    def expire_file(self, file: File, *, now: datetime) -> bool:
        """End a file's life before its time."""
        with self._lock:
            known = self._files.get(file.file_id)
            if known is None or known.is_expired(now):
                return True
            if known.pinned_by:
                return False
            if file.is_awaited:
                self._not_due_before[file.file_id] = known.expires_at
            self._files[file.file_id] = replace(known, expires_at=now, is_awaited=False)
            return True

    # -- batches and items -------------------------------------------------------------------------------------

    def create_batch(
        self, batch: Batch, items: Sequence[Item], *, claim: IdempotencyClaim | None = None, answer: str = ""
    ) -> None:
        """Write a batch, its items, their pins and the answer at once."""
        with self._lock:
            execution = None
            if claim is not None:
                execution = self._executions.get((claim.tenant, claim.key))
                if execution is None or execution.token != claim.token or execution.answer is not None:
                    raise CallerError(
                        "idempotency_conflict", "another execution took this request over", http_status=409
                    )
            pins = pins_by_upload(items)
            for upload_id in pins:
                self._refuse_unusable(upload_id, batch)
            for upload_id, item_ids in pins.items():
                self._repin(upload_id, add=item_ids)
            self._batches[batch.batch_id] = batch
            self._items[batch.batch_id] = {item.index: item for item in items}
            self._next_checks[batch.batch_id] = batch.created_at + timedelta(seconds=UNSENT_CHECK_S)
            if execution is not None:
                execution.answer = answer

    def load_batch(self, batch_id: str) -> tuple[Batch, list[Item]] | None:
        """Return a batch and all its items."""
        with self._lock:
            batch = self._batches.get(batch_id)
            return None if batch is None else (batch, list(self._items[batch_id].values()))

    def get_batch(self, batch_id: str) -> Batch | None:
        """Return a batch without its items."""
        with self._lock:
            return self._batches.get(batch_id)

    def batch_ids(self) -> list[str]:
        """Return the ids of all batches, as they came: what no table tells."""
        with self._lock:
            return list(self._batches)

    def mark_sent(self, batch: Batch, *, next_check_at: datetime) -> None:
        """Note that a message was sent for every item."""
        with self._lock:
            self._batches[batch.batch_id] = replace(self._batches[batch.batch_id], sent_at=self._clock.now())
            self.postpone_batch(batch, next_check_at=next_check_at)

    def postpone_batch(self, batch: Batch, *, next_check_at: datetime) -> None:
        """Set when the sweep should look again."""
        with self._lock:
            if batch.batch_id in self._next_checks:
                self._next_checks[batch.batch_id] = next_check_at

    def count_ended(self, batch_id: str, count: int) -> bool:
        """Count items of a batch as ended."""
        with self._lock:
            if batch_id not in self._next_checks:
                return False
            self._ended[batch_id] += count
            return self._ended[batch_id] >= self._batches[batch_id].total

    def finish_batch(self, notice: Notice, *, read_until: datetime) -> bool:
        """Note that the last item is final."""
        del read_until
        with self._lock:
            row = self._batches.get(notice.batch_id)
            if row is None or row.finished_at or row.deleted_at or notice.batch_id not in self._next_checks:
                return False
            self._batches[notice.batch_id] = replace(
                row, finished_at=notice.finished_at, completed=notice.completed, failed=notice.failed
            )
            self.notices.put(notice)
            return True

    def retire_batch(self, batch: Batch) -> None:
        """Note that nothing is left to do."""
        with self._lock:
            self._next_checks.pop(batch.batch_id, None)

    def discard_batch(self, batch_id: str) -> None:
        """Do nothing: creation is one step here."""

    def delete_batch(self, batch: Batch, *, now: datetime) -> None:
        """Note that a batch is deleted."""
        with self._lock:
            row = self._batches.get(batch.batch_id)
            if row is not None and row.deleted_at is None:
                self._batches[batch.batch_id] = replace(row, deleted_at=now, label="")
                self.notices.remove_notice(batch.batch_id)
                self._next_checks[batch.batch_id] = now

    def remove_items(self, items: Sequence[Item]) -> None:
        """Remove rows of items."""
        with self._lock:
            for item in items:
                row = self._items[item.batch_id].get(item.index)
                if row is None or (row.status.is_final and not item.status.is_final):
                    continue
                del self._items[item.batch_id][item.index]
                if item.upload_id in self._files:
                    self._repin(item.upload_id, remove=frozenset({item.item_id}))

    def claim_item(self, batch_id: str, index: int, *, now: datetime) -> Item | None:
        """Start an item."""
        with self._lock:
            items = self._items.get(batch_id, {})
            item = items.get(index)
            if item is None or item.status.is_final:
                return None
            items[index] = replace(item, status=ItemStatus.PROCESSING, attempt=item.attempt + 1, started_at=now)
            return items[index]

    def finish_items(self, finished: Sequence[tuple[Item, File | None]]) -> list[bool]:
        """Move items to their final state."""
        with self._lock:
            return [self._finish(item, file) for item, file in finished]

    def forget_texts(self, items: Sequence[Item]) -> None:
        """Forget texts and prompts."""
        with self._lock:
            for item in items:
                row = self._items.get(item.batch_id, {}).get(item.index)
                if row is not None:
                    self._items[item.batch_id][item.index] = replace(row, text="", prompt="")

    # -- what the sweep must look at ---------------------------------------------------------------------------

    def due_files(self, *, now: datetime, limit: int) -> list[File]:
        """Return files past their time, not pinned and not settled."""
        with self._lock:
            due = [
                file
                for file in self._files.values()
                if file.is_expired(now)
                and file.file_id not in self._settled
                and now >= self._not_due_before.get(file.file_id, now)
            ]
            return self._perhaps_old("files", due)[:limit]

    def due_batches(self, *, now: datetime, limit: int) -> list[Batch]:
        """Return batches whose check is due."""
        with self._lock:
            due = [self._batches[batch_id] for batch_id, at in self._next_checks.items() if at <= now]
            return self._perhaps_old("batches", due)[:limit]

    def due_drafts(self, *, now: datetime, limit: int) -> list[str]:
        """Return nothing: creation is one step here."""
        del now, limit
        return []

    def typical_item_s(self, operation: Operation) -> float | None:
        """Return the length that was kept."""
        with self._lock:
            return self._typical_item_s.get(operation)

    def keep_typical_item_s(self, operation: Operation, seconds: float) -> None:
        """Keep a length."""
        with self._lock:
            self._typical_item_s[operation] = round(seconds, 3)

    # -- tenants, keys and idempotency -------------------------------------------------------------------------

    def usage(self, tenant: str) -> Usage:
        """Return what of a tenant counts."""
        with self._lock:
            files = [file for file in self._files.values() if file.tenant == tenant]
            batches = [self._items[batch_id] for batch_id, batch in self._batches.items() if batch.tenant == tenant]
            items = [item for batch in batches for item in batch.values()]
            return Usage(
                items_waiting=sum(item.is_counted and not item.status.is_final for item in items),
                bytes_stored=sum(file.counted_bytes for file in files if file.file_id not in self._settled),
            )

    def count_request(self, key_hash: str, *, now: datetime) -> int:
        """Count a request of a key."""
        with self._lock:
            second = int(now.timestamp())
            if self._requests_second != second:
                self._requests_second, self._requests = second, Counter()
            self._requests[key_hash] += 1
            return self._requests[key_hash]

    def forget_tenant(self, tenant: str) -> int:
        """Remove every row of a tenant but its keys."""
        with self._lock:
            batch_ids = [batch_id for batch_id, batch in self._batches.items() if batch.tenant == tenant]
            file_ids = [file_id for file_id, file in self._files.items() if file.tenant == tenant]
            executions = [place for place in self._executions if place[0] == tenant]
            rows = len(batch_ids) + len(file_ids) + len(executions)
            for batch_id in batch_ids:
                del self._batches[batch_id]
                self._next_checks.pop(batch_id, None)
                rows += len(self._items.pop(batch_id))
            for file_id in file_ids:
                del self._files[file_id]
            for place in executions:
                del self._executions[place]
            return rows + self.notices.forget_tenant(tenant)

    def put_key(self, key: ApiKey) -> None:
        """Store a key."""
        with self._lock:
            self._keys[key.key_hash] = key

    def get_key(self, key_hash: str) -> ApiKey | None:
        """Return a key."""
        with self._lock:
            return self._keys.get(key_hash)

    def list_keys(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        with self._lock:
            return sorted(self._keys.values(), key=lambda key: (key.created_at, key.key_hash))

    def claim_idempotency(
        self, *, tenant: str, key: str, request_hash: str, now: datetime
    ) -> IdempotencyClaim | StoredAnswer | None:
        """Ask for the right to execute a request."""
        with self._lock:
            execution = self._executions.get((tenant, key))
            if execution is not None:
                age_s = (now - execution.claimed_at).total_seconds()
                if execution.answer is not None and age_s < IDEMPOTENCY_RETENTION_S:
                    return StoredAnswer(request_hash=execution.request_hash, body=execution.answer)
                if execution.answer is None and age_s < IDEMPOTENCY_LOCK_S:
                    return None
            token = str(uuid4())
            self._executions[tenant, key] = _Execution(request_hash, token, now)
            return IdempotencyClaim(tenant=tenant, key=key, request_hash=request_hash, token=token)

    def get_answer(self, *, tenant: str, key: str, now: datetime) -> StoredAnswer | None:
        """Return the stored answer of a finished execution."""
        with self._lock:
            execution = self._executions.get((tenant, key))
        is_kept = execution and (now - execution.claimed_at).total_seconds() < IDEMPOTENCY_RETENTION_S
        if execution is None or execution.answer is None or not is_kept:
            return None
        return StoredAnswer(request_hash=execution.request_hash, body=execution.answer)

    def release_idempotency(self, claim: IdempotencyClaim) -> None:
        """Give an unfulfilled claim back."""
        with self._lock:
            execution = self._executions.get((claim.tenant, claim.key))
            if execution is not None and execution.token == claim.token and execution.answer is None:
                del self._executions[claim.tenant, claim.key]

    # -- inside ------------------------------------------------------------------------------------------------

    def _perhaps_old(self, kind: str, due: list[Due]) -> list[Due]:
        """Return what is due, or what the last one who asked could have been told."""
        before: list[Due] = self._due_before.get(kind, [])
        self._due_before[kind] = list(due)
        return before if self._chance is not None and self._chance.random() < 0.2 else due

    def _refuse_unusable(self, upload_id: str, batch: Batch) -> None:
        file = self._files.get(upload_id)
        if file is None or file.tenant != batch.tenant:
            raise CallerError("file_not_found", f"There is no file {upload_id}.", http_status=404)
        if file.is_expired(self._clock.now()):
            raise CallerError("file_expired", f"File {upload_id} has expired.", http_status=410)
        if file.is_pinned_enough:
            raise pinned_enough(upload_id)
        if file.is_awaited:
            raise CallerError("file_not_uploaded", f"The bytes of file {upload_id} have not come.", http_status=409)

    def _repin(
        self, upload_id: str, *, add: frozenset[str] = frozenset(), remove: frozenset[str] = frozenset()
    ) -> None:
        file = self._files[upload_id]
        self._files[upload_id] = replace(file, pinned_by=(file.pinned_by | add) - remove)

    def _finish(self, item: Item, file: File | None) -> bool:
        row = self._items.get(item.batch_id, {}).get(item.index)
        if row is None or row.status.is_final:
            return row is not None and row.has_outcome_of(item)
        self._items[item.batch_id][item.index] = item
        if file is not None:
            self._files[file.file_id] = file
        if item.upload_id in self._files:
            self._repin(item.upload_id, remove=frozenset({item.item_id}))
        return True
