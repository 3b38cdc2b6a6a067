"""Settings of the functions."""

from typing import Literal

from pydantic import Field, field_validator

from asr_queue.domain.estimates import ASSUMED_ITEM_S
from asr_queue.domain.notices import BACKOFF_S
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

    callback_hosts: str | None = None
    """Hosts that callbacks may have wherever they are, and by http: `host` or `host:port`, with commas between."""
    callback_backoff_s: str = ",".join(f"{wait_s:g}" for wait_s in BACKOFF_S)
    """Waits between attempts to tell a callback, with commas between; after as many and one it is given up."""
    event_bus: str = "default"
    """Name of the EventBridge bus that is told of finished batches."""

    @field_validator("callback_backoff_s")
    @classmethod
    def _are_waits(cls, waits: str) -> str:
        if not all(float(wait_s) > 0 for wait_s in waits.split(",")):
            raise ValueError(f"ASR_QUEUE_CALLBACK_BACKOFF_S must hold positive numbers of seconds, not {waits!r}")
        return waits

    @property
    def trusted_hosts(self) -> frozenset[str]:
        """The hosts of `callback_hosts`."""
        return frozenset(filter(None, (host.strip().lower() for host in (self.callback_hosts or "").split(","))))

    @property
    def backoff_s(self) -> tuple[float, ...]:
        """The waits of `callback_backoff_s`."""
        return tuple(map(float, self.callback_backoff_s.split(",")))

    @property
    def limits(self) -> Limits:
        """The limits of a key that has none of its own."""
        return Limits(
            items_waiting=self.max_items_waiting or None,
            bytes_stored=self.max_bytes_stored or None,
            requests_per_s=self.max_requests_per_s or None,
        )
