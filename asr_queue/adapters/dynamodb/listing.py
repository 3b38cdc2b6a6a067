"""The list of batches in DynamoDB: the index `listing`, a partition a tenant."""

from datetime import datetime
from typing import Any, Final

from asr_queue.adapters.dynamodb.calls import Table
from asr_queue.adapters.dynamodb.rows import batch_key, list_partition, list_place, list_time, to_batch
from asr_queue.domain.batches import Batch
from asr_queue.ports import BatchPlace

_FIRST: Final = "0"
_LAST: Final = "~"
"""Less and more than any place: those begin with fifteen digits, and no key of an index is empty."""


class DynamoBatchListing:
    """BatchListing over the table that holds everything else."""

    def __init__(self, client: Any, name: str) -> None:
        """Take a boto3 DynamoDB client and the name of the table."""
        self._table = Table(client, name)

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
        low = _FIRST if created_from is None else list_time(created_from)
        # A place is its time and more, so it comes after that time itself: the bound leaves out what was made then.
        high = _LAST if created_to is None else list_time(created_to)
        found: list[Batch] = []
        while len(found) < limit:
            if after is not None:
                high = min(high, list_place(after.created_at, after.batch_id))
            wanted = limit - len(found)
            places = self._places(tenant, low, high, wanted, after)
            # The index may be some seconds old, and a deleted batch is seen by nobody from the first moment on.
            rows = {row["batch_id"]: row for row in self._table.get_many([batch_key(one.batch_id) for one in places])}
            found += [to_batch(rows[one.batch_id]) for one in places if "list_sk" in rows.get(one.batch_id, {})]
            if len(places) < wanted:
                break
            after = places[-1]
        return found

    def _places(self, tenant: str, low: str, high: str, wanted: int, after: BatchPlace | None) -> list[BatchPlace]:
        if low > high:
            return []
        rows = self._table.query_index_backwards(
            "listing",
            hash_name="list_pk",
            hash_value=list_partition(tenant),
            range_name="list_sk",
            between=(low, high),
            most=wanted + 1,  # the bound is one of them, and was on the page before
        )
        batches = [to_batch(row) for row in rows]
        places = [BatchPlace(created_at=batch.created_at, batch_id=batch.batch_id) for batch in batches]
        return [place for place in places if place != after][:wanted]
