"""`asr-queue keys`: straight to the table, for whoever runs the system."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import ValidationError

from asr_queue.cli.ending import give_up
from asr_queue.cli.stack import DataOption, stack_environment
from asr_queue.errors import CallerError, RetryableError
from asr_queue.settings import ResourceSettings

if TYPE_CHECKING:
    from asr_queue.domain.keys import ApiKey
    from asr_queue.ports import ItemTable

_PREFIX_CHARS: Final = 12
"""How much of a hash is shown: enough to tell a million keys apart."""

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Whose key it is, for people.")],
    tenant: Annotated[str, typer.Option(help="Keys of one tenant share nothing with those of another.")] = "default",
    data: DataOption = None,
) -> None:
    """Make a key and print it: this once, for only its hash is kept."""
    with _table(data) as table:
        from asr_queue.adapters.system_clock import SystemClock
        from asr_queue.usecases.manage_keys import create_key

        key, kept = create_key(tenant=tenant, name=name, table=table, clock=SystemClock())
    typer.echo(key)
    typer.echo(f"its hash begins with {kept.key_hash[:_PREFIX_CHARS]}", err=True)


@keys.command("list")
def list_all(data: DataOption = None) -> None:
    """List all keys, oldest first: hash, tenant, name, since when, and whether revoked."""
    with _table(data) as table:
        for key in table.list_keys():
            typer.echo(_described(key))


@keys.command()
def revoke(
    hash_prefix: Annotated[str, typer.Argument(help="The beginning of the key's hash, as `list` shows it.")],
    data: DataOption = None,
) -> None:
    """Revoke a key: it is refused from the next request on."""
    with _table(data) as table:
        from asr_queue.adapters.system_clock import SystemClock
        from asr_queue.usecases.manage_keys import revoke_key

        typer.echo(_described(revoke_key(hash_prefix, table=table, clock=SystemClock())))


def _described(key: "ApiKey") -> str:
    state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}Z" if key.revoked_at else "active"
    return f"{key.key_hash[:_PREFIX_CHARS]}  {key.tenant}  {key.name}  {key.created_at:%Y-%m-%d %H:%M}Z  {state}"


@contextmanager
def _table(data: Path | None) -> Iterator["ItemTable"]:
    """Connect to the table; what goes wrong with it ends the command."""
    try:
        from botocore.exceptions import BotoCoreError

        from asr_queue.adapters.aws import connect
    except ImportError as error:
        give_up(f"{error.name} is not installed; run: pip install 'asr-queue[aws]'")
    try:
        if data is None:
            yield connect(ResourceSettings()).table
        else:
            environment = stack_environment(data)
            settings = ResourceSettings(
                bucket=environment["ASR_QUEUE_BUCKET"],
                table=environment["ASR_QUEUE_TABLE"],
                transcribe_queue_url=environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
            )
            yield connect(settings, environment=environment).table
    except ValidationError as error:
        missing = ", ".join(f"ASR_QUEUE_{part['loc'][0]}".upper() for part in error.errors())
        give_up(f"set {missing} to say where the table is, or name the data folder of a running stack with --data")
    except CallerError as error:
        give_up(error.message)
    except (RetryableError, BotoCoreError) as error:
        where = f"asr-queue up --data {data}" if data else "what AWS_* and ASR_QUEUE_* name"
        give_up(f"the table does not answer (is {where} running?): {error}")
