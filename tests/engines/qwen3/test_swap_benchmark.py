"""The benchmark of swaps runs from end to end on tiny models, so that it runs where a GPU is lent for minutes."""

from pathlib import Path

import pytest

from benchmarks import swap

pytestmark = pytest.mark.timeout(900)


def test_swaps_are_measured_and_what_comes_back_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert swap.main(["--tiny", "--swaps", "6", "--micro-batch", "4", "--out", str(tmp_path)]) == 0
    written = (tmp_path / "swap.md").read_text()
    assert "**0 of 4** outputs differ" in written
    assert "the 6 swaps after" in written
    assert "no GPU was lent" in written
    assert capsys.readouterr().out == written + "\n"

    said = iter(range(100))
    monkeypatch.setattr(swap, "_output", lambda _: next(said))
    assert swap.main(["--tiny", "--swaps", "2", "--micro-batch", "4", "--out", str(tmp_path)]) == 1
    assert "**2 of 2** outputs differ" in (tmp_path / "swap.md").read_text()
