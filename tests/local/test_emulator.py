"""The emulator keeps what it has answered, however it ends."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.local.emulators import Emulator, emulator


def put_rows(dynamodb: Any, table: str, numbers: range, text: str = "x") -> None:
    for number in numbers:
        dynamodb.put_item(
            TableName=table,
            Item={"pk": {"S": f"ROW#{number}"}, "sk": {"S": "META"}, "text": {"S": text}, "n": {"N": str(number)}},
        )


def row_texts(dynamodb: Any, table: str) -> dict[str, str]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return {item["pk"]["S"]: item["text"]["S"] for page in pages for item in page["Items"]}


def kill(running: Emulator) -> None:
    os.kill(running.child.pid, signal.SIGKILL)
    assert running.child.wait(60)


def test_whatever_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with emulator(tmp_path) as first:
        stack = first.deploy()
        time.sleep(1.5)  # a snapshot has the stack; what follows is in the journal alone
        dynamodb, sqs, s3 = first.client("dynamodb"), first.client("sqs"), first.client("s3")
        put_rows(dynamodb, stack.table, range(30))
        dynamodb.delete_item(TableName=stack.table, Key={"pk": {"S": "ROW#3"}, "sk": {"S": "META"}})
        dynamodb.update_item(
            TableName=stack.table,
            Key={"pk": {"S": "ROW#4"}, "sk": {"S": "META"}},
            UpdateExpression="SET #text = :text",
            ExpressionAttributeNames={"#text": "text"},
            ExpressionAttributeValues={":text": {"S": "changed"}},
        )
        dynamodb.transact_write_items(
            TransactItems=[
                {"Delete": {"TableName": stack.table, "Key": {"pk": {"S": "ROW#5"}, "sk": {"S": "META"}}}},
                {
                    "Put": {
                        "TableName": stack.table,
                        "Item": {"pk": {"S": "ROW#6"}, "sk": {"S": "META"}, "text": {"S": "put"}},
                    }
                },
            ]
        )
        s3.put_object(Bucket=stack.bucket, Key="uploads/t/one", Body=b"bytes", ContentType="audio/flac")
        s3.put_object(Bucket=stack.bucket, Key="uploads/t/two", Body=b"bytes")
        s3.delete_object(Bucket=stack.bucket, Key="uploads/t/two")
        entries = [{"Id": str(number), "MessageBody": f"message {number}"} for number in range(5)]
        sqs.send_message_batch(QueueUrl=stack.transcribe_queue_url, Entries=entries)
        received = sqs.receive_message(QueueUrl=stack.transcribe_queue_url, MaxNumberOfMessages=3)["Messages"]
        sqs.delete_message(QueueUrl=stack.transcribe_queue_url, ReceiptHandle=received[0]["ReceiptHandle"])
        kill(first)

    with emulator(tmp_path) as second:
        again = second.deploy()
        assert (again.bucket, again.table) == (stack.bucket, stack.table)
        expected = {f"ROW#{number}": "x" for number in range(30) if number not in (3, 5)}
        assert row_texts(second.client("dynamodb"), again.table) == expected | {"ROW#4": "changed", "ROW#6": "put"}
        s3 = second.client("s3")
        kept = s3.get_object(Bucket=again.bucket, Key="uploads/t/one")
        assert (kept["Body"].read(), kept["ContentType"]) == (b"bytes", "audio/flac")
        assert s3.list_objects_v2(Bucket=again.bucket)["KeyCount"] == 1
        sqs = second.client("sqs")
        waiting = sqs.receive_message(QueueUrl=again.transcribe_queue_url, MaxNumberOfMessages=10)["Messages"]
        assert {message["Body"] for message in waiting} == {f"message {number}" for number in range(5)} - {
            message["Body"] for message in received
        }
        for message in received[1:]:  # the worker that had them may still acknowledge them
            sqs.delete_message(QueueUrl=again.transcribe_queue_url, ReceiptHandle=message["ReceiptHandle"])


def test_a_clean_end_and_a_start_on_another_port_keep_everything(tmp_path: Path) -> None:
    with emulator(tmp_path) as first:
        stack = first.deploy()
        put_rows(first.client("dynamodb"), stack.table, range(10))
        first.client("sqs").send_message(QueueUrl=stack.transcribe_queue_url, MessageBody="kept")
        assert first.end() == 0
    with emulator(tmp_path) as second:
        again = second.deploy()
        assert again.transcribe_queue_url.startswith(second.url)
        assert len(row_texts(second.client("dynamodb"), again.table)) == 10
        [message] = second.client("sqs").receive_message(QueueUrl=again.transcribe_queue_url)["Messages"]
        assert message["Body"] == "kept"


def test_a_second_deployment_changes_parameters_and_keeps_data(tmp_path: Path) -> None:
    with emulator(tmp_path) as running:
        stack = running.deploy(VisibilityTimeoutS="30")
        put_rows(running.client("dynamodb"), stack.table, range(3))
        assert running.deploy(VisibilityTimeoutS="7") == stack
        [queue] = [
            running.client("sqs").get_queue_attributes(QueueUrl=stack.transcribe_queue_url, AttributeNames=["All"])
        ]
        assert queue["Attributes"]["VisibilityTimeout"] == "7"
        assert len(row_texts(running.client("dynamodb"), stack.table)) == 3


def test_a_stack_that_no_snapshot_has_yet_is_made_anew(tmp_path: Path) -> None:
    with emulator(tmp_path) as first:
        first.deploy()
        kill(first)
    with emulator(tmp_path) as second:
        stack = second.deploy()
        put_rows(second.client("dynamodb"), stack.table, range(2))
        assert len(row_texts(second.client("dynamodb"), stack.table)) == 2


def test_a_refused_template_says_why(tmp_path: Path) -> None:
    with emulator(tmp_path) as running, pytest.raises(RuntimeError, match="KeyScope"):
        running.deploy(KeyScope="nobody")


def test_snapshots_are_taken_while_rows_change_and_miss_none(tmp_path: Path) -> None:
    """Every snapshot is provoked by a call that changes something else than rows and messages."""
    with emulator(tmp_path) as first:
        stack = first.deploy()
        dynamodb = first.client("dynamodb")
        put_rows(dynamodb, stack.table, range(1000), "before")
        done = threading.Event()

        def provoke() -> None:
            iam = first.client("iam")
            while not done.wait(0.3):
                iam.list_roles()

        provoking = threading.Thread(target=provoke)
        provoking.start()
        for number in range(1000):
            put_rows(dynamodb, stack.table, range(number, number + 1), "after")
        done.set()
        provoking.join()
        kill(first)
        assert newest_state(tmp_path) >= 2, "no snapshot was taken meanwhile"
    with emulator(tmp_path) as second:
        assert set(row_texts(second.client("dynamodb"), stack.table).values()) == {"after"}


def newest_state(folder: Path) -> int:
    return max(int(path.name.rpartition("-")[2]) for path in (folder / "aws").glob("state-*[0-9]"))


def test_an_event_that_nobody_takes_costs_no_snapshot_and_one_that_is_taken_survives(tmp_path: Path) -> None:
    """A snapshot writes down every row there is, and each batch that finishes sends an event."""
    event = {"Source": "asr-queue", "DetailType": "Batch Finished", "Detail": "{}"}
    with emulator(tmp_path) as first:
        first.deploy()
        time.sleep(1.5)
        events, sqs = first.client("events"), first.client("sqs")
        before = newest_state(tmp_path)
        events.put_events(Entries=[event])
        time.sleep(1.5)
        assert newest_state(tmp_path) == before
        url = sqs.create_queue(QueueName="finished")["QueueUrl"]
        [arn] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"].values()
        events.put_rule(Name="finished", EventPattern=json.dumps({"source": ["asr-queue"]}))
        events.put_targets(Rule="finished", Targets=[{"Id": "queue", "Arn": arn}])
        time.sleep(1.5)
        events.put_events(Entries=[event])
        time.sleep(1.5)
        kill(first)
    with emulator(tmp_path) as second:
        [message] = second.client("sqs").receive_message(QueueUrl=url)["Messages"]
        assert json.loads(message["Body"])["detail-type"] == "Batch Finished"


def test_an_emulator_that_cannot_keep_anything_does_not_serve(tmp_path: Path) -> None:
    with emulator(tmp_path) as running:
        running.deploy()
        time.sleep(1)
        for number in range(20):
            (tmp_path / "aws" / f"state-{number}.partial").mkdir(exist_ok=True)  # in the way of the next snapshot
        running.client("iam").list_roles()
        assert running.child.wait(60)
        assert running.child.exit_status() == 1


def test_a_line_that_was_cut_off_counts_as_never_written(tmp_path: Path) -> None:
    with emulator(tmp_path) as first:
        stack = first.deploy()
        put_rows(first.client("dynamodb"), stack.table, range(2))
        time.sleep(1.5)
        put_rows(first.client("dynamodb"), stack.table, range(2, 4))
        kill(first)
    journal = max((tmp_path / "aws").glob("journal-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = journal.read_bytes()
    assert [json.loads(text)[2] for text in whole.splitlines()][-1] == "ROW#3"
    journal.write_bytes(whole[:-5])
    with emulator(tmp_path) as second:
        assert set(row_texts(second.client("dynamodb"), stack.table)) == {"ROW#0", "ROW#1", "ROW#2"}
