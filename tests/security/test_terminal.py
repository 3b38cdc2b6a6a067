"""What somebody else named, on somebody's terminal."""

import pytest

from asr_queue.cli.printable import printable
from asr_queue.cli.screen import Lines
from asr_queue.cli.summary import Summary

ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\n\u202etxt\x9b31m"


def test_an_escape_sequence_in_a_name_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Summary(2))
    lines.done(f"a{ESCAPES}.wav")
    lines.failed(f"b{ESCAPES}.wav", f"no audio{ESCAPES}")
    told = capsys.readouterr().err
    assert told.count("\n") == 2
    assert all(character.isprintable() or character == "\n" for character in told)


@pytest.mark.parametrize("name", ["talk.wav", "Gespräch 1 (final).mp3", "録音.flac"])
def test_a_usual_name_is_shown_as_it_is(name: str) -> None:
    assert printable(name) == name
