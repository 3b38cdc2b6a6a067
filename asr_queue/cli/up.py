"""`asr-queue up`."""

from pathlib import Path
from typing import Annotated

import typer

from asr_queue.cli.ending import give_up
from asr_queue.cli.server import DEFAULT_DATA


def up(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of the API, on 127.0.0.1; 0 takes a free one.")] = 8000,
    data: Annotated[Path, typer.Option(help="Where everything is kept.", file_okay=False)] = DEFAULT_DATA,
    engine: Annotated[str, typer.Option(help="whisper, or echo (no model: for trying things out).")] = "whisper",
    voice_engine: Annotated[
        str,
        typer.Option(help="pocket-tts, qwen3-tts, or echo (hums). By default that of ASR_QUEUE_VOICE_ENGINE, or none."),
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Run the whole system on this machine until Ctrl-C; prints `ready URL` when it answers."""
    try:
        from asr_queue.local.up import UpOptions, run
    except ImportError as error:
        give_up(f"{error.name} is not installed; run: pip install 'asr-queue[local]'")
    options = UpOptions(port=port, data=data, engine=engine, voice_engine=voice_engine, workers=workers)
    raise typer.Exit(run(options))
