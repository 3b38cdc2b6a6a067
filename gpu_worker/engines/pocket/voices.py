"""Voices that have been heard, so that each is listened to once while it is in use."""

from collections import OrderedDict

from torch import Tensor


class HeardVoices:
    """What the codec made of samples, by their voices' digests: those used last, within a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        """Keep nothing yet."""
        self._most_bytes = most_bytes
        self._held_bytes = 0
        self._latents: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, digest: str) -> Tensor | None:
        """Return what is kept of this voice, which is now the one used last; or None."""
        if digest in self._latents:
            self._latents.move_to_end(digest)
        return self._latents.get(digest)

    def put(self, digest: str, latents: Tensor) -> None:
        """Keep this of a voice of which nothing is kept, and forget those used longest ago where it is too much."""
        self._latents[digest] = latents
        self._held_bytes += latents.nbytes
        while self._held_bytes > self._most_bytes:
            _, forgotten = self._latents.popitem(last=False)
            self._held_bytes -= forgotten.nbytes
