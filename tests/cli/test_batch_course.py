"""What is made of a batch's answer: times, rates over time, failures by code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_queue.cli.batch_course import BatchCourse, Spread
from asr_queue.domain.batches import BatchStatus
from asr_queue.domain.items import ItemStatus
from asr_queue.wire.api import ItemAnswer, StatusAnswer
from tests.cli.test_report import at


def batch(*items: ItemAnswer, created_at: str | None = at(0), device_s: float = 0.0) -> StatusAnswer:
    failed = sum(item.status is ItemStatus.ERROR for item in items)
    done = sum(item.status is ItemStatus.DONE for item in items)
    return StatusAnswer(
        batch_id="b",
        label="",
        status=BatchStatus.PARTIAL,
        completed=done,
        failed=failed,
        total=len(items),
        created_at=created_at,
        device_s=device_s,
        items=list(items),
    )


def done(start_s: float, end_s: float, *, audio_s: float = 10.0, device_s: float | None = None) -> ItemAnswer:
    return ItemAnswer(
        item_id="i",
        status=ItemStatus.DONE,
        started_at=at(start_s),
        finished_at=at(end_s),
        audio_s=audio_s,
        device_s=device_s,
    )


def test_spans_of_time_hold_all_the_audio_and_no_other() -> None:
    course = BatchCourse(batch(*(done(1 + n / 10, 2 + n / 10, device_s=0.1) for n in range(100))))
    spans = course.bins
    assert len(spans) == 12, "eight items a span, at least"
    assert (spans[0].from_s, spans[-1].to_s) == (pytest.approx(1.0), pytest.approx(11.9))
    assert sum(span.audio_s for span in spans) == pytest.approx(1000)
    assert sum(span.throughput * span.width_s for span in spans) == pytest.approx(1000)
    assert spans[0].rtfx is None, "nothing had ended yet"
    assert all(span.rtfx == pytest.approx(100) for span in spans[1:])


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=60))
def test_any_times_make_a_course(times: list[tuple[float, float]]) -> None:
    items = [done(start_s, start_s + run_s, device_s=0.5) for start_s, run_s in times]
    course = BatchCourse(batch(*items, device_s=0.5 * len(items)))
    assert sum(span.audio_s for span in course.bins) == pytest.approx(10.0 * len(items))
    assert course.rtfx == pytest.approx(20.0)
    assert course.waits is not None
    rounding_s = 1e-6
    assert course.waits.median <= course.waits.p95 + rounding_s <= course.waits.longest + 2 * rounding_s


def test_items_that_ended_without_a_start_are_no_point_of_a_plot() -> None:
    cancelled = ItemAnswer(item_id="i", status=ItemStatus.ERROR, error="stopped", error_code="cancelled")
    course = BatchCourse(batch(cancelled, done(1, 2)))
    assert [item.number for item in course.items] == [2]
    assert [(code, count) for code, count, _ in course.failures] == [("cancelled", 1)]


def test_a_batch_of_which_nothing_is_known_has_no_course() -> None:
    course = BatchCourse(batch(ItemAnswer(item_id="i", status=ItemStatus.QUEUED)))
    assert (course.items, course.bins, course.took_s, course.throughput, course.rtfx, course.fill) == (
        [],
        [],
        None,
        None,
        None,
        None,
    )
    assert BatchCourse(batch(done(1, 2), created_at=None)).items == []


def test_of_one_value_all_is_known() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)
    assert Spread.of([]) is None
