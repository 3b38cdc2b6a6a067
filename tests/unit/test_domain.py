"""The rules that need nothing but values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_queue.domain.batches import BatchStatus, Progress, finished_at
from asr_queue.domain.files import File, FileKind
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation
from asr_queue.domain.keys import hash_key, new_key
from asr_queue.domain.languages import NAMES, resolve, separator

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def item(status: ItemStatus = ItemStatus.QUEUED, *, finished: datetime | None = None) -> Item:
    return Item(
        batch_id="b",
        index=0,
        item_id="i",
        tenant="acme",
        operation=Operation.TRANSCRIBE,
        upload_id="u",
        upload_key="uploads/acme/u",
        created_at=NOW,
        status=status,
        finished_at=finished,
    )


QUEUED, PROCESSING, DONE, ERROR = ItemStatus


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([QUEUED, QUEUED], BatchStatus.QUEUED),
        ([QUEUED, PROCESSING], BatchStatus.PROCESSING),
        ([QUEUED, DONE], BatchStatus.PROCESSING),
        ([PROCESSING, DONE], BatchStatus.PROCESSING),
        ([DONE, DONE], BatchStatus.COMPLETED),
        ([DONE, ERROR], BatchStatus.PARTIAL),
        ([QUEUED, ERROR], BatchStatus.PARTIAL),
        ([PROCESSING, ERROR], BatchStatus.PARTIAL),
        ([ERROR, ERROR], BatchStatus.ERROR),
    ],
)
def test_the_status_of_a_batch_is_the_contracts_table(states: list[ItemStatus], status: BatchStatus) -> None:
    assert Progress.of([item(state) for state in states]).status is status


@given(st.lists(st.sampled_from(list(ItemStatus)), min_size=1, max_size=30))
def test_a_batch_is_finished_exactly_when_every_item_is_final(states: list[ItemStatus]) -> None:
    progress = Progress.of([item(state) for state in states])
    assert progress.is_finished == all(state.is_final for state in states)
    assert progress.completed + progress.failed <= progress.total == len(states)


def test_a_batch_ends_with_its_last_item_for_every_observer() -> None:
    later = NOW + timedelta(seconds=3)
    items = [item(DONE, finished=later), item(ERROR, finished=NOW)]
    assert finished_at(items) == finished_at(items[::-1]) == later
    assert finished_at([*items, item()]) is None


def test_a_file_expires_at_its_instant_unless_it_is_pinned() -> None:
    def file(*pins: str) -> File:
        return File(
            file_id="f",
            tenant="acme",
            kind=FileKind.UPLOAD,
            object_key="k",
            size_bytes=1,
            content_type="audio/wav",
            created_at=NOW,
            expires_at=NOW + timedelta(seconds=5),
            pinned_by=frozenset(pins),
        )

    assert not file().is_expired(NOW + timedelta(seconds=4.999))
    assert file().is_expired(NOW + timedelta(seconds=5))
    assert not file("an item").is_expired(NOW + timedelta(days=5))


def test_each_attempt_has_a_key_of_its_own_under_its_batch() -> None:
    keys = {item().attempt_key(), item().done(now=NOW, audio_s=1.0).attempt_key()}
    assert keys == {"results/acme/b/i.0.json"}
    assert item().failed(ItemError("c", "m"), now=NOW).result_key is None


@pytest.mark.parametrize(("code", "name"), NAMES.items())
def test_every_language_is_known_by_name_in_any_case_and_by_code(code: str, name: str) -> None:
    assert resolve(name) == resolve(name.upper()) == resolve(f" {name.lower()} ") == resolve(code) == code


@pytest.mark.parametrize("language", ["", "auto", "klingon", "e", "eng lish"])
def test_what_is_no_language_is_none(language: str) -> None:
    assert resolve(language) is None


def test_words_are_joined_as_their_language_writes_them() -> None:
    assert separator("de") == separator(None) == " "
    assert separator("zh") == separator("ja") == separator("th") == ""


def test_keys_are_long_random_and_kept_as_hashes() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) > 40 for key in keys)
    assert all(key not in hash_key(key) for key in keys)
