"""Remove everything of a tenant."""

from dataclasses import dataclass, replace

from asr_queue.domain.drops import tenant_prefix as drop_prefix
from asr_queue.domain.files import uploads_prefix
from asr_queue.domain.items import tenant_results_prefix
from asr_queue.domain.voices import voices_prefix
from asr_queue.ports import Clock, ItemTable, ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What was removed."""

    keys_revoked: int
    rows: int
    objects: int
    """Uploads of which only parts had come included."""


def purge_tenant(tenant: str, *, store: ObjectStore, table: ItemTable, clock: Clock) -> Purged:
    """Revoke a tenant's keys and remove its batches, files and objects; running it again removes what came meanwhile.

    Rows first: no worker starts an item that has none, and one that has an item in hand removes what it wrote for it.
    Of the tenant its revoked keys stay: their hashes, and the names that people gave them.
    """
    in_force = [key for key in table.list_keys() if key.tenant == tenant and key.revoked_at is None]
    for key in in_force:
        table.put_key(replace(key, revoked_at=clock.now()))
    rows = table.forget_tenant(tenant)
    objects = 0
    for prefix in (uploads_prefix(tenant), voices_prefix(tenant), drop_prefix(tenant), tenant_results_prefix(tenant)):
        keys = store.list_keys(prefix)
        store.delete(keys)
        objects += len(keys) + store.abandon_all_parts(prefix)
    return Purged(keys_revoked=len(in_force), rows=rows, objects=objects)
