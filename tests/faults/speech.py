"""What the speech of an item must be: a file of its form that names the item, as long as its text takes to hum."""

import io
from collections.abc import Iterator
from typing import Final

import soundfile

from tests.faults.plan import Saying

_S_PER_CHAR: Final = 1 / 15
_MOST_OFF: Final = 0.05
"""Of its length: a pause stands between two pieces of a text."""
_MOST_OFF_S: Final = 0.15
"""And so much of any: an mp3 is padded to whole frames."""


def not_said(result: bytes, saying: Saying, item_id: str) -> Iterator[str]:
    """Yield what is wrong with the bytes that were fetched as an item's speech, in sentences."""
    try:
        with soundfile.SoundFile(io.BytesIO(result)) as file:
            form, comment, length_s = file.format, file.comment, file.frames / file.samplerate
    except soundfile.LibsndfileError as error:
        yield f"item {item_id} is no audio file: {error}"
        return
    expected_s = len(saying.text) * _S_PER_CHAR
    if form.lower() != saying.form:
        yield f"item {item_id} was wanted as {saying.form} and is {form}"
    if item_id not in comment:
        yield f"the speech of item {item_id} calls itself {comment!r}"
    if abs(length_s - expected_s) > _MOST_OFF_S + _MOST_OFF * expected_s:
        yield f"item {item_id} speaks for {length_s:.2f} s, its text takes {expected_s:.2f} s"
