"""The estimator against batches as they really went (`benchmarks/estimates.py` recorded them)."""

from statistics import median

import pytest

from asr_queue.domain.estimates import Basis
from benchmarks.recorded_runs import RUNS, Run, errors, read, to_line


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return read()


def test_after_a_tenth_of_the_audio_the_end_is_foretold_within_a_fifth_in_the_median(runs: list[Run]) -> None:
    found = errors(runs, 0.1)
    assert len(runs) > 20
    assert len(found) >= 20
    assert median(found) < 0.2


@pytest.mark.parametrize("progress", [0.25, 0.5, 0.75])
def test_it_gets_no_worse_on_the_way(runs: list[Run], progress: float) -> None:
    assert median(errors(runs, progress)) < 0.1


def test_an_end_is_foretold_at_every_look_after_the_first_item(runs: list[Run]) -> None:
    for run in runs:
        for look in run.looks:
            if 0 < run.progress(look.at_s) < 1:
                assert run.replay(look).basis is Basis.BATCH, f"{run.name} at {look.at_s}"


def test_the_runs_are_of_many_kinds(runs: list[Run]) -> None:
    assert len({run.name for run in runs}) == len(runs)
    for word in ("alone", "ahead", "beside", "behind", "echo", "whisper", "1 worker", "2 workers", "3 workers"):
        assert any(word in run.name for run in runs), word


def test_a_run_comes_back_as_it_was_written(runs: list[Run], tmp_path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(to_line(run) + "\n" for run in runs))
    assert read(path) == runs
    assert RUNS.stat().st_size < 300_000
