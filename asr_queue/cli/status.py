"""`asr-queue status`."""

from typing import Annotated

import typer

from asr_queue.cli.ending import give_up
from asr_queue.cli.printable import printable
from asr_queue.cli.server import DEFAULT_DATA, KeyOption, UrlOption, connected, find_server
from asr_queue.client import QueueClientError


def status(
    batch: Annotated[str, typer.Argument(help="The batch_id that a submit answered.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The server's answer as JSON.")] = False,
) -> None:
    """Show how far a batch has come, and why items failed."""
    server = find_server(url, api_key)
    if server is None:
        give_up(f"no server is named (--url) and none is running on {DEFAULT_DATA}")
    with connected(server) as client:
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
    for item in answer.items:
        if item.error is not None:
            typer.echo(printable(f"  failed {item.custom_id or item.item_id}: {item.error}"))
