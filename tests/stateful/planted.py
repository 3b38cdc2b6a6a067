"""Bugs that a queue like this one may have, each put in the place of the part that has to prevent it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Final

from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.domain.batches import Priority
from asr_queue.domain.files import File
from asr_queue.domain.items import Item, ItemStatus, results_prefix
from asr_queue.ports import Backlog
from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.sweep_expired import Swept, sweep_expired
from asr_queue.wire.api import StatusAnswer
from gpu_worker.leases import Leases
from gpu_worker.pipeline.publish import Ended, Publisher
from tests.stateful.parts import Parts


class AcknowledgesBeforeItSaves(Publisher):
    """Deletes the messages first: it is quicker, and mostly nothing happens in between."""

    def record(self, ended: Sequence[Ended]) -> None:
        self._leases.acknowledge([one.claimed.key for one in ended])
        super().record(ended)


class ClaimsWithoutACondition(MemoryTable):
    """Starts whatever item a message names, ended or not."""

    def claim_item(self, batch_id: str, index: int, *, now: datetime) -> Item | None:
        with self._lock:
            items = self._items[batch_id]
            items[index] = replace(
                items[index], status=ItemStatus.PROCESSING, attempt=items[index].attempt + 1, started_at=now
            )
            return items[index]


class CountsBesideTheTruth(MemoryTable):
    """Keeps a number of finished items beside the items, and moves it with each write that says that it was ours."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.completed: Counter[str] = Counter()

    def finish_items(self, finished: Sequence[tuple[Item, File | None]]) -> list[bool]:
        results = super().finish_items(finished)
        for (item, file), is_ours in zip(finished, results, strict=True):
            self.completed[item.batch_id] += is_ours and file is not None
        return results


def status_by_counter(batch_id: str, *, tenant: str | None, table: CountsBesideTheTruth) -> StatusAnswer:
    answer = batch_status(batch_id, tenant=tenant, table=table)
    return answer.model_copy(update={"completed": table.completed[batch_id]})


def sweep_that_ignores_pins(*, store: Any, table: Any, clock: Any, **others: Any) -> Swept:
    """Removes what is past its time, whoever needs it."""
    with table._inner._lock:
        old = [file.object_key for file in table._inner._files.values() if clock.now() >= file.expires_at]
    store.delete(old)
    return sweep_expired(store=store, table=table, clock=clock, **others)


class _SaysThatItIsEmpty:
    def __init__(self, queue: Any) -> None:
        self.send = queue.send

    def backlogs(self) -> dict[Priority, Backlog]:
        return dict.fromkeys(Priority, Backlog(visible=0, in_flight=0))


def sweep_that_always_resends(*, queues: Any, **others: Any) -> Swept:
    """Does not ask whether the first messages still wait."""
    return sweep_expired(queues={operation: _SaysThatItIsEmpty(queue) for operation, queue in queues.items()}, **others)


class OutlivesItsWorker(Leases):
    """Renews what anybody holds, since one keeper for all is cheaper; nobody tells it that a worker has died."""

    everybody: ClassVar[dict[int, list["OutlivesItsWorker"]]] = {}

    def __init__(self, queue: Any, *, visibility_timeout_s: int) -> None:
        super().__init__(queue, visibility_timeout_s=visibility_timeout_s)
        self._others = self.everybody.setdefault(id(queue), [])
        self._others.append(self)

    def renew(self) -> None:
        for leases in self._others:
            Leases.renew(leases)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ItemWithOneKey(Item):
    def attempt_key(self) -> str:
        return f"{results_prefix(self.tenant, self.batch_id)}{self.item_id}.json"


class OneResultKeyForAllAttempts(MemoryTable):
    """Has each attempt write its result where the last one did."""

    def claim_item(self, batch_id: str, index: int, *, now: datetime) -> Item | None:
        item = super().claim_item(batch_id, index, now=now)
        return item and _ItemWithOneKey(**{field.name: getattr(item, field.name) for field in fields(item)})


PLANTED: Final[dict[str, Parts]] = {
    "acknowledge before save": Parts(publisher=AcknowledgesBeforeItSaves),
    "claim without a condition": Parts(table=ClaimsWithoutACondition),
    "counter beside the truth": Parts(table=CountsBesideTheTruth, status=status_by_counter),
    "expiry of a pinned upload": Parts(sweep=sweep_that_ignores_pins),
    "a sweep that resends without a condition": Parts(sweep=sweep_that_always_resends),
    "a lease that outlives its worker": Parts(leases=OutlivesItsWorker),
    "one result key for all attempts": Parts(table=OneResultKeyForAllAttempts),
}
"""By the names of the table in `benchmarks/results/faults.md`."""
