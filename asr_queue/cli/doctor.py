"""`asr-queue doctor`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from asr_queue.cli import checks
from asr_queue.cli.ending import SOME_FAILED
from asr_queue.cli.server import DEFAULT_DATA, KeyOption, UrlOption, find_server


def doctor(
    url: UrlOption = None,
    api_key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is installed, reachable and missing, and what to do about it; 0 when transcribing would work."""
    chosen = find_server(url, api_key)
    python, server = checks.python(), checks.server(chosen)
    extras = [checks.installed(extra) for extra in ("client", "aws", "api", "worker", "whisper", "local")]
    own_stack = [*extras, checks.weights(), checks.data_folder(DEFAULT_DATA)]
    needed = [python, server] if chosen else [python, *own_stack]
    would_work = all(check.state == "ok" for check in needed)
    looked_at = [python, *own_stack, server, checks.gpu()]
    if as_json:
        typer.echo(json.dumps({"ok": would_work, "checks": [asdict(check) for check in looked_at]}))
    else:
        for check in looked_at:
            typer.echo(f"{check.state:6}  {check.name}: {check.detail}")
            if check.remedy:
                typer.echo(f"        -> {check.remedy}")
        where = f"on {chosen.url}" if chosen else "on a private stack, which `asr-queue transcribe` starts"
        typer.echo(f"\nTranscribing {'works' if would_work else 'would not work'} {where}.")
    if not would_work:
        raise typer.Exit(SOME_FAILED)
