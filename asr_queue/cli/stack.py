"""The way to the AWS of a system that runs on this machine, for commands that bypass the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from dotenv import dotenv_values
from pydantic import ValidationError

from asr_queue.cli.ending import give_up
from asr_queue.errors import CallerError, RetryableError
from asr_queue.settings import ResourceSettings

if TYPE_CHECKING:
    from asr_queue.adapters.aws import Aws

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


@contextmanager
def connected_aws(data: Path | None) -> Iterator["Aws"]:
    """Yield what leads to bucket, table and queues for the block; what goes wrong with them ends the command."""
    try:
        from botocore.exceptions import BotoCoreError

        from asr_queue.adapters.aws import connect
    except ImportError as error:
        give_up(f"{error.name} is not installed; run: pip install 'asr-queue[aws]'")
    try:
        if data is None:
            yield connect(ResourceSettings())
        else:
            environment = stack_environment(data)
            settings = ResourceSettings(
                bucket=environment["ASR_QUEUE_BUCKET"],
                table=environment["ASR_QUEUE_TABLE"],
                transcribe_queue_url=environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
                transcribe_high_queue_url=environment.get("ASR_QUEUE_TRANSCRIBE_HIGH_QUEUE_URL"),
                transcribe_low_queue_url=environment.get("ASR_QUEUE_TRANSCRIBE_LOW_QUEUE_URL"),
                voice_clone_queue_url=environment.get("ASR_QUEUE_VOICE_CLONE_QUEUE_URL"),
                voice_clone_high_queue_url=environment.get("ASR_QUEUE_VOICE_CLONE_HIGH_QUEUE_URL"),
                voice_clone_low_queue_url=environment.get("ASR_QUEUE_VOICE_CLONE_LOW_QUEUE_URL"),
            )
            yield connect(settings, environment=environment)
    except ValidationError as error:
        missing = ", ".join(f"ASR_QUEUE_{part['loc'][0]}".upper() for part in error.errors())
        give_up(f"set {missing} to say where the table is, or name the data folder of a running stack with --data")
    except CallerError as error:
        give_up(error.message)
    except (RetryableError, BotoCoreError) as error:
        where = f"asr-queue up --data {data}" if data else "what AWS_* and ASR_QUEUE_* name"
        give_up(f"the table does not answer (is {where} running?): {error}")
