"""The family `transcribe`: from audio to a transcript."""

from collections.abc import Sequence

from asr_queue.domain.items import Operation
from asr_queue.ports import ObjectStore
from gpu_worker.engine import SpeechEngine
from gpu_worker.pipeline.cut import cut
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.pipeline.families import fetched, whole
from gpu_worker.pipeline.transcripts import Recognised, join, transcript
from gpu_worker.work import Assembled, Claimed, Prepared, SpeechChunk


class Transcribe:
    """Family over one speech engine."""

    operation = Operation.TRANSCRIBE

    def __init__(self, engine: SpeechEngine) -> None:
        self.engine = engine

    def prepare(self, claimed: Claimed, *, store: ObjectStore, decoder: Decoder) -> Prepared:
        """Fetch, decode and cut an item's audio, and listen whether anybody speaks in it.

        Raises:
            CallerError: `audio_missing`, or what `Decoder.decode` refuses.
            RetryableError: the store is away, or the worker is stopping.
        """
        limits = self.engine.limits
        samples = decoder.decode(fetched(claimed, store), sample_rate_hz=limits.sample_rate_hz)
        pieces = cut(samples, limits, with_words=claimed.item.return_timestamps)
        chunks = []
        offset_samples = 0
        for position, piece in enumerate(pieces):
            chunks.append(
                SpeechChunk(
                    claimed=claimed,
                    position=position,
                    of=len(pieces),
                    offset_s=offset_samples / limits.sample_rate_hz,
                    duration_s=piece.size / limits.sample_rate_hz,
                    samples=piece,
                    has_speech=self.engine.has_speech(piece),
                )
            )
            offset_samples += piece.size
        return Prepared(claimed=claimed, chunks=tuple(chunks))

    def join(self, parts: Sequence[Recognised]) -> Assembled:
        """Join what was recognised to the item's transcript."""
        joined = join(parts)
        return whole(parts, audio_s=joined.audio_s, render=transcript(joined).to_json)
