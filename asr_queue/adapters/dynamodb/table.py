"""The table in DynamoDB."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from asr_queue.adapters.dynamodb.batches import Batches
from asr_queue.adapters.dynamodb.calls import ConditionFailedError, Delete, Put, Table, Update
from asr_queue.adapters.dynamodb.due import due_rows
from asr_queue.adapters.dynamodb.files import Files
from asr_queue.adapters.dynamodb.rows import (
    LIST_KEYS,
    api_key_key,
    from_api_key,
    idempotency_key,
    requests_key,
    to_api_key,
    to_batch,
    to_file,
    to_ms,
    to_s,
    typical_key,
    usage_key,
)
from asr_queue.domain.batches import Batch
from asr_queue.domain.files import File
from asr_queue.domain.items import Operation
from asr_queue.domain.keys import ApiKey
from asr_queue.domain.quotas import Usage
from asr_queue.ports import (
    IDEMPOTENCY_LOCK_S,
    IDEMPOTENCY_RETENTION_S,
    Clock,
    IdempotencyClaim,
    StoredAnswer,
)

_PARALLEL_WRITES: Final = 16
_REQUESTS_KEPT_S: Final = 60
"""How long a second's count outlives the second; nobody looks at it again."""


class DynamoItemTable(Files, Batches):
    """ItemTable over one DynamoDB table with the indexes `due` and `listing` (`template.yaml`)."""

    def __init__(self, client: Any, name: str, *, clock: Clock, row_retention_s: int) -> None:
        """Take a boto3 DynamoDB client and the name of the table."""
        self._table = Table(client, name)
        self._clock = clock
        self._row_retention_s = row_retention_s

    def due_files(self, *, now: datetime, limit: int) -> list[File]:
        """Return files whose `expires_at` has passed and which are not settled."""
        return [to_file(row) for row in due_rows(self._table, "FILE", now, limit)]

    def due_batches(self, *, now: datetime, limit: int) -> list[Batch]:
        """Return visible batches whose check is due."""
        return [to_batch(row) for row in due_rows(self._table, "BATCH", now, limit)]

    def due_drafts(self, *, now: datetime, limit: int) -> list[str]:
        """Return ids of batches whose creation never ended."""
        return [row["batch_id"] for row in due_rows(self._table, "DRAFT", now, limit)]

    def typical_item_s(self, operation: Operation) -> float | None:
        """Return the length that was kept."""
        row = self._table.get(typical_key(operation))
        return None if row is None else float(row["item_s"])

    def keep_typical_item_s(self, operation: Operation, seconds: float) -> None:
        """Keep a length."""
        self._table.put(typical_key(operation) | {"item_s": Decimal(f"{seconds:.3f}")})

    def forget_tenant(self, tenant: str) -> int:
        """Remove every row of a tenant but its keys."""
        rows = [
            {"pk": row["pk"], "sk": row["sk"]}
            for row in self._table.scan(attribute="tenant", value=tenant)
            if "key_hash" not in row
        ]
        with ThreadPoolExecutor(_PARALLEL_WRITES) as pool:
            list(pool.map(self._table.write, [Delete(key=row) for row in rows]))
        return len(rows)

    def usage(self, tenant: str) -> Usage:
        """Return what of a tenant counts."""
        rows = list(self._table.query(usage_key(tenant, 0)["pk"]))
        return Usage(
            items_waiting=int(sum(row.get("counted_items", 0) for row in rows)),
            bytes_stored=int(sum(row.get("counted_bytes", 0) for row in rows)),
        )

    def count_request(self, key_hash: str, *, now: datetime) -> int:
        """Count a request of a key."""
        row = self._table.write(
            Update(
                key=requests_key(key_hash, to_s(now)),
                change="ADD #requests :one SET #purge_at = :purge_at",
                values={"one": 1, "purge_at": to_s(now, _REQUESTS_KEPT_S)},
            )
        )
        return int(row["requests"]) if row else 1

    def put_key(self, key: ApiKey) -> None:
        """Store a key, or its revocation."""
        self._table.put(from_api_key(key))

    def get_key(self, key_hash: str) -> ApiKey | None:
        """Return a key."""
        row = self._table.get(api_key_key(key_hash))
        return None if row is None else to_api_key(row)

    def list_keys(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        rows = self._table.query_index("listing", hash_name="list_pk", hash_value=LIST_KEYS)
        return [to_api_key(row) for row in rows]

    def claim_idempotency(
        self, *, tenant: str, key: str, request_hash: str, now: datetime
    ) -> IdempotencyClaim | StoredAnswer | None:
        """Ask for the right to execute a request."""
        claim = IdempotencyClaim(tenant=tenant, key=key, request_hash=request_hash, token=str(uuid4()))
        take = Put(
            row=idempotency_key(tenant, key)
            | {
                "tenant": tenant,
                "request_hash": request_hash,
                "token": claim.token,
                "claimed_at": to_ms(now),
                "purge_at": to_s(now, IDEMPOTENCY_RETENTION_S),
            },
            condition="attribute_not_exists(#pk) OR #claimed_at <= :forgotten"
            " OR (attribute_not_exists(#answer) AND #claimed_at <= :unlocked)",
            values={
                "forgotten": to_ms(now) - 1000 * IDEMPOTENCY_RETENTION_S,
                "unlocked": to_ms(now) - 1000 * IDEMPOTENCY_LOCK_S,
            },
        )
        try:
            self._table.write(take)
        except ConditionFailedError as error:
            held = error.rows[0]
            if held is None or "answer" not in held:
                return None
            return StoredAnswer(request_hash=held["request_hash"], body=held["answer"])
        return claim

    def get_answer(self, *, tenant: str, key: str, now: datetime) -> StoredAnswer | None:
        """Return the stored answer of a finished execution."""
        row = self._table.get(idempotency_key(tenant, key))
        if row is None or "answer" not in row or row["claimed_at"] <= to_ms(now) - 1000 * IDEMPOTENCY_RETENTION_S:
            return None
        return StoredAnswer(request_hash=row["request_hash"], body=row["answer"])

    def release_idempotency(self, claim: IdempotencyClaim) -> None:
        """Give an unfulfilled claim back."""
        give_back = Delete(
            key=idempotency_key(claim.tenant, claim.key),
            condition="#token = :token AND attribute_not_exists(#answer)",
            values={"token": claim.token},
        )
        try:
            self._table.write(give_back)
        except ConditionFailedError:
            return  # fulfilled, or somebody else's by now
