"""Passing a micro-batch through the engine, and finding out which input was at fault when that fails."""

import logging
from collections.abc import Sequence

from asr_queue.errors import AsrQueueError, CallerError, EngineBrokenError, EngineOutOfMemoryError, RetryableError
from gpu_worker.engine import Done, SpeechEngine, SpeechInput
from gpu_worker.work import Chunk, Failed, Recognised

_logger = logging.getLogger(__name__)


def infer(chunks: Sequence[Chunk], engine: SpeechEngine) -> list[Recognised | Failed]:
    """Recognise a micro-batch: one outcome a chunk, in order, whatever the engine does.

    - Out of memory: each half is tried by itself, down to a chunk that does not fit alone; its item ends `error`.
    - Any other exception is a bug: each chunk is tried alone, and one that raises again makes its item come again.

    Raises:
        EngineBrokenError: no chunk can be recognised in this process; to try on would cost every item its attempts.
    """
    try:
        return _pass(chunks, engine)
    except EngineOutOfMemoryError as error:
        _logger.warning("engine_out_of_memory", extra={"chunks": len(chunks)})
        if len(chunks) == 1:
            return [Failed(claimed=chunks[0].claimed, error=_too_large(chunks[0], error))]
        middle = len(chunks) // 2
        return infer(chunks[:middle], engine) + infer(chunks[middle:], engine)
    except EngineBrokenError:
        raise
    except Exception:
        # The engine's own stage loop: a bug must cost the item that it concerns, not the worker.
        _logger.exception("engine_bug", extra={"chunks": len(chunks)})
        if len(chunks) == 1:
            return [Failed(claimed=chunks[0].claimed, error=_BUG)]
        return [outcome for chunk in chunks for outcome in infer([chunk], engine)]


_BUG = RetryableError("engine_bug", "The engine failed at this item alone.")


def _pass(chunks: Sequence[Chunk], engine: SpeechEngine) -> list[Recognised | Failed]:
    inputs = [
        SpeechInput(
            samples=chunk.samples,
            language=chunk.claimed.item.language,
            want_words=chunk.claimed.item.return_timestamps,
            has_speech=chunk.has_speech,
        )
        for chunk in chunks
    ]
    return [
        Recognised(chunk=chunk, recognition=outcome.value)
        if isinstance(outcome, Done)
        else Failed(claimed=chunk.claimed, error=outcome.error)
        for chunk, outcome in zip(chunks, engine.run(inputs), strict=True)
    ]


def _too_large(chunk: Chunk, error: AsrQueueError) -> CallerError:
    return CallerError(
        error.code, f"The engine ran out of memory on {chunk.duration_s:.1f} s of this audio, though it was alone."
    )
