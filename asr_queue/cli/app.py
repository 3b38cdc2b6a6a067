"""The `asr-queue` command: what its subcommands are, and what holds for all of them."""

import io
import sys
from importlib.metadata import version
from typing import Annotated

import stamina.instrumentation
import typer

from asr_queue.cli.batches import batches, cancel, retry
from asr_queue.cli.doctor import doctor
from asr_queue.cli.drop import drop
from asr_queue.cli.keys import keys
from asr_queue.cli.report import report
from asr_queue.cli.say import say
from asr_queue.cli.status import status
from asr_queue.cli.tenants import tenants
from asr_queue.cli.transcribe import transcribe
from asr_queue.cli.up import up
from asr_queue.cli.voices import voices
from asr_queue.cli.watch import watch

app = typer.Typer(
    name="asr-queue",
    help="Transcribe recordings, one or a hundred thousand, on a queue of your own.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(transcribe)
app.command()(drop)
app.command()(say)
app.add_typer(voices, name="voices")
app.command()(status)
app.command()(batches)
app.command()(cancel)
app.command()(retry)
app.command()(watch)
app.command()(report)
app.command()(up)
app.add_typer(keys, name="keys")
app.add_typer(tenants, name="tenants")
app.command()(doctor)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"asr-queue {version('asr-queue')}")
        raise typer.Exit


@app.callback()
def prepare(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Set the process up for people: a transcript in any script prints, and retries are no log lines."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    stamina.instrumentation.set_on_retry_hooks(())
