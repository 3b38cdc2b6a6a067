"""Which stretches of the cache are free. A row has one stretch, from its first to its last token."""


class Spans:
    """Stretches of `n_tokens` slots, given out by first fit and joined again when they come back."""

    def __init__(self, n_tokens: int) -> None:
        self._free = [(0, n_tokens)]

    def take(self, length: int) -> int | None:
        """Return where `length` slots in a row begin, which are the caller's from now on; None while there are none."""
        for i, (start, free) in enumerate(self._free):
            if free >= length:
                self._free[i : i + 1] = [(start + length, free - length)] if free > length else []
                return start
        return None

    def give_back(self, start: int, length: int) -> None:
        """Free what `take` gave out, whole."""
        joined: list[tuple[int, int]] = []
        for free_start, free in sorted([*self._free, (start, length)]):
            if joined and sum(joined[-1]) == free_start:
                before, its_length = joined.pop()
                joined.append((before, its_length + free))
            else:
                joined.append((free_start, free))
        self._free = joined
