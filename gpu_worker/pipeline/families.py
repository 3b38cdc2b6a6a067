"""What differs between operations: how an item becomes inputs of an engine, and their outputs its result.

transcribe     audio ──decode, cut──▶ chunks of audio ──engine──▶ texts and words ──join──▶ transcript
voice_clone    voice's sample, text ──cut──▶ pieces of text ──engine──▶ speech ──join──▶ audio file
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from asr_queue.domain.items import Operation
from asr_queue.errors import CallerError
from asr_queue.ports import ObjectStore
from gpu_worker.engine import Engine
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.work import Assembled, Claimed, Prepared, Processed


class Family(Protocol):
    """One operation's way through the pipe; safe to use from several threads."""

    @property
    def operation(self) -> Operation:
        """Which."""

    @property
    def engine(self) -> Engine[Any, Any]:
        """What its chunks are put into."""

    def prepare(self, claimed: Claimed, *, store: ObjectStore, decoder: Decoder) -> Prepared:
        """Fetch what an item needs and cut it to what the engine takes: at least one chunk.

        Raises:
            CallerError: the item can never be processed.
            RetryableError: the store is away, or the worker is stopping.
        """

    def join(self, parts: Sequence[Processed[Any, Any]]) -> Assembled:
        """Make all processed chunks of one item, in any order, into its result."""


def whole(parts: Sequence[Processed[Any, Any]], *, audio_s: float, render: Callable[[], bytes]) -> Assembled:
    """Return an item's result with what its chunks have cost."""
    return Assembled(
        claimed=parts[0].chunk.claimed,
        audio_s=audio_s,
        device_s=sum(part.device_s for part in parts),
        micro_batch=max(part.micro_batch for part in parts),
        render=render,
    )


def fetched(claimed: Claimed, store: ObjectStore) -> bytes:
    """Return the bytes of an item's upload.

    Raises:
        CallerError: `audio_missing`.
        RetryableError: the store is away.
    """
    data = store.get(claimed.item.upload_key)
    if data is None:
        raise CallerError("audio_missing", "The uploaded audio is gone; upload it again and submit it anew.")
    return data
