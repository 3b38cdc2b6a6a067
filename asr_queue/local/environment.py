"""What the processes of the local stack find in their environment.

The one place of the local stack that reads this process's own environment, to pass it on: the children's settings
objects read what they know of it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

REGION = "us-east-1"
_VOICE = "ASR_QUEUE_VOICE_ENGINE"
_PARAMETERS = {
    "ASR_QUEUE_FILE_TTL_S": "FileTtlS",
    "ASR_QUEUE_VISIBILITY_TIMEOUT_S": "VisibilityTimeoutS",
    "ASR_QUEUE_MAX_RECEIVES": "MaxReceives",
    "ASR_QUEUE_KEY_SCOPE": "KeyScope",
    "ASR_QUEUE_MAX_ITEMS_WAITING": "MaxItemsWaiting",
    "ASR_QUEUE_MAX_BYTES_STORED": "MaxBytesStored",
    "ASR_QUEUE_MAX_REQUESTS_PER_S": "MaxRequestsPerS",
    "ASR_QUEUE_CALLBACK_HOSTS": "CallbackHosts",
    "ASR_QUEUE_CALLBACK_BACKOFF_S": "CallbackBackoffS",
    "ASR_QUEUE_EVENT_BUS": "EventBusName",
    _VOICE: "VoiceEngine",
}
"""The settings that the template has parameters for."""
_CANONICAL_PORT = "4566"
"""The port in the names that the emulator gives to queues. It listens elsewhere, on another port each time it is
started; were the true port part of the names, queues could not be found again after a restart."""

_AWS_PREFIXES = ("AWS_", "BOTO", "LOCALSTACK_", "MINISTACK_")


def stack_parameters(more: Mapping[str, str]) -> dict[str, str]:
    """Return what this process was told that the template has a parameter for.

    Args:
        more: variables that it was told in another way.
    """
    told = {**_own(), **more}
    return {parameter: told[name] for name, parameter in _PARAMETERS.items() if name in told}


def voice(engine: str) -> dict[str, str]:
    """Return the variable that names the engine that speaks: `engine`, or where that is empty, this process's own."""
    return {_VOICE: engine or _own().get(_VOICE, "")}


def plain() -> dict[str, str]:
    """Return this process's environment, settings included, without what would lead a child past the emulator.

    `AWS_CA_BUNDLE` goes too: botocore would read the whole bundle for each client, though nothing here speaks TLS.
    """
    kept = {name: value for name, value in _own().items() if not name.startswith(_AWS_PREFIXES)}
    around = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    return kept | {"NO_PROXY": around, "no_proxy": around, "POWERTOOLS_SERVICE_NAME": "asr-queue"}


def for_clients(endpoint_url: str) -> dict[str, str]:
    """Return what boto3 needs to speak to the emulator at `endpoint_url`, and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def for_emulator(endpoint_url: str, folder: Path) -> dict[str, str]:
    """Return the whole environment of the emulator; its Lambda functions inherit it.

    Args:
        endpoint_url: where it will be reached; it tells its functions.
        folder: what it may write to.
    """
    return {
        **plain(),
        **for_clients(endpoint_url),
        "GATEWAY_PORT": _CANONICAL_PORT,
        "MINISTACK_REGION": REGION,
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "objects"),
        "TMPDIR": str(folder / "tmp"),  # where functions are unpacked
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": "unix:///nonexistent",  # it would look for a Docker daemon, and tidy up there
    }


def _own() -> Mapping[str, str]:
    return os.environ  # noqa: TID251 - to pass it on; see above
