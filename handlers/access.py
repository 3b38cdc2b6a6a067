"""Who may do what: a key's tenant, or, by setting, whoever knows an id."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from asr_queue.usecases.authenticate import authenticate
from handlers.wiring import Services, services

_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key of `asr-queue keys create`.")

Wired = Annotated[Services, Depends(services)]


def uploader(request: Request, wired: Wired, key: Annotated[str | None, Security(_header)]) -> str:
    """Return the tenant of the request's key."""
    tenant = authenticate(key, table=wired.table)
    request.state.ids["tenant"] = tenant
    return tenant


def reader(request: Request, wired: Wired, key: Annotated[str | None, Security(_header)]) -> str | None:
    """Return the tenant of the request's key; None where no key is needed and none was sent."""
    if key is None and wired.settings.key_scope == "upload":
        return None
    return uploader(request, wired, key)


Uploader = Annotated[str, Depends(uploader)]
Reader = Annotated[str | None, Depends(reader)]
