"""`asr-queue drop`: straight into the bucket, with no request to the API."""

import mimetypes
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import uuid4

import typer

from asr_queue.cli.ending import SOME_FAILED, cleaning_up_when_terminated, give_up
from asr_queue.cli.recordings import SUFFIXES, Recording, find
from asr_queue.cli.server import KeyOption, UrlOption, connected, find_server, running_server
from asr_queue.cli.stack import DataOption, stack_environment
from asr_queue.cli.transcribe import known_language
from asr_queue.client import QueueClientError, transcribe_item
from asr_queue.client.protocol import displayable
from asr_queue.domain.batches import MAX_ITEMS
from asr_queue.domain.drops import MANIFEST_SUFFIX, Drop
from asr_queue.domain.files import DROP_PREFIX
from asr_queue.errors import RetryableError
from asr_queue.wire.api import MAX_LABEL_CHARS, Problem, SubmitAnswer, SubmitRequest

if TYPE_CHECKING:
    from asr_queue.adapters.s3 import S3ObjectStore

_LOCAL_TENANT: Final = "local"
"""The tenant of the key that `asr-queue up` makes."""
_UPLOADS_AT_ONCE: Final = 8
_NOTE_PATIENCE_S: Final = 300.0
_LOOK_EVERY_S: Final = 0.5


def _short_label(label: str) -> str:
    if len(label) > MAX_LABEL_CHARS:
        raise typer.BadParameter(f"{len(label)} characters; {MAX_LABEL_CHARS} are the most")
    return label


def drop(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR...", help="Recordings, or folders of them.", show_default=False)
    ],
    language: Annotated[
        str, typer.Option(callback=known_language, help="An English name, an ISO 639 code, or auto.")
    ] = "auto",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Ask for word times.")] = False,
    label: Annotated[str, typer.Option(callback=_short_label, help="Of each batch, for people.")] = "",
    bucket: Annotated[
        str | None, typer.Option(envvar="ASR_QUEUE_BUCKET", help="The bucket; AWS_* say how it is reached.")
    ] = None,
    data: DataOption = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose key may see the batches.", show_default="local with --data, else default")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until every item is done or failed, by polling the API.")
    ] = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Put recordings into the bucket and a manifest after them; print the batch's id (one for each 1,000).

    The exit status is 0 when the batches were accepted (with --wait: when all is done), 1 when a recording could not
    be read or failed, 2 when nothing could be done.
    """
    found = find(paths)
    for path, reason in found.problems:
        typer.echo(f"failed {displayable(str(path))}: {reason}", err=True)
    if not found.recordings:
        give_up("there is no audio or video in " + ", ".join(map(str, paths)))
    tenant = tenant or (_LOCAL_TENANT if data else "default")
    with cleaning_up_when_terminated(), _bucket(bucket, data) as store:
        folder = f"{DROP_PREFIX}{tenant}/cli/{uuid4()}"
        manifests = [
            _put_batch(
                store, f"{folder}/{start}", found.recordings[start : start + MAX_ITEMS], language, timestamps, label
            )
            for start in range(0, len(found.recordings), MAX_ITEMS)
        ]
        batches = [_batch_of(store, manifest) for manifest in manifests]
    for batch_id in batches:
        typer.echo(batch_id)
    failed = len(found.problems) + (_wait(batches, data, url, api_key) if wait else 0)
    if failed:
        raise typer.Exit(SOME_FAILED)


@contextmanager
def _bucket(bucket: str | None, data: Path | None) -> Iterator["S3ObjectStore"]:
    """Connect to the bucket; what goes wrong with it ends the command."""
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        from asr_queue.adapters.aws import connect_bucket
    except ImportError as error:
        give_up(f"{error.name} is not installed; run: pip install 'asr-queue[aws]'")
    try:
        if data is not None:
            environment = stack_environment(data)
            yield connect_bucket(environment["ASR_QUEUE_BUCKET"], environment=environment)
        elif bucket is not None:
            yield connect_bucket(bucket)
        else:
            give_up("name the --bucket, or the data folder of a running stack with --data")
    except (RetryableError, BotoCoreError, Boto3Error, ClientError) as error:
        give_up(f"the bucket does not take it: {error}")


def _put_batch(
    store: "S3ObjectStore", folder: str, recordings: Sequence[Recording], language: str, timestamps: bool, label: str
) -> Drop:
    """Put up to 1,000 recordings and, when all of them are there, their manifest; return that."""
    # Numbers, because a file's name may hold what no key can; the item's custom_id has the name.
    suffixes = [recording.path.suffix.lower() for recording in recordings]
    names = [f"{number:04}{suffix if suffix in SUFFIXES else ''}" for number, suffix in enumerate(suffixes)]

    def put(recording: Recording, name: str) -> None:
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        store.put_file(f"{folder}/{name}", recording.path, content_type=content_type)

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        try:
            list(pool.map(put, recordings, names))
        except OSError as error:
            pool.shutdown(cancel_futures=True)
            give_up(f"nothing was submitted: cannot read {error.filename}: {error.strerror}")
    items = [
        transcribe_item(name, language=language, timestamps=timestamps, custom_id=displayable(str(recording.path)))
        for name, recording in zip(names, recordings, strict=True)
    ]
    manifest = Drop.of(f"{folder}/all{MANIFEST_SUFFIX}")
    if manifest is None:
        raise AssertionError("a manifest's key names a manifest")
    request = SubmitRequest(label=label, items=items)
    store.put(manifest.key, request.model_dump_json().encode(), content_type="application/json")
    return manifest


def _batch_of(store: "S3ObjectStore", manifest: Drop) -> str:
    """Return the id of the batch that a manifest became, as soon as its receipt is there."""
    until_s = time.monotonic() + _NOTE_PATIENCE_S
    while time.monotonic() < until_s:
        if receipt := store.get(manifest.receipt_key):
            return SubmitAnswer.model_validate_json(receipt).batch_id
        if refusal := store.get(manifest.error_key):
            problem = Problem.model_validate_json(refusal)
            give_up(f"{problem.code}: {problem.detail}")
        time.sleep(_LOOK_EVERY_S)
    give_up(f"no receipt after {_NOTE_PATIENCE_S:g} s; it will be at {manifest.receipt_key} if the manifest is taken")


def _wait(batches: Sequence[str], data: Path | None, url: str | None, api_key: str | None) -> int:
    """Poll until the batches are finished; return how many items failed."""
    server = running_server(data) if data is not None and url is None else find_server(url, api_key)
    if server is None:
        give_up("--wait polls the API, and none is named (--url) or running here; the batches were accepted")
    done, failed = 0, 0
    with connected(server) as client:
        for batch_id in batches:
            try:
                batch = client.wait(batch_id)
            except QueueClientError as error:
                give_up(str(error))
            done += batch.completed
            failed += batch.failed
            for item in batch.items:
                if item.error is not None:
                    typer.echo(f"failed {item.custom_id}: {item.error}", err=True)
    typer.echo(f"{done} done, {failed} failed", err=True)
    return failed
