"""`asr-queue keys`: straight to the table, for whoever runs the system."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from asr_queue.cli.stack import DataOption, connected_aws

if TYPE_CHECKING:
    from asr_queue.domain.keys import ApiKey

_PREFIX_CHARS: Final = 12
"""How much of a hash is shown: enough to tell a million keys apart."""

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Whose key it is, for people.")],
    tenant: Annotated[str, typer.Option(help="Keys of one tenant share nothing with those of another.")] = "default",
    max_items_waiting: Annotated[int | None, typer.Option(min=1, help="Unfinished items of its tenant.")] = None,
    max_bytes_stored: Annotated[int | None, typer.Option(min=1, help="Bytes of its tenant's uploads.")] = None,
    max_requests_per_s: Annotated[int | None, typer.Option(min=1, help="Requests in a second.")] = None,
    data: DataOption = None,
) -> None:
    """Make a key and print it: this once, for only its hash is kept. A limit that is not given is the system's."""
    with connected_aws(data) as aws:
        from asr_queue.adapters.system_clock import SystemClock
        from asr_queue.domain.quotas import Limits
        from asr_queue.usecases.manage_keys import create_key

        limits = Limits(
            items_waiting=max_items_waiting, bytes_stored=max_bytes_stored, requests_per_s=max_requests_per_s
        )
        key, kept = create_key(tenant=tenant, name=name, table=aws.table, clock=SystemClock(), limits=limits)
    typer.echo(key)
    typer.echo(f"its hash begins with {kept.key_hash[:_PREFIX_CHARS]}", err=True)


@keys.command("list")
def list_all(data: DataOption = None) -> None:
    """List all keys, oldest first: hash, tenant, name, since when, whether revoked, and limits."""
    with connected_aws(data) as aws:
        for key in aws.table.list_keys():
            typer.echo(_described(key))


@keys.command()
def revoke(
    hash_prefix: Annotated[str, typer.Argument(help="The beginning of the key's hash, as `list` shows it.")],
    data: DataOption = None,
) -> None:
    """Revoke a key: it is refused from the next request on."""
    with connected_aws(data) as aws:
        from asr_queue.adapters.system_clock import SystemClock
        from asr_queue.usecases.manage_keys import revoke_key

        typer.echo(_described(revoke_key(hash_prefix, table=aws.table, clock=SystemClock())))


def _described(key: "ApiKey") -> str:
    state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}Z" if key.revoked_at else "active"
    limits = [f"{name}={limit}" for name, limit in asdict(key.limits).items() if limit is not None]
    created = f"{key.created_at:%Y-%m-%d %H:%M}Z"
    return "  ".join([key.key_hash[:_PREFIX_CHARS], key.tenant, key.name, created, state, *limits])
