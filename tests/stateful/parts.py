"""What the machine is made of, so that a planted bug can take the place of any part."""

from collections.abc import Callable
from dataclasses import dataclass

from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.sweep_expired import Swept, sweep_expired
from asr_queue.wire.api import StatusAnswer
from gpu_worker.leases import Leases
from gpu_worker.pipeline.publish import Publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The product's own parts, unless others are named."""

    table: type[MemoryTable] = MemoryTable
    leases: type[Leases] = Leases
    publisher: type[Publisher] = Publisher
    status: Callable[..., StatusAnswer] = batch_status
    sweep: Callable[..., Swept] = sweep_expired
