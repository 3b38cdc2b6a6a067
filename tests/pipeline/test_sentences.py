import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asr_queue.domain.languages import NAMES
from asr_queue.errors import CallerError
from gpu_worker.pipeline.sentences import _sentences, cut_text

HOSTILE = [
    "..[111 111 111 ",
    ".[1] ",
    "[",
    "(",
    '"',
    "«",
    "「",
    '"a. ',
    "‘a",
    "A. ",
    "Mr.",
    "e.g. ",
    "1.1.1.1 ",
    "1. ",
    "* ",
    "<a href=",
    ".",
    "?!",
    ",",
    ", ",
    "a",
    "a ",
    "\n",
    "\n \n",
    " ",
    "a\n\n",
    "a\u0301",
    "\u0301",
    "क्",
    "👩\u200d",
    "🙂",
    "\u2028",
    "A\u2028.",
    "中",
    "。",
    "中。",
    "\x00",
    "a\x00",
    "\ud800",
    "\u202ea. ",
]


def sayable(text: str) -> str:
    """What of a text has a sound or a shape."""
    return "".join(sign for sign in text if not sign.isspace() and unicodedata.category(sign) not in ("Cc", "Cf", "Cs"))


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


texts = st.text(
    st.one_of(st.characters(), st.sampled_from(" \n.,!?;:\"'()[]“”«»。、「」।؟1Aaé\u2028\u200d\u0301")), max_size=400
)
prose = st.lists(
    st.sampled_from(["Yes.", "No, not", "3.50", "Dr. A", "word", "naïve", "你好。", "\n\n", "…", "“Well?”"])
).map(" ".join)


@given(text=texts, language=st.sampled_from([None, *NAMES]), max_chars=st.integers(1, 300))
@example(text="A\u2028.", language=None, max_chars=10)
@settings(max_examples=1000, deadline=None)
def test_no_letter_is_lost_or_moved_and_no_piece_is_empty_or_too_long(text, language, max_chars):
    if not letters(text):
        with pytest.raises(CallerError):
            cut_text(text, language, max_chars=max_chars)
        return
    pieces = cut_text(text, language, max_chars=max_chars)
    assert letters("".join(pieces)) == letters(text)
    assert all(letters(piece) and len(piece) <= max_chars and piece == piece.strip() for piece in pieces)


@given(text=prose.filter(letters), language=st.sampled_from([None, "de", "ja"]), max_chars=st.integers(20, 300))
@settings(max_examples=300, deadline=None)
def test_nothing_but_white_space_is_lost_of_what_people_write(text, language, max_chars):
    assert sayable("".join(cut_text(text, language, max_chars=max_chars))) == sayable(text)


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
@pytest.mark.parametrize("language", [None, "zh", "my", "kk"])
def test_ten_thousand_characters_take_no_more_than_a_moment_whatever_they_are(hostile, language):
    text = "a" + (hostile * 10_000)[:9_999]
    start = time.process_time()
    pieces = cut_text(text, language, max_chars=250)
    assert time.process_time() - start < 2
    assert letters("".join(pieces)) == letters(text)


@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4), st.integers(1, 400), st.sampled_from(sorted(NAMES)))
@settings(max_examples=60, deadline=None)
def test_nor_do_mixtures(parts, max_chars, language):
    text = "a" + ("".join(parts) * 10_000)[:9_999]
    start = time.process_time()
    cut_text(text, language, max_chars=max_chars)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", ["", " \n\t", "…", "?!", "🙂", "\ufeff", "—\n\n—", "\x00", "।", "。"], ids=ascii)
def test_what_cannot_be_said_is_refused(text):
    with pytest.raises(CallerError) as caught:
        cut_text(text, None, max_chars=100)
    assert caught.value.code == "text_empty"


LONG = "and then it went on for a good while without coming to any end at all, as such things do, for ever and ever, "


def sentences(text: str, language: str | None = None) -> list[str]:
    """Its sentences, each too heavy to stay with its neighbour."""
    return cut_text(text.replace("~", LONG), language, max_chars=1000)


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("en", "Dr. Smith ~ paid $3.50 to Mr. O'Neil at 5 p.m. on Friday. He left ~ at once.", 2),
        ("en", 'She said ~ "Stop! Do not move." and ran. Then ~ nothing came.', 2),
        ("en", "Version 1.2.3 ~ e.g. this one, i.e. that, is out. It ~ works...", 2),
        ("en", "Well… maybe ~ not. Yes ~ it is!", 2),
        (None, "No full stop ~ here\n\nAnother ~ paragraph", 2),
        (None, "One line ~ that\nis wrapped ~ here.", 1),
        ("de", "Das ist ~ z. B. am 3. Mai so gewesen. Danach ~ nicht mehr.", 2),
        ("fr", "« Bonjour ! » dit ~ M. Dupont. C'est ~ fini.", 2),
        ("ru", "Это ~ и т. д. было. А это ~ нет.", 2),
        (None, "你好" * 40 + "。" + "今天" * 40 + "！", 2),
        ("ja", "こんにちは" * 16 + "。「" + "元気ですか" * 16 + "？」", 2),
        ("ar", "مرحبا ~ يا صديقي. كيف ~ حالك؟", 2),
        ("hi", "यह ~ एक वाक्य है। यह ~ दूसरा है।", 2),
        (None, "यह ~ एक वाक्य है। यह ~ दूसरा है।", 2),
    ],
)
def test_sentences_end_where_people_say_they_do(language, text, count):
    assert len(sentences(text, language)) == count


def test_short_neighbours_are_said_in_one_go():
    assert cut_text("Yes. No!\n\nWell, I do not know. Ask him.", None, max_chars=300) == [
        "Yes. No! Well, I do not know. Ask him."
    ]
    assert cut_text("你好。今天天气很好！", "zh", max_chars=300) == ["你好。今天天气很好！"]


def test_many_short_sentences_do_not_become_one_long_piece():
    pieces = cut_text("Yes, it is. " * 100, None, max_chars=5000)
    assert {len(piece) <= 200 for piece in pieces} == {True}
    assert min(map(len, pieces)) > 30


def test_a_character_that_is_a_word_weighs_more():
    pieces = cut_text("今天天气很好。" * 40, "zh", max_chars=5000)
    assert max(map(len, pieces)) <= 67


def test_a_single_word_goes_with_the_sentence_before_or_behind_it():
    assert len(sentences("Yes. It went on ~ so.")) == 1
    assert len(sentences("It went on ~ so. Yes.")) == 1
    assert len(sentences("It ~ so ~ on. Yes. It ~ so ~ on.")) == 2


def test_a_long_sentence_is_cut_at_a_clause_else_at_a_space_else_anywhere():
    assert cut_text("The first clause is here, 1,000.5 of them; the second is behind it", None, max_chars=50) == [
        "The first clause is here,",
        "1,000.5 of them; the second is behind it",
    ]
    assert cut_text("these are words and nothing but words, one by one as they come", None, max_chars=36) == [
        "these are words and nothing but",
        "words, one by one as they come",
    ]
    assert cut_text("x" * 250, None, max_chars=100) == ["x" * 100, "x" * 100, "x" * 50]
    assert cut_text("一" * 30 + "，" + "二" * 30, None, max_chars=40)[0] == "一" * 30 + "，"


def test_no_cut_leaves_a_snippet_behind():
    assert min(map(len, cut_text("word " * 41, None, max_chars=200))) >= 20


def test_no_cut_parts_a_letter_from_its_accent():
    assert all(unicodedata.category(piece[0]) == "Ll" for piece in cut_text("e\u0301" * 500, None, max_chars=101))


def test_joiners_stay_and_what_has_neither_sound_nor_shape_goes():
    assert cut_text("می\u200cخواهم क\u094d\u200dष", "fa", max_chars=100) == ["می\u200cخواهم क\u094d\u200dष"]
    assert cut_text("\ufeffso\u00adund\x00less\u202e it\u2028is\ud800", None, max_chars=100) == ["sound less it is"]


def test_where_the_library_panics_or_loses_text_the_paragraph_is_a_sentence():
    assert _sentences("A\u2028.", "en") == ["A\u2028."]
