"""A tenant's signing secret: made when it is first needed, changed when its tenant asks for that."""

from asr_queue.domain.signatures import Secrets
from asr_queue.errors import RetryableError
from asr_queue.ports import Clock, NoticeTable

_BUSY = RetryableError("secret_busy", "The secret is being changed by another request.")


def webhook_secret(tenant: str, *, table: NoticeTable, clock: Clock) -> Secrets:
    """Return a tenant's signing secrets; the first call makes them."""
    known = table.get_secrets(tenant)
    if known is not None:
        return known
    made = Secrets.new(tenant, now=clock.now())
    if table.put_secrets(made, instead_of=None):
        return made
    known = table.get_secrets(tenant)  # somebody was quicker
    if known is None:
        raise _BUSY
    return known


def rotate_secret(tenant: str, *, table: NoticeTable, clock: Clock) -> Secrets:
    """Give a tenant a new secret, and return it; the one until now signs for a day more.

    Raises:
        RetryableError: another request changed it at the same moment.
    """
    known = webhook_secret(tenant, table=table, clock=clock)
    rotated = known.rotated(now=clock.now())
    if not table.put_secrets(rotated, instead_of=known):
        raise _BUSY
    return rotated
