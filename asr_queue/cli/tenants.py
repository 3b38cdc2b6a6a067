"""`asr-queue tenants`: past the API, for whoever runs the system."""

from typing import Annotated

import typer

from asr_queue.cli.stack import DataOption, connected_aws

tenants = typer.Typer(help="Remove everything of a tenant.", no_args_is_help=True, rich_markup_mode=None)


@tenants.callback()
def _is_a_group() -> None:
    """Keep `purge` a word of its own though it is the only one."""


@tenants.command()
def purge(
    tenant: Annotated[str, typer.Argument(help="As `asr-queue keys list` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
) -> None:
    """Revoke a tenant's keys and remove its batches, files and transcripts, now and for ever."""
    if not yes:
        typer.confirm(f"Remove everything of tenant {tenant!r}?", abort=True, err=True)
    with connected_aws(data) as aws:
        from asr_queue.adapters.system_clock import SystemClock
        from asr_queue.usecases.purge_tenant import purge_tenant

        purged = purge_tenant(tenant, store=aws.store, table=aws.table, clock=SystemClock())
    typer.echo(f"{purged.keys_revoked} keys revoked, {purged.rows} rows and {purged.objects} objects removed")
