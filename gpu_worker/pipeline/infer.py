"""Passing a micro-batch through the engine, and finding out which input was at fault when that fails."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from asr_queue.errors import (
    AsrQueueError,
    CallerError,
    EngineBrokenError,
    EngineOutOfMemoryError,
    EngineRestingError,
    RetryableError,
)
from gpu_worker.engine import Done, Engine
from gpu_worker.work import Chunk, Failed, Processed

_logger = logging.getLogger(__name__)

Outcome: TypeAlias = Processed[Any, Any] | Failed


def infer(
    chunks: Sequence[Chunk], engine: Engine[Any, Any], *, make_room: Callable[[], bool] = lambda: False
) -> list[Outcome]:
    """Process a micro-batch, all of one operation: one outcome a chunk, in order, whatever the engine does.

    - Out of memory: where `make_room` can make some, all is tried again; else each half is tried by itself, down to a
      chunk that does not fit alone; its item ends `error`.
    - Resting: every item comes again once that is over.
    - Any other exception is a bug: each chunk is tried alone, and one that raises again makes its item come again.

    What each pass took, one that failed too, is shared among its chunks by the length of their audio: the outcomes'
    `device_s` come to the time of all passes.

    Raises:
        EngineBrokenError: no chunk can be processed in this process; to try on would cost every item its attempts.
    """
    began_s = time.monotonic()
    try:
        outcomes = _pass(chunks, engine)
        pass_s = time.monotonic() - began_s
    except EngineOutOfMemoryError as error:
        pass_s = time.monotonic() - began_s
        _logger.warning("engine_out_of_memory", extra={"chunks": len(chunks)})
        if make_room():
            outcomes = infer(chunks, engine)
        elif len(chunks) == 1:
            outcomes = [_alone(chunks[0], _too_large(chunks[0], error))]
        else:
            middle = len(chunks) // 2
            outcomes = infer(chunks[:middle], engine) + infer(chunks[middle:], engine)
    except EngineRestingError as error:
        pass_s = time.monotonic() - began_s
        outcomes = [Failed(claimed=chunk.claimed, error=error, micro_batch=len(chunks)) for chunk in chunks]
    except EngineBrokenError:
        raise
    except Exception:
        pass_s = time.monotonic() - began_s
        # The engine's own stage loop: a bug must cost the item that it concerns, not the worker.
        _logger.exception("engine_bug", extra={"chunks": len(chunks)})
        if len(chunks) == 1:
            outcomes = [_alone(chunks[0], _BUG)]
        else:
            outcomes = [outcome for chunk in chunks for outcome in infer([chunk], engine)]
    audio_s = sum(chunk.duration_s for chunk in chunks)
    return [
        replace(outcome, device_s=(outcome.device_s or 0.0) + pass_s * chunk.duration_s / audio_s)
        for outcome, chunk in zip(outcomes, chunks, strict=True)
    ]


_BUG = RetryableError("engine_bug", "The engine failed at this item alone.")


def _pass(chunks: Sequence[Chunk], engine: Engine[Any, Any]) -> list[Outcome]:
    inputs = [chunk.engine_input() for chunk in chunks]
    return [
        Processed(chunk=chunk, output=outcome.value, micro_batch=len(chunks))
        if isinstance(outcome, Done)
        else Failed(claimed=chunk.claimed, error=outcome.error, micro_batch=len(chunks))
        for chunk, outcome in zip(chunks, engine.run(inputs), strict=True)
    ]


def _alone(chunk: Chunk, error: AsrQueueError) -> Failed:
    return Failed(claimed=chunk.claimed, error=error, micro_batch=1)


def _too_large(chunk: Chunk, error: AsrQueueError) -> CallerError:
    return CallerError(
        error.code,
        f"The engine ran out of memory on {chunk.duration_s:.1f} s of this item's audio, though it was alone.",
    )
