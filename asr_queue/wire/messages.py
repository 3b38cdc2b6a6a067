"""The message that stands for one item in a queue.

The item's row is the truth; the message only names it. Readers ignore fields they do not know, and each
release reads the messages of the one before (samples in `events/`).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from asr_queue.errors import PoisonError


class ItemMessage(BaseModel):
    """Names one item."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    batch_id: str
    index: int
    item_id: str

    @classmethod
    def parse(cls, body: str) -> "ItemMessage":
        """Read a message body.

        Raises:
            PoisonError: it is none of ours, or of a version this release does not know.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise PoisonError("bad_message", f"not an item message: {error.error_count()} fields wrong") from error
