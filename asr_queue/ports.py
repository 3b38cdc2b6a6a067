"""What the use cases ask of the outside world. Each promise here is a test in `tests/contract/`.

Every method may raise RetryableError when the service is away, throttles or answers nonsense; whether the call
took effect is then unknown, and calling again is always safe.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from asr_queue.domain.batches import Batch, Priority
from asr_queue.domain.files import File
from asr_queue.domain.items import Item, Operation
from asr_queue.domain.keys import ApiKey
from asr_queue.domain.notices import Notice
from asr_queue.domain.quotas import Usage
from asr_queue.domain.signatures import Secrets
from asr_queue.domain.workers import WorkerReport
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.webhooks import FinishedEvent

UNSENT_CHECK_S = 60
"""Age at which the sweep first looks at a batch whose messages were not noted as sent."""
IDEMPOTENCY_LOCK_S = 60
"""How long a claim holds before another execution may take it over: longer than any request may run."""
IDEMPOTENCY_RETENTION_S = 86_400
"""How long a stored answer is given again."""
NOTICE_LATE_S = 30
"""How long after a notice's time it becomes due: mostly its message has come by then."""
MAX_DELAY_S = 900
"""Longest that a message may be held back at its sending (SQS quotas)."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC, to the millisecond (what a row keeps)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What a store knows of an object beside its bytes."""

    size_bytes: int
    content_type: str
    etag: str
    """Opaque; other bytes have another."""
    modified_at: datetime
    """When it was put, to the second."""


class ObjectStore(Protocol):
    """Bytes by key."""

    def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store an object; a reader sees all of it or none of it."""

    def put_stream(self, key: str, chunks: Iterable[bytes], *, content_type: str) -> None:
        """Store an object from its bytes as they come, holding some MiB of them at a time.

        A reader sees all of it or none of it; what `chunks` raises is raised, and then nothing is stored.
        """

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object, or None where there is none."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that do not exist count as removed."""

    def list_keys(self, prefix: str) -> list[str]:
        """Return every key that begins with the prefix."""

    def join_parts(self, key: str, parts_id: str, *, size_bytes: int) -> int | None:
        """Make an object of the parts that have come, once they have `size_bytes` together.

        Returns:
            How many bytes have come; None where there is no such upload: it was joined before, or abandoned.
        """

    def abandon_parts(self, key: str, parts_id: str) -> None:
        """Remove the parts of an upload that was never joined; one that is not there counts as removed."""

    def abandon_all_parts(self, prefix: str) -> int:
        """Remove the parts of every upload under a prefix that was never joined; return how many uploads that were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedForm:
    """An upload in one request: a multipart form with these fields, and then the field `file`, by POST."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedParts:
    """An upload in parts: the bytes of each by PUT to its address, in any order."""

    parts_id: str
    urls: Sequence[str]


class Presigner(Protocol):
    """Addresses by which somebody without rights of their own may do one thing with one object, for some time."""

    def form(self, key: str, *, size_bytes: int, content_type: str, life_s: int) -> PresignedForm:
        """Let somebody put exactly so many bytes of this type; the store refuses any others."""

    def parts(self, key: str, *, sizes_bytes: Sequence[int], content_type: str, life_s: int) -> PresignedParts:
        """Let somebody put an object in parts of exactly these sizes, each at least 5 MiB but the last."""

    def link(self, key: str, *, content_type: str, life_s: int) -> str:
        """Let somebody get an object, as this type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One receive of one message."""

    body: str
    receipt_handle: str
    """The key of this delivery; a redelivery has another."""
    receive_count: int
    """Times the message was received, this one included; a guess."""
    sent_at: datetime
    """When the message was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Approximate counts of one queue."""

    visible: int
    in_flight: int


class WorkQueue(Protocol):
    """Messages of one operation: delivered at least once, in no order.

    Each priority has a lane, or goes with that of `normal`. Tenants share a lane fairly: while one has much in flight,
    what others sent is delivered first.
    """

    def send(
        self, messages: Sequence[ItemMessage], *, tenant: str, priority: Priority = Priority.NORMAL
    ) -> list[ItemMessage]:
        """Send any number of messages of one tenant; return those that were refused.

        A lost reply may send one twice.
        """

    def receive(self, *, max_messages: int, wait_s: int) -> list[Delivery]:
        """Receive up to `max_messages` (1 to 10) and hide them for the visibility timeout.

        Args:
            wait_s: 0 to 20; how long to wait while the queue is empty.
        """

    def extend(self, receipt_handles: Sequence[str], *, visibility_s: int) -> list[str]:
        """Hide messages for `visibility_s` from now (0: back at once); return the handles that failed."""

    def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Acknowledge messages; return the handles that failed. A handle that is not the latest may fail."""

    def backlog(self) -> Backlog:
        """Count what waits and what is out."""

    def backlogs(self) -> Mapping[Priority, Backlog]:
        """Count the same lane by lane; a priority that is not there goes with `normal`, which is."""


WorkQueues: TypeAlias = Mapping[Operation, WorkQueue]
"""The queue of each operation that this system has an engine for."""


class WorkerRegistry(Protocol):
    """What the workers say of themselves."""

    def report(self, report: WorkerReport) -> None:
        """Keep a worker's report in place of its last one."""

    def leave(self, worker_id: str) -> None:
        """Forget a worker that ends."""

    def workers(self, *, now: datetime) -> list[WorkerReport]:
        """Return the last reports of the workers that live, by their start.

        One that was killed lives on for `domain.workers.ALIVE_S`.
        """


class NoticeTable(Protocol):
    """What is to be told of finished batches, and the secrets that sign it.

    `ItemTable.finish_batch` writes notices, and `delete_batch` removes them.
    """

    def get_notice(self, batch_id: str) -> Notice | None:
        """Return a batch's notice, or None where there is none."""

    def claim_notice(self, batch_id: str, *, now: datetime, until: datetime) -> Notice | None:
        """Take a notice of which something is left to do, for oneself alone until then.

        None where nothing is, where its time has not come, and where another one has it.
        """

    def save_notice(self, notice: Notice) -> bool:
        """Keep what was done about a notice that was claimed, and let go of it.

        Returns False where it has gone, or another one has claimed it since: then nothing is kept.
        """

    def replay_notice(self, batch_id: str, *, now: datetime) -> Notice | None:
        """Have a notice delivered again, from now on, and return it; one whose attempt is under way stays as it is."""

    def due_notices(self, *, now: datetime, limit: int) -> list[Notice]:
        """Return notices whose time was NOTICE_LATE_S ago; the list may be some seconds old."""

    def postpone_notice(self, notice: Notice, *, next_check_at: datetime) -> None:
        """Set when a notice is due again, if by then nobody has seen to it."""

    def get_secrets(self, tenant: str) -> Secrets | None:
        """Return a tenant's signing secrets, or None where it has none yet."""

    def put_secrets(self, secrets: Secrets, *, instead_of: Secrets | None) -> bool:
        """Keep signing secrets; False where `instead_of` (None: none) are not those that are kept."""


class NoticeQueue(Protocol):
    """Messages that name a finished batch: hints for the notification function, which may get lost or come twice."""

    def send(self, batch_id: str, *, tenant: str, delay_s: int = 0) -> None:
        """Send one, to be delivered no sooner than `delay_s` (0 to MAX_DELAY_S) from now."""


class EventBus(Protocol):
    """Where other systems of the account learn what has happened."""

    def publish(self, event: FinishedEvent) -> None:
        """Tell that a batch is finished. A lost reply may tell it twice."""


class WebhookCaller(Protocol):
    """The way out to receivers."""

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str | None]:
        """Send a body to a callback's URL, unless that leads inside; return the answer's status, or why there is none.

        It takes a bounded time. Redirections are not followed, and nothing of the answer is kept.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """The answer to a finished request with an Idempotency-Key."""

    request_hash: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyClaim:
    """The right to execute the request of one Idempotency-Key."""

    tenant: str
    key: str
    request_hash: str
    token: str
    """Tells this execution from another one that took over after the lock ran out."""


class ItemTable(Protocol):
    """Batches, items, files, keys: the truth. Reads see every write that was answered before they began."""

    # -- files -------------------------------------------------------------------------------------------------

    def put_file(self, file: File) -> None:
        """Register a file; it becomes due at its `expires_at`. One that is known and pinned stays as it is."""

    def renew_file(self, file: File) -> None:
        """Register a file whose bytes a client may put again under the same key.

        One that is known takes the size, type and expiry of the new put, and is due again; its pins stay. Nothing
        happens where its expiry is the same or later: the news is old.
        """

    def get_file(self, file_id: str) -> File | None:
        """Return a file, expired or not."""

    def complete_file(self, file: File) -> bool:
        """Note that an awaited file's bytes have come; it takes the size, type and expiry of `file`.

        Returns False where it is not awaited, or not any more: completed before, or given up.
        """

    def get_files(self, file_ids: Sequence[str]) -> dict[str, File]:
        """Return those of the files that exist, by id; any number."""

    def settle_file(self, file: File) -> bool:
        """Note that an expired file's bytes are gone: it is not due again, and its row goes a retention later.

        Returns False where an item has pinned it meanwhile: it is due again when the last pin goes.
        """

    def expire_file(self, file: File, *, now: datetime) -> bool:
        """End a file's life before its time: it is due at once, or, where it is awaited, when its address has ended.

        Returns False where an unfinished item has pinned it; then nothing happens.
        """

    # -- batches and items -------------------------------------------------------------------------------------

    def create_batch(
        self, batch: Batch, items: Sequence[Item], *, claim: IdempotencyClaim | None = None, answer: str = ""
    ) -> None:
        """Write a batch and its items, pin their uploads, and store the answer: all of it visible, or none.

        A batch too large for one transaction is written in several; until the last, `load_batch` does not show
        it. After a crash in between it is due, and `discard_batch` undoes it.

        Args:
            items: 1 to 1,000, in order.
            claim: the idempotency claim that this creation fulfils with `answer`.

        Raises:
            CallerError: `file_not_found` or `file_expired`, where an upload has gone since it was looked up;
                `idempotency_conflict` where the claim was lost. Nothing remains.
        """

    def load_batch(self, batch_id: str) -> tuple[Batch, list[Item]] | None:
        """Return a batch and all its items in order, or None where there is none."""

    def get_batch(self, batch_id: str) -> Batch | None:
        """Return a batch without its items, or None where there is none."""

    def mark_sent(self, batch: Batch, *, next_check_at: datetime) -> None:
        """Note that a message was sent for every item, and when the sweep should look again."""

    def postpone_batch(self, batch: Batch, *, next_check_at: datetime) -> None:
        """Set when the sweep should look at a batch again."""

    def count_ended(self, batch_id: str, count: int) -> bool:
        """Count so many more items of a batch as ended; return whether by that count all of them have.

        A hint, never the truth: a lost reply counts twice, and a process that dies first counts nothing.
        """

    def finish_batch(self, notice: Notice, *, read_until: datetime) -> bool:
        """Note that a batch's last item is final, with what became of them, and keep the notice; all of it or nothing.

        Once, by whoever is first: a batch that was noted, deleted or retired stays as it is. When the sweep looks at
        it next stays too. Both rows go a retention after `read_until`.

        Returns:
            Whether this call did it.
        """

    def retire_batch(self, batch: Batch) -> None:
        """Note that nothing is left to do for a finished batch: it is not due again."""

    def discard_batch(self, batch_id: str) -> None:
        """Undo a batch whose creation never ended: remove its items, release their pins. A visible one stays."""

    def delete_batch(self, batch: Batch, *, now: datetime) -> None:
        """Note that a batch is deleted, and forget its label and notice; it is due at once. The first note stands."""

    def remove_items(self, items: Sequence[Item]) -> None:
        """Remove rows of items of one batch, and their pins: final ones, and those that are unfinished still.

        One that has ended since it was read stays: it may have a result by now. Read again.
        """

    def claim_item(self, batch_id: str, index: int, *, now: datetime) -> Item | None:
        """Start an item: `processing`, attempt + 1. Returns it as it now stands; None where it is final or gone."""

    def finish_items(self, finished: Sequence[tuple[Item, File | None]]) -> list[bool]:
        """Move items to their final state, register their results' files and release their uploads' pins.

        Each item moves with its file and pin in one transaction, if it is not final yet; one that is costs the
        others nothing.

        Returns:
            For each: whether the row now holds exactly this outcome, by this call or by an earlier try of it.
        """

    def forget_texts(self, items: Sequence[Item]) -> None:
        """Forget the texts and prompts of items that have ended and will not be tried again."""

    # -- what the sweep must look at ---------------------------------------------------------------------------

    def due_files(self, *, now: datetime, limit: int) -> list[File]:
        """Return files whose `expires_at` has passed and which are not settled.

        All three of these lists may be some seconds old: read the row again before anything is removed.
        """

    def due_batches(self, *, now: datetime, limit: int) -> list[Batch]:
        """Return visible batches whose check is due."""

    def due_drafts(self, *, now: datetime, limit: int) -> list[str]:
        """Return ids of batches whose creation began long ago and never ended."""

    def typical_item_s(self, operation: Operation) -> float | None:
        """Return the length that was kept for the operation's items, or None where none ever was."""

    def keep_typical_item_s(self, operation: Operation, seconds: float) -> None:
        """Keep the length that an item of the operation usually has, to the millisecond, in place of the last one."""

    # -- tenants, keys and idempotency -------------------------------------------------------------------------

    def usage(self, tenant: str) -> Usage:
        """Return what of a tenant counts: exactly the items and files that say so of themselves."""

    def count_request(self, key_hash: str, *, now: datetime) -> int:
        """Count a request of a key; return how many that makes in this second. A lost reply may count one twice."""

    def forget_tenant(self, tenant: str) -> int:
        """Remove every row of a tenant but its keys; return how many. Reads the whole table."""

    def put_key(self, key: ApiKey) -> None:
        """Store a key, or its revocation."""

    def get_key(self, key_hash: str) -> ApiKey | None:
        """Return a key, revoked or not."""

    def list_keys(self) -> list[ApiKey]:
        """Return all keys, oldest first; one stored a moment ago may be missing."""

    def claim_idempotency(
        self, *, tenant: str, key: str, request_hash: str, now: datetime
    ) -> IdempotencyClaim | StoredAnswer | None:
        """Ask for the right to execute a request.

        Returns:
            A claim; or the stored answer of an earlier execution; or None while another execution holds the key.
        """

    def get_answer(self, *, tenant: str, key: str, now: datetime) -> StoredAnswer | None:
        """Return the stored answer of a finished execution, or None; claims nothing."""

    def release_idempotency(self, claim: IdempotencyClaim) -> None:
        """Give an unfulfilled claim back, so that the next try may execute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlace:
    """Where a batch stands among those of its tenant."""

    created_at: datetime
    batch_id: str


class BatchListing(Protocol):
    """The batches of each tenant that can be seen: no drafts, and none that was deleted."""

    def page(
        self,
        tenant: str,
        *,
        limit: int,
        after: BatchPlace | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
    ) -> list[Batch]:
        """Return up to `limit` batches, newest first; fewer where there are no more.

        One that was made a moment ago may be missing.

        Args:
            tenant: whose.
            limit: at least 1.
            after: the last one of the page before.
            created_from: leave out those made before.
            created_to: leave out those made then or later.
        """
