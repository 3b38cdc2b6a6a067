"""From times of tokens to words: nothing of the text is lost, and times only go forward."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3ASRProcessor
from transformers.models.qwen3_asr import processing_qwen3_asr as native

from asr_queue.domain.languages import separator
from gpu_worker.engines.qwen3.alignment import in_order, locate, words_of

TEXTS = st.text("ab Z9'.,!?-—“”¿«»()…\n我们走。「」äé", max_size=60).map(lambda text: " ".join(text.split()))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_wrong_times_are_mended_as_transformers_does(classes: list[int]) -> None:
    guessed = np.array(classes, np.float32) * 80
    assert in_order(guessed) == native._fix_timestamps(guessed)


def test_a_thousand_words_out_of_order_are_mended_as_transformers_does() -> None:
    random = np.random.default_rng(5)
    guessed = (np.arange(2000) + random.integers(-200, 200, 2000) * (random.random(2000) < 0.3)).astype(np.float32)
    mended = in_order(guessed)
    assert mended == native._fix_timestamps(guessed)
    assert mended == sorted(mended)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["en", "es", "zh", "ja"]), st.data())
def test_words_are_the_whole_text_and_their_times_go_forward(
    tiny_processor: Qwen3ASRProcessor, text: str, language: str, data: st.DataObject
) -> None:
    tokens = tiny_processor.split_words_for_alignment(text)
    spans = locate(tokens, text)
    assert spans is not None
    drawn = st.lists(st.floats(0, 300), min_size=2 * len(tokens), max_size=2 * len(tokens))
    times_s = sorted(data.draw(drawn))
    words = words_of(text, spans, times_s, language)
    if not tokens:
        assert words == ()
        return
    said = separator(language).join(word.text for word in words)
    assert said == (text if separator(language) else "".join(text.split()))
    assert all(word.text and word.start_s <= word.end_s for word in words)
    assert all(one.end_s <= other.start_s for one, other in pairwise(words))


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("“Well,” he said — no.", "en", ["“Well,”", "he", "said", "—", "no."]),
        ("¿Qué? ¡No!", "es", ["¿Qué?", "¡No!"]),
        ("他说：「好。」对吗？", "zh", ["他", "说：", "「好。」", "对", "吗？"]),
        ("我 love 你。", "zh", ["我", "love", "你。"]),
    ],
)
def test_words_keep_their_punctuation(
    tiny_processor: Qwen3ASRProcessor, text: str, language: str, words: list[str]
) -> None:
    spans = locate(tiny_processor.split_words_for_alignment(text), text)
    assert spans is not None
    times_s = [float(i) for i in range(2 * len(spans))]
    made = words_of(text, spans, times_s, language)
    assert [word.text for word in made] == words
    assert made[-1].end_s == times_s[-1]


def test_a_word_without_letters_is_where_the_one_before_it_ended() -> None:
    spans = locate(["a", "b"], "a — b")
    assert spans is not None
    assert words_of("a — b", spans, [1.0, 2.0, 5.0, 6.0], "en")[1].start_s == 2.0


@pytest.mark.parametrize(
    ("text", "tokens", "words"),
    [
        # As nagisa 0.3.0 splits them.
        ("ＡＢＣ 12月", ["ABC", "1", "2", "月"], ["ＡＢＣ", "1", "2", "月"]),
        ("ｶﾞｽ㈱。", ["ガス", "株"], ["ｶﾞｽ", "㈱。"]),
        # As transformers splits what has its accents as characters of their own.
        ("cafe\u0301s", ["cafes"], ["cafe\u0301s"]),
    ],
)
def test_words_are_found_in_the_text_as_it_was_written(text: str, tokens: list[str], words: list[str]) -> None:
    spans = locate(tokens, text)
    assert spans is not None
    times_s = [float(i) for i in range(2 * len(spans))]
    assert [word.text for word in words_of(text, spans, times_s, "ja")] == words


def test_tokens_of_another_text_are_not_found() -> None:
    assert locate(["one", "two"], "one three") is None
