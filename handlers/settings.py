"""Settings of the functions."""

from typing import Literal

from pydantic import Field

from asr_queue.domain.estimates import ASSUMED_ITEM_S
from asr_queue.domain.quotas import Limits
from asr_queue.settings import ResourceSettings


class ApiSettings(ResourceSettings):
    """What the API needs beside the resources; the prefix is `ASR_QUEUE_`."""

    key_scope: Literal["all", "upload"] = "all"
    """`upload`: ids are the right to use what they name, and only uploads need a key."""
    assumed_item_s: float = Field(default=ASSUMED_ITEM_S, gt=0)
    """Seconds of audio that an item is taken to have, in measuring the backlog, until the first ones have told."""
    worker_usd_per_hour: float = Field(default=0.0, ge=0)
    """What an hour of a worker's device costs, for the cost of items and batches; 0: no cost is told."""
    max_items_waiting: int = Field(default=0, ge=0)
    """Unfinished items that the tenant of a key without a limit of its own may have; 0: no limit."""
    max_bytes_stored: int = Field(default=0, ge=0)
    """Bytes of uploads that it may have stored; 0: no limit."""
    max_requests_per_s: int = Field(default=0, ge=0)
    """Requests that such a key may send in a second; 0: no limit."""
    sync_wait_s: float = Field(default=25.0, gt=0)
    """How long `POST /v1/audio/transcriptions` waits for its end; an HTTP API gives up after 30 s."""
    inline_max_bytes: int | None = Field(default=None, ge=1)
    """Most bytes of a file that are answered; larger ones are answered with a link to the bucket. None: no limit."""

    @property
    def limits(self) -> Limits:
        """The limits of a key that has none of its own."""
        return Limits(
            items_waiting=self.max_items_waiting or None,
            bytes_stored=self.max_bytes_stored or None,
            requests_per_s=self.max_requests_per_s or None,
        )
