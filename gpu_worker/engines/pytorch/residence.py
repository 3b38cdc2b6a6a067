"""Whether an engine's model is on the device, or parked on the host: what engines that can be parked have in common.

loaded ──leave──▶ parked ──come_back──▶ in the arena ──leave──▶ parked ...
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from asr_queue.errors import EngineBrokenError
from gpu_worker.engines.pytorch.arena import Movable
from gpu_worker.engines.pytorch.devices import give_memory_back, is_out_of_memory


class Residence:
    """Where one model is, from its load to its end. For the thread that owns the device."""

    def __init__(self) -> None:
        """It is where it was loaded, or not loaded yet."""
        self.is_parked = False
        self._movable: Movable | None = None

    @property
    def n_bytes(self) -> int | None:
        """What it takes of the device when it is there; None where it has never left it."""
        return None if self._movable is None else self._movable.n_bytes

    def leave(self, weights: Iterable[Tensor], scratch: Iterable[Tensor] = ()) -> str | None:
        """Park the model; return why not, where the host has no room for it, and nothing has changed.

        Args:
            weights: as for `Movable`, which is made of them the first time; later nobody looks at them.
            scratch: likewise.
        """
        if self._movable is None:
            try:
                self._movable = Movable(weights, scratch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                return str(error)
            self._movable.go()
            # What it was loaded into. Later it leaves the arena, which is another's next: nothing is to be given back.
            give_memory_back()
        else:
            self._movable.go()
        self.is_parked = True
        return None

    def come_back(self, when_moved: Callable[[], None] = lambda: None) -> str | None:
        """Bring the model back; return what was too large, where something was: it is still parked then.

        Args:
            when_moved: done where its addresses are others than the last time.

        Raises:
            EngineBrokenError: the device failed.
        """
        assert self._movable is not None
        try:
            if self._movable.come():
                when_moved()
        except torch.AcceleratorError as error:
            raise EngineBrokenError(f"The device failed: {error}") from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._movable.give_up()
            return str(error)
        self.is_parked = False
        return None

    def end(self) -> None:
        """Give everything up; the tensors must not be used afterwards."""
        self.is_parked = False
        if self._movable is not None:
            self._movable.forget()
            self._movable = None
