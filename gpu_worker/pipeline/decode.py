"""Decoding in child processes, so that a file that crashes or hangs its decoder costs nobody else anything."""

import multiprocessing
import threading
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from asr_queue.errors import CallerError, RetryableError
from gpu_worker.engine import Samples
from gpu_worker.pipeline.decode_file import Refusal, decode_file, prepare_process


class Decoder:
    """A pool of decoding processes; safe to use from several threads.

    Files and samples change hands through a folder, not through pipes: that costs 0.4 ms a short clip, where 30 s of
    samples through a pipe cost 9 ms; and the samples of a long recording stay out of the worker's own memory,
    since their mapped file's pages can leave it at any time.
    """

    def __init__(self, folder: Path, *, processes: int, timeout_s: float, max_audio_s: float) -> None:
        """Take the bounds, and start the processes.

        Args:
            folder: an empty folder for files under way; room for 64 KB a second of audio.
            processes: files decoded at the same time.
            timeout_s: after that long a process is killed, and its file refused.
            max_audio_s: the longest audio that is accepted.
        """
        self._folder = folder
        self._processes = processes
        self._timeout_s = timeout_s
        self._max_audio_s = max_audio_s
        self._numbers = count()
        self._lock = threading.Lock()
        self._is_closed = False
        self._under_way: set[ProcessFuture[Any]] = set()
        self._pool = self._new_pool()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, data: bytes, *, sample_rate_hz: int) -> Samples:
        """Decode a file of any kind, rate and number of channels.

        Args:
            data: the file.
            sample_rate_hz: rate of the samples.

        Returns:
            Mono samples, mapped from a file that has no name any more: changes to them stay private.

        Raises:
            CallerError: `audio_empty`, `audio_format_unknown`, `audio_track_missing`, `audio_corrupt`,
                `audio_too_short`, `audio_too_long`, `audio_not_finite`; or `audio_undecodable`, where the decoder
                crashed or went beyond its time or memory.
            RetryableError: the pool was closed or broke, through no fault of this file.
        """
        number = next(self._numbers)
        source, target = self._folder / f"{number}.in", self._folder / f"{number}.out"
        try:
            source.write_bytes(data)
            outcome = self._in_child(source, target, sample_rate_hz)
            if isinstance(outcome, Refusal):
                raise CallerError(outcome.code, outcome.message)
            return np.asarray(np.memmap(target, dtype=np.float32, mode="c", shape=(outcome,)))
        finally:
            source.unlink(missing_ok=True)
            target.unlink(missing_ok=True)

    def close(self) -> None:
        """Kill the processes; whoever waits for one gets a RetryableError."""
        with self._lock:
            self._is_closed = True
            pool, under_way = self._pool, list[Any](self._under_way)
        for future in under_way:
            # A stopped pool would leave whoever waits for this waiting for ever.
            future.cancel()
        _end(pool)

    def _in_child(self, source: Path, target: Path, sample_rate_hz: int) -> int | Refusal:
        for _ in range(2):
            pool, future = self._schedule(source, target, sample_rate_hz)
            try:
                outcome: int | Refusal = future.result()
            except TimeoutError as error:
                raise _undecodable(f"took longer than {self._timeout_s:g} s") from error
            except ProcessExpired as error:
                raise _undecodable("crashed the decoder") from error
            except MemoryError as error:
                raise _undecodable("needs too much memory") from error
            except (BrokenProcessPool, CancelledError, RuntimeError):
                # Closed; or a process died that had nothing to do, at which pebble gives the whole pool up.
                if pool.active and not future.cancelled():
                    raise
            else:
                return outcome
            finally:
                self._under_way.discard(future)
        raise RetryableError("decoder_unavailable", "The decoding processes ended while the file was waiting.")

    def _schedule(self, source: Path, target: Path, sample_rate_hz: int) -> tuple[ProcessPool, "ProcessFuture[Any]"]:
        with self._lock:
            if self._is_closed:
                raise RetryableError("worker_stopping", "The worker is stopping.")
            if not self._pool.active:
                _end(self._pool)
                self._pool = self._new_pool()
            bounds = {"sample_rate_hz": sample_rate_hz, "max_audio_s": self._max_audio_s}
            future = self._pool.schedule(decode_file, args=(source, target), kwargs=bounds, timeout=self._timeout_s)
            self._under_way.add(future)
            return self._pool, future

    def _new_pool(self) -> ProcessPool:
        # spawn: a fork would copy the engine's threads' locks in whatever state they are.
        context: Any = multiprocessing.get_context("spawn")
        pool = ProcessPool(max_workers=self._processes, initializer=prepare_process, context=context)
        for _ in range(self._processes):
            pool.schedule(_warm_up)
        return pool


def _warm_up() -> None:
    """Do nothing; that this module was imported for it is the point."""


def _end(pool: Any) -> None:
    pool.stop()
    pool.join()


def _undecodable(why: str) -> CallerError:
    return CallerError(
        "audio_undecodable", f"The file {why}; it is damaged or of an unusual kind. Convert it to wav and send that."
    )
