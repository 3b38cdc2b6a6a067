"""The short form of `make fuzz`, and hostile files written by hand."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from asr_queue.errors import CallerError
from gpu_worker.pipeline.decode import Decoder
from tests.fuzz.campaign import KILLED, MAX_AUDIO_S, RATE_HZ, TIMEOUT_S, peak_bytes, run
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.mutations import KINDS, mutated
from tests.pipeline.makers import wav

FILES = 1500
"""About 33 of each kind."""
FOUND = Path(__file__).with_name("found")
"""Files at which a decoding process crashed, or that came out as no sound, until it was mended."""
MEMORY_BYTES = (1 << 30) + (512 << 20)
"""What a decoding process may have: a gibibyte, and what its libraries take."""


def test_a_damaged_file_is_the_same_whenever_it_is_made() -> None:
    assert [mutated(number) for number in range(50)] == [mutated(number) for number in range(50)]
    assert {mutated(number)[0] for number in range(len(KINDS))} == set(KINDS)


def test_damaged_files_of_every_kind_are_decoded_or_refused_and_nothing_else() -> None:
    report = run(range(FILES))
    assert report.bugs == {}
    assert report.slowest[0] < TIMEOUT_S + 40
    assert report.peak_bytes < MEMORY_BYTES
    assert sum(report.outcomes.values()) == FILES
    decoded = sum(number for (_, outcome), number in report.outcomes.items() if outcome == "decoded")
    assert FILES // 10 < decoded < FILES


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decoder]:
    with Decoder(
        tmp_path_factory.mktemp("hostile"),
        processes=1,
        timeout_s=TIMEOUT_S,
        max_audio_s=MAX_AUDIO_S,
    ) as decoder:
        yield decoder


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_costs_no_more_than_its_bounds(decoder: Decoder, what: str) -> None:
    make, right = HOSTILE[what]
    try:
        samples = decoder.decode(make(), sample_rate_hz=RATE_HZ)
        outcome = "decoded"
        assert samples.size <= MAX_AUDIO_S * RATE_HZ
    except CallerError as error:
        outcome = error.code
    assert outcome == right or (right is None and outcome != KILLED)
    assert decoder.decode(wav(0.5), sample_rate_hz=RATE_HZ).size == RATE_HZ // 2, "the next file is served"
    assert peak_bytes() < MEMORY_BYTES


@pytest.mark.parametrize("file", sorted(FOUND.iterdir()), ids=lambda file: file.stem)
def test_what_was_found_once_is_decoded_or_refused(decoder: Decoder, file: Path) -> None:
    try:
        samples = decoder.decode(file.read_bytes(), sample_rate_hz=RATE_HZ)
    except CallerError as error:
        assert error.code != KILLED
    else:
        assert np.isfinite(samples).all()
        assert abs(samples).max() <= 1.0


def test_what_a_decoder_says_of_a_file_does_not_reach_the_workers_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Decoder(tmp_path, processes=1, timeout_s=TIMEOUT_S, max_audio_s=MAX_AUDIO_S) as decoder:
        try:
            decoder.decode((FOUND / "sds-that-makes-noise.bin").read_bytes(), sample_rate_hz=RATE_HZ)
        except CallerError as error:
            assert error.code != KILLED
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limits")
def test_a_decoding_process_leaves_no_core_and_has_a_bound_on_its_memory(decoder: Decoder) -> None:
    decoder.decode(wav(0.5), sample_rate_hz=RATE_HZ)
    decoding = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    limits = [(child.rlimit(psutil.RLIMIT_CORE), child.rlimit(psutil.RLIMIT_AS)[1]) for child in decoding]
    assert any(core == (0, 0) and 0 < memory < 1 << 36 for core, memory in limits)
