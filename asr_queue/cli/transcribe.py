"""`asr-queue transcribe`."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from asr_queue.cli.ending import SOME_FAILED, cleaning_up_when_terminated, give_up
from asr_queue.cli.recordings import Found, find
from asr_queue.cli.screen import screen
from asr_queue.cli.server import KeyOption, Server, UrlOption, connected, find_server
from asr_queue.cli.sink import Sink
from asr_queue.cli.summary import Summary
from asr_queue.client import ItemResult, QueueClientError
from asr_queue.client.protocol import displayable
from asr_queue.domain.batches import Priority
from asr_queue.domain.languages import resolve
from asr_queue.wire.api import MAX_PROMPT_CHARS
from asr_queue.wire.formats import Format


def known_language(language: str) -> str:
    """Return a language that the service knows; anything else is a wrong argument."""
    if language.casefold() != "auto" and resolve(language) is None:
        raise typer.BadParameter(f"{language!r} is no language; give an English name, an ISO 639 code or auto")
    return language


def short_prompt(prompt: str) -> str:
    """Return a prompt that the service takes; a longer one is a wrong argument."""
    if len(prompt) > MAX_PROMPT_CHARS:
        raise typer.BadParameter(f"{len(prompt)} characters are more than {MAX_PROMPT_CHARS}")
    return prompt


def transcribe(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR...", help="Recordings, or folders of them.", show_default=False)
    ],
    url: UrlOption = None,
    api_key: KeyOption = None,
    language: Annotated[
        str, typer.Option(callback=known_language, help="An English name, an ISO 639 code, or auto.")
    ] = "auto",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Ask for word times.")] = False,
    prompt: Annotated[
        str, typer.Option(callback=short_prompt, help="Names and rare words that may be said.", show_default=False)
    ] = "",
    priority: Annotated[
        Priority, typer.Option(help="How this stands beside what else waits.", case_sensitive=False)
    ] = Priority.NORMAL,
    form: Annotated[
        Format, typer.Option("--format", help="Subtitles (srt, vtt) imply --timestamps.", case_sensitive=False)
    ] = Format.TXT,
    out: Annotated[
        Path | None, typer.Option(help="Write one file a recording below this folder.", file_okay=False)
    ] = None,
) -> None:
    """Transcribe recordings: to standard output, or to one file each below --out.

    With no --url and no server running from this folder, a private one is started for the duration.
    The exit status is 0 when all is done, 1 when a recording failed, 2 when nothing could be done.
    """
    found = find(paths)
    is_single = [recording.path for recording in found.recordings] == paths and len(paths) == 1
    if not found.recordings:
        reasons = [f"{displayable(str(path))}: {reason}" for path, reason in found.problems]
        give_up("; ".join(reasons) or "there is no audio or video in " + ", ".join(map(str, paths)))
    if form.is_subtitle and out is None and not is_single:
        give_up(f"{form} of several recordings needs --out")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            give_up(f"cannot write below {out}: {error.strerror}")
    sink = Sink(form, out, is_single=is_single)
    with cleaning_up_when_terminated(), _server(url, api_key) as server, connected(server) as client:
        try:
            client.check_access()
        except QueueClientError as error:
            give_up(str(error))
        summary = Summary(len(found.recordings) + len(found.problems), shows_batches=not server.is_private)
        results = partial(
            client.transcribe,
            language=language,
            timestamps=timestamps or form.is_subtitle,
            prompt=prompt,
            priority=priority,
        )
        _run(results, found, sink, summary)
    if summary.failures:
        raise typer.Exit(SOME_FAILED)


@contextmanager
def _server(url: str | None, api_key: str | None) -> Iterator[Server]:
    """Find a server, or run one until the block ends."""
    if server := find_server(url, api_key):
        yield server
        return
    try:
        from asr_queue.local.up import StackFailedError, private_stack
    except ImportError as error:
        give_up(
            f"no server is named (--url) and none is running here, and one of your own needs {error.name}: "
            "pip install 'asr-queue[local]'"
        )
    typer.echo("no server is running here; starting a private one ...", err=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="asr-queue-") as folder,
            private_stack(Path(folder)) as (own_url, own_key),
        ):
            yield Server(own_url, own_key, is_private=True)
    except StackFailedError as error:
        give_up(f"the private server did not start: {error}")


def _run(transcribe: Callable[..., Iterator[ItemResult]], found: Found, sink: Sink, summary: Summary) -> None:
    """Transcribe what was found, as `Client.transcribe` does, and keep the summary of it."""
    began_s = time.monotonic()
    recordings = {recording.path: recording for recording in found.recordings}

    def fail(path: Path, reason: str) -> None:
        name = displayable(str(path))
        summary.failures.append((name, reason))
        shown.failed(name, reason)

    with screen(summary) as shown:
        for path, reason in found.problems:
            fail(path, reason)
        for result in transcribe(recordings, on_progress=shown.progress):
            failure = sink.take(recordings[result.path], result, shown)
            if result.batch_id:
                summary.batches[result.batch_id] = None
            summary.device_s += result.device_s or 0.0
            summary.cost_usd += result.cost_usd or 0.0
            if failure is None:
                summary.done += 1
                summary.audio_s += result.audio_s or 0.0
                shown.done(displayable(str(result.path)))
            else:
                fail(result.path, failure)
    summary.took_s = time.monotonic() - began_s
    if summary.total > 1:
        shown.finish()
