"""Rows of the table: their keys, and what is in them.

| row         | pk                     | sk             |
|-------------|------------------------|----------------|
| file        | FILE#<file_id>         | META           |
| batch       | BATCH#<batch_id>       | META           |
| item        | BATCH#<batch_id>       | ITEM#<index>   |
| key         | KEY#<sha256>           | META           |
| idempotency | IDEM#<tenant>#<key>    | META           |
| typical     | TYPICAL#<operation>    | META           |
| usage       | USAGE#<tenant>         | SHARD#<number> |
| requests    | RATE#<sha256>#<second> | META           |
| worker      | WORKERS                | <worker_id>    |
| notice      | NOTICE#<batch_id>      | META           |
| secrets     | WEBHOOK#<tenant>       | META           |

Instants are milliseconds since 1970, so that they compare in conditions; `purge_at` is seconds, as DynamoDB's time
to live wants it. A row is in the index `due` while it has `due_shard` and `due_at`, and in `listing` while it has
`list_pk` and `list_sk`.
"""

import zlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from asr_queue.domain.batches import Batch, Priority
from asr_queue.domain.files import File, FileKind
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation
from asr_queue.domain.keys import ApiKey
from asr_queue.domain.quotas import Limits
from asr_queue.domain.speech import SpeechFormat

Row = dict[str, Any]
Due = Literal["FILE", "BATCH", "DRAFT", "NOTICE"]
SHARDS: Final = 16
"""Partitions that each kind of due row is spread over: one takes 1,000 writes a second (DynamoDB quotas)."""
META: Final = "META"
LIST_KEYS: Final = "KEYS"
SQS_RETENTION_S: Final = 14 * 86_400
"""The longest that SQS keeps a message, so the longest that a batch can take."""


def file_key(file_id: str) -> Row:
    """Key of a file's row."""
    return {"pk": f"FILE#{file_id}", "sk": META}


def batch_key(batch_id: str) -> Row:
    """Key of a batch's row."""
    return {"pk": f"BATCH#{batch_id}", "sk": META}


def item_key(batch_id: str, index: int) -> Row:
    """Key of an item's row; sorts by index."""
    return {"pk": f"BATCH#{batch_id}", "sk": f"ITEM#{index:06}"}


def api_key_key(key_hash: str) -> Row:
    """Key of an API key's row."""
    return {"pk": f"KEY#{key_hash}", "sk": META}


def idempotency_key(tenant: str, key: str) -> Row:
    """Key of an idempotency row."""
    return {"pk": f"IDEM#{tenant}#{key}", "sk": META}


def typical_key(operation: Operation) -> Row:
    """Key of what is known of an operation's usual items."""
    return {"pk": f"TYPICAL#{operation}", "sk": META}


def usage_key(tenant: str, shard: int) -> Row:
    """Key of one part of a tenant's usage."""
    return {"pk": f"USAGE#{tenant}", "sk": f"SHARD#{shard:02}"}


def usage_shard(row_id: str) -> int:
    """Part of its tenant's usage that a batch or a file is counted in."""
    return zlib.crc32(row_id.encode()) % SHARDS


def requests_key(key_hash: str, second: int) -> Row:
    """Key of the count of a key's requests in a second."""
    return {"pk": f"RATE#{key_hash}#{second}", "sk": META}


def worker_key(worker_id: str) -> Row:
    """Key of a worker's report on itself."""
    return {"pk": "WORKERS", "sk": worker_id}


def due_shard(kind: Due, row_id: str) -> str:
    """Partition of the index `due` that a row is in while it is due some time."""
    return f"DUE#{kind}#{zlib.crc32(row_id.encode()) % SHARDS}"


def due_shards(kind: Due) -> list[str]:
    """Return all partitions of a kind."""
    return [f"DUE#{kind}#{shard}" for shard in range(SHARDS)]


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return round(instant.timestamp() * 1000)


def from_ms(milliseconds: Decimal | int) -> datetime:
    """Return the instant so many milliseconds after 1970 began."""
    whole_s, rest_ms = divmod(int(milliseconds), 1000)
    return datetime.fromtimestamp(whole_s, UTC).replace(microsecond=rest_ms * 1000)


def to_s(instant: datetime, plus_s: int = 0) -> int:
    """Whole seconds since 1970."""
    return int(instant.timestamp()) + plus_s


def list_partition(tenant: str) -> str:
    """Partition of the index `listing` that a tenant's batches are in while they can be seen."""
    return f"BATCHES#{tenant}"


def list_time(instant: datetime) -> str:
    """What the place of every batch made at an instant begins with; sorts by time."""
    return f"{max(0, to_ms(instant)):015}"


def list_place(created_at: datetime, batch_id: str) -> str:
    """Place of a batch in its partition: by time, and of one millisecond by id."""
    return f"{list_time(created_at)}#{batch_id}"


def listed(batch: Batch) -> Row:
    """Return what puts a batch's row into the index."""
    return {"list_pk": list_partition(batch.tenant), "list_sk": list_place(batch.created_at, batch.batch_id)}


def from_file(file: File) -> Row:
    """Return the row of a new file, which becomes due when it expires."""
    row = file_key(file.file_id) | {
        "file_id": file.file_id,
        "tenant": file.tenant,
        "kind": file.kind.value,
        "object_key": file.object_key,
        "size_bytes": file.size_bytes,
        "content_type": file.content_type,
        "created_at": to_ms(file.created_at),
        "expires_at": to_ms(file.expires_at),
        "file_name": file.file_name,
        "due_shard": due_shard("FILE", file.file_id),
        "due_at": to_ms(file.expires_at),
    }
    if file.is_awaited:
        row["awaited"] = True
    if file.parts_id is not None:
        row["parts_id"] = file.parts_id
    if file.said:
        row["said"] = file.said
    if file.counted_bytes:
        row["counted_bytes"] = file.counted_bytes
    return row


def to_file(row: Mapping[str, Any]) -> File:
    """Return the file of a row."""
    return File(
        file_id=row["file_id"],
        tenant=row["tenant"],
        kind=FileKind(row["kind"]),
        object_key=row["object_key"],
        size_bytes=int(row["size_bytes"]),
        content_type=row["content_type"],
        created_at=from_ms(row["created_at"]),
        expires_at=from_ms(row["expires_at"]),
        file_name=row["file_name"],
        said=row.get("said", ""),
        is_awaited=row.get("awaited", False),
        parts_id=row.get("parts_id"),
        counted_bytes=int(row.get("counted_bytes", 0)),
        pinned_by=frozenset(row.get("pinned_by", ())),
    )


def from_batch(batch: Batch) -> Row:
    """Return the row of a new batch, in no index yet."""
    row = batch_key(batch.batch_id) | {
        "batch_id": batch.batch_id,
        "tenant": batch.tenant,
        "total": batch.total,
        "created_at": to_ms(batch.created_at),
        "label": batch.label,
        "priority": batch.priority.value,
    }
    if batch.callback_url is not None:
        row["callback_url"] = batch.callback_url
    if batch.retry_of is not None:
        row["retry_of"] = batch.retry_of
    if batch.ahead_items is not None:
        row["ahead_items"] = batch.ahead_items
    return row


def to_batch(row: Mapping[str, Any]) -> Batch:
    """Return the batch of a row."""
    return Batch(
        batch_id=row["batch_id"],
        tenant=row["tenant"],
        total=int(row["total"]),
        created_at=from_ms(row["created_at"]),
        label=row["label"],
        priority=Priority(row.get("priority", Priority.NORMAL)),
        callback_url=row.get("callback_url"),
        retry_of=row.get("retry_of"),
        ahead_items=_whole(row, "ahead_items"),
        sent_at=_instant(row, "sent_at"),
        finished_at=_instant(row, "finished_at"),
        completed=_whole(row, "completed"),
        failed=_whole(row, "failed"),
        deleted_at=_instant(row, "deleted_at"),
    )


def from_item(item: Item) -> Row:
    """Return the row of a new item."""
    row = item_key(item.batch_id, item.index) | {
        "batch_id": item.batch_id,
        "index": item.index,
        "item_id": item.item_id,
        "tenant": item.tenant,
        "operation": item.operation.value,
        "upload_id": item.upload_id,
        "upload_key": item.upload_key,
        "created_at": to_ms(item.created_at),
        "text": item.text,
        "return_timestamps": item.return_timestamps,
        "status": item.status.value,
        "attempt": item.attempt,
        "upload_bytes": item.upload_bytes,
        "upload_type": item.upload_type,
    }
    if item.speech_format is not SpeechFormat.WAV:
        row["speech_format"] = item.speech_format.value
    if item.said:
        row["said"] = item.said
    if item.prompt:
        row["prompt"] = item.prompt
    if item.custom_id is not None:
        row["custom_id"] = item.custom_id
    if item.language is not None:
        row["language"] = item.language
    if item.is_counted:
        row["counted"] = True
    return row


def to_item(row: Mapping[str, Any]) -> Item:
    """Return the item of a row."""
    return Item(
        batch_id=row["batch_id"],
        index=int(row["index"]),
        item_id=row["item_id"],
        tenant=row["tenant"],
        operation=Operation(row["operation"]),
        upload_id=row["upload_id"],
        upload_key=row["upload_key"],
        created_at=from_ms(row["created_at"]),
        custom_id=row.get("custom_id"),
        text=row["text"],
        speech_format=SpeechFormat(row.get("speech_format", SpeechFormat.WAV)),
        said=row.get("said", ""),
        prompt=row.get("prompt", ""),
        upload_bytes=int(row.get("upload_bytes", 0)),
        upload_type=row.get("upload_type", ""),
        language=row.get("language"),
        return_timestamps=row["return_timestamps"],
        status=ItemStatus(row["status"]),
        attempt=int(row["attempt"]),
        started_at=_instant(row, "started_at"),
        finished_at=_instant(row, "finished_at"),
        audio_s=float(row["audio_s"]) if "audio_s" in row else None,
        device_s=float(row["device_s"]) if "device_s" in row else None,
        micro_batch=_whole(row, "micro_batch"),
        result_key=row.get("result_key"),
        error=ItemError(row["error_code"], row["error_message"]) if "error_code" in row else None,
        is_counted=row.get("counted", False),
    )


def outcome_of(item: Item) -> Row:
    """Return what becomes of an item's row when the item ends; it stays as long as its batch could still run."""
    if item.finished_at is None:
        raise ValueError(f"item {item.item_id} has not ended")
    outcome: Row = {"status": item.status.value, "attempt": item.attempt, "finished_at": to_ms(item.finished_at)}
    outcome |= {"text": item.text, "prompt": item.prompt}
    if item.operation is Operation.VOICE_CLONE:
        outcome["said"] = item.said
    if item.audio_s is not None:
        outcome["audio_s"] = Decimal(f"{item.audio_s:.3f}")
    if item.device_s is not None:
        outcome["device_s"] = Decimal(f"{item.device_s:.6f}")
    if item.micro_batch is not None:
        outcome["micro_batch"] = item.micro_batch
    if item.result_key is not None:
        outcome["result_key"] = item.result_key
    if item.error is not None:
        outcome |= {"error_code": item.error.code, "error_message": item.error.message}
    return outcome


def from_api_key(key: ApiKey) -> Row:
    """Return the row of an API key."""
    row = api_key_key(key.key_hash) | {
        "key_hash": key.key_hash,
        "tenant": key.tenant,
        "name": key.name,
        "created_at": to_ms(key.created_at),
        "list_pk": LIST_KEYS,
        "list_sk": f"{to_ms(key.created_at):015}#{key.key_hash}",
    }
    if key.revoked_at is not None:
        row["revoked_at"] = to_ms(key.revoked_at)
    limits = asdict(key.limits)
    return row | {f"max_{name}": limit for name, limit in limits.items() if limit is not None}


def to_api_key(row: Mapping[str, Any]) -> ApiKey:
    """Return the API key of a row."""
    return ApiKey(
        key_hash=row["key_hash"],
        tenant=row["tenant"],
        name=row["name"],
        created_at=from_ms(row["created_at"]),
        revoked_at=_instant(row, "revoked_at"),
        limits=Limits(**{limit.name: _whole(row, f"max_{limit.name}") for limit in fields(Limits)}),
    )


def _whole(row: Mapping[str, Any], name: str) -> int | None:
    return int(row[name]) if name in row else None


def _instant(row: Mapping[str, Any], name: str) -> datetime | None:
    return from_ms(row[name]) if name in row else None
