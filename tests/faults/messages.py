"""What SQS may do to messages, done to the calls that carry them."""

import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tests.faults.calls import Answer, Call
from tests.faults.fates import Fate

Forward: TypeAlias = Callable[[Call], Awaitable[Answer]]

_LONGEST_DELAY_S = 120
"""On the lab's clock."""


async def tampered(call: Call, fate: Fate, forward: Forward, chance: random.Random) -> Answer:
    """Carry out a call with a fate that only messages have."""
    if call.action == "SendMessageBatch":
        return await _send(call, fate, forward, chance)
    if call.action == "ReceiveMessage":
        return await _receive(call, fate, forward, chance)
    if call.action == "GetQueueAttributes":
        answer = await forward(call)
        told = answer.told()
        return answer.with_body({**told, "Attributes": dict.fromkeys(told["Attributes"], "0")})
    if fate is Fate.NOT_DELETED:
        return _json({"Successful": [{"Id": entry["Id"]} for entry in call.asked()["Entries"]], "Failed": []})
    return await _refuse_some(call, forward, chance)


def was_tampered(call: Call, fate: Fate, answer: Answer) -> bool:
    """Whether there was anything that the fate could be done to."""
    if call.action == "ReceiveMessage":
        return len(answer.told().get("Messages", [])) > (fate is Fate.SHUFFLED)
    return fate is not Fate.SHUFFLED or len(call.asked()["Entries"]) > 1


async def _send(call: Call, fate: Fate, forward: Forward, chance: random.Random) -> Answer:
    asked = call.asked()
    entries: list[dict[str, Any]] = asked["Entries"]
    if fate is Fate.REFUSED:
        return await _refuse_some(call, forward, chance)
    if fate is Fate.LOST:
        lost = _some(entries, chance)
        kept = [entry for entry in entries if entry not in lost]
        told = (await forward(call.with_body({**asked, "Entries": kept}))).told() if kept else {"Successful": []}
        return _json({**told, "Successful": [*told["Successful"], *map(_as_if_sent, lost)]})
    if fate is Fate.DOUBLED:
        again = [{**entry, "Id": f"{entry['Id']}-again"} for entry in _some(entries, chance)]
        await forward(call.with_body({**asked, "Entries": again}))
        return await forward(call)
    if fate is Fate.TWICE:
        await forward(call)
        return await forward(call)
    if fate is Fate.DELAYED:
        delayed = _some(entries, chance)
        for entry in delayed:
            entry["DelaySeconds"] = chance.randint(1, _LONGEST_DELAY_S)
    chance.shuffle(entries)
    return await forward(call.with_body(asked))


async def _receive(call: Call, fate: Fate, forward: Forward, chance: random.Random) -> Answer:
    answer = await forward(call)
    told = answer.told()
    messages = told.get("Messages", [])
    if answer.status != 200 or not messages:
        return answer
    if fate is Fate.DELIVERED_AGAIN:
        show = call.headers | {"x-amz-target": "AmazonSQS.ChangeMessageVisibility"}
        for message in _some(messages, chance):
            asked = {
                "QueueUrl": call.asked()["QueueUrl"],
                "ReceiptHandle": message["ReceiptHandle"],
                "VisibilityTimeout": 0,
            }
            await forward(Call("POST", call.path, show, b"").with_body(asked))
        return answer
    chance.shuffle(messages)
    return answer.with_body({**told, "Messages": messages})


async def _refuse_some(call: Call, forward: Forward, chance: random.Random) -> Answer:
    asked = call.asked()
    refused = _some(asked["Entries"], chance)
    kept = [entry for entry in asked["Entries"] if entry not in refused]
    told = (await forward(call.with_body({**asked, "Entries": kept}))).told() if kept else {"Successful": []}
    failures = [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in refused]
    return _json({**told, "Failed": [*told.get("Failed", []), *failures]})


def _some(entries: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    return chance.sample(entries, chance.randint(1, len(entries)))


def _as_if_sent(entry: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": f"lost-{digest}", "MD5OfMessageBody": digest}


def _json(told: dict[str, Any]) -> Answer:
    return Answer(200, {"content-type": "application/x-amz-json-1.0"}, b"").with_body(told)
