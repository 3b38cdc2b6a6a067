"""`asr-queue say`."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from asr_queue.cli.ending import SOME_FAILED, cleaning_up_when_terminated, give_up
from asr_queue.cli.server import KeyOption, UrlOption, connected, required_server
from asr_queue.cli.transcribe import known_language
from asr_queue.client import ItemFailedError, QueueClientError, SpeechFormat
from asr_queue.client.protocol import displayable

_STANDARD_INPUT: Final = "-"


def say(
    text: Annotated[str, typer.Argument(help="What to say; - reads standard input.", show_default=False)],
    voice: Annotated[
        str, typer.Option(metavar="FILE|ID", help="A sample of the voice, or the id of an upload or a named voice.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.", dir_okay=False)],
    form: Annotated[
        SpeechFormat | None,
        typer.Option(
            "--format",
            help="Of the file; by default as its name ends, or else wav.",
            case_sensitive=False,
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(callback=known_language, help="An English name, an ISO 639 code, or auto.")
    ] = "auto",
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Say a text in somebody's voice, and print the name of the file.

    The exit status is 0 when the file is written, 1 when the text could not be said, 2 when nothing could be done.
    """
    with cleaning_up_when_terminated(), connected(required_server(url, api_key)) as client:
        [result] = client.speak([_read(text)], voice=voice, language=language, form=form or _format_of(out))
    if isinstance(result.error, ItemFailedError):
        typer.echo(f"failed: {result.error}", err=True)
        raise typer.Exit(SOME_FAILED)
    try:
        typer.echo(displayable(str(result.save(out))))
    except QueueClientError as error:
        give_up(str(error))
    except OSError as error:
        give_up(f"cannot write {displayable(str(out))}: {error.strerror}")


def _format_of(out: Path) -> SpeechFormat:
    """Return the format that a file's name ends in."""
    suffix = out.suffix.removeprefix(".").lower()
    return SpeechFormat(suffix) if suffix in list(SpeechFormat) else SpeechFormat.WAV


def _read(text: str) -> str:
    """Return the text that is meant."""
    if text != _STANDARD_INPUT:
        return text
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        give_up("standard input is not UTF-8")
