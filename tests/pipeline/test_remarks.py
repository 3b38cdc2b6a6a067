"""What an engine says beside the text reaches the transcript, and what it wants beforehand is done."""

from dataclasses import replace

import numpy as np
import pytest

from gpu_worker.engine import Done
from gpu_worker.pipeline.transcripts import join
from tests.pipeline.makers import RATE_HZ, chunks_of, claimed, encoded, recognised, tone, wav
from tests.pipeline.rig import RecordingEngine, Rig


class RemarkingEngine(RecordingEngine):
    """Takes 4 s at once where words are wanted, and remarks on what lasts longer than 2 s."""

    def __init__(self, **remark) -> None:
        super().__init__()
        self.listened = 0
        self.told: list[bool | None] = []
        self._remark = remark

    @property
    def limits(self):
        return replace(super().limits, max_chunk_with_words_s=4.0)

    def has_speech(self, samples):
        self.listened += 1
        return bool(np.any(samples))

    def run(self, micro_batch):
        self.told += [one.has_speech for one in micro_batch]
        return [
            Done(replace(outcome.value, **self._remark)) if one.samples.size > 2 * RATE_HZ else outcome
            for one, outcome in zip(micro_batch, super().run(micro_batch), strict=True)
        ]


@pytest.mark.parametrize(
    ("remark", "key", "value"),
    [
        ({"is_truncated": True}, "truncated", True),
        ({"is_repetitive": True}, "repetition", True),
        ({"timestamps_unavailable": "No.", "words": ()}, "timestamps_unavailable", "No."),
    ],
)
def test_a_remark_on_one_chunk_is_on_the_transcript(remark, key, value):
    rig = Rig(RemarkingEngine(**remark))
    batch = rig.submit(encoded(tone(5.0), RATE_HZ, "WAV", "PCM_16"), wav(1.0), return_timestamps=True)
    with rig.worker():
        remarked, plain = map(rig.transcript, rig.finished(batch))
    assert remarked[key] == value
    assert set(plain) == {"text", "language", "language_probability", "duration", "timestamps"}


def test_word_times_are_those_of_the_whole_text_or_none():
    first, second = chunks_of(claimed(), 10.0, 12.0)
    known = recognised(first, "One", (0.5, 1.0, "One"))
    unknown = recognised(second, "två", language="sv")
    unknown = replace(unknown, output=replace(unknown.output, timestamps_unavailable="No Swedish."))
    whole = join([known, unknown])
    assert (whole.text, whole.words, whole.timestamps_unavailable) == ("One två", (), "No Swedish.")


@pytest.mark.parametrize(("wanted", "longest_s"), [(True, 4.0), (False, 10.0)])
def test_audio_is_cut_to_what_the_engine_takes_with_words_or_without(wanted, longest_s):
    rig = Rig(RemarkingEngine())
    batch = rig.submit(encoded(tone(10.0), RATE_HZ, "WAV", "PCM_16"), return_timestamps=wanted)
    with rig.worker():
        rig.finished(batch)
    chunks_s = [duration_s for chunks in rig.engine.passes for duration_s in chunks]
    assert max(chunks_s) <= longest_s
    assert sum(chunks_s) == pytest.approx(10.0)


def test_the_pipe_listens_before_the_pass_and_says_what_it_heard():
    rig = Rig(RemarkingEngine())
    silence = encoded(np.zeros(RATE_HZ, np.float32), RATE_HZ, "WAV", "PCM_16")
    batch = rig.submit(silence, wav(1.0), wav(1.5))
    with rig.worker():
        rig.finished(batch)
    assert rig.engine.listened == 3
    assert sorted(rig.engine.told) == [False, True, True]
