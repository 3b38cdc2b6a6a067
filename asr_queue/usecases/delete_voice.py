"""Delete a named voice."""

from asr_queue.ports import Clock, ItemTable, ObjectStore
from asr_queue.usecases.delete_file import delete_file
from asr_queue.usecases.find_voice import find_voice_or_what_it_was


def delete_voice(voice_id: str, *, tenant: str, store: ObjectStore, table: ItemTable, clock: Clock) -> None:
    """Remove a voice and its sample now; doing it again changes nothing.

    Raises:
        CallerError: `voice_not_found`, for another tenant's and for any other file too; `file_in_use` while an
            unfinished item needs it.
    """
    voice = find_voice_or_what_it_was(voice_id, tenant=tenant, table=table)
    delete_file(voice.file_id, tenant=tenant, store=store, table=table, clock=clock)
