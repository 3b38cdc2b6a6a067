"""From a claimed item to chunks that the engine takes."""

from asr_queue.errors import CallerError
from asr_queue.ports import ObjectStore
from gpu_worker.engine import SpeechEngine
from gpu_worker.pipeline.cut import cut
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.work import Chunk, Claimed, Prepared


def prepare(claimed: Claimed, *, store: ObjectStore, decoder: Decoder, engine: SpeechEngine) -> Prepared:
    """Fetch, decode and cut an item's audio, and listen whether anybody speaks in it.

    Raises:
        CallerError: `audio_missing`, or what `Decoder.decode` refuses.
        RetryableError: the store is away, or the worker is stopping.
    """
    data = store.get(claimed.item.upload_key)
    if data is None:
        raise CallerError("audio_missing", "The uploaded audio is gone; upload it again and submit it anew.")
    samples = decoder.decode(data)
    limits = engine.limits
    pieces = cut(samples, limits, with_words=claimed.item.return_timestamps)
    chunks = []
    offset_samples = 0
    for position, piece in enumerate(pieces):
        chunks.append(
            Chunk(
                claimed=claimed,
                position=position,
                of=len(pieces),
                offset_s=offset_samples / limits.sample_rate_hz,
                duration_s=piece.size / limits.sample_rate_hz,
                samples=piece,
                has_speech=engine.has_speech(piece),
            )
        )
        offset_samples += piece.size
    return Prepared(claimed=claimed, audio_s=offset_samples / limits.sample_rate_hz, chunks=tuple(chunks))
