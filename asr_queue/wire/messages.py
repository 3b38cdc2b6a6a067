"""The messages that stand in queues: each only names something, whose row is the truth.

Readers ignore fields they do not know, and each release reads the messages of the one before (samples in `events/`).
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from asr_queue.errors import PoisonError


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def parse(cls, body: str) -> Self:
        """Read a message body.

        Raises:
            PoisonError: it is none of ours, or of a version this release does not know.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise PoisonError("bad_message", f"not one of our messages: {error.error_count()} fields wrong") from error


class ItemMessage(_Message):
    """Names one item."""

    schema_version: Literal[1] = 1
    batch_id: str
    index: int
    item_id: str


class NoticeMessage(_Message):
    """Names one batch that is finished, or whose end is to be told again."""

    schema_version: Literal[1] = 1
    batch_id: str
