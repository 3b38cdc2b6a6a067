"""Who may do what: a key's tenant, or, by setting, whoever knows an id; and how much of it."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from asr_queue.domain.keys import ApiKey
from asr_queue.domain.quotas import NO_LIMITS, Limits
from asr_queue.usecases.authenticate import admit, authenticate
from handlers.wiring import Services, services

KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key of `asr-queue keys create`.")

Wired = Annotated[Services, Depends(services)]


def asking(request: Request, wired: Wired, key: Annotated[str | None, Security(KEY_HEADER)]) -> ApiKey | None:
    """Return what is kept of the request's key; None where no key is needed and none was sent."""
    if key is None and wired.settings.key_scope == "upload":
        return None
    return known(key, request, wired)


def known(key: str | None, request: Request, wired: Services) -> ApiKey:
    """Return what is kept of a key, and count the request that it came with.

    Raises:
        CallerError: `unauthorized`.
        QuotaError: `too_many_requests`.
    """
    kept = authenticate(key, table=wired.table)
    request.state.ids["tenant"] = kept.tenant
    admit(kept, kept.limits.or_else(wired.settings.limits), table=wired.table, clock=wired.clock)
    return kept


Asking = Annotated[ApiKey | None, Depends(asking)]


def uploader(wired: Wired, key: Asking) -> str:
    """Return the tenant of the request's key, which this needs in any case."""
    return (key or authenticate(None, table=wired.table)).tenant


def reader(key: Asking) -> str | None:
    """Return the tenant of the request's key; None where no key is needed and none was sent."""
    return None if key is None else key.tenant


def limits(wired: Wired, key: Asking) -> Limits:
    """Return what may be used: as the key has it, else as the settings do."""
    return (NO_LIMITS if key is None else key.limits).or_else(wired.settings.limits)


Uploader = Annotated[str, Depends(uploader)]
Reader = Annotated[str | None, Depends(reader)]
Limited = Annotated[Limits, Depends(limits)]
