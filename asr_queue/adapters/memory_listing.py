"""The list of batches over the table in dictionaries."""

from datetime import datetime

from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.domain.batches import Batch
from asr_queue.ports import BatchPlace


class MemoryBatchListing:
    """BatchListing for tests."""

    def __init__(self, table: MemoryTable) -> None:
        """Take the table that holds the batches."""
        self._table = table

    def page(
        self,
        tenant: str,
        *,
        limit: int,
        after: BatchPlace | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
    ) -> list[Batch]:
        """Return up to `limit` batches, newest first."""
        found = [found[0] for found in map(self._table.load_batch, self._table.batch_ids()) if found is not None]
        listed = [
            batch
            for batch in found
            if batch.tenant == tenant
            and batch.deleted_at is None
            and (after is None or (batch.created_at, batch.batch_id) < (after.created_at, after.batch_id))
            and (created_from is None or created_from <= batch.created_at)
            and (created_to is None or batch.created_at < created_to)
        ]
        return sorted(listed, key=lambda batch: (batch.created_at, batch.batch_id), reverse=True)[:limit]
