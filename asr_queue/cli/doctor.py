"""`asr-queue doctor`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asr_queue.cli import checks
from asr_queue.cli.ending import SOME_FAILED
from asr_queue.cli.engine_trial import try_engine
from asr_queue.cli.server import DEFAULT_DATA, KeyOption, UrlOption, find_server


def doctor(
    url: UrlOption = None,
    api_key: KeyOption = None,
    engine: Annotated[
        str | None, typer.Option(help="Try this engine of a worker here, and nothing else: whisper, qwen3-asr.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Its weights: a folder, or a name on the hub.")] = None,
    aligner: Annotated[str | None, typer.Option(help="Weights for its word times, or none.")] = None,
    device: Annotated[str | None, typer.Option(help="Where it computes: cuda, cpu.")] = None,
    recording: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="What it is tried on; a tone otherwise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is installed, reachable and missing, and what to do about it; 0 when transcribing would work."""
    if engine is not None:
        check = try_engine(engine, model=model, aligner=aligner, device=device, recording=recording)
        is_well = check.state == "ok"
        _tell([check], is_well, f"\nThe engine {'works' if is_well else 'does not work'} here.", as_json)
        return
    chosen = find_server(url, api_key)
    python, server = checks.python(), checks.server(chosen)
    extras = [checks.installed(extra) for extra in ("client", "aws", "api", "worker", "whisper", "local")]
    own_stack = [*extras, checks.weights(), checks.data_folder(DEFAULT_DATA)]
    needed = [python, server] if chosen else [python, *own_stack]
    would_work = all(check.state == "ok" for check in needed)
    looked_at = [python, *own_stack, server, checks.gpu()]
    where = f"on {chosen.url}" if chosen else "on a private stack, which `asr-queue transcribe` starts"
    _tell(looked_at, would_work, f"\nTranscribing {'works' if would_work else 'would not work'} {where}.", as_json)


def _tell(looked_at: Sequence[checks.Check], is_well: bool, conclusion: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": is_well, "checks": [asdict(check) for check in looked_at]}))
    else:
        for check in looked_at:
            typer.echo(f"{check.state:6}  {check.name}: {check.detail}")
            if check.remedy:
                typer.echo(f"        -> {check.remedy}")
        typer.echo(conclusion)
    if not is_well:
        raise typer.Exit(SOME_FAILED)
