"""The scheduled handlers as a process: `python -m tests.faults.scheduled DEAD_LETTER_QUEUE_URL`.

Lambda would call them; here a process does, so that it can be killed in the middle of a call. The sweep runs once a
minute of the lab's clock, dead letters are handed over as SQS hands them to Lambda: what a call does not name as
failed is deleted.
"""

import json
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from asr_queue.adapters import aws
from asr_queue.errors import RetryableError
from handlers import dead_letters, sweep
from handlers.observability import logger
from handlers.wiring import services
from tests.faults.hurried import SPEED

_SWEEP_EVERY_S = 60 / SPEED
_LOOK_EVERY_S = 12 / SPEED


@dataclass(frozen=True)
class Context:
    """What Lambda passes beside the event, as far as powertools reads it."""

    function_name: str = "lab"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:lab"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def main() -> None:
    """Call the handlers until killed."""
    [dead_letter_queue_url] = sys.argv[1:]
    services()
    threading.Thread(target=_sweep, daemon=True).start()
    sqs = boto3.client("sqs", config=aws._SQS_CONFIG)
    pause = threading.Event()
    while not pause.wait(_LOOK_EVERY_S):
        try:
            _hand_over(sqs, dead_letter_queue_url)
        except (BotoCoreError, ClientError) as error:
            logger.warning("poller_failed", extra={"reason": type(error).__name__})


def _sweep() -> None:
    pause = threading.Event()
    while True:
        began_s = time.monotonic()
        try:
            sweep.run(services())
        except RetryableError as error:
            logger.warning("sweep_failed", extra={"code": error.code})
        except Exception:  # noqa: BLE001 - as Lambda: the next call is another one
            logger.exception("sweep_bug")
        pause.wait(max(0.0, began_s + _SWEEP_EVERY_S - time.monotonic()))


def _hand_over(sqs: Any, queue_url: str) -> None:
    messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
    if not messages:
        return
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:dead-letters",
            "awsRegion": "us-east-1",
        }
        for message in messages
    ]
    answer = dead_letters.handler(json.loads(json.dumps({"Records": records})), Context())
    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    for message in messages:
        if message["MessageId"] not in failed:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
