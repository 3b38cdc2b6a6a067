from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from asr_queue.domain.batches import Priority
from gpu_worker.pipeline.turns import Turns
from tests.pipeline.makers import chunks_of, claimed


def names(micro_batch) -> list[str]:
    return [chunk.claimed.item.item_id for chunk in micro_batch]


def turns_of(**durations_s) -> Turns:
    turns = Turns()
    for name, durations in durations_s.items():
        turns.add(chunks_of(claimed(name), *durations))
    return turns


def test_chunks_of_like_duration_go_together():
    turns = turns_of(a=[3.0], b=[30.0], c=[3.5], d=[29.0])
    assert sorted(names(turns.take(2))) == ["a", "c"]
    assert sorted(names(turns.take(2))) == ["b", "d"]


def test_the_first_in_line_always_goes_whatever_its_duration():
    turns = turns_of(odd=[30.0], b=[3.0], c=[3.0], d=[3.0])
    assert "odd" in names(turns.take(2))


def test_a_lecture_does_not_keep_a_short_clip_waiting():
    turns = turns_of(lecture=[30.0] * 200, short=[2.0])
    passes = [names(turns.take(16)) for _ in range(2)]
    assert "short" in passes[1]


def test_an_item_waits_at_most_as_many_passes_as_items_were_before_it():
    turns = turns_of(**{f"lecture{n}": [30.0] * 100 for n in range(5)}, short=[2.0])
    waited = next(number for number in range(100) if "short" in names(turns.take(16)))
    assert waited <= 5


def test_an_item_that_comes_again_shares_its_pass_with_nobody():
    turns = turns_of(a=[3.0], b=[3.0])
    turns.add(chunks_of(claimed("again", receive_count=2), 3.0, 3.0))
    turns.add(chunks_of(claimed("also", receive_count=3), 3.0))
    passes = []
    while len(turns):
        passes.append(set(names(turns.take(16))))
    assert passes == [{"a", "b"}, {"again"}, {"also"}]


def test_the_longest_wait_is_told_for_each_priority():
    turns = turns_of(plain=[3.0])
    assert list(turns.oldest_sent_at()) == [Priority.NORMAL]
    later = claimed("later")
    began_at = later.delivery.sent_at
    for number, lane in enumerate(["high", "normal", "high"], start=1):
        handle = f"transcribe:{lane}:handle-{number}"
        delivery = replace(later.delivery, receipt_handle=handle, sent_at=began_at + timedelta(seconds=number))
        turns.add(chunks_of(replace(later, delivery=delivery), 3.0, 3.0))
    assert turns.oldest_sent_at() == {
        Priority.NORMAL: began_at,
        Priority.HIGH: began_at + timedelta(seconds=1),
    }


def test_a_dropped_item_is_not_passed_on():
    turns = turns_of(a=[3.0], b=[3.0, 3.0])
    turns.drop("handle-b")
    turns.drop("handle-nobody")
    assert names(turns.take(16)) == ["a"]
    assert len(turns) == 0


def test_the_longest_item_does_not_count_as_audio_that_others_must_wait_for():
    assert turns_of(a=[30.0] * 100, b=[20.0], c=[10.0]).audio_beyond_longest_s() == 30.0
    assert turns_of().audio_beyond_longest_s() == 0.0


@given(
    items=st.lists(
        st.tuples(st.lists(st.floats(0.1, 30.0), min_size=1, max_size=20), st.integers(1, 2)), min_size=1, max_size=12
    ),
    most=st.integers(1, 16),
)
def test_every_chunk_goes_exactly_once_and_in_its_items_company_only_where_it_must(items, most):
    turns = Turns()
    added = []
    for number, (durations_s, receive_count) in enumerate(items):
        chunks = chunks_of(claimed(str(number), receive_count=receive_count), *durations_s)
        turns.add(chunks)
        added += chunks
    taken = []
    while len(turns):
        micro_batch = turns.take(most)
        assert 1 <= len(micro_batch) <= most
        if any(chunk.claimed.is_redelivered for chunk in micro_batch):
            assert len(set(names(micro_batch))) == 1
        taken += micro_batch
    assert sorted(map(id, taken)) == sorted(map(id, added))
