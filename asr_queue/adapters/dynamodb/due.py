"""Reading the index `due`."""

from datetime import datetime
from itertools import islice

from asr_queue.adapters.dynamodb.calls import Table
from asr_queue.adapters.dynamodb.rows import SHARDS, Due, Row, due_shards, to_ms


def due_rows(table: Table, kind: Due, now: datetime, limit: int) -> list[Row]:
    """Return rows of a kind that are due, the first of each partition; they may be some seconds old."""
    rows: list[Row] = []
    for shard in due_shards(kind):
        found = table.query_index(
            "due", hash_name="due_shard", hash_value=shard, range_name="due_at", at_most=to_ms(now)
        )
        rows += islice(found, -(-limit // SHARDS))
    return rows[:limit]
