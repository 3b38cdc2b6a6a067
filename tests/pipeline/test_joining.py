import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.corpus import COMMITTED, read_manifest
from gpu_worker.pipeline.joining import KEPT_SILENCE_S, PAUSE_S, join_speech

RATE_HZ = 24_000
PAUSE = round(PAUSE_S * RATE_HZ)
KEPT = round(KEPT_SILENCE_S * RATE_HZ)
FADE = round(0.005 * RATE_HZ)


def hum(audio_s: float, *, hz: float = 150, amplitude: float = 0.3, phase: float = 1.0) -> np.ndarray:
    """A tone that begins and ends in the middle of a period."""
    time_s = np.arange(round(audio_s * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hz * time_s + phase)).astype(np.float32)


def silence(audio_s: float) -> np.ndarray:
    return np.zeros(round(audio_s * RATE_HZ), np.float32)


def joined(*pieces) -> np.ndarray:
    return join_speech([np.asarray(piece, np.float32) for piece in pieces], rate_hz=RATE_HZ)


def largest_step(samples: np.ndarray) -> float:
    return float(np.abs(np.diff(samples)).max(initial=0))


hums = st.builds(
    hum,
    st.floats(0.001, 0.3),
    hz=st.floats(50, 4000),
    amplitude=st.floats(0.01, 1.2),
    phase=st.floats(0, 6.28),
)
padded = st.builds(
    lambda before, sound, behind: np.concatenate([silence(before), sound, silence(behind)]),
    st.floats(0, 0.4),
    hums,
    st.floats(0, 0.4),
)


@given(st.lists(padded, min_size=1, max_size=4))
def test_no_step_between_neighbours_is_larger_than_inside_the_pieces_but_for_what_a_fade_needs(pieces):
    whole = joined(*pieces)
    # What a fade adds to a step is the height of the sound times the steepest of the half cosine.
    fade = max(float(np.abs(piece).max()) for piece in pieces) * np.pi / 2 / FADE
    inside = max(largest_step(piece) for piece in pieces)
    shortest = min(np.count_nonzero(piece) for piece in pieces)
    if shortest >= 4 * FADE:
        assert largest_step(whole) <= inside + fade + 1e-6


@given(st.lists(padded, min_size=1, max_size=4))
def test_every_seam_is_a_pause_that_begins_and_ends_with_nothing(pieces):
    alone = [joined(piece) for piece in pieces]
    whole = joined(*pieces)
    assert all(one[0] == 0 == one[-1] for one in alone)
    rest = whole
    for position, one in enumerate(alone):
        if position:
            assert not rest[:PAUSE].any()
            rest = rest[PAUSE:]
        assert np.array_equal(rest[: one.size], one)
        rest = rest[one.size :]
    assert rest.size == 0


@given(st.lists(padded, max_size=4), st.sampled_from([8_000, 22_050, 24_000, 48_000]))
def test_what_comes_out_is_finite_sound_within_full_scale(pieces, rate_hz):
    whole = join_speech(pieces, rate_hz=rate_hz)
    assert whole.dtype == np.float32
    assert whole.size >= 1
    assert np.abs(whole).max() <= 1


def test_the_length_is_that_of_the_pieces_and_the_pauses_between():
    assert joined(hum(1.0)).size == RATE_HZ
    assert joined(hum(1.0), hum(0.5), hum(0.25)).size == round(1.75 * RATE_HZ) + 2 * PAUSE


def test_no_more_than_a_little_silence_stays_at_the_ends_of_a_piece():
    sound = hum(1.0)
    assert joined(np.concatenate([silence(1), sound, silence(2)])).size == sound.size + 2 * KEPT
    assert joined(np.concatenate([silence(0.05), sound, silence(0.02)])).size == sound.size + round(0.07 * RATE_HZ)


def test_silence_inside_a_piece_stays_for_that_is_how_it_is_said():
    piece = np.concatenate([hum(0.5), silence(1.5), hum(0.5)])
    assert joined(piece).size == piece.size


def test_the_level_stays():
    loud, soft = hum(1.0, amplitude=0.8), hum(1.0, amplitude=0.02)
    whole = joined(loud, soft)
    assert np.array_equal(whole[FADE : RATE_HZ - FADE], loud[FADE:-FADE])
    assert np.array_equal(whole[-RATE_HZ + FADE : -FADE], soft[FADE:-FADE])


def test_a_piece_that_goes_over_full_scale_is_clipped_and_its_neighbour_is_not_made_softer():
    whole = joined(hum(1.0, amplitude=1.5), hum(1.0, amplitude=0.5))
    assert whole.max() == 1
    assert whole[-RATE_HZ:].max() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("pieces", [[], [silence(1)], [silence(1), silence(0.1), np.zeros(0)]], ids=len)
def test_where_nothing_sounds_the_result_is_a_pause(pieces):
    whole = joined(*pieces)
    assert whole.size == PAUSE
    assert not whole.any()


def test_a_piece_without_sound_makes_no_second_pause():
    assert joined(hum(1.0), silence(3), hum(1.0)).size == 2 * RATE_HZ + PAUSE


def test_the_pieces_stay_as_they_were():
    piece = hum(1.0)
    before = piece.copy()
    joined(piece, piece)
    assert np.array_equal(piece, before)


def test_real_speech_that_is_cut_anywhere_is_joined_without_a_click():
    rng = np.random.default_rng(0)
    for one in read_manifest(COMMITTED)[::8]:
        samples, rate_hz = soundfile.read(one.path, dtype="float32")
        speech = soxr.resample(samples, rate_hz, RATE_HZ)
        pieces = np.split(speech, np.sort(rng.integers(RATE_HZ // 4, speech.size - RATE_HZ // 4, 3)))
        inside = max(map(largest_step, pieces))
        assert largest_step(joined(*pieces)) <= inside + np.abs(speech).max() * np.pi / 2 / FADE
        # What a click is to the ear: much where speech has next to nothing, in the highest octave.
        seams = joined(*pieces)
        highest = np.abs(np.diff(seams, n=4)).max()
        assert highest <= 1.05 * max(np.abs(np.diff(piece, n=4)).max(initial=0) for piece in pieces) + 1e-3
