"""What the system writes beside a dropped object: a receipt, or an error."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from asr_queue.wire.api import Problem, SubmitAnswer


class DroppedObject(BaseModel):
    """Which put of which object a note is about; a second put under the same key differs in one of these."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    etag: str
    modified_at: str
    """ISO 8601, UTC, to the second."""


class Receipt(SubmitAnswer):
    """A dropped object became a batch: the answer to its submit; `status_url` is where that is polled."""

    schema_version: Literal[1] = 1
    status_url: str
    dropped: DroppedObject


class Refusal(Problem):
    """A dropped object was refused: a problem document (RFC 9457)."""

    schema_version: Literal[1] = 1
    dropped: DroppedObject
