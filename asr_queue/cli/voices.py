"""`asr-queue voices`."""

from typing import Annotated

import typer
from rich.filesize import decimal

from asr_queue.cli.ending import give_up
from asr_queue.cli.printable import printable
from asr_queue.cli.server import KeyOption, UrlOption, asking
from asr_queue.client import VoiceAnswer
from asr_queue.wire.api import MAX_SAID_CHARS, MAX_VOICE_NAME_CHARS

voices = typer.Typer(help="Make, list and remove named voices.", no_args_is_help=True, rich_markup_mode=None)


def _short_name(name: str) -> str:
    if not 1 <= len(name) <= MAX_VOICE_NAME_CHARS:
        raise typer.BadParameter(f"{len(name)} characters; it takes 1 to {MAX_VOICE_NAME_CHARS}")
    return name


def _short_said(said: str) -> str:
    if len(said) > MAX_SAID_CHARS:
        raise typer.BadParameter(f"{len(said)} characters; {MAX_SAID_CHARS} are the most")
    return said


@voices.command("list")
def list_all(
    url: UrlOption = None,
    api_key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, as the server has it.")] = False,
) -> None:
    """List your named voices, newest first: id, since when, size of the sample, and name."""
    with asking(url, api_key) as client:
        for voice in client.list_voices():
            typer.echo(voice.model_dump_json() if as_json else _line(voice))


@voices.command()
def add(
    name: Annotated[str, typer.Argument(callback=_short_name, help="For people.", show_default=False)],
    sample: Annotated[str, typer.Argument(metavar="FILE", help="A recording of the speaker.", show_default=False)],
    consent: Annotated[bool, typer.Option("--consent", help="State that the speaker has agreed.")] = False,
    said: Annotated[
        str, typer.Option(callback=_short_said, help="What is said in the sample.", show_default=False)
    ] = "",
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Make a named voice of a sample and print its id; it stays until it is deleted."""
    if not consent:
        give_up("a voice is made only with --consent: your statement that the speaker has agreed to it")
    with asking(url, api_key) as client:
        uploaded = client.upload(sample)
        voice = client.create_voice(name, uploaded.file_id, said=said, consent=consent)
        typer.echo(voice.voice_id)
        client.delete_file(uploaded.file_id)  # the voice has a copy


@voices.command()
def delete(
    voice: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Remove a named voice and its sample."""
    with asking(url, api_key) as client:
        client.delete_voice(voice)


def _line(voice: VoiceAnswer) -> str:
    made = voice.created_at.partition(".")[0].replace("T", " ")
    return "  ".join(map(printable, (voice.voice_id, made, decimal(voice.size_bytes), voice.name)))
