"""A few seeds on each push; `make faults` runs as many as one wants, and any of them again."""

import asyncio
from pathlib import Path

from tests.faults.calls import Call
from tests.faults.fates import Fate, Fates
from tests.faults.lab import Lab
from tests.faults.plan import plan
from tests.faults.system import running

SEEDS = range(10)
NAMES = ["api", "scheduled", "worker-1", "worker-2"]


def test_a_seed_means_the_same_script_each_time() -> None:
    call = Call("POST", "/", {"x-amz-target": "DynamoDB_20120810.UpdateItem"}, b"{}")
    assert plan(7, names=NAMES, recordings=80) == plan(7, names=NAMES, recordings=80)
    assert len({plan(seed, names=NAMES, recordings=80) for seed in range(50)}) == 50
    first, second = ([fates.next(call) for _ in range(200)] for fates in (Fates(7), Fates(7)))
    assert first == second
    fates = Fates(7)
    fates.end()
    assert fates.next(call) is Fate.AS_ASKED


def test_every_fate_befalls_some_call_of_some_seed() -> None:
    targets = ["DynamoDB_20120810.Query"] + [
        f"AmazonSQS.{action}"
        for action in ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "GetQueueAttributes")
    ]
    calls = [Call("POST", "/", {"x-amz-target": target}, b'{"IndexName": "due"}') for target in targets]
    seen = {fates.next(call) for fates in map(Fates, range(60)) for call in calls for _ in range(30)}
    assert seen == set(Fate)


def test_a_few_seeds_leave_nothing_lost_doubled_or_behind(tmp_path: Path) -> None:
    async def violations() -> dict[int | str, list[str]]:
        async with running(tmp_path, engine="echo", workers=2) as system:
            lab = Lab(system, engine="echo")
            found: dict[int | str, list[str]] = {seed: (await lab.run(seed)).violations for seed in SEEDS}
            found["afterwards"] = await lab.outlived()
            lab.close()
            return {run: said for run, said in found.items() if said}

    assert asyncio.run(violations()) == {}
