"""The embedded AWS as seen from outside its processes: where it listens, how it is started and filled."""

import json
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from asr_queue.local import environment
from asr_queue.local.processes import Lifeline, Program, command

_LOOK_EVERY_S = 0.1
_HOST = "127.0.0.1"
_BACKLOG = 512
"""Connections that may wait while the process behind a socket is started, or started again."""


def listener(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine alone, 0 for any free one.

    Raises:
        OSError: the port is taken.
    """
    return socket.create_server((_HOST, port), backlog=_BACKLOG)


def url_of(listening: socket.socket) -> str:
    """Return where a listening socket is reached by HTTP."""
    return f"http://{_HOST}:{listening.getsockname()[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the deployed stack is made of."""

    bucket: str
    table: str
    transcribe_queue_url: str
    transcribe_high_queue_url: str
    transcribe_low_queue_url: str
    voice_clone_queue_url: str
    voice_clone_high_queue_url: str
    voice_clone_low_queue_url: str
    notify_queue_url: str
    dead_letter_queue_url: str

    def as_settings(self) -> dict[str, str]:
        """Return the resources under the names that `ResourceSettings` reads."""
        return {
            "ASR_QUEUE_BUCKET": self.bucket,
            "ASR_QUEUE_TABLE": self.table,
            "ASR_QUEUE_TRANSCRIBE_QUEUE_URL": self.transcribe_queue_url,
            "ASR_QUEUE_TRANSCRIBE_HIGH_QUEUE_URL": self.transcribe_high_queue_url,
            "ASR_QUEUE_TRANSCRIBE_LOW_QUEUE_URL": self.transcribe_low_queue_url,
            "ASR_QUEUE_VOICE_CLONE_QUEUE_URL": self.voice_clone_queue_url,
            "ASR_QUEUE_VOICE_CLONE_HIGH_QUEUE_URL": self.voice_clone_high_queue_url,
            "ASR_QUEUE_VOICE_CLONE_LOW_QUEUE_URL": self.voice_clone_low_queue_url,
            "ASR_QUEUE_NOTIFY_QUEUE_URL": self.notify_queue_url,
        }


def program(listening: socket.socket, folder: Path) -> Program:
    """Return the emulator, to be served on a socket and kept in a folder."""
    return Program(
        name="aws",
        module="asr_queue.local.emulator",
        arguments=(str(listening.fileno()), str(folder)),
        environment=environment.for_emulator(url_of(listening), folder),
        fds=(listening.fileno(),),
        patience_s=3.0,
    )


def deploy(
    endpoint_url: str,
    parameters: Mapping[str, str],
    *,
    lifeline: Lifeline,
    api_key: str | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Resources:
    """Fill the emulator from `template.yaml`, or bring it up to date; waits for it while it starts.

    Args:
        endpoint_url: where it listens.
        parameters: values for the template's parameters that are not to have their defaults.
        lifeline: what the deploying process ends with.
        api_key: a key that its table must know.
        meanwhile: called again and again until the end; what it raises ends the deployment.

    Raises:
        RuntimeError: it refused the stack; the message has its reason.
    """
    request = json.dumps({"parameters": dict(parameters), "api_key": api_key})
    with subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        command("asr_queue.local.deploy", lifeline=lifeline),
        env={**environment.plain(), **environment.for_clients(endpoint_url)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(lifeline.fd,),
        start_new_session=True,
    ) as deploying:
        try:
            answer, complaints = _talk(deploying, request, meanwhile)
        finally:
            deploying.kill()
    if deploying.returncode:
        raise RuntimeError((complaints.strip() or f"deploying ended with {deploying.returncode}").splitlines()[-1])
    outputs = json.loads(answer)
    return Resources(
        bucket=outputs["BucketName"],
        table=outputs["TableName"],
        transcribe_queue_url=_at(endpoint_url, outputs["TranscribeQueueUrl"]),
        transcribe_high_queue_url=_at(endpoint_url, outputs["TranscribeHighQueueUrl"]),
        transcribe_low_queue_url=_at(endpoint_url, outputs["TranscribeLowQueueUrl"]),
        voice_clone_queue_url=_at(endpoint_url, outputs["VoiceCloneQueueUrl"]),
        voice_clone_high_queue_url=_at(endpoint_url, outputs["VoiceCloneHighQueueUrl"]),
        voice_clone_low_queue_url=_at(endpoint_url, outputs["VoiceCloneLowQueueUrl"]),
        notify_queue_url=_at(endpoint_url, outputs["NotifyQueueUrl"]),
        dead_letter_queue_url=_at(endpoint_url, outputs["DeadLetterQueueUrl"]),
    )


def _talk(process: "subprocess.Popen[str]", request: str, meanwhile: Callable[[], None]) -> tuple[str, str]:
    to_send: str | None = request
    while True:
        try:
            return process.communicate(to_send, timeout=_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            to_send = None  # the next call goes on where this one stopped, sending and reading
            meanwhile()


def _at(endpoint_url: str, queue_url: str) -> str:
    """Return a queue's URL at the address where the emulator is reached now (`environment._CANONICAL_PORT`)."""
    return urlunsplit(urlsplit(queue_url)._replace(netloc=urlsplit(endpoint_url).netloc))
