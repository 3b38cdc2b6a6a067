"""`asr-queue status`."""

from typing import Annotated

import typer

from asr_queue.cli.amounts import clock
from asr_queue.cli.ending import give_up
from asr_queue.cli.printable import printable
from asr_queue.cli.server import KeyOption, UrlOption, connected, required_server
from asr_queue.client import QueueClientError, StatusAnswer
from asr_queue.domain.estimates import Basis


def status(
    batch: Annotated[str, typer.Argument(help="The batch_id that a submit answered.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The server's answer as JSON.")] = False,
) -> None:
    """Show how far a batch has come, and why items failed."""
    with connected(required_server(url, api_key)) as client:
        try:
            answer = client.status(batch)
        except QueueClientError as error:
            give_up(str(error))
    if as_json:
        typer.echo(answer.model_dump_json())
        return
    left = answer.total - answer.completed - answer.failed
    label = f"  {printable(answer.label)}" if answer.label else ""
    typer.echo(f"{answer.status}: {answer.completed} done, {answer.failed} failed, {left} to go{label}")
    if line := _progress(answer):
        typer.echo(f"  {line}")
    for item in answer.items:
        if item.error is not None:
            typer.echo(printable(f"  failed {item.custom_id or item.item_id}: {item.error}"))


def _progress(answer: StatusAnswer) -> str:
    """Return in a line how much audio is done, how long the rest takes and what it cost, as far as the server tells."""
    parts = []
    if answer.audio_s is not None:
        about = "about " if answer.audio_s.is_estimate else ""
        parts.append(f"{clock(answer.audio_s.done)} of {about}{clock(answer.audio_s.total)} of audio")
    if estimate := answer.estimate:
        if estimate.seconds_left is not None:
            why = "its own progress" if estimate.basis is Basis.BATCH else "what the workers can do"
            parts.append(f"about {clock(estimate.seconds_left)} left, by {why}")
        elif estimate.workers == 0:
            parts.append("no worker is there")
        if estimate.ahead_items:
            parts.append(f"at most {estimate.ahead_items} items ahead")
    if answer.cost_usd is not None:
        parts.append(f"{answer.cost_usd:.4f} USD")
    return "; ".join(parts)
