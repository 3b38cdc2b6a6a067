"""What went to AWS, seen from outside: what only the wire knows of a run."""

import json
import time
from collections import Counter, defaultdict

from tests.faults.calls import Answer, Call


class Witness:
    """Notes of the calls that AWS answered, for the whole of the lab's life."""

    def __init__(self) -> None:
        self.put_at_s: dict[str, float] = {}
        """When each object was put last, by `time.monotonic()`."""
        self.batches_of: dict[str, set[str]] = defaultdict(set)
        """Ids of the batches that somebody tried to create, by label."""
        self.receives: Counter[str] = Counter()
        """The highest receive count of any message that named an item, by item id."""

    def note(self, call: Call, answer: Answer) -> None:
        """Take note of a call."""
        if call.action == "PutObject":
            self.put_at_s[call.object_key] = time.monotonic()
        elif call.action in ("TransactWriteItems", "PutItem") and b'"label"' in call.body:
            self._note_batch(call)
        elif call.action == "ReceiveMessage" and answer.status == 200:
            self._note_deliveries(answer)

    def _note_batch(self, call: Call) -> None:
        asked = call.asked()
        writes = [write.get("Put", {}) for write in asked.get("TransactItems", [])] or [asked]
        for row in (write.get("Item", {}) for write in writes):
            if "label" in row:
                self.batches_of[row["label"]["S"]].add(row["batch_id"]["S"])

    def _note_deliveries(self, answer: Answer) -> None:
        for message in answer.told().get("Messages", []):
            try:
                item_id = json.loads(message["Body"])["item_id"]
            except (ValueError, KeyError):
                continue  # poison, of the lab's own making
            count = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 0))
            self.receives[item_id] = max(self.receives[item_id], count)
