"""When a batch will be finished: what holds of every estimate, and what some must come to."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_queue.domain.estimates import Basis, Estimate, Surroundings, estimate, lengths_s
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation

BEGAN_AT = datetime(2026, 1, 1, tzinfo=UTC)
FAULT = ItemError("audio_undecodable", "This is no audio.")
ALONE = Surroundings(workers=1, audio_s_per_s=None, others_items=0, ahead_items=0, item_s=60.0)


def at(seconds: float) -> datetime:
    return BEGAN_AT + timedelta(seconds=seconds)


def an_item(index: int = 0, *, size: int = 1000, kind: str = "audio/wav") -> Item:
    return Item(
        batch_id="batch",
        index=index,
        item_id=str(index),
        tenant="acme",
        operation=Operation.TRANSCRIBE,
        upload_id="upload",
        upload_key="uploads/acme/upload",
        created_at=BEGAN_AT,
        upload_bytes=size,
        upload_type=kind,
    )


def started(item: Item, seconds: float) -> Item:
    return replace(item, status=ItemStatus.PROCESSING, started_at=at(seconds), attempt=1)


def ended(item: Item, begun_s: float, ended_s: float, *, audio_s: float, device_s: float | None) -> Item:
    return started(item, begun_s).done(now=at(ended_s), audio_s=audio_s, device_s=device_s, micro_batch=1)


def told(items: Sequence[Item], now_s: float, around: Surroundings | None = ALONE) -> Estimate:
    return estimate(items, lengths_s(items, item_s=60.0), now=at(now_s), around=around)


class TestLengths:
    def test_an_unknown_length_is_that_of_its_size_by_its_type(self) -> None:
        decoded = [
            ended(an_item(size=1_000), 0, 1, audio_s=10.0, device_s=None),
            ended(an_item(size=3_000), 0, 1, audio_s=30.0, device_s=None),
            ended(an_item(size=1_000, kind="audio/mpeg"), 0, 1, audio_s=80.0, device_s=None),
        ]
        rest = [an_item(size=500), an_item(size=500, kind="audio/mpeg")]
        assert lengths_s([*decoded, *rest], item_s=60.0)[3:] == [5.0, 40.0]

    def test_items_of_a_type_that_none_was_decoded_of_are_as_long_as_the_others_in_the_mean(self) -> None:
        decoded = [ended(an_item(size=1_000), 0, 1, audio_s=10.0, device_s=None)]
        rest = [an_item(size=size, kind="audio/ogg") for size in (100, 300)]
        assert lengths_s([*decoded, *rest], item_s=60.0)[1:] == [5.0, 15.0]

    def test_without_a_size_it_is_the_mean_and_without_a_decoded_item_the_usual_length(self) -> None:
        assert lengths_s([an_item()], item_s=42.0) == [42.0]
        known = ended(an_item(), 0, 1, audio_s=10.0, device_s=None)
        assert lengths_s([known, an_item(size=0)], item_s=42.0)[1] == 10.0

    def test_what_could_not_be_decoded_counts_as_nothing(self) -> None:
        assert lengths_s([started(an_item(), 0).failed(FAULT, now=at(1))], item_s=42.0) == [0.0]


class TestKnownCases:
    def test_a_steady_worker_is_foretold_to_the_second(self) -> None:
        items = [ended(an_item(n), 0, 6 * (n + 1), audio_s=60.0, device_s=6.0) for n in range(5)]
        items += [an_item(n) for n in range(5, 20)]
        answer = told(items, 30.0)
        assert answer.basis is Basis.BATCH
        assert answer.seconds_left == pytest.approx(90.0)
        assert answer.finish_at == at(120.0)
        assert answer.audio_s_per_s == pytest.approx(10.0)
        assert told(items, 33.0).finish_at == at(120.0), "between two ends it stays where it is"

    def test_the_time_before_the_first_end_tells_nothing_of_the_rate(self) -> None:
        """The first item waited a minute in the worker, behind others'."""
        items = [ended(an_item(n), 0, 60 + 6 * n, audio_s=60.0, device_s=6.0) for n in range(5)]
        items += [an_item(n) for n in range(5, 15)]
        assert told(items, 84.0).seconds_left == pytest.approx(60.0)

    def test_short_clips_do_not_pass_for_long_recordings(self) -> None:
        """Half a second each and a tenth of the audio: 1.5 s for 10 s of audio, 10.5 s for 100 s."""
        lengths = [10.0, 100.0] * 4
        ends = [sum(0.5 + length / 10 for length in lengths[: n + 1]) for n in range(len(lengths))]
        items = [
            ended(an_item(n, size=int(length) * 100), 0, end, audio_s=length, device_s=0.5 + length / 10)
            for n, (length, end) in enumerate(zip(lengths, ends, strict=True))
        ]
        rest = [an_item(n, size=1000) for n in range(100)]
        assert told([*items, *rest], ends[-1]).seconds_left == pytest.approx(150.0, rel=0.01)

    def test_after_the_first_pass_it_is_all_workers_at_what_the_items_cost(self) -> None:
        items = [ended(an_item(n), 0, 10, audio_s=60.0, device_s=1.0) for n in range(4)]
        items += [an_item(n) for n in range(4, 44)]
        assert told(items, 10.0, replace(ALONE, workers=2)).seconds_left == pytest.approx(20.0)

    def test_who_shares_the_workers_with_others_goes_at_its_own_pace_while_they_last(self) -> None:
        items = [ended(an_item(n), 0, 12 * (n + 1), audio_s=60.0, device_s=6.0) for n in range(5)]
        items += [an_item(n) for n in range(5, 15)]
        many = told(items, 60.0, replace(ALONE, others_items=1000))
        few = told(items, 60.0, replace(ALONE, others_items=2))
        assert many.seconds_left == pytest.approx(120.0)
        assert few.seconds_left == pytest.approx(72.0), "ten of its own and two of theirs"

    def test_the_rate_is_that_of_lately(self) -> None:
        """Ten minutes at half the pace, then ten at the whole one."""
        ends = [12.0 * (n + 1) for n in range(50)] + [600.0 + 6 * (n + 1) for n in range(100)]
        items = [ended(an_item(n), 0, end, audio_s=60.0, device_s=6.0) for n, end in enumerate(ends)]
        items += [an_item(n) for n in range(150, 250)]
        assert told(items, 1200.0, None).seconds_left == pytest.approx(600.0, rel=0.02)

    def test_before_anything_has_ended_it_is_what_the_workers_can_do(self) -> None:
        around = replace(ALONE, audio_s_per_s=20.0, ahead_items=5, others_items=9)
        answer = told([started(an_item(0), 0), an_item(1)], 1.0, around)
        assert (answer.basis, answer.seconds_left) == (Basis.WORKERS, (5 * 60 + 2 * 60) / 20)

    @pytest.mark.parametrize(
        "around", [None, replace(ALONE, workers=0), ALONE], ids=["no pulse", "no worker", "none has measured itself"]
    )
    def test_where_nobody_knows_nobody_says(self, around: Surroundings | None) -> None:
        assert told([an_item()], 1.0, around) == Estimate(basis=Basis.NONE)

    def test_a_batch_left_alone_has_no_end_in_sight(self) -> None:
        items = [ended(an_item(0), 0, 6, audio_s=60.0, device_s=6.0), an_item(1)]
        assert told(items, 100.0, replace(ALONE, workers=0)) == Estimate(basis=Basis.NONE)

    def test_failures_are_progress_too(self) -> None:
        items = [started(an_item(n), 0).failed(FAULT, now=at(1)) for n in range(5)] + [an_item(5)]
        assert told(items, 2.0).basis is Basis.NONE
        assert told(items, 2.0, replace(ALONE, audio_s_per_s=10.0)).seconds_left == pytest.approx(6.0)


_seconds = st.floats(0.0, 1e6)


@st.composite
def _batches(draw: st.DrawFn) -> list[Item]:
    """Any mixture of items, one at least unfinished; whatever the order of their times."""
    items = [an_item(0, size=draw(st.integers(0, 10**9)))]
    for index in range(1, draw(st.integers(1, 30))):
        item = an_item(index, size=draw(st.integers(0, 10**9)), kind=draw(st.sampled_from(["audio/wav", "audio/ogg"])))
        state = draw(st.sampled_from(ItemStatus))
        begun_s = draw(_seconds)
        if state is ItemStatus.DONE:
            item = ended(
                item,
                begun_s,
                draw(_seconds),
                audio_s=draw(st.floats(0.1, 21_600.0)),
                device_s=draw(st.none() | st.floats(0.0, 1e5)),
            )
        elif state is ItemStatus.ERROR:
            item = started(item, begun_s).failed(FAULT, now=at(draw(_seconds)))
        elif state is ItemStatus.PROCESSING:
            item = started(item, begun_s)
        items.append(item)
    return items


_around = st.none() | st.builds(
    Surroundings,
    workers=st.integers(0, 100),
    audio_s_per_s=st.none() | st.floats(1e-3, 1e6),
    others_items=st.integers(0, 10**6),
    ahead_items=st.integers(0, 10**6),
    item_s=st.floats(0.1, 21_600.0),
)


@given(_batches(), _seconds, _around)
def test_it_is_never_negative_and_always_finite(items: list[Item], now_s: float, around: Surroundings | None) -> None:
    answer = told(items, now_s, around)
    if answer.basis is Basis.NONE:
        assert (answer.seconds_left, answer.finish_at, answer.audio_s_per_s) == (None, None, None)
        return
    assert answer.seconds_left is not None
    assert 0 <= answer.seconds_left < math.inf
    assert answer.finish_at == at(now_s) + timedelta(seconds=answer.seconds_left)
    assert answer.audio_s_per_s is None or 0 <= answer.audio_s_per_s < math.inf


@given(_batches(), _seconds, _around, st.integers(0, 10**6))
def test_more_work_never_ends_sooner(items: list[Item], now_s: float, around: Surroundings | None, size: int) -> None:
    less = told(items, now_s, around)
    more = told([*items, an_item(len(items), size=size)], now_s, around)
    assert more.basis in (less.basis, Basis.NONE), "more than the queue can keep has no end in sight"
    if less.seconds_left is not None and more.seconds_left is not None:
        assert more.seconds_left >= less.seconds_left * (1 - 1e-9)


@given(_batches(), _seconds, _around)
def test_nothing_is_told_exactly_where_nothing_is_known(
    items: list[Item], now_s: float, around: Surroundings | None
) -> None:
    has_own = any(item.status is ItemStatus.DONE for item in items)
    is_dead = around is not None and not around.workers
    has_workers = around is not None and bool(around.workers) and around.audio_s_per_s is not None
    if told(items, now_s, around).basis is Basis.NONE:
        total_s = sum(lengths_s(items, item_s=60.0)) + (around.ahead_items * around.item_s if around else 0.0)
        assert is_dead or not has_workers or total_s > 1e3, "too much to come to an end"
    else:
        assert not is_dead
        assert has_workers or has_own
