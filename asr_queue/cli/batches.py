"""`asr-queue batches`, `asr-queue cancel`, `asr-queue retry`."""

from typing import Annotated, TypeAlias

import typer

from asr_queue.cli.printable import printable
from asr_queue.cli.server import KeyOption, UrlOption, asking
from asr_queue.client import BatchAnswer, BatchStatus, Priority

BatchArgument: TypeAlias = Annotated[
    str, typer.Argument(help="The batch_id that a submit answered.", show_default=False)
]


def batches(
    label: Annotated[str | None, typer.Option(help="Only those with exactly this label.")] = None,
    state: Annotated[BatchStatus | None, typer.Option(help="Only those of this status.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, as the server has it.")] = False,
) -> None:
    """List your batches, newest first."""
    with asking(url, api_key) as client:
        for batch in client.list_batches(label=label, state=state):
            typer.echo(batch.model_dump_json() if as_json else _line(batch))


def cancel(
    batch: BatchArgument,
    item: Annotated[
        str | None, typer.Argument(help="The item_id, where only that one is meant.", show_default=False)
    ] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Cancel what of a batch has not ended, or one item of it."""
    with asking(url, api_key) as client:
        cancelled = client.cancel(batch) if item is None else int(client.cancel_item(batch, item))
    typer.echo(f"{_items(cancelled)} cancelled")


def retry(batch: BatchArgument, url: UrlOption = None, api_key: KeyOption = None) -> None:
    """Submit what has failed of a batch once more, as a new batch, and print its id."""
    with asking(url, api_key) as client:
        answer = client.retry_failed(batch)
    typer.echo(answer.batch_id)
    typer.echo(f"{_items(answer.total_items)} submitted once more", err=True)


def _line(batch: BatchAnswer) -> str:
    left = batch.queued + batch.processing
    made = batch.created_at.partition(".")[0].replace("T", " ")
    counts = f"{batch.completed} done, {batch.failed} failed, {left} to go"
    priority = "" if batch.priority is Priority.NORMAL else f"  {batch.priority}"
    label = f"  {printable(batch.label)}" if batch.label else ""
    return f"{printable(batch.batch_id)}  {printable(made)}  {batch.status}: {counts}{priority}{label}"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"
