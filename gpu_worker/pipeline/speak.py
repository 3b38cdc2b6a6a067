"""The family `voice_clone`: from a sample of a voice, and a text, to speech."""

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from asr_queue.domain.estimates import CHARS_PER_S
from asr_queue.domain.items import Operation
from asr_queue.ports import ObjectStore
from gpu_worker.engine import Samples, Speech, Voice, VoiceEngine
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.pipeline.families import fetched, whole
from gpu_worker.pipeline.joining import join_speech
from gpu_worker.pipeline.sentences import cut_text
from gpu_worker.pipeline.speech_file import encode
from gpu_worker.pipeline.voice_sample import checked_voice
from gpu_worker.work import Assembled, Claimed, Prepared, Processed, TextChunk

_logger = logging.getLogger(__name__)

Spoken: TypeAlias = Processed[TextChunk, Speech]

_VOICES_KEPT: Final = 16
"""Checked samples of 3 MB each at most, so that a batch in one voice decodes and listens to it once."""


class Speak:
    """Family over one voice engine."""

    operation = Operation.VOICE_CLONE

    def __init__(self, engine: VoiceEngine, *, hears: Callable[[Samples], bool]) -> None:
        """Take the engine, and what tells speech from other sounds (`voice_sample.checked_voice`)."""
        self.engine = engine
        self._hears = hears
        self._voices: OrderedDict[str, Voice] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, claimed: Claimed, *, store: ObjectStore, decoder: Decoder) -> Prepared:
        """Cut an item's text to pieces, and make a voice of its sample.

        Raises:
            CallerError: `text_empty`, `audio_missing`, or what `Decoder.decode` and `checked_voice` refuse.
            RetryableError: the store is away, or the worker is stopping.
        """
        item = claimed.item
        pieces = cut_text(item.text, item.language, max_chars=self.engine.limits.max_chars)
        sample = fetched(claimed, store)
        sample_sha256 = hashlib.sha256(sample).hexdigest()
        # Of both, since an engine makes another voice of a sample whose words it knows.
        digest = hashlib.sha256(f"{sample_sha256} {item.said}".encode()).hexdigest()
        voice = self._voice(digest, sample, item.said, decoder)
        # With the one of the submit: the record of who spoke in whose voice. What was said is nobody's business.
        _logger.info(
            "voice_clone_prepared",
            extra={
                "batch_id": item.batch_id,
                "item_id": item.item_id,
                "tenant": item.tenant,
                "sample_sha256": sample_sha256,
                "characters": len(item.text),
                "pieces": len(pieces),
            },
        )
        chunks = [
            TextChunk(
                claimed=claimed,
                position=position,
                of=len(pieces),
                duration_s=len(piece) / CHARS_PER_S,
                text=piece,
                voice=voice,
            )
            for position, piece in enumerate(pieces)
        ]
        return Prepared(claimed=claimed, chunks=tuple(chunks))

    def join(self, parts: Sequence[Spoken]) -> Assembled:
        """Join what was said to one recording, which says of itself that it is synthetic."""
        in_order = sorted(parts, key=lambda part: part.chunk.position)
        item = in_order[0].chunk.claimed.item
        rate_hz = self.engine.limits.speech_rate_hz
        samples = join_speech([part.output.samples for part in in_order], rate_hz=rate_hz)
        is_truncated = any(part.output.is_truncated for part in in_order)
        mark = f"Synthetic speech, made by asr-queue; item {item.item_id}"
        if is_truncated:
            mark += "; the model was stopped, so words may be missing"
        render = partial(encode, samples, rate_hz=rate_hz, form=item.speech_format, mark=mark)
        return whole(parts, audio_s=samples.size / rate_hz, render=render)

    def _voice(self, digest: str, sample: bytes, said: str, decoder: Decoder) -> Voice:
        with self._lock:
            if digest in self._voices:
                self._voices.move_to_end(digest)
                return self._voices[digest]
        limits = self.engine.limits
        samples = decoder.decode(sample, sample_rate_hz=limits.sample_rate_hz)
        voice = checked_voice(samples, limits=limits, digest=digest, said=said, hears=self._hears)
        with self._lock:
            self._voices[digest] = voice
            while len(self._voices) > _VOICES_KEPT:
                self._voices.popitem(last=False)
        return voice
