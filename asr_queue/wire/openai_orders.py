"""What is kept of a batch of lines beside the batch itself, with its results, as long as they."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from asr_queue.wire.openai import BatchRequest, TranscriptionOptions


class OrderLine(BaseModel):
    """A line, in the order of the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    custom_id: str
    options: TranscriptionOptions | None = None
    """How its transcript is to be answered; it is an item then, in the same order."""
    refused: int | None = None
    """Otherwise the status of its refusal, ..."""
    code: str = ""
    """... its code, and why."""
    message: str = ""


class Order(BaseModel):
    """The whole of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    request: BatchRequest
    lines: list[OrderLine]
