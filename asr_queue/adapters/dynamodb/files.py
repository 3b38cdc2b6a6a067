"""Files in the table."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from asr_queue.adapters.dynamodb.calls import ConditionFailedError, Put, Table, Update
from asr_queue.adapters.dynamodb.rows import due_shard, file_key, from_file, to_file, to_ms, to_s
from asr_queue.adapters.dynamodb.usage import file_begun, file_ended
from asr_queue.domain.files import MAX_PINS, File
from asr_queue.ports import Clock


class Files:
    """The part of ItemTable that is about files."""

    _table: Table
    _clock: Clock
    _row_retention_s: int

    def put_file(self, file: File) -> None:
        """Register a file."""
        # An earlier try may take effect only now: by its repetition the file is known, and perhaps in use.
        with suppress(ConditionFailedError):
            if file.counted_bytes:
                put = Put(row=from_file(file), condition="attribute_not_exists(#pk)")
                self._table.transact([put, file_begun(file)])
            else:
                self._table.write(Put(row=from_file(file), condition="attribute_not_exists(#pinned_by)"))

    def renew_file(self, file: File) -> None:
        """Register a file, or a known one's new put."""
        key = file_key(file.file_id)
        row = {name: value for name, value in from_file(file).items() if name not in key}
        try:
            self._table.write(
                Update(
                    key=key,
                    change=f"SET {', '.join(f'#{name} = :{name}' for name in row)} REMOVE #purge_at",
                    condition="attribute_not_exists(#pk) OR #expires_at < :expires_at",
                    values=row,
                )
            )
        except ConditionFailedError:
            return  # old news

    def complete_file(self, file: File) -> bool:
        """Note that an awaited file's bytes have come."""
        try:
            self._table.write(
                Update(
                    key=file_key(file.file_id),
                    change="SET #size_bytes = :size_bytes, #content_type = :content_type, #expires_at = :expires_at,"
                    " #due_at = :expires_at REMOVE #awaited, #parts_id",
                    condition="attribute_exists(#awaited) AND attribute_not_exists(#purge_at)",
                    values={
                        "size_bytes": file.size_bytes,
                        "content_type": file.content_type,
                        "expires_at": to_ms(file.expires_at),
                    },
                )
            )
        except ConditionFailedError:
            return False
        return True

    def get_file(self, file_id: str) -> File | None:
        """Return a file."""
        row = self._table.get(file_key(file_id))
        return None if row is None else to_file(row)

    def get_files(self, file_ids: Sequence[str]) -> dict[str, File]:
        """Return those of the files that exist."""
        rows = self._table.get_many([file_key(file_id) for file_id in dict.fromkeys(file_ids)])
        return {row["file_id"]: to_file(row) for row in rows}

    def settle_file(self, file: File) -> bool:
        """Note that the bytes are gone."""
        settle = Update(
            key=file_key(file.file_id),
            change="SET #purge_at = :purge_at REMOVE #due_shard, #due_at, #counted_bytes",
            condition="attribute_exists(#pk) AND attribute_not_exists(#pinned_by) AND "
            + ("attribute_exists(#counted_bytes)" if file.counted_bytes else "attribute_not_exists(#counted_bytes)"),
            values={"purge_at": to_s(self._clock.now(), self._row_retention_s)},
        )
        try:
            if file.counted_bytes:
                self._table.transact([settle, file_ended(file)])
            else:
                self._table.write(settle)
        except ConditionFailedError as error:
            row = error.rows[0]
            if row is not None and "pinned_by" in row:
                self._leave_index_while_pinned(file)
                return False
        return True

    def expire_file(self, file: File, *, now: datetime) -> bool:
        """End a file's life before its time."""
        change = "SET #expires_at = :now REMOVE #awaited"  # what comes now is not completed any more, but swept
        if not file.is_awaited:
            change = "SET #expires_at = :now, #due_shard = :due_shard, #due_at = :now"
        values = {"now": to_ms(now), "due_shard": due_shard("FILE", file.file_id)}
        try:
            self._table.write(
                Update(
                    key=file_key(file.file_id),
                    change=change,
                    condition="attribute_not_exists(#pinned_by) AND #expires_at > :now",
                    values={name: value for name, value in values.items() if f":{name}" in change},
                )
            )
        except ConditionFailedError as error:
            row = error.rows[0]
            return row is None or "pinned_by" not in row  # gone, or expired before
        return True

    def _leave_index_while_pinned(self, file: File) -> None:
        # Whoever takes the last pin away puts the file back into the index, in the same write.
        try:
            self._table.write(
                Update(
                    key=file_key(file.file_id),
                    change="REMOVE #due_shard, #due_at",
                    condition="attribute_exists(#pinned_by)",
                )
            )
        except ConditionFailedError:
            return


def pin(upload_id: str, item_ids: frozenset[str], *, tenant: str, clock: Clock) -> Update:
    """Return the action that lets items keep an upload alive, if it has not expired."""
    return Update(
        key=file_key(upload_id),
        change="ADD #pinned_by :items REMOVE #due_shard, #due_at",
        condition="#tenant = :tenant AND attribute_not_exists(#awaited)"
        " AND (#expires_at > :now OR attribute_exists(#pinned_by))"
        " AND (attribute_not_exists(#pinned_by) OR size(#pinned_by) < :most)",
        values={"items": set(item_ids), "tenant": tenant, "now": to_ms(clock.now()), "most": MAX_PINS},
    )


def unpin(upload_id: str, item_ids: frozenset[str]) -> Update:
    """Return the action that lets items no longer keep an upload alive.

    It becomes due again at its own time, even where others still keep it: the sweep sees that, and takes it out.
    """
    return Update(
        key=file_key(upload_id),
        change="DELETE #pinned_by :items SET #due_shard = :due_shard, #due_at = #expires_at",
        condition="attribute_exists(#pk)",
        values={"items": set(item_ids), "due_shard": due_shard("FILE", upload_id)},
    )
