"""A decoding step as one launch: on CUDA a captured graph for each batch size, elsewhere the step itself."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, TypeAlias

import torch

_SIZES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_KEYS_STEP: Final = 64

Step: TypeAlias = Callable[[int, int], None]
"""Takes the number of rows, and a bound on their keys; works on tensors that stay where they are."""


class StepGraphs:
    """Runs a step for any number of rows up to `max_rows`, by taking the next larger captured size."""

    def __init__(self, step: Step, *, max_rows: int, max_keys: int, device: torch.device) -> None:
        """Capture the step on CUDA, largest size first; whatever it compiles or initialises happens here.

        Args:
            step: called with every size here, when all rows are idle.
            max_rows: at least 1.
            max_keys: no row ever has more.
            device: what the step's tensors are on.

        Raises:
            RuntimeError: the step cannot be captured. A worker without graphs would be ten times slower: better that
                it does not start.
        """
        self._step = step
        self._max_keys = max_keys
        self._device = device
        self._sizes = (*(size for size in _SIZES if size < max_rows), max_rows)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.are_used = True
        """Whether captured graphs are replayed; where not, the same step is taken launch by launch, to compare."""
        self.capture()

    def capture(self) -> None:
        """Capture the step as it is now: what its tensors' addresses were before does not count any more.

        Raises:
            RuntimeError: as above.
        """
        self.forget()
        if self._device.type == "cuda":
            self._capture_all(self._device)

    def forget(self) -> None:
        """Give up the graphs and their memory; until `capture` the step is taken launch by launch."""
        self._graphs.clear()

    def size_for(self, n_rows: int) -> int:
        """Return how many rows a step of `n_rows` works on."""
        return self._sizes[bisect_left(self._sizes, n_rows)]

    def run(self, n_rows: int, n_keys: int) -> None:
        """Queue one step of the first rows.

        Args:
            n_rows: 1 to `max_rows`.
            n_keys: no row has more now; a graph always allows for `max_keys`.
        """
        size = self.size_for(n_rows)
        graph = self._graphs.get(size)
        if graph is None:
            self._step(size, min(-(-n_keys // _KEYS_STEP) * _KEYS_STEP, self._max_keys))
        elif self.are_used:
            graph.replay()
        else:
            self._step(size, self._max_keys)

    def _capture_all(self, device: torch.device) -> None:
        # What the graphs need for a step is shared: they never run at the same time. The largest goes first, so that
        # the others fit into its memory.
        pool, current = None, torch.cuda.current_stream(device)
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        for size in reversed(self._sizes):
            # Once outside a capture, in which nothing may be compiled or initialised (PyTorch's notes on CUDA graphs).
            side.wait_stream(current)
            with torch.cuda.stream(side):
                self._step(size, self._max_keys)
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                self._step(size, self._max_keys)
            self._graphs[size], pool = graph, graph.pool()
