"""Notices of finished batches, and the secrets that sign them, in the table that holds everything else."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from asr_queue.adapters.dynamodb.calls import ConditionFailedError, Put, Table, Update
from asr_queue.adapters.dynamodb.due import due_rows
from asr_queue.adapters.dynamodb.rows import META, Row, due_shard, from_ms, to_ms, to_s
from asr_queue.domain.notices import Attempt, DeliveryState, Notice
from asr_queue.domain.signatures import Secrets
from asr_queue.ports import NOTICE_LATE_S, Clock

_LATE: Final = timedelta(seconds=NOTICE_LATE_S)


class DynamoNoticeTable:
    """NoticeTable over the one table and its index `due`."""

    def __init__(self, client: Any, name: str, *, clock: Clock, row_retention_s: int) -> None:
        """Take a boto3 DynamoDB client and the name of the table."""
        self._table = Table(client, name)
        self._clock = clock
        self._row_retention_s = row_retention_s

    def get_notice(self, batch_id: str) -> Notice | None:
        """Return a batch's notice."""
        row = self._table.get(notice_key(batch_id))
        return None if row is None else _to_notice(row)

    def claim_notice(self, batch_id: str, *, now: datetime, until: datetime) -> Notice | None:
        """Take a notice for oneself alone."""
        take = Update(
            key=notice_key(batch_id),
            change="SET #claim = :claim, #next_attempt_at = :until, #due_at = :due_at",
            condition="attribute_exists(#due_shard) AND #next_attempt_at <= :now",
            values={
                "claim": str(uuid4()),
                "now": to_ms(now),
                "until": to_ms(until),
                "due_at": to_ms(until + _LATE),
            },
        )
        try:
            row = self._table.write(take)
        except ConditionFailedError:
            return None
        return None if row is None else _to_notice(row)

    def save_notice(self, notice: Notice) -> bool:
        """Keep what was done about a notice, and let go of it."""
        last_at = notice.next_attempt_at or self._clock.now()
        save = Put(
            row=from_notice(notice) | {"purge_at": self._purge_at(last_at)},
            condition="#claim = :claim",
            values={"claim": notice.claim},
        )
        try:
            self._table.write(save)
        except ConditionFailedError:
            return False
        return True

    def replay_notice(self, batch_id: str, *, now: datetime) -> Notice | None:
        """Have a notice delivered again."""
        values: Row = {
            "state": DeliveryState.PENDING.value,
            "failures": 0,
            "next_attempt_at": to_ms(now),
            "due_at": to_ms(now + _LATE),
            "due_shard": due_shard("NOTICE", batch_id),
            "purge_at": self._purge_at(now),
        }
        again = Update(
            key=notice_key(batch_id),
            change="SET " + ", ".join(f"#{name} = :{name}" for name in values) + " REMOVE #claim",
            condition="attribute_exists(#pk)"
            " AND (attribute_not_exists(#claim) OR #next_attempt_at <= :next_attempt_at)",
            values=values,
        )
        try:
            row = self._table.write(again)
        except ConditionFailedError as error:
            row = error.rows[0]
        return None if row is None else _to_notice(row)

    def due_notices(self, *, now: datetime, limit: int) -> list[Notice]:
        """Return notices that nobody has seen to in time."""
        return [_to_notice(row) for row in due_rows(self._table, "NOTICE", now, limit)]

    def postpone_notice(self, notice: Notice, *, next_check_at: datetime) -> None:
        """Set when a notice is due again."""
        postpone = Update(
            key=notice_key(notice.batch_id),
            change="SET #due_at = :due_at",
            condition="attribute_exists(#due_shard)",
            values={"due_at": to_ms(next_check_at)},
        )
        try:
            self._table.write(postpone)
        except ConditionFailedError:
            return  # somebody has seen to it, or it has gone

    def get_secrets(self, tenant: str) -> Secrets | None:
        """Return a tenant's signing secrets."""
        row = self._table.get(_secrets_key(tenant))
        if row is None:
            return None
        return Secrets(
            tenant=row["tenant"],
            secret=row["secret"],
            created_at=from_ms(row["created_at"]),
            previous=row.get("previous"),
            previous_until=from_ms(row["previous_until"]) if "previous_until" in row else None,
        )

    def put_secrets(self, secrets: Secrets, *, instead_of: Secrets | None) -> bool:
        """Keep signing secrets."""
        row = _secrets_key(secrets.tenant) | {
            "tenant": secrets.tenant,
            "secret": secrets.secret,
            "created_at": to_ms(secrets.created_at),
        }
        if secrets.previous is not None and secrets.previous_until is not None:
            row |= {"previous": secrets.previous, "previous_until": to_ms(secrets.previous_until)}
        put = (
            Put(row=row, condition="attribute_not_exists(#pk)")
            if instead_of is None
            else Put(row=row, condition="#secret = :secret", values={"secret": instead_of.secret})
        )
        try:
            self._table.write(put)
        except ConditionFailedError:
            return False
        return True

    def _purge_at(self, last_at: datetime) -> int:
        # Twice, so that the row outlives its batch's, which is what can be asked for.
        return to_s(last_at, 2 * self._row_retention_s)


def from_notice(notice: Notice) -> Row:
    """Return the row of a notice that nobody has claimed; it is due while something is left to do."""
    row = notice_key(notice.batch_id) | {
        "batch_id": notice.batch_id,
        "tenant": notice.tenant,
        "label": notice.label,
        "total": notice.total,
        "completed": notice.completed,
        "failed": notice.failed,
        "finished_at": to_ms(notice.finished_at),
        "published": notice.is_published,
        "state": notice.state.value,
        "attempts": [_from_attempt(attempt) for attempt in notice.attempts],
        "failures": notice.failures,
    }
    if notice.callback_url is not None:
        row["callback_url"] = notice.callback_url
    if notice.next_attempt_at is not None:
        row |= {
            "next_attempt_at": to_ms(notice.next_attempt_at),
            "due_at": to_ms(notice.next_attempt_at + _LATE),
            "due_shard": due_shard("NOTICE", notice.batch_id),
        }
    return row


def _to_notice(row: Mapping[str, Any]) -> Notice:
    return Notice(
        batch_id=row["batch_id"],
        tenant=row["tenant"],
        label=row["label"],
        callback_url=row.get("callback_url"),
        total=int(row["total"]),
        completed=int(row["completed"]),
        failed=int(row["failed"]),
        finished_at=from_ms(row["finished_at"]),
        is_published=row["published"],
        state=DeliveryState(row["state"]),
        attempts=tuple(_to_attempt(attempt) for attempt in row["attempts"]),
        failures=int(row["failures"]),
        next_attempt_at=from_ms(row["next_attempt_at"]) if "next_attempt_at" in row else None,
        claim=row.get("claim"),
    )


def _from_attempt(attempt: Attempt) -> Row:
    return {
        "at": to_ms(attempt.at),
        "status": attempt.status,
        "error": attempt.error,
        "duration_s": Decimal(f"{attempt.duration_s:.3f}"),
    }


def _to_attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        at=from_ms(row["at"]),
        status=None if row["status"] is None else int(row["status"]),
        error=row["error"],
        duration_s=float(row["duration_s"]),
    )


def notice_key(batch_id: str) -> Row:
    """Key of the row of a batch's notice."""
    return {"pk": f"NOTICE#{batch_id}", "sk": META}


def _secrets_key(tenant: str) -> Row:
    return {"pk": f"WEBHOOK#{tenant}", "sk": META}
