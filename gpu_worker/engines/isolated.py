"""A voice engine whose model lives in a process of its own, since its library cannot live beside ours.

                      load                        park
    nothing ───────────────────────▶ on the device ──▶ in the process' own memory
       ▲  unload: the process ends        ▲    │           │
       └──────────────────────────────────┼────┴───────────┘
              ended by somebody else ─────┘ the next pass starts it again

What a pass costs when its process is killed is that pass: its inputs are tried again, alone first (`pipeline.infer`),
each in a process that is alive. So an input that kills it does so twice, with its neighbours and alone, and theirs are
done. One that cannot be kept alive at all is left alone for a while, so that it costs nobody else the worker's time.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_queue.errors import (
    AsrQueueError,
    CallerError,
    EngineLoadError,
    EngineNoRoomError,
    EngineOutOfMemoryError,
    EngineRestingError,
    RetryableError,
)
from gpu_worker.engine import Done, EngineSettings, Failed, Samples, Speech, VoiceInput, VoiceLimits
from gpu_worker.engines.isolated_child import Frame
from gpu_worker.engines.isolated_process import ChildGoneError, IsolatedProcess
from gpu_worker.engines.voice_inputs import refusal

_logger = logging.getLogger(__name__)

_LOAD_S: Final = 1800.0
"""Weights may be downloaded."""
_PASS_S: Final = 300.0
"""Half of what the worker allows a pass by default, after which it would end itself."""
_ANSWER_S: Final = 10.0
"""From a process that has nothing to do; it takes a tenth of a millisecond."""
_MOST_ENDS: Final = 3
_REST_S: Final = 60.0


class IsolatedVoiceEngine:
    """Speaks by way of a program under another interpreter."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        program: Path,
        limits: VoiceLimits,
        options: Mapping[str, Any],
        pass_s: float = _PASS_S,
        rest_s: float = _REST_S,
    ) -> None:
        """Take what the process is made from; it is started by `load`.

        Args:
            settings: of which `python` is the interpreter.
            program: the file that makes the model, as `isolated_child` has it. Its `load` answers with `languages`
                (codes) and `device_bytes`, its `run` takes `inputs` (`text`, `language`, `voice`, an index) and
                `voices` (`digest`, `said`; their samples are the arrays) and answers with `outcomes`, each
                `is_truncated` or `refused` (a code and a message), and the samples of those that are not refused.
            limits: before `load`.
            options: for the program; JSON.
            pass_s: the longest pass; after it the process is killed. The start of another one counts.
            rest_s: how long a process that ended three times without an answer between is left alone.
        """
        self._settings = settings
        self._program = program
        self._limits = limits
        self._options = options
        self._pass_s = pass_s
        self._rest_s = rest_s
        self._process: IsolatedProcess | None = None
        self._is_wanted = False
        """On the device."""
        self._device_bytes = 0
        self._ends = 0
        self._rests_until_s = 0.0

    @property
    def limits(self) -> VoiceLimits:
        """As given; the languages are those of the model from `load` on."""
        return self._limits

    @property
    def device_bytes(self) -> int:
        """What the model's library has reserved, last time it was asked; without its context, which stays."""
        return self._device_bytes if self._is_wanted and self._is_alive else 0

    @property
    def pid(self) -> int | None:
        """Of the process; None where there is none."""
        return self._process.pid if self._process else None

    def load(self) -> None:
        """Have the model on the device: from the process' memory, or by a new process from the disk.

        Raises:
            EngineNoRoomError: the device has no room for it.
            EngineLoadError: the interpreter, the library or the weights are missing or of another kind.
        """
        if self._is_wanted and self._answers():
            return
        self._is_wanted = False
        try:
            self._bring(_LOAD_S)
        except ChildGoneError:
            # That one was killed says nothing of the next one.
            try:
                self._bring(_LOAD_S)
            except ChildGoneError as error:
                raise EngineLoadError(f"The engine's process does not live: {error.message}") from error
        self._is_wanted = True

    def park(self) -> None:
        """Have the process keep the weights in its own memory; its device context stays."""
        if not self._is_wanted:
            return
        self._is_wanted = False
        if self._process is None:
            return
        try:
            self._process.ask(Frame({"do": "park"}, []), timeout_s=self._pass_s)
        except AsrQueueError:
            # The end of the process gives the memory back as well.
            self._drop()

    def run(self, micro_batch: Sequence[VoiceInput]) -> list[Done[Speech] | Failed]:
        """Say each text.

        Raises:
            ChildGoneError: the process ended in the middle; the next pass starts another one.
            RetryableError: `engine_bug`.
            EngineRestingError: it has ended too often lately.
        """
        if not self._is_wanted:
            raise RuntimeError("run before load")
        errors = {i: error for i, one in enumerate(micro_batch) if (error := refusal(one, self._limits))}
        sound = [(i, one) for i, one in enumerate(micro_batch) if i not in errors]
        outcomes: dict[int, Done[Speech] | Failed] = {i: Failed(error) for i, error in errors.items()}
        if sound:
            outcomes |= zip((i for i, _ in sound), self._say([one for _, one in sound]), strict=True)
        return [outcomes[i] for i in range(len(micro_batch))]

    def unload(self) -> None:
        """End the process."""
        self._is_wanted = False
        self._drop()

    def _drop(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _say(self, inputs: Sequence[VoiceInput]) -> list[Done[Speech] | Failed]:
        if (left_s := self._rests_until_s - time.monotonic()) > 0:
            raise EngineRestingError("The engine's process has ended too often.", retry_after_s=left_s)
        until_s = time.monotonic() + self._pass_s
        try:
            # One that has ended while it had nothing to do need not cost these inputs their pass.
            if not self._answers():
                self._bring(max(0.001, until_s - time.monotonic()))
            assert self._process is not None
            left_s = max(0.001, until_s - time.monotonic())
            answer = self._process.ask(_asked(inputs), timeout_s=left_s, is_private=True)
        except EngineNoRoomError as error:
            raise EngineOutOfMemoryError(error.message) from error
        except (ChildGoneError, EngineLoadError):
            self._note_end()
            raise
        self._ends = 0
        return self._outcomes(answer, len(inputs))

    @property
    def _is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive

    def _answers(self) -> bool:
        return self._process is not None and self._process.answers(timeout_s=min(_ANSWER_S, self._pass_s / 3))

    def _bring(self, timeout_s: float) -> None:
        """Put the model on the device, in a new process where there is none."""
        if self._process is None or not self._process.is_alive:
            self._drop()
            self._process = IsolatedProcess(self._program, python=self._settings.python, options=self._options)
        try:
            answer = self._process.ask(Frame({"do": "load"}, []), timeout_s=timeout_s)
        except EngineNoRoomError:
            # It has read the weights; there may be room a moment later.
            raise
        except EngineLoadError:
            self._drop()
            raise
        self._device_bytes = int(answer.head["device_bytes"])
        self._limits = replace(self._limits, languages=self._limits.languages & set(answer.head["languages"]))

    def _note_end(self) -> None:
        self._ends += 1
        if self._ends >= _MOST_ENDS:
            self._ends = 0
            self._rests_until_s = time.monotonic() + self._rest_s
            _logger.error("engine_process_rests", extra={"seconds": self._rest_s})

    def _outcomes(self, answer: Frame, count: int) -> list[Done[Speech] | Failed]:
        try:
            self._device_bytes = int(answer.head["device_bytes"])
            samples = iter(answer.arrays)
            outcomes = [_outcome(one, samples) for one in answer.head["outcomes"]]
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise _nonsense(type(error).__name__) from error
        if len(outcomes) != count:
            raise _nonsense(f"{len(outcomes)} outcomes of {count}")
        return outcomes


def _asked(inputs: Sequence[VoiceInput]) -> Frame:
    voices = {one.voice.digest: one.voice for one in inputs}
    places = {digest: i for i, digest in enumerate(voices)}
    head = {
        "do": "run",
        "voices": [{"digest": digest, "said": voice.said} for digest, voice in voices.items()],
        "inputs": [{"text": one.text, "language": one.language, "voice": places[one.voice.digest]} for one in inputs],
    }
    return Frame(head, [voice.samples for voice in voices.values()])


def _outcome(one: Mapping[str, Any], samples: Iterator[Samples]) -> Done[Speech] | Failed:
    if "refused" in one:
        code, message = one["refused"]
        return Failed(CallerError(str(code), str(message)))
    said = next(samples)
    if said.size == 0 or not np.isfinite(said).all():
        raise ValueError("no speech")
    return Done(Speech(samples=np.clip(said, -1, 1), is_truncated=bool(one["is_truncated"])))


def _nonsense(what: str) -> RetryableError:
    return RetryableError("engine_bug", f"The engine's process answered what is no outcome ({what}).")
