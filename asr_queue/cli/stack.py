"""The way to the AWS of a system that runs on this machine, for commands that bypass the API."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dotenv import dotenv_values

from asr_queue.cli.ending import give_up

DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The data folder of a running `asr-queue up`; without it AWS, as ASR_QUEUE_* and AWS_* say.",
    ),
]


def stack_environment(data: Path) -> dict[str, str]:
    """Return what `asr-queue up` wrote down on how its AWS is reached."""
    path = data / "stack.env"
    if not path.is_file():
        give_up(f"{path} is not there: no `asr-queue up --data {data}` is running")
    return {name: value for name, value in dotenv_values(path).items() if value is not None}
