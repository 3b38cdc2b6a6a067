"""What an item's end is to OpenAI's clients."""

from http import HTTPStatus
from typing import Final

from asr_queue.domain.items import ItemError

_STATUSES: Final = {
    "cancelled": HTTPStatus.CONFLICT,
    "engine_out_of_memory": HTTPStatus.INTERNAL_SERVER_ERROR,
    "too_many_attempts": HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: ItemError) -> int:
    """Return the status of an item's failure: that of a recording at fault, unless something else was."""
    return _STATUSES.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
