"""The pipe's benchmark drains a queue with a tiny model, and accounts for all of its time."""

from pathlib import Path

import pytest

from benchmarks import pipe_utilisation
from benchmarks.corpus import COMMITTED
from benchmarks.pipe.timeline import union

# Several processes that each import two large libraries: slow where others are at work as well.
pytestmark = pytest.mark.timeout(900)


def test_a_stream_is_drained_and_its_time_accounted_for(tmp_path: Path) -> None:
    chosen = ["--tiny", "--items=20", "--decode-processes=1", f"--recordings={COMMITTED}", f"--out={tmp_path}"]
    assert pipe_utilisation.main(chosen) == 0
    written = (tmp_path / "pipe_utilisation.md").read_text()
    assert "20 items" in written
    rows = [[cell.strip() for cell in line.split("|")] for line in written.splitlines() if line.startswith("|")]
    shares = {row[1]: float(row[3]) for row in rows[2:]}
    assert {"in a pass: model", "in a pass: staging of samples", "between passes"} < shares.keys()
    assert sum(shares.values()) == pytest.approx(100, abs=0.1)
    assert all(share >= 0 for share in shares.values())


def test_kernels_that_overlap_are_counted_once() -> None:
    assert union([(0, 10), (2, 3), (5, 12), (20, 21)]) == 13
    assert union([]) == 0
