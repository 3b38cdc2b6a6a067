"""Events of Amazon EventBridge."""

from typing import Any, Final

from asr_queue.adapters.aws_errors import translated
from asr_queue.errors import RetryableError
from asr_queue.wire.webhooks import FinishedEvent

SOURCE: Final = "asr-queue"
DETAIL_TYPE: Final = "Batch Finished"
_SERVICE: Final = "events"


class EventBridge:
    """EventBus over one bus."""

    def __init__(self, client: Any, bus: str) -> None:
        """Take a boto3 client of `events`, and the name of a bus."""
        self._client = client
        self._bus = bus

    def publish(self, event: FinishedEvent) -> None:
        """Tell that a batch is finished."""
        entry = {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Detail": event.model_dump_json(),
        }
        with translated(_SERVICE):
            answer = self._client.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:  # the call itself succeeds then
            code = answer["Entries"][0].get("ErrorCode")
            raise RetryableError(f"{_SERVICE}_unavailable", f"{_SERVICE} refused an event: {code}")
