"""A worker with no other rights than `infra/worker.yaml` gives its task: the emulator enforces them here."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from asr_queue.adapters.aws import Aws, connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.local import environment
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from tests.local.emulators import Emulator, emulator
from tests.pipeline.makers import wav
from tests.pipeline.rig import until
from tests.sam import ROOT, template
from tests.template.test_least_privilege import rights

BATCHES = {
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}
"""On AWS the first covers the second; the emulator asks for the second, which AWS does not have."""


class Stack:
    """The deployed stack, and the environment of a task in it."""

    def __init__(self, running: Emulator) -> None:
        self.running = running
        deployed = running.deploy()
        self.bucket = deployed.bucket
        self.names = deployed.as_settings()
        # The emulator speaks no TLS, so with this policy in force nobody would get at any object.
        running.client("s3").delete_bucket_policy(Bucket=self.bucket)
        settings = ResourceSettings(
            bucket=deployed.bucket,
            table=deployed.table,
            transcribe_queue_url=deployed.transcribe_queue_url,
            transcribe_high_queue_url=deployed.transcribe_high_queue_url,
            transcribe_low_queue_url=deployed.transcribe_low_queue_url,
        )
        self.aws: Aws = connect(settings, environment=environment.for_clients(running.url))

        def arn(queue_url: str) -> str:
            told = running.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
            return str(told["Attributes"]["QueueArn"])

        arns = {
            "Bucket": f"arn:aws:s3:::{deployed.bucket}",
            "Table": running.client("dynamodb").describe_table(TableName=deployed.table)["Table"]["TableArn"],
            "Queue": arn(deployed.transcribe_queue_url),
            "HighQueue": arn(deployed.transcribe_high_queue_url),
            "LowQueue": arn(deployed.transcribe_low_queue_url),
            "VoiceQueue": arn(deployed.voice_clone_queue_url),
            "HighVoiceQueue": arn(deployed.voice_clone_high_queue_url),
            "LowVoiceQueue": arn(deployed.voice_clone_low_queue_url),
            "NotifyQueue": arn(deployed.notify_queue_url),
        }
        self.credentials = self._assume(arns)

    def _assume(self, arns: dict[str, str]) -> dict[str, str]:
        statements = []
        for resource, actions in rights("TaskRole").items():
            name, slash, rest = resource.partition("/")
            if name in arns:
                allowed = sorted(actions | {BATCHES[action] for action in actions & BATCHES.keys()})
                statements.append({"Effect": "Allow", "Action": allowed, "Resource": arns[name] + slash + rest})
        trust = template("infra/worker.yaml")["Resources"]["TaskRole"]["Properties"]["AssumeRolePolicyDocument"]
        iam = self.running.client("iam")
        role = iam.create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName="task", PolicyName="work", PolicyDocument=document)
        assumed = self.running.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="task")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }

    def task_environment(self) -> dict[str, str]:
        return {**environment.for_clients(self.running.url), **self.names, **self.credentials}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with emulator(tmp_path_factory.mktemp("worker-rights"), AUTH="true") as running:
        yield Stack(running)


def test_the_task_has_what_the_worker_needs(stack: Stack, tmp_path: Path) -> None:
    aws, clock = stack.aws, SystemClock()
    files = [
        accept_upload(
            data,
            tenant="t",
            file_name="",
            content_type="",
            store=aws.store,
            table=aws.table,
            clock=clock,
            file_ttl_s=1800,
        )
        for data in (wav(1.0), wav(2.0), b"no audio")
    ]
    missing = files[1]
    aws.store.delete([missing.object_key])
    request = SubmitRequest(items=[SubmitItem(operation="transcribe", ref_audio=file.file_id) for file in files])
    batch_id = submit_batch(request, tenant="t", table=aws.table, queues=aws.queues, clock=clock).answer.batch_id
    own = {"ASR_QUEUE_ENGINE": "echo", "TMPDIR": str(tmp_path)}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "gpu_worker"], cwd=ROOT, env={**stack.task_environment(), **own}, stderr=log
        ) as worker,
    ):
        try:
            until(lambda: _finished(batch_id, aws))
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
    status = batch_status(batch_id, tenant="t", table=aws.table)
    assert [item.error_code for item in status.items] == [None, "audio_missing", "audio_format_unknown"]
    assert "AccessDenied" not in (tmp_path / "log").read_text()


def _finished(batch_id: str, aws: Aws) -> bool:
    status = batch_status(batch_id, tenant="t", table=aws.table)
    return status.completed + status.failed == status.total


@pytest.mark.parametrize("key", ["results/t/any", "secrets/any"])
def test_the_task_cannot_read_another_prefix(stack: Stack, key: str) -> None:
    stack.aws.store.put(key, b"not for workers", content_type="text/plain")
    s3 = boto3.client(
        "s3",
        endpoint_url=stack.running.url,
        aws_access_key_id=stack.credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stack.credentials["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=stack.credentials["AWS_SESSION_TOKEN"],
        region_name=environment.REGION,
        config=Config(signature_version="s3v4"),
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=stack.bucket, Key=key)
