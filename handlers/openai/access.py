"""Who is asking: the key as OpenAI's clients send it, or as all others do."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from asr_queue.domain.keys import ApiKey
from asr_queue.domain.quotas import Limits
from asr_queue.errors import CallerError
from handlers.access import KEY_HEADER, Wired, known

_BEARER = HTTPBearer(auto_error=False, description="The same key, as OpenAI's clients send it.")


def asking(
    request: Request,
    wired: Wired,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    key: Annotated[str | None, Security(KEY_HEADER)],
) -> ApiKey:
    """Return what is kept of the request's key; here one is always needed."""
    sent = key if bearer is None else bearer.credentials
    if not sent:
        raise CallerError("unauthorized", "Send your API key: `Authorization: Bearer <key>`.", http_status=401)
    return known(sent, request, wired)


Asking = Annotated[ApiKey, Depends(asking)]


def tenant(key: Asking) -> str:
    """Return the tenant of the request's key."""
    return key.tenant


def limits(wired: Wired, key: Asking) -> Limits:
    """Return what may be used: as the key has it, else as the settings do."""
    return key.limits.or_else(wired.settings.limits)


Tenant = Annotated[str, Depends(tenant)]
Limited = Annotated[Limits, Depends(limits)]
