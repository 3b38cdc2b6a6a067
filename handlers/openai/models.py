"""The names that a request may have as its model: any, in truth; these are told."""

from typing import Final

from fastapi import APIRouter

from asr_queue.errors import CallerError
from asr_queue.wire.openai import Model, ModelList
from handlers.access import Wired
from handlers.openai.access import Tenant
from handlers.openai.errors import errors
from handlers.openai.examples import MODEL
from handlers.wiring import Services

router = APIRouter(prefix="/v1/models", tags=["openai"])
_ALIAS: Final = "whisper-1"
"""What clients that were made for OpenAI ask for: whatever engine there is."""
_ALIAS_SINCE: Final = 1_677_532_384
"""When OpenAI's own was made, as their API tells."""


@router.get(
    "",
    operation_id="openai_list_models",
    summary="List models",
    response_model=ModelList,
    responses={
        200: {"content": {"application/json": {"example": {"object": "list", "data": [MODEL]}}}},
        **errors(401, 429, 503),
    },
)
def list_(wired: Wired, tenant: Tenant) -> ModelList:
    """Return the name that always works, and the engines of the workers that run."""
    del tenant
    return ModelList(data=_models(wired))


@router.get(
    "/{model}",
    operation_id="openai_retrieve_model",
    summary="Look at a model",
    response_model=Model,
    responses={200: {"content": {"application/json": {"example": MODEL}}}, **errors(401, 404, 429, 503)},
)
def retrieve(wired: Wired, tenant: Tenant, model: str) -> Model:
    """Return one of those."""
    del tenant
    found = next((one for one in _models(wired) if one.id == model), None)
    if found is None:
        raise CallerError("model_not_found", f"There is no model {model!r} here.", http_status=404)
    return found


def _models(wired: Services) -> list[Model]:
    since: dict[str, int] = {}
    for worker in wired.registry.workers(now=wired.clock.now()):
        since.setdefault(worker.engine, int(worker.started_at.timestamp()))
    engines = [Model(id=engine, created=created) for engine, created in sorted(since.items())]
    return [Model(id=_ALIAS, created=_ALIAS_SINCE), *engines]
