"""What `make audit` says, with a database and without one."""

import json
import sys
from pathlib import Path

import pytest

from infra import audit


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip-audit that says what a file beside it says."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib\nprint(pathlib.Path({str(tmp_path / 'says')!r}).read_text())\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(audit.sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(audit.sys, "argv", ["audit.py"])
    return tmp_path / "says"


def test_without_a_database_it_says_that_nothing_was_audited(
    tool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool.write_text("")
    assert audit.main() == 0
    told = capsys.readouterr().out
    assert told.count("0 packages looked up") == len(list(audit.LOCKS.glob("*.txt")))
    assert "they are not audited" in told
    monkeypatch.setattr(audit.sys, "argv", ["audit.py", "--online"])
    assert audit.main() == 2


def test_a_vulnerable_package_fails_it(tool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"id": "PYSEC-2026-1", "fix_versions": ["3"]}
    tool.write_text(json.dumps({"dependencies": [{"name": "a", "version": "2", "vulns": [found]}]}))
    assert audit.main() == 1
    assert "a 2: PYSEC-2026-1 (fixed in ['3'])" in capsys.readouterr().out


def test_packages_that_a_database_does_not_know_are_counted(tool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = {"name": "a", "version": "2", "vulns": []}
    tool.write_text(json.dumps({"dependencies": [known, {"name": "b", "skip_reason": "not found"}]}))
    assert audit.main() == 0
    assert "1 packages looked up, 0 of them vulnerable" in capsys.readouterr().out
