"""What ItemTable promises."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.domain.batches import Batch, Priority, Progress
from asr_queue.domain.files import File, FileKind
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation
from asr_queue.domain.keys import ApiKey
from asr_queue.domain.notices import Notice
from asr_queue.domain.quotas import Limits, Usage
from asr_queue.errors import CallerError, QuotaError
from asr_queue.ports import IDEMPOTENCY_LOCK_S, IDEMPOTENCY_RETENTION_S, IdempotencyClaim, ItemTable, StoredAnswer

FAULT = ItemError("audio_undecodable", "This is no audio.")


def an_upload(table: ItemTable, clock: ManualClock, *, tenant: str = "acme", ttl_s: int = 1800) -> File:
    file_id = str(uuid4())
    file = File(
        file_id=file_id,
        tenant=tenant,
        kind=FileKind.UPLOAD,
        object_key=f"uploads/{tenant}/{file_id}",
        size_bytes=7,
        content_type="audio/wav",
        created_at=clock.now(),
        expires_at=clock.now() + timedelta(seconds=ttl_s),
        file_name="talk ü.wav",
    )
    table.put_file(file)
    return file


def a_batch(clock: ManualClock, uploads: list[File], **fields: object) -> tuple[Batch, list[Item]]:
    batch = Batch(batch_id=str(uuid4()), tenant="acme", total=len(uploads), created_at=clock.now(), label="a label")
    items = [
        Item(
            batch_id=batch.batch_id,
            index=index,
            item_id=str(uuid4()),
            tenant="acme",
            operation=Operation.TRANSCRIBE,
            upload_id=upload.file_id,
            upload_key=upload.object_key,
            created_at=clock.now(),
            **fields,
        )
        for index, upload in enumerate(uploads)
    ]
    return batch, items


def created(table: ItemTable, clock: ManualClock, count: int = 1) -> tuple[Batch, list[Item]]:
    batch, items = a_batch(clock, [an_upload(table, clock) for _ in range(count)])
    table.create_batch(batch, items)
    return batch, items


def started(table: ItemTable, clock: ManualClock, item: Item) -> Item:
    claimed = table.claim_item(item.batch_id, item.index, now=clock.now())
    assert claimed is not None
    return claimed


def done(clock: ManualClock, item: Item) -> tuple[Item, File]:
    finished = item.done(now=clock.now(), audio_s=1.25)
    assert finished.result_key is not None
    return finished, File(
        file_id=item.item_id,
        tenant=item.tenant,
        kind=FileKind.RESULT,
        object_key=finished.result_key,
        size_bytes=9,
        content_type="application/json",
        created_at=clock.now(),
        expires_at=clock.now() + timedelta(seconds=1800),
        file_name=item.result_name,
    )


def load(table: ItemTable, batch: Batch) -> tuple[Batch, list[Item]]:
    found = table.load_batch(batch.batch_id)
    assert found is not None
    return found


def the_end_of(batch: Batch, at: datetime, *, failed: int = 0) -> Notice:
    progress = Progress(total=batch.total, queued=0, processing=0, completed=batch.total - failed, failed=failed)
    return Notice.of(batch, progress, finished_at=at)


class TestFiles:
    def test_a_file_comes_back_as_it_was_put(self, table: ItemTable, clock: ManualClock) -> None:
        file = an_upload(table, clock)
        assert table.get_file(file.file_id) == file

    def test_a_file_that_is_not_there_is_none(self, table: ItemTable) -> None:
        assert table.get_file(str(uuid4())) is None

    def test_many_files_come_in_one_call_however_often_they_are_named(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        files = [an_upload(table, clock) for _ in range(120)]
        ids = [file.file_id for file in files]
        assert table.get_files([*ids, *ids, str(uuid4())]) == {file.file_id: file for file in files}
        assert table.get_files([]) == {}

    def test_a_file_is_due_from_its_expiry_until_it_is_settled(self, table: ItemTable, clock: ManualClock) -> None:
        file = an_upload(table, clock, ttl_s=10)
        clock.advance(9.999)
        assert file not in table.due_files(now=clock.now(), limit=5000)
        clock.advance(0.001)
        assert file in table.due_files(now=clock.now(), limit=5000)
        assert table.settle_file(file)
        assert file not in table.due_files(now=clock.now(), limit=5000)
        assert table.get_file(file.file_id) == file, "the row stays, so that a late caller is told 410"

    def test_a_registration_that_takes_effect_late_takes_no_pin_away(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        upload = an_upload(table, clock)
        batch, items = a_batch(clock, [upload])
        table.create_batch(batch, items)
        table.put_file(upload)
        pinned = table.get_file(upload.file_id)
        assert pinned is not None
        assert pinned.pinned_by == {items[0].item_id}

    def test_a_renewed_file_lives_longer_and_keeps_its_pins(self, table: ItemTable, clock: ManualClock) -> None:
        first = an_upload(table, clock, ttl_s=10)
        batch, items = a_batch(clock, [first])
        table.create_batch(batch, items)
        second = replace(first, size_bytes=8, content_type="audio/flac", expires_at=clock.now() + timedelta(seconds=30))
        table.renew_file(second)
        assert table.get_file(first.file_id) == replace(second, pinned_by=frozenset({items[0].item_id}))
        table.finish_items([done(clock, started(table, clock, items[0]))])
        clock.advance(29.999)
        assert second not in table.due_files(now=clock.now(), limit=5000)
        clock.advance(0.001)
        assert second in table.due_files(now=clock.now(), limit=5000)

    def test_a_settled_file_that_is_renewed_is_due_again(self, table: ItemTable, clock: ManualClock) -> None:
        first = an_upload(table, clock, ttl_s=10)
        clock.advance(10)
        assert table.settle_file(first)
        second = replace(first, expires_at=clock.now() + timedelta(seconds=10))
        table.renew_file(second)
        clock.advance(10)
        assert second in table.due_files(now=clock.now(), limit=5000)

    def test_old_news_of_a_file_changes_nothing(self, table: ItemTable, clock: ManualClock) -> None:
        known = an_upload(table, clock, ttl_s=10)
        for old_s in (0, 5):
            table.renew_file(replace(known, size_bytes=1, expires_at=known.expires_at - timedelta(seconds=old_s)))
        assert table.get_file(known.file_id) == known
        assert table.settle_file(known)
        table.renew_file(known)
        clock.advance(20)
        assert known not in table.due_files(now=clock.now(), limit=5000)

    def test_a_file_that_nobody_knows_is_registered_by_its_renewal(self, table: ItemTable, clock: ManualClock) -> None:
        file = replace(an_upload(table, clock), file_id=str(uuid4()))
        table.renew_file(file)
        assert table.get_file(file.file_id) == file

    def test_an_awaited_file_is_of_no_use_until_it_is_completed(self, table: ItemTable, clock: ManualClock) -> None:
        awaited = replace(an_upload(table, clock, ttl_s=10), is_awaited=True, parts_id="parts")
        table.put_file(awaited)
        assert table.get_file(awaited.file_id) == awaited
        batch, items = a_batch(clock, [awaited])
        with pytest.raises(CallerError) as refusal:
            table.create_batch(batch, items)
        assert (refusal.value.code, refusal.value.http_status) == ("file_not_uploaded", 409)
        came = replace(awaited, is_awaited=False, parts_id=None, expires_at=clock.now() + timedelta(seconds=30))
        assert table.complete_file(came)
        assert not table.complete_file(replace(came, size_bytes=1))
        assert table.get_file(awaited.file_id) == came
        clock.advance(29.999)
        assert came not in table.due_files(now=clock.now(), limit=5000)
        table.create_batch(batch, items)
        table.finish_items([done(clock, started(table, clock, items[0]))])
        clock.advance(0.001)
        assert came in table.due_files(now=clock.now(), limit=5000)

    def test_an_awaited_file_that_was_given_up_is_not_completed(self, table: ItemTable, clock: ManualClock) -> None:
        awaited = replace(an_upload(table, clock, ttl_s=10), is_awaited=True)
        table.put_file(awaited)
        clock.advance(10)
        assert table.settle_file(awaited)
        assert not table.complete_file(replace(awaited, is_awaited=False))
        assert not table.complete_file(replace(awaited, file_id=str(uuid4())))

    def test_a_limit_bounds_what_is_due(self, table: ItemTable, clock: ManualClock) -> None:
        for _ in range(40):
            an_upload(table, clock, ttl_s=1)
        clock.advance(1)
        assert 1 <= len(table.due_files(now=clock.now(), limit=16)) <= 16

    def test_a_pinned_file_is_neither_due_nor_settled_until_the_last_pin_goes(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        upload = an_upload(table, clock, ttl_s=10)
        batch, items = a_batch(clock, [upload, upload])
        table.create_batch(batch, items)
        clock.advance(20)
        assert upload.file_id not in {file.file_id for file in table.due_files(now=clock.now(), limit=5000)}
        assert not table.settle_file(upload)
        table.finish_items([done(clock, started(table, clock, items[0]))])
        pinned = table.get_file(upload.file_id)
        assert pinned is not None
        assert pinned.pinned_by == {items[1].item_id}
        assert not table.settle_file(pinned)
        table.finish_items([done(clock, started(table, clock, items[1]))])
        assert upload.file_id in {file.file_id for file in table.due_files(now=clock.now(), limit=5000)}
        assert table.settle_file(upload)


class TestDeletions:
    def due_files(self, table: ItemTable, clock: ManualClock) -> set[str]:
        return {file.file_id for file in table.due_files(now=clock.now(), limit=5000)}

    def test_a_file_that_is_deleted_has_expired_and_is_due_at_once(self, table: ItemTable, clock: ManualClock) -> None:
        file = an_upload(table, clock)
        clock.advance(1)
        for _ in range(2):
            assert table.expire_file(file, now=clock.now())
        assert table.get_file(file.file_id) == replace(file, expires_at=clock.now())
        assert file.file_id in self.due_files(table, clock)
        clock.advance(1)
        assert table.expire_file(file, now=clock.now()), "the first instant stands"
        assert table.get_file(file.file_id) == replace(file, expires_at=clock.now() - timedelta(seconds=1))
        assert table.expire_file(replace(file, file_id=str(uuid4())), now=clock.now())

    def test_a_file_that_an_item_needs_is_not_deleted(self, table: ItemTable, clock: ManualClock) -> None:
        upload = an_upload(table, clock)
        batch, items = a_batch(clock, [upload])
        table.create_batch(batch, items)
        assert not table.expire_file(upload, now=clock.now())
        table.finish_items([done(clock, started(table, clock, items[0]))])
        assert table.expire_file(upload, now=clock.now())

    def test_what_comes_for_a_deleted_upload_is_swept_when_its_address_has_ended(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        awaited = replace(an_upload(table, clock, ttl_s=10), is_awaited=True, parts_id="parts")
        table.put_file(awaited)
        assert table.expire_file(awaited, now=clock.now())
        assert not table.complete_file(replace(awaited, is_awaited=False))
        clock.advance(9.999)
        assert awaited.file_id not in self.due_files(table, clock)
        clock.advance(0.001)
        assert awaited.file_id in self.due_files(table, clock)

    def test_a_deleted_batch_is_due_at_once_and_has_no_label(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock, 2)
        table.retire_batch(batch)
        for _ in range(2):
            table.delete_batch(batch, now=batch.created_at)
            clock.advance(1)
        assert load(table, batch) == (replace(batch, label="", deleted_at=batch.created_at), items)
        assert batch.batch_id in {due.batch_id for due in table.due_batches(now=clock.now(), limit=5000)}

    def test_removed_items_hold_nothing_and_can_be_neither_started_nor_finished(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        batch, items = created(table, clock, 3)
        ended, running, waiting = items
        table.finish_items([done(clock, started(table, clock, ended))])
        claimed = started(table, clock, running)
        table.delete_batch(batch, now=clock.now())
        table.remove_items(load(table, batch)[1])
        assert load(table, batch)[1] == []
        files = table.get_files([item.upload_id for item in items])
        assert [file.pinned_by for file in files.values()] == [frozenset()] * 3
        assert table.claim_item(batch.batch_id, waiting.index, now=clock.now()) is None
        assert table.finish_items([done(clock, claimed)]) == [False]
        assert table.get_file(running.item_id) is None, "a late result is registered nowhere"

    def test_an_item_that_ended_since_it_was_read_is_not_removed(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock, 2)
        table.delete_batch(batch, now=clock.now())
        read_before = load(table, batch)[1]
        table.finish_items([done(clock, started(table, clock, items[0]))])
        table.remove_items(read_before)
        left = load(table, batch)[1]
        assert items[0].item_id in {item.item_id for item in left}
        table.remove_items(left)
        assert load(table, batch)[1] == []

    def test_a_forgotten_tenant_leaves_nothing_but_its_keys(self, table: ItemTable, clock: ManualClock) -> None:
        tenant = f"tenant-{uuid4()}"
        upload, other = an_upload(table, clock, tenant=tenant), an_upload(table, clock)
        batch, items = a_batch(clock, [upload, upload])
        items = [replace(item, tenant=tenant) for item in items]
        table.create_batch(replace(batch, tenant=tenant), items)
        claimed = table.claim_idempotency(tenant=tenant, key="k", request_hash="h", now=clock.now())
        key = ApiKey(key_hash=uuid4().hex, tenant=tenant, name="n", created_at=clock.now())
        table.put_key(key)
        assert isinstance(claimed, IdempotencyClaim)
        assert table.forget_tenant(tenant) == 5
        assert table.load_batch(batch.batch_id) is None
        assert table.get_file(upload.file_id) is None
        assert table.claim_item(batch.batch_id, 0, now=clock.now()) is None
        assert isinstance(
            table.claim_idempotency(tenant=tenant, key="k", request_hash="h", now=clock.now()), IdempotencyClaim
        )
        assert table.get_key(key.key_hash) == key
        assert table.get_file(other.file_id) == other
        assert table.forget_tenant(tenant) == 1


class TestUsage:
    @pytest.fixture
    def tenant(self) -> str:
        return f"tenant-{uuid4()}"

    def counted(self, table: ItemTable, clock: ManualClock, tenant: str, count: int) -> tuple[Batch, list[Item]]:
        upload = an_upload(table, clock, tenant=tenant)
        batch, items = a_batch(clock, [upload] * count, is_counted=True)
        batch = replace(batch, tenant=tenant)
        items = [replace(item, tenant=tenant) for item in items]
        table.create_batch(batch, items)
        return batch, items

    def file(self, clock: ManualClock, tenant: str, size_bytes: int = 7) -> File:
        file_id = str(uuid4())
        return File(
            file_id=file_id,
            tenant=tenant,
            kind=FileKind.UPLOAD,
            object_key=f"uploads/{tenant}/{file_id}",
            size_bytes=size_bytes,
            content_type="audio/wav",
            created_at=clock.now(),
            expires_at=clock.now() + timedelta(seconds=10),
            counted_bytes=size_bytes,
        )

    @pytest.mark.parametrize("count", [1, 49, 50, 130])
    def test_items_count_from_their_creation_to_their_end_once_each(
        self, table: ItemTable, clock: ManualClock, tenant: str, count: int
    ) -> None:
        batch, items = self.counted(table, clock, tenant, count)
        assert load(table, batch)[1] == items
        assert table.usage(tenant) == Usage(items_waiting=count)
        ended = [done(clock, started(table, clock, item)) for item in items[: count // 2 + 1]]
        late = [(item.failed(FAULT, now=clock.now()), None) for item in items]
        for _ in range(2):
            assert table.finish_items(ended) == [True] * len(ended)
            assert table.usage(tenant) == Usage(items_waiting=count - len(ended))
        for _ in range(2):
            table.finish_items(late)
            assert table.usage(tenant) == Usage()

    def test_removed_items_count_no_more_and_final_ones_not_again(
        self, table: ItemTable, clock: ManualClock, tenant: str
    ) -> None:
        batch, items = self.counted(table, clock, tenant, 3)
        table.finish_items([done(clock, started(table, clock, items[0]))])
        assert table.usage(tenant) == Usage(items_waiting=2)
        for _ in range(2):
            table.remove_items(load(table, batch)[1])
            assert table.usage(tenant) == Usage()
        table.remove_items(items)
        assert table.usage(tenant) == Usage()

    @pytest.mark.parametrize("count", [3, 130])
    def test_a_creation_that_is_refused_counts_nothing(
        self, table: ItemTable, clock: ManualClock, tenant: str, count: int
    ) -> None:
        upload = an_upload(table, clock, tenant=tenant)
        unknown = replace(upload, file_id=str(uuid4()))
        batch, items = a_batch(clock, [upload] * (count - 1) + [unknown], is_counted=True)
        with pytest.raises(CallerError):
            table.create_batch(replace(batch, tenant=tenant), [replace(item, tenant=tenant) for item in items])
        assert table.usage(tenant) == Usage()

    def test_what_does_not_say_that_it_counts_does_not(self, table: ItemTable, clock: ManualClock, tenant: str) -> None:
        upload = an_upload(table, clock, tenant=tenant)
        batch, items = a_batch(clock, [upload])
        items = [replace(item, tenant=tenant) for item in items]
        table.create_batch(replace(batch, tenant=tenant), items)
        assert table.usage(tenant) == Usage()
        table.finish_items([done(clock, started(table, clock, items[0]))])
        assert table.settle_file(upload)
        assert table.usage(tenant) == Usage()

    def test_many_workers_at_once_leave_the_right_number(
        self, table: ItemTable, clock: ManualClock, tenant: str
    ) -> None:
        batches = [self.counted(table, clock, tenant, 12) for _ in range(3)]
        ends = [done(clock, started(table, clock, item)) for _, items in batches for item in items[:8]]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda end: table.finish_items([end]), ends * 2))
        assert table.usage(tenant) == Usage(items_waiting=3 * 4)

    def test_a_file_counts_until_it_is_settled_once(self, table: ItemTable, clock: ManualClock, tenant: str) -> None:
        files = [self.file(clock, tenant, size_bytes) for size_bytes in (7, 5)]
        for file in files * 2:
            table.put_file(file)
        assert table.usage(tenant) == Usage(bytes_stored=12)
        assert table.get_file(files[0].file_id) == files[0]
        clock.advance(10)
        for _ in range(2):
            assert table.settle_file(files[0])
            assert table.usage(tenant) == Usage(bytes_stored=5)

    def test_a_pinned_file_counts_on(self, table: ItemTable, clock: ManualClock, tenant: str) -> None:
        file = self.file(clock, tenant)
        table.put_file(file)
        batch, items = a_batch(clock, [file])
        items = [replace(item, tenant=tenant) for item in items]
        table.create_batch(replace(batch, tenant=tenant), items)
        clock.advance(20)
        assert not table.settle_file(file)
        assert table.usage(tenant) == Usage(bytes_stored=7)
        table.finish_items([done(clock, started(table, clock, items[0]))])
        assert table.settle_file(file)
        assert table.usage(tenant) == Usage()

    def test_requests_are_counted_by_key_and_second(self, table: ItemTable, clock: ManualClock) -> None:
        keys = [uuid4().hex, uuid4().hex]
        clock.advance(1 - clock.now().microsecond / 1e6)
        assert [table.count_request(keys[0], now=clock.now()) for _ in range(3)] == [1, 2, 3]
        assert table.count_request(keys[1], now=clock.now()) == 1
        clock.advance(0.9)
        assert table.count_request(keys[0], now=clock.now()) == 4
        clock.advance(0.1)
        assert table.count_request(keys[0], now=clock.now()) == 1


class TestTypicalItems:
    def test_the_last_length_that_was_kept_is_the_one(self, table: ItemTable) -> None:
        for seconds, kept_s in ((61.5, 61.5), (0.1234567, 0.123)):
            table.keep_typical_item_s(Operation.TRANSCRIBE, seconds)
            assert table.typical_item_s(Operation.TRANSCRIBE) == kept_s

    def test_nothing_is_known_of_an_operation_that_never_ran(self, table: ItemTable) -> None:
        assert table.typical_item_s(Operation.VOICE_CLONE) is None


class TestCreation:
    @pytest.mark.parametrize("count", [1, 49, 50, 130])
    def test_a_batch_comes_back_whole_and_in_order(self, table: ItemTable, clock: ManualClock, count: int) -> None:
        uploads = [an_upload(table, clock) for _ in range(count)]
        batch, items = a_batch(clock, uploads, custom_id="chunk ü", language="de", return_timestamps=True)
        table.create_batch(batch, items)
        assert load(table, batch) == (batch, items)
        assert table.get_batch(batch.batch_id) == batch
        assert table.get_batch(str(uuid4())) is None
        pins = table.get_files([upload.file_id for upload in uploads])
        assert all(pins[item.upload_id].pinned_by == {item.item_id} for item in items)

    def test_a_thousand_items_may_share_one_upload(self, table: ItemTable, clock: ManualClock) -> None:
        upload = an_upload(table, clock)
        batch, items = a_batch(clock, [upload] * 1000)
        table.create_batch(batch, items)
        assert load(table, batch) == (batch, items)
        file = table.get_file(upload.file_id)
        assert file is not None
        assert file.pinned_by == {item.item_id for item in items}

    def test_an_upload_can_be_needed_by_so_many_items_and_no_more(
        self, table: ItemTable, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("domain.files", "adapters.dynamodb.files"):
            monkeypatch.setattr(f"asr_queue.{module}.MAX_PINS", 3)
        upload = an_upload(table, clock)
        batch, items = a_batch(clock, [upload] * 3)
        table.create_batch(batch, items)
        more, more_items = a_batch(clock, [upload])
        with pytest.raises(QuotaError) as refusal:
            table.create_batch(more, more_items)
        assert refusal.value.code == "too_many_items_of_upload"
        clock.advance(3600)
        with pytest.raises(QuotaError):
            table.create_batch(more, more_items)
        table.finish_items([done(clock, started(table, clock, items[0]))])
        table.create_batch(more, more_items)

    def test_a_batch_that_is_not_there_is_none(self, table: ItemTable) -> None:
        assert table.load_batch(str(uuid4())) is None

    @pytest.mark.parametrize("count", [2, 120])
    @pytest.mark.parametrize("fault", ["missing", "expired", "foreign"])
    def test_one_unusable_upload_leaves_nothing_of_the_batch(
        self, table: ItemTable, clock: ManualClock, count: int, fault: str
    ) -> None:
        good = [an_upload(table, clock) for _ in range(count - 1)]
        bad = an_upload(table, clock, ttl_s=5, tenant="other" if fault == "foreign" else "acme")
        batch, items = a_batch(clock, [*good, replace(bad, file_id=str(uuid4())) if fault == "missing" else bad])
        if fault == "expired":
            clock.advance(5)
        with pytest.raises(CallerError) as raised:
            table.create_batch(batch, items)
        assert raised.value.code == ("file_expired" if fault == "expired" else "file_not_found")
        assert table.load_batch(batch.batch_id) is None
        assert all(not file.pinned_by for file in table.get_files([file.file_id for file in good]).values())
        assert all(table.claim_item(batch.batch_id, item.index, now=clock.now()) is None for item in items[:3])

    def test_an_expired_upload_that_is_pinned_can_be_pinned_again(self, table: ItemTable, clock: ManualClock) -> None:
        upload = an_upload(table, clock, ttl_s=5)
        table.create_batch(*a_batch(clock, [upload]))
        clock.advance(6)
        batch, items = a_batch(clock, [upload])
        table.create_batch(batch, items)
        assert load(table, batch)[1] == items


class TestItems:
    def test_a_start_counts_and_is_seen_by_everybody(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock, 2)
        clock.advance(3)
        claimed = started(table, clock, items[1])
        assert claimed == replace(items[1], status=ItemStatus.PROCESSING, attempt=1, started_at=clock.now())
        assert load(table, batch)[1] == [items[0], claimed]
        assert started(table, clock, items[1]).attempt == 2

    @pytest.mark.parametrize("index", [-1, 1, 999_999])
    def test_an_item_that_is_not_there_cannot_be_started(
        self, table: ItemTable, clock: ManualClock, index: int
    ) -> None:
        batch, _ = created(table, clock)
        assert table.claim_item(batch.batch_id, index, now=clock.now()) is None
        assert load(table, batch)[1][0].status is ItemStatus.QUEUED

    def test_a_finished_item_has_its_result_and_no_pin(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        finished, file = done(clock, started(table, clock, items[0]))
        assert table.finish_items([(finished, file)]) == [True]
        assert load(table, batch)[1] == [finished]
        assert table.get_file(items[0].item_id) == file
        upload = table.get_file(items[0].upload_id)
        assert upload is not None
        assert not upload.pinned_by

    def test_a_failed_item_says_why(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        failed = started(table, clock, items[0]).failed(FAULT, now=clock.now())
        assert table.finish_items([(failed, None)]) == [True]
        assert load(table, batch)[1] == [failed]
        assert table.get_file(items[0].item_id) is None

    def test_of_two_reasons_that_an_attempt_ends_by_the_first_counts(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        batch, items = created(table, clock)
        claimed = started(table, clock, items[0])
        cancelled = claimed.failed(ItemError("cancelled", "Somebody cancelled it."), now=clock.now())
        assert table.finish_items([(cancelled, None)]) == [True]
        assert table.finish_items([(claimed.failed(FAULT, now=clock.now()), None)]) == [False]
        assert load(table, batch)[1] == [cancelled]

    def test_what_was_said_of_a_batch_and_its_items_comes_back(self, table: ItemTable, clock: ManualClock) -> None:
        told = {"prompt": "Dr. Žižek", "upload_bytes": 7, "upload_type": "audio/wav"}
        batch, items = a_batch(clock, [an_upload(table, clock)], **told)
        batch = replace(batch, priority=Priority.LOW, callback_url="https://a.example/b", retry_of=str(uuid4()))
        table.create_batch(batch, items)
        assert load(table, batch) == (batch, items)

    def test_what_the_device_spent_on_an_item_is_kept(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock, 2)
        spent = {"audio_s": 1.25, "device_s": 0.000125, "micro_batch": 16}
        finished = started(table, clock, items[0]).done(now=clock.now(), **spent)
        failed = started(table, clock, items[1]).failed(FAULT, now=clock.now(), **spent)
        assert table.finish_items([(finished, None), (failed, None)]) == [True, True]
        assert load(table, batch)[1] == [finished, failed]

    def test_what_was_to_be_said_is_forgotten_once_it_is_said_and_kept_for_a_retry_where_that_failed(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        batch, items = a_batch(clock, [an_upload(table, clock)] * 2, text="a secret", prompt="another")
        table.create_batch(batch, items)
        said, failed = [started(table, clock, item) for item in items]
        assert said.text == failed.text == "a secret"
        table.finish_items([done(clock, said), (failed.failed(FAULT, now=clock.now()), None)])
        ended = load(table, batch)[1]
        assert [(item.text, item.prompt) for item in ended] == [("", ""), ("a secret", "another")]
        table.forget_texts([*ended, replace(ended[0], index=99)])
        assert load(table, batch)[1] == [replace(item, text="", prompt="") for item in ended]

    def test_an_item_may_fail_before_it_was_started(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        failed = items[0].failed(FAULT, now=clock.now())
        assert table.finish_items([(failed, None)]) == [True]
        assert load(table, batch)[1] == [failed]

    def test_a_final_item_cannot_be_started(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        table.finish_items([done(clock, started(table, clock, items[0]))])
        assert table.claim_item(batch.batch_id, 0, now=clock.now()) is None

    def test_a_late_worker_cannot_overwrite_a_result(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        slow = started(table, clock, items[0])
        quick = started(table, clock, items[0])
        winner = done(clock, quick)
        assert table.finish_items([winner]) == [True]
        clock.advance(1)
        assert table.finish_items([done(clock, slow)]) == [False]
        assert table.finish_items([(slow.failed(FAULT, now=clock.now()), None)]) == [False]
        assert load(table, batch)[1] == [winner[0]]
        assert table.get_file(items[0].item_id) == winner[1]

    def test_the_slower_of_two_attempts_may_finish_first(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        slow = started(table, clock, items[0])
        quick = started(table, clock, items[0])
        assert table.finish_items([done(clock, slow)]) == [True]
        assert table.finish_items([done(clock, quick)]) == [False]
        assert load(table, batch)[1][0].attempt == slow.attempt

    def test_a_repetition_after_a_lost_reply_is_recognised(self, table: ItemTable, clock: ManualClock) -> None:
        _, items = created(table, clock, 2)
        outcomes = [done(clock, started(table, clock, items[0]))]
        outcomes_later = [(started(table, clock, items[1]).failed(FAULT, now=clock.now()), None)]
        assert table.finish_items(outcomes) == [True]
        clock.advance(1)
        assert table.finish_items([*outcomes, *outcomes_later]) == [True, True]
        assert table.finish_items([*outcomes, *outcomes_later]) == [True, True]

    def test_one_item_that_is_final_costs_the_others_nothing(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock, 40)
        attempts = [started(table, clock, item) for item in items]
        for place in (3, 17, 38):
            table.finish_items([done(clock, started(table, clock, items[place]))])
        expected = [place not in (3, 17, 38) for place in range(40)]
        assert table.finish_items([done(clock, item) for item in attempts]) == expected
        assert all(item.status is ItemStatus.DONE for item in load(table, batch)[1])

    def test_two_attempts_at_an_item_may_be_recorded_together(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        first, second = (done(clock, started(table, clock, items[0])) for _ in range(2))
        assert table.finish_items([first, second]) == [True, False]
        assert load(table, batch)[1] == [first[0]]

    def test_of_many_workers_one_finishes_an_item(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock, 5)
        attempts = [[started(table, clock, item) for item in items] for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda some: table.finish_items([done(clock, item) for item in some]), attempts))
        assert [sum(result[place] for result in results) for place in range(5)] == [1] * 5
        for item in load(table, batch)[1]:
            file = table.get_file(item.item_id)
            assert file is not None
            assert file.object_key == item.result_key


class TestChecks:
    def due_ids(self, table: ItemTable, clock: ManualClock) -> set[str]:
        return {batch.batch_id for batch in table.due_batches(now=clock.now(), limit=5000)}

    def test_a_batch_whose_messages_were_not_sent_is_due_after_a_minute(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        batch, _ = created(table, clock)
        clock.advance(59)
        assert batch.batch_id not in self.due_ids(table, clock)
        clock.advance(1)
        assert batch.batch_id in self.due_ids(table, clock)

    @pytest.mark.parametrize("count", [1, 120])
    def test_a_batch_is_due_when_it_was_said_to_be(self, table: ItemTable, clock: ManualClock, count: int) -> None:
        batch, _ = created(table, clock, count)
        table.mark_sent(batch, next_check_at=clock.now() + timedelta(seconds=300))
        clock.advance(299)
        assert batch.batch_id not in self.due_ids(table, clock)
        clock.advance(1)
        assert batch.batch_id in self.due_ids(table, clock)
        assert load(table, batch)[0].sent_at == clock.now() - timedelta(seconds=300)
        table.postpone_batch(batch, next_check_at=clock.now() + timedelta(seconds=10))
        assert batch.batch_id not in self.due_ids(table, clock)

    def test_the_first_note_of_the_end_stands(self, table: ItemTable, clock: ManualClock) -> None:
        batch, _ = created(table, clock, 3)
        first = clock.now()
        later = first + timedelta(seconds=9)
        assert table.finish_batch(the_end_of(batch, first, failed=1), read_until=later)
        assert not table.finish_batch(the_end_of(batch, later), read_until=later)
        noted = load(table, batch)[0]
        assert (noted.finished_at, noted.completed, noted.failed) == (first, 2, 1)
        clock.advance(60)
        assert batch.batch_id in self.due_ids(table, clock), "the sweep looks when it would have looked"

    def test_the_end_of_a_batch_that_has_gone_is_not_noted(self, table: ItemTable, clock: ManualClock) -> None:
        deleted, retired, unknown = (created(table, clock)[0] for _ in range(3))
        table.delete_batch(deleted, now=clock.now())
        table.retire_batch(retired)
        for batch in (deleted, retired, replace(unknown, batch_id=str(uuid4()))):
            assert not table.finish_batch(the_end_of(batch, clock.now()), read_until=clock.now())
        assert load(table, deleted)[0].finished_at is None

    def test_by_the_count_of_its_ended_items_a_batch_may_be_finished(
        self, table: ItemTable, clock: ManualClock
    ) -> None:
        batch, _ = created(table, clock, 3)
        assert not table.count_ended(batch.batch_id, 2)
        assert table.count_ended(batch.batch_id, 1)
        assert table.count_ended(batch.batch_id, 1), "more than there are is no less"
        assert load(table, batch)[0] == batch, "a hint changes nothing that is told"
        assert not table.count_ended(str(uuid4()), 1)
        table.retire_batch(batch)
        assert not table.count_ended(batch.batch_id, 1)

    def test_a_retired_batch_is_never_due_again(self, table: ItemTable, clock: ManualClock) -> None:
        batch, _ = created(table, clock)
        table.retire_batch(batch)
        table.postpone_batch(batch, next_check_at=clock.now())
        clock.advance(10_000)
        assert batch.batch_id not in self.due_ids(table, clock)
        assert table.load_batch(batch.batch_id) is not None

    def test_a_visible_batch_is_not_discarded(self, table: ItemTable, clock: ManualClock) -> None:
        batch, items = created(table, clock)
        table.discard_batch(batch.batch_id)
        assert load(table, batch) == (batch, items)


class TestKeys:
    def test_a_key_comes_back_and_is_listed(self, table: ItemTable, clock: ManualClock) -> None:
        older = ApiKey(key_hash=uuid4().hex, tenant="acme", name="first", created_at=clock.now())
        clock.advance(1)
        limits = Limits(items_waiting=10_000, requests_per_s=5)
        newer = ApiKey(key_hash=uuid4().hex, tenant="acme", name="second", created_at=clock.now(), limits=limits)
        table.put_key(newer)
        table.put_key(older)
        assert table.get_key(older.key_hash) == older
        ours = [key for key in table.list_keys() if key.key_hash in (older.key_hash, newer.key_hash)]
        assert ours == [older, newer]

    def test_a_revocation_is_seen_at_once(self, table: ItemTable, clock: ManualClock) -> None:
        key = ApiKey(key_hash=uuid4().hex, tenant="acme", name="first", created_at=clock.now())
        table.put_key(key)
        revoked = replace(key, revoked_at=clock.now())
        table.put_key(revoked)
        assert table.get_key(key.key_hash) == revoked

    def test_an_unknown_key_is_none(self, table: ItemTable) -> None:
        assert table.get_key(uuid4().hex) is None


class TestIdempotency:
    def claim(self, table: ItemTable, clock: ManualClock, key: str) -> IdempotencyClaim | StoredAnswer | None:
        return table.claim_idempotency(tenant="acme", key=key, request_hash="abc", now=clock.now())

    def test_a_key_is_held_until_it_is_given_back(self, table: ItemTable, clock: ManualClock) -> None:
        key = str(uuid4())
        claim = self.claim(table, clock, key)
        assert isinstance(claim, IdempotencyClaim)
        assert self.claim(table, clock, key) is None
        table.release_idempotency(claim)
        assert isinstance(self.claim(table, clock, key), IdempotencyClaim)

    def test_tenants_do_not_share_keys(self, table: ItemTable, clock: ManualClock) -> None:
        key = str(uuid4())
        self.claim(table, clock, key)
        other = table.claim_idempotency(tenant="other", key=key, request_hash="abc", now=clock.now())
        assert isinstance(other, IdempotencyClaim)

    @pytest.mark.parametrize("count", [1, 120])
    def test_the_answer_appears_with_the_batch(self, table: ItemTable, clock: ManualClock, count: int) -> None:
        key = str(uuid4())
        claim = self.claim(table, clock, key)
        assert isinstance(claim, IdempotencyClaim)
        batch, items = a_batch(clock, [an_upload(table, clock) for _ in range(count)])
        table.create_batch(batch, items, claim=claim, answer="the answer")
        assert self.claim(table, clock, key) == StoredAnswer(request_hash="abc", body="the answer")
        table.release_idempotency(claim)
        assert self.claim(table, clock, key) == StoredAnswer(request_hash="abc", body="the answer")

    def test_an_answer_is_looked_up_without_a_claim_for_a_day(self, table: ItemTable, clock: ManualClock) -> None:
        key = str(uuid4())
        assert table.get_answer(tenant="acme", key=key, now=clock.now()) is None
        claim = self.claim(table, clock, key)
        assert isinstance(claim, IdempotencyClaim)
        assert table.get_answer(tenant="acme", key=key, now=clock.now()) is None
        batch, items = a_batch(clock, [an_upload(table, clock)])
        table.create_batch(batch, items, claim=claim, answer="the answer")
        clock.advance(IDEMPOTENCY_RETENTION_S - 1)
        found = table.get_answer(tenant="acme", key=key, now=clock.now())
        assert found == StoredAnswer(request_hash="abc", body="the answer")
        assert table.get_answer(tenant="other", key=key, now=clock.now()) is None
        clock.advance(1)
        assert table.get_answer(tenant="acme", key=key, now=clock.now()) is None

    def test_an_answer_is_kept_for_a_day(self, table: ItemTable, clock: ManualClock) -> None:
        key = str(uuid4())
        claim = self.claim(table, clock, key)
        assert isinstance(claim, IdempotencyClaim)
        table.create_batch(*a_batch(clock, [an_upload(table, clock)]), claim=claim, answer="the answer")
        clock.advance(IDEMPOTENCY_RETENTION_S - 1)
        assert isinstance(self.claim(table, clock, key), StoredAnswer)
        clock.advance(1)
        assert isinstance(self.claim(table, clock, key), IdempotencyClaim)

    @pytest.mark.parametrize("count", [1, 120])
    def test_of_two_executions_the_one_that_took_over_creates(
        self, table: ItemTable, clock: ManualClock, count: int
    ) -> None:
        key = str(uuid4())
        slow = self.claim(table, clock, key)
        assert isinstance(slow, IdempotencyClaim)
        clock.advance(IDEMPOTENCY_LOCK_S)
        quick = self.claim(table, clock, key)
        assert isinstance(quick, IdempotencyClaim)
        uploads = [an_upload(table, clock) for _ in range(count)]
        batch, items = a_batch(clock, uploads)
        with pytest.raises(CallerError) as raised:
            table.create_batch(batch, items, claim=slow, answer="the slow one's")
        assert raised.value.code == "idempotency_conflict"
        assert table.load_batch(batch.batch_id) is None
        table.release_idempotency(slow)
        table.create_batch(*a_batch(clock, uploads), claim=quick, answer="the quick one's")
        assert self.claim(table, clock, key) == StoredAnswer(request_hash="abc", body="the quick one's")
