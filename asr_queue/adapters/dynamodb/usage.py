"""What tenants use: sums that move in the very transactions that move what they count, so that they cannot drift.

A row says itself that it is counted, and for how much: what began uncounted ends uncounted, whatever the limits are by
then. Of each tenant there are some rows, since every transaction on a row is in the way of every other one; a reading
adds them up.
"""

from collections import Counter
from collections.abc import Sequence

from asr_queue.adapters.dynamodb.calls import Update
from asr_queue.adapters.dynamodb.rows import usage_key, usage_shard
from asr_queue.domain.files import File
from asr_queue.domain.items import Item


def items_begun(items: Sequence[Item]) -> list[Update]:
    """Return the actions that count items, those that count: at most one for each batch."""
    return _items(items, +1)


def items_ended(items: Sequence[Item]) -> list[Update]:
    """Return the actions that count items no more: at most one for each batch."""
    return _items(items, -1)


def file_begun(file: File) -> Update:
    """Return the action that counts a file."""
    return _move("counted_bytes", file.tenant, usage_shard(file.file_id), file.counted_bytes)


def file_ended(file: File) -> Update:
    """Return the action that counts a file no more."""
    return _move("counted_bytes", file.tenant, usage_shard(file.file_id), -file.counted_bytes)


def _items(items: Sequence[Item], sign: int) -> list[Update]:
    counted = Counter((item.tenant, usage_shard(item.batch_id)) for item in items if item.is_counted)
    return [_move("counted_items", tenant, shard, sign * count) for (tenant, shard), count in counted.items()]


def _move(name: str, tenant: str, shard: int, change: int) -> Update:
    return Update(
        key=usage_key(tenant, shard),
        change=f"SET #tenant = :tenant ADD #{name} :change",
        values={"tenant": tenant, "change": change},
    )
