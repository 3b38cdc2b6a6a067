"""The functions with no other rights than `template.yaml` gives them: the emulator enforces their roles here."""

import base64
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from asr_queue.adapters.aws import Aws, connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.batches import Priority
from asr_queue.domain.files import File, FileKind, upload_key
from asr_queue.domain.items import Operation
from asr_queue.local import environment
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.transcript import Transcript
from tests.local.emulators import Emulator, emulator


@dataclass(frozen=True, slots=True)
class Functions:
    """The deployed functions, called as AWS calls them."""

    emulator: Emulator
    aws: Aws
    """With all rights."""
    bucket: str
    tls_only: str
    """The bucket's policy, which is off here."""
    api_key: str

    def named(self, part: str) -> dict[str, Any]:
        functions = self.emulator.client("lambda").list_functions()["Functions"]
        [found] = [function for function in functions if part in function["FunctionName"]]
        return dict(found)

    def invoke(self, part: str, event: object, kind: str = "RequestResponse") -> Any:
        name = self.named(part)["FunctionName"]
        answer = self.emulator.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event), InvocationType=kind
        )
        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload
        return json.loads(payload) if payload else None

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Any:
        answer = self.answer(method, path, body, content_type)
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])

    def answer(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Any:
        path, _, query = path.partition("?")
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"host": "api.example", "x-api-key": self.api_key, "content-type": content_type},
            "requestContext": {
                "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
                "stage": "$default",
            },
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        return self.invoke("ApiFunction", event)


def allow_batches(functions: Functions, part: str, queue_urls: Sequence[str]) -> None:
    """The right to send messages covers batches on AWS; the emulator asks for another that AWS does not have."""
    sqs = functions.emulator.client("sqs")
    arns = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for url in queue_urls
    ]
    statement = {"Effect": "Allow", "Action": "sqs:SendMessageBatch", "Resource": arns}
    functions.emulator.client("iam").put_role_policy(
        RoleName=functions.named(part)["Role"].rpartition("/")[2],
        PolicyName="batches",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with emulator(tmp_path_factory.mktemp("rights"), AUTH="true") as running:
        stack = running.deploy()
        settings = ResourceSettings(
            bucket=stack.bucket,
            table=stack.table,
            transcribe_queue_url=stack.transcribe_queue_url,
            transcribe_high_queue_url=stack.transcribe_high_queue_url,
            transcribe_low_queue_url=stack.transcribe_low_queue_url,
            voice_clone_queue_url=stack.voice_clone_queue_url,
            voice_clone_high_queue_url=stack.voice_clone_high_queue_url,
            voice_clone_low_queue_url=stack.voice_clone_low_queue_url,
        )
        aws = connect(settings, environment=environment.for_clients(running.url))
        key, _ = create_key(tenant="t", name="test", table=aws.table, clock=SystemClock())
        s3 = running.client("s3")
        tls_only = s3.get_bucket_policy(Bucket=stack.bucket)["Policy"]
        # The emulator speaks no TLS, so with this policy in force nobody would get at any object.
        s3.delete_bucket_policy(Bucket=stack.bucket)
        functions = Functions(running, aws, stack.bucket, tls_only, key)
        lanes = [stack.transcribe_queue_url, stack.transcribe_high_queue_url, stack.transcribe_low_queue_url]
        lanes += [stack.voice_clone_queue_url, stack.voice_clone_high_queue_url, stack.voice_clone_low_queue_url]
        for part in ("ApiFunction", "SweepFunction", "S3SubmitFunction"):
            allow_batches(functions, part, lanes)
        yield functions


def s3_as(functions: Functions, part: str) -> Any:
    """S3 with no other rights than a function's role gives."""
    assumed = functions.emulator.client("sts").assume_role(
        RoleArn=functions.named(part)["Role"], RoleSessionName="test"
    )["Credentials"]
    return boto3.client(
        "s3",
        endpoint_url=functions.emulator.url,
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
        region_name=environment.REGION,
        config=Config(signature_version="s3v4"),
    )


def test_a_role_refuses_what_the_template_does_not_name(functions: Functions) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        s3_as(functions, "DeadLetterFunction").put_object(Bucket=functions.bucket, Key="uploads/t/any", Body=b"")


def test_the_bucket_refuses_whoever_does_not_use_tls(functions: Functions) -> None:
    api, whole = s3_as(functions, "ApiFunction"), functions.emulator.client("s3")
    api.put_object(Bucket=functions.bucket, Key="uploads/t/any", Body=b"")
    whole.put_bucket_policy(Bucket=functions.bucket, Policy=functions.tls_only)
    try:
        with pytest.raises(ClientError, match="AccessDenied"):
            api.put_object(Bucket=functions.bucket, Key="uploads/t/any", Body=b"")
    finally:
        whole.delete_bucket_policy(Bucket=functions.bucket)


def test_the_api_and_the_dead_letter_function_have_what_they_need(functions: Functions) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\naudio\r\n--x--\r\n'
    upload = functions.request("POST", "/api/v1/files/upload", form, "multipart/form-data; boundary=x")
    items = [{"operation": "transcribe", "ref_audio": upload["file_id"]}] * 120  # more than one transaction takes
    submitted = functions.request("POST", "/api/v1/queue/submit", json.dumps({"items": items}).encode())
    batch = f"/api/v1/queue/status/{submitted['batch_id']}"
    assert functions.request("GET", batch)["status"] == "queued"
    dead = {"batch_id": submitted["batch_id"], "index": 0, "item_id": submitted["item_ids"][0]}
    record = {"messageId": "1", "receiptHandle": "1", "body": json.dumps(dead), "eventSource": "aws:sqs"}
    assert functions.invoke("DeadLetterFunction", {"Records": [record]}) == {"batchItemFailures": []}
    assert functions.request("GET", batch)["items"][0]["status"] == "error"


@pytest.mark.parametrize("priority", ["high", "low"])
def test_the_api_may_send_to_every_lane_and_list_and_cancel_what_is_there(functions: Functions, priority: str) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\naudio\r\n--x--\r\n'
    upload = functions.request("POST", "/api/v1/files/upload", form, "multipart/form-data; boundary=x")
    body = {"priority": priority, "items": [{"operation": "transcribe", "ref_audio": upload["file_id"]}] * 120}
    batch_id = functions.request("POST", "/api/v1/queue/submit", json.dumps(body).encode())["batch_id"]
    assert functions.aws.queues[Operation.TRANSCRIBE].backlogs()[Priority(priority)].visible >= 120
    batches = functions.request("GET", "/api/v1/queue/batches")["batches"]
    assert (batches[0]["batch_id"], batches[0]["priority"]) == (batch_id, priority)
    assert functions.request("POST", f"/api/v1/queue/batches/{batch_id}/cancel")["cancelled"] == 120
    assert functions.request("GET", "/api/v1/queue/batches")["batches"][0]["status"] == "error"


def test_the_api_has_what_openais_clients_need(functions: Functions) -> None:
    def form(data: str, field: str) -> bytes:
        parts = {'"file"; filename="a"': data, **dict([field.split("=")])}
        return (
            "".join(
                f"--x\r\nContent-Disposition: form-data; name={name}\r\n\r\n{text}\r\n" for name, text in parts.items()
            ).encode()
            + b"--x--\r\n"
        )

    multipart = "multipart/form-data; boundary=x"
    recording = functions.request("POST", "/v1/files", form("audio", "purpose=audio"), multipart)["id"]
    line = {"custom_id": "a", "method": "POST", "url": "/v1/audio/transcriptions"}
    lines = json.dumps(line | {"body": {"model": "m", "file_id": recording}})
    lines_file = functions.request("POST", "/v1/files", form(lines, "purpose=batch"), multipart)["id"]
    asked = {"input_file_id": lines_file, "endpoint": line["url"], "completion_window": "24h"}
    batch = functions.request("POST", "/v1/batches", json.dumps(asked).encode())
    assert [file["id"] for file in functions.request("GET", "/v1/files")["data"]] == [lines_file, recording]
    assert functions.request("GET", "/v1/batches")["data"] == [batch]
    assert functions.request("GET", "/v1/models")["data"][0]["id"] == "whisper-1"
    cancelled = functions.request("POST", f"/v1/batches/{batch['id']}/cancel")
    assert cancelled["status"] == "cancelled"
    errors = functions.answer("GET", f"/v1/files/{cancelled['error_file_id']}/content")
    assert errors["statusCode"] == 200
    assert functions.request("DELETE", f"/v1/files/{recording}")["deleted"]
    unfinished = functions.answer("POST", "/v1/audio/transcriptions", form("more audio", "model=m"), multipart)
    assert unfinished["statusCode"] == 503, "nobody works here: it has waited for as long as it may"
    assert json.loads(unfinished["body"])["error"]["code"] == "still_transcribing"


def test_the_api_may_delete_what_it_promises(functions: Functions) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\naudio\r\n--x--\r\n'
    file_id = functions.request("POST", "/api/v1/files/upload", form, "multipart/form-data; boundary=x")["file_id"]
    items = [{"operation": "transcribe", "ref_audio": file_id}] * 120  # more than one transaction takes
    submitted = functions.request("POST", "/api/v1/queue/submit", json.dumps({"items": items}).encode())
    large = {"size_bytes": 100_000_001, "content_type": "audio/wav"}
    parts_id = functions.request("POST", "/api/v1/files/presign", json.dumps(large).encode())["file_id"]
    for path in (f"queue/batches/{submitted['batch_id']}", f"files/{file_id}", f"files/{parts_id}"):
        answer = functions.answer("DELETE", f"/api/v1/{path}")
        assert answer["statusCode"] == 204, answer
    assert functions.aws.store.get(upload_key("t", file_id)) is None


def test_the_api_may_write_downloads_and_nothing_else_among_the_results(functions: Functions) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\naudio\r\n--x--\r\n'
    file_id = functions.request("POST", "/api/v1/files/upload", form, "multipart/form-data; boundary=x")["file_id"]
    items = [{"operation": "transcribe", "ref_audio": file_id}] * 4
    batch_id = functions.request("POST", "/api/v1/queue/submit", json.dumps({"items": items}).encode())["batch_id"]
    for index in range(4):
        item = functions.aws.table.claim_item(batch_id, index, now=SystemClock().now())
        assert item is not None
        size_bytes = write_result(
            item, Transcript(text="x" * 3_000_000, language="English").to_json(), store=functions.aws.store
        )
        outcome = Outcome(item=item, audio_s=1.0, result_bytes=size_bytes)
        record_outcomes(
            [outcome], store=functions.aws.store, table=functions.aws.table, clock=SystemClock(), file_ttl_s=1800
        )
    answer = functions.answer("GET", f"/api/v1/queue/batches/{batch_id}/download?as=jsonl")
    assert answer["statusCode"] == 307, answer  # in two parts
    assert len(httpx.get(answer["headers"]["location"], trust_env=False).content.splitlines()) == 4
    with pytest.raises(ClientError, match="AccessDenied"):
        s3_as(functions, "ApiFunction").put_object(Bucket=functions.bucket, Key=f"results/t/{batch_id}/a", Body=b"")


def test_the_api_may_sign_what_it_promises(functions: Functions) -> None:
    def presign(size_bytes: int) -> Any:
        body = {"size_bytes": size_bytes, "content_type": "audio/wav"}
        return functions.request("POST", "/api/v1/files/presign", json.dumps(body).encode())

    form = presign(5)
    assert httpx.post(form["url"], data=form["fields"], files={"file": b"audio"}, trust_env=False).status_code == 204
    assert functions.request("POST", f"/api/v1/files/{form['file_id']}/complete")["size_bytes"] == 5
    large = presign(100_000_001)
    [first, *_, last] = large["parts"]
    answer = httpx.put(last["url"], content=bytes(last["size_bytes"]), trust_env=False)
    assert answer.status_code == 200, answer.text
    assert first["size_bytes"] * (len(large["parts"]) - 1) + last["size_bytes"] == 100_000_001
    refused = functions.answer("POST", f"/api/v1/files/{large['file_id']}/complete")
    assert refused["statusCode"] == 409, refused
    assert f"{last['size_bytes']} of 100000001 bytes" in refused["body"]


def test_the_function_for_the_buckets_events_has_what_it_needs(functions: Functions) -> None:
    functions.aws.store.put("drop/t/a.wav", b"audio", content_type="audio/wav")
    items = [{"operation": "transcribe", "ref_audio": "a.wav"}] * 120  # more than one transaction takes
    manifest = "drop/t/m.manifest.json"
    for body, note in (({}, "error"), ({"items": items}, "receipt")):
        functions.aws.store.put(manifest, json.dumps(body).encode(), content_type="application/json")
        told = {"Records": [{"s3": {"object": {"key": manifest}}}]}
        record = {"messageId": "1", "receiptHandle": "1", "body": json.dumps(told), "eventSource": "aws:sqs"}
        assert functions.invoke("S3SubmitFunction", {"Records": [record]}) == {"batchItemFailures": []}
        assert functions.aws.store.list_keys(manifest) == [manifest, f"{manifest}.{note}.json"]


def test_the_notification_function_has_what_it_needs(functions: Functions) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\naudio\r\n--x--\r\n'
    upload = functions.request("POST", "/api/v1/files/upload", form, "multipart/form-data; boundary=x")
    body = {
        "items": [{"operation": "transcribe", "ref_audio": upload["file_id"]}],
        "callback_url": "https://nobody.invalid/",
    }
    batch_id = functions.request("POST", "/api/v1/queue/submit", json.dumps(body).encode())["batch_id"]
    functions.request("POST", f"/api/v1/queue/batches/{batch_id}/cancel")
    record = {"messageId": "1", "receiptHandle": "1", "body": json.dumps({"batch_id": batch_id})}
    told = {"Records": [record | {"eventSource": "aws:sqs"}]}
    assert functions.invoke("NotifyFunction", told) == {"batchItemFailures": []}
    delivery = functions.request("GET", f"/api/v1/queue/batches/{batch_id}/delivery")
    assert [attempt["error"] for attempt in delivery["attempts"]] == ["The receiver's host has no address."]
    assert functions.request("POST", f"/api/v1/queue/batches/{batch_id}/delivery/replay")["state"] == "pending"


def test_the_sweep_has_what_it_needs(functions: Functions) -> None:
    now = datetime.now(UTC)
    key = upload_key("t", "expired")
    expired = File(
        file_id="expired",
        tenant="t",
        kind=FileKind.UPLOAD,
        object_key=key,
        size_bytes=5,
        content_type="audio/wav",
        created_at=now - timedelta(hours=2),
        expires_at=now - timedelta(hours=1),
    )
    functions.aws.table.put_file(expired)
    functions.aws.store.put(key, b"audio", content_type="audio/wav")
    functions.invoke("SweepFunction", {}, kind="Event")
    until_s = time.monotonic() + 60
    while functions.aws.store.get(key) is not None:
        assert time.monotonic() < until_s
        time.sleep(0.1)
