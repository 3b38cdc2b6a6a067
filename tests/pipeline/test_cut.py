import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.engine import Limits
from gpu_worker.pipeline.cut import cut
from tests.pipeline.makers import RATE_HZ, tone


def limits(max_chunk_s: float = 30.0, sample_rate_hz: int = RATE_HZ) -> Limits:
    return Limits(max_micro_batch=16, max_chunk_s=max_chunk_s, sample_rate_hz=sample_rate_hz, languages=frozenset())


def with_pause(audio_s: float, *, at_s: float, pause_s: float = 0.4) -> np.ndarray:
    sound = tone(audio_s)
    sound[round((at_s - pause_s / 2) * RATE_HZ) : round((at_s + pause_s / 2) * RATE_HZ)] = 0
    return sound


@given(
    size=st.integers(1, 4000),
    rate_hz=st.integers(1, 400),
    max_chunk_s=st.floats(1.0, 30.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_end_to_end_the_chunks_are_the_input_exactly_and_none_is_over_the_limit(size, rate_hz, max_chunk_s, seed):
    sound = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    chunks = cut(sound, limits(max_chunk_s, rate_hz))
    assert np.array_equal(np.concatenate(chunks), sound)
    assert all(1 <= chunk.size <= round(max_chunk_s * rate_hz) for chunk in chunks)


def test_what_fits_is_not_cut_and_one_sample_more_is():
    most = 30 * RATE_HZ
    assert [chunk.size for chunk in cut(np.ones(most, np.float32), limits())] == [most]
    assert len(cut(np.ones(most + 1, np.float32), limits())) == 2


def test_the_cut_is_in_the_pause():
    first, rest = cut(with_pause(40.0, at_s=23.5), limits())
    assert abs(first.size / RATE_HZ - 23.5) < 0.15
    assert rest.size == 40 * RATE_HZ - first.size


def test_a_pause_long_before_the_limit_is_not_worth_a_short_chunk():
    first, _ = cut(with_pause(40.0, at_s=10.0), limits())
    assert first.size >= 20 * RATE_HZ


def test_silence_is_cut_as_late_as_possible():
    first, *_ = cut(np.zeros(100 * RATE_HZ, np.float32), limits())
    assert first.size > 29.5 * RATE_HZ


def test_no_cut_leaves_a_snippet_behind():
    chunks = cut(np.zeros(round(30.05 * RATE_HZ), np.float32), limits())
    assert min(chunk.size for chunk in chunks) >= RATE_HZ


def test_chunks_are_views_so_that_a_long_recording_is_not_copied():
    sound = tone(61.0)
    assert all(np.shares_memory(chunk, sound) for chunk in cut(sound, limits()))
