import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_queue.errors import CallerError
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.echo import EchoEngine
from gpu_worker.pipeline.assemble import Assembler
from gpu_worker.pipeline.transcribe import Transcribe
from gpu_worker.pipeline.transcripts import join
from gpu_worker.work import Failed
from tests.pipeline.makers import chunks_of, claimed, recognised

FAULT = CallerError("language_not_supported", "no")


def test_an_item_comes_out_with_its_last_chunk_whatever_the_order():
    assembler = Assembler(join)
    first, second, third = chunks_of(claimed("a"), 10.0, 12.0, 5.0)
    (other,) = chunks_of(claimed("b"), 3.0)
    assert assembler.add(recognised(third, "three.")) is None
    assert assembler.add(recognised(first, "One")) is None
    assert assembler.add(recognised(other, "Other.")).text == "Other."
    whole = assembler.add(recognised(second, "two"))
    assert (whole.text, whole.audio_s) == ("One two three.", 27.0)


def test_a_dropped_item_leaves_nothing_behind():
    assembler = Assembler(join)
    first, second = chunks_of(claimed("a"), 10.0, 12.0)
    assembler.add(recognised(first, "One"))
    assembler.drop(Failed(claimed=first.claimed, error=FAULT))
    assembler.drop(Failed(claimed=claimed("nobody"), error=FAULT))
    assert assembler.add(recognised(second, "two")) is None


def test_an_item_takes_what_its_chunks_cost_along():
    first, second = chunks_of(claimed("a"), 10.0, 12.0)
    parts = [
        replace(recognised(first, "One"), device_s=0.5, micro_batch=3),
        replace(recognised(second, "two"), device_s=0.25, micro_batch=16),
    ]
    whole = Transcribe(EchoEngine(EngineSettings(cache_dir=Path()))).join(parts)
    assert (whole.device_s, whole.micro_batch) == (0.75, 16)


def test_a_failure_takes_along_what_the_chunks_before_it_cost():
    first, second = chunks_of(claimed("a"), 10.0, 12.0)
    assembler = Assembler(join)
    assembler.add(replace(recognised(first, "One"), device_s=0.5, micro_batch=3))
    failed = assembler.drop(Failed(claimed=second.claimed, error=FAULT, device_s=0.25, micro_batch=1))
    assert (failed.error, failed.device_s, failed.micro_batch) == (FAULT, 0.75, 3)
    before_any_pass = assembler.drop(Failed(claimed=second.claimed, error=FAULT))
    assert (before_any_pass.device_s, before_any_pass.micro_batch) == (None, None)


@pytest.mark.parametrize(("language", "text"), [("zh", "你好世界"), ("en", "你好 世界")])
def test_text_is_joined_by_the_separator_of_the_language(language, text):
    first, second = chunks_of(claimed(language=language), 10.0, 12.0)
    assert join([recognised(first, "你好"), recognised(second, "世界")]).text == text


def test_silent_chunks_add_nothing_and_a_silent_item_has_no_language():
    chunks = chunks_of(claimed(), 10.0, 12.0, 4.0)
    texts = ["One", "", "three."]
    assert join([recognised(*pair) for pair in zip(chunks, texts, strict=True)]).text == "One three."
    silent = join([recognised(chunk, "", language=None) for chunk in chunks])
    assert (silent.text, silent.language, silent.words) == ("", None, ())


def test_the_language_is_the_given_one_or_that_of_most_of_what_was_said():
    chunks = chunks_of(claimed(), 10.0, 12.0, 30.0)
    said = [("a", "fr"), ("b", "en"), ("", "de")]
    assert join([recognised(c, t, language=code) for c, (t, code) in zip(chunks, said, strict=True)]).language == "en"
    hinted = chunks_of(claimed(language="it"), 10.0)
    assert join([recognised(hinted[0], "a", language="fr")]).language == "it"


def test_a_language_is_as_sure_as_it_is_over_all_that_was_said():
    chunks = chunks_of(claimed(), 10.0, 30.0, 60.0)

    def probability(*said, work=chunks):
        parts = [recognised(chunk, text, language=code) for chunk, (text, code, _) in zip(work, said, strict=True)]
        sure = [
            replace(part, output=replace(part.output, language_probability=one[2]))
            for part, one in zip(parts, said, strict=True)
        ]
        return join(sure).language_probability

    assert probability(("a", "en", 0.5), ("b", "en", 0.9), ("", None, None)) == pytest.approx(0.8)
    assert probability(("a", "fr", 1.0), ("b", "en", 0.8), ("", None, None)) == pytest.approx(0.6)
    assert probability(("a", "en", 0.5), ("b", "en", None), ("", None, None)) is None
    assert probability(("", None, None), ("", None, None), ("", None, None)) is None
    assert probability(("a", "fr", 0.5), work=chunks_of(claimed(language="fr"), 10.0)) is None


_said = st.lists(st.text("ab'.,!- ", max_size=12), max_size=5).map(" ".join).map(lambda text: " ".join(text.split()))


@given(st.lists(st.tuples(_said, st.integers(0, 3)), min_size=1, max_size=5), st.sampled_from(["en", "ru", "de"]))
def test_a_word_time_list_is_never_fewer_words_than_the_text(item, language):
    """Whatever the engine loses."""
    chunks = chunks_of(claimed(), *(10.0 for _ in item))
    parts = [
        recognised(chunk, text, *((0.1, 0.2, word) for word in text.split()[lost:]), language=language)
        for chunk, (text, lost) in zip(chunks, item, strict=True)
    ]
    whole = join(parts)
    if whole.timestamps_unavailable is None:
        assert [word.text for word in whole.words] == whole.text.split()
    else:
        assert whole.words == ()
        assert any(lost and text for text, lost in item)


def test_words_count_from_the_start_of_the_item():
    first, second = chunks_of(claimed(), 10.0, 12.0)
    words = join([recognised(first, "One", (0.5, 1.0, "One")), recognised(second, "two", (0.0, 0.25, "two"))]).words
    assert [(word.start_s, word.end_s, word.text) for word in words] == [(0.5, 1.0, "One"), (10.0, 10.25, "two")]


def test_words_are_left_out_where_nobody_asked():
    (only,) = chunks_of(claimed(return_timestamps=False), 10.0)
    assert join([recognised(only, "One")]).words is None


_times_s = st.floats(-5.0, 50.0)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 30.0), st.lists(st.tuples(_times_s, _times_s), max_size=6)), min_size=1, max_size=6
    ),
    st.randoms(),
)
def test_words_never_decrease_overlap_or_leave_the_audio_whatever_the_engine_says(item, chance):
    chunks = chunks_of(claimed(), *(duration_s for duration_s, _ in item))
    parts = [
        recognised(
            chunk,
            " ".join(map(str, range(len(times)))),
            *((start, end, str(n)) for n, (start, end) in enumerate(times)),
        )
        for chunk, (_, times) in zip(chunks, item, strict=True)
    ]
    chance.shuffle(parts)
    whole = join(parts)
    times_s = [time_s for word in whole.words for time_s in (word.start_s, word.end_s)]
    assert times_s == sorted(times_s)
    assert all(0 <= time_s <= whole.audio_s for time_s in times_s)
    assert [word.text for word in whole.words] == [str(n) for _, times in item for n in range(len(times))]
    assert math.isclose(whole.audio_s, sum(duration_s for duration_s, _ in item))
