"""The embedded AWS takes the whole of `template.yaml`."""

import boto3
import pytest
from botocore.config import Config

from tests.conftest import EmbeddedAws


@pytest.fixture
def aws(embedded_aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> EmbeddedAws:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name, value in embedded_aws.environment.items():
        monkeypatch.setenv(name, value)
    return embedded_aws


def test_the_table_has_its_two_sparse_indexes(aws: EmbeddedAws) -> None:
    table = boto3.client("dynamodb").describe_table(TableName=aws.environment["ASR_QUEUE_TABLE"])["Table"]
    indexes = {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in table["GlobalSecondaryIndexes"]
    }
    assert indexes == {"due": ["due_shard", "due_at"], "listing": ["list_pk", "list_sk"]}


def test_rows_go_away_at_purge_at(aws: EmbeddedAws) -> None:
    answer = boto3.client("dynamodb").describe_time_to_live(TableName=aws.environment["ASR_QUEUE_TABLE"])
    assert answer["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "purge_at"}


def test_a_message_goes_to_the_dead_letter_queue_after_ten_receives(aws: EmbeddedAws) -> None:
    sqs = boto3.client("sqs")
    url = aws.environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"]
    sent = sqs.send_message(QueueUrl=url, MessageBody="nobody's")["MessageId"]
    for _ in range(10):
        [message] = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
        assert message["MessageId"] == sent
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)
    [dead] = sqs.receive_message(QueueUrl=aws.dead_letter_queue_url)["Messages"]
    assert dead["MessageId"] == sent
    sqs.delete_message(QueueUrl=aws.dead_letter_queue_url, ReceiptHandle=dead["ReceiptHandle"])


def test_the_bucket_is_private(aws: EmbeddedAws) -> None:
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    blocked = s3.get_public_access_block(Bucket=aws.environment["ASR_QUEUE_BUCKET"])["PublicAccessBlockConfiguration"]
    assert blocked == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )


def test_tests_drive_the_functions_themselves(aws: EmbeddedAws) -> None:
    [schedule] = boto3.client("scheduler").list_schedules()["Schedules"]
    assert schedule["State"] == "DISABLED"
