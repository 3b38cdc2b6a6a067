"""A key is looked up by its hash: what is compared, and how long that takes, says nothing of any key."""

import ast
import re
from pathlib import Path

import pytest

from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.domain.keys import hash_key, new_key
from asr_queue.errors import CallerError
from asr_queue.usecases.authenticate import authenticate
from tests.api.conftest import System

ROOT = Path(__file__).parents[2]


def test_nothing_but_the_hash_of_a_key_is_asked_for_and_kept(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    key = system.api.headers["X-API-Key"]
    asked: list[str] = []
    get_key = MemoryTable.get_key

    def asking(table: MemoryTable, key_hash: str) -> object:
        asked.append(key_hash)
        return get_key(table, key_hash)

    monkeypatch.setattr(MemoryTable, "get_key", asking)
    assert authenticate(key, table=system.table) is not None
    with pytest.raises(CallerError):
        authenticate(key[:-1], table=system.table)
    assert asked == [hash_key(key), hash_key(key[:-1])]
    assert not any(key in str(kept) for kept in system.table.list_keys())


def test_a_key_that_is_nearly_right_has_a_hash_that_is_not() -> None:
    """So whoever measures how far a comparison of hashes came learns nothing to go on with."""
    key = new_key()
    near = [key[:-1] + other for other in "abcdefgh" if other != key[-1]]
    alike = [sum(a == b for a, b in zip(hash_key(key), hash_key(other), strict=True)) for other in near]
    assert max(alike) < 24  # of 64; 4 by chance


def test_keys_have_256_random_bits() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(re.fullmatch(r"asrq_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_no_code_compares_a_key_itself() -> None:
    """Of the modules that ever hold one, none has `==` or `in` with a name that could be a key."""
    for path in ("asr_queue/usecases/authenticate.py", "handlers/access.py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.In) for op in node.ops):
                names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                assert "key" not in names, f"{path}:{node.lineno}"
