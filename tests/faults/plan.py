"""What a seed does: who submits what, and who is killed or stalled when. All of it is drawn from the seed alone."""

import random
from dataclasses import dataclass
from typing import Final

from asr_queue.domain.batches import Priority
from asr_queue.domain.speech import SpeechFormat
from tests.faults.hurried import SPEED
from tests.faults.recordings import CORRUPT, SHORT, SILENT
from tests.faults.system import TENANTS, VISIBILITY_TIMEOUT_S

_LEASE_S: Final = VISIBILITY_TIMEOUT_S / SPEED
_LARGE_ITEMS: Final = 60
"""More than one transaction takes."""
_WORDS: Final = ("We", "heard", "him", "sing", "yesterday.", "Nobody", "else", "listened,", "however", "loud.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What an item of `voice_clone` says."""

    text: str
    form: SpeechFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The cancellation of a batch, or of an item of it."""

    after_s: float
    """How long after the answer to the submit."""
    item: int | None
    """Place among the items; None for all."""

    def is_meant(self, item: int) -> bool:
        """Whether an item may end by it."""
        return self.item in (None, item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One who uploads, submits one batch, polls it and fetches its transcripts."""

    label: str
    """Of its batch; no other has it."""
    tenant: str
    begins_s: float
    uploads: tuple[int, ...]
    """Places among the recordings; below zero for what is none (`recordings`)."""
    items: tuple[int, ...]
    """Places among the uploads."""
    sayings: tuple[Saying | None, ...] = ()
    """What each item says, in the voice of its upload; None where it transcribes it. Empty: all do."""
    tries: int
    """How often it asks to submit before it gives up."""
    pollers: int
    poll_every_s: float
    priority: Priority = Priority.NORMAL
    cancel: Cancel | None = None
    """Whether it thinks better of it."""

    def saying(self, item: int) -> Saying | None:
        """Return what the item at a place says; None where it is a `transcribe`."""
        return self.sayings[item] if self.sayings else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Something done to a process."""

    at_s: float
    name: str
    stall_s: float | None
    """How long it stands still; None where it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One seed's script. Times count from its beginning."""

    seed: int
    chaos_s: float
    """How long calls fail; then everything works, and all must end."""
    clients: tuple[Client, ...]
    harms: tuple[Harm, ...]
    poison: int
    """Messages that name nothing."""


def plan(seed: int, *, names: list[str], recordings: int) -> Plan:
    """Draw a plan.

    Args:
        seed: any number.
        names: the processes that may be harmed.
        recordings: how many there are.
    """
    chance = random.Random(f"{seed} plan")
    chaos_s = chance.uniform(0.6, 1.6)
    return Plan(
        seed=seed,
        chaos_s=chaos_s,
        clients=tuple(_client(chance, f"{seed}-{number}", recordings) for number in range(chance.randint(1, 3))),
        harms=tuple(_harm(chance, names, chaos_s) for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3)))),
        poison=chance.choice((0,) * 39 + (2,)),
    )


def _client(chance: random.Random, label: str, recordings: int) -> Client:
    uploads = tuple(
        CORRUPT if chance.random() < 0.1 else chance.randrange(recordings) for _ in range(chance.choice((1, 2, 3, 5)))
    )
    items = _LARGE_ITEMS if chance.random() < 0.03 else chance.choice((1, 2, 4, 8))
    # Drawn apart, so that a seed's script of before there were these is still the same.
    control = random.Random(f"{label} control")
    priority = control.choice(list(Priority))
    cancel = Cancel(after_s=control.uniform(0, 0.6), item=control.choice((None, control.randrange(items))))
    tenant, begins_s = chance.choice(TENANTS), chance.uniform(0, 0.4)
    voices = random.Random(f"{label} voices")
    sayings = tuple(_saying(voices) if voices.random() < 1 / 3 else None for _ in range(items))
    heard = tuple(chance.randrange(len(uploads)) for _ in range(items))
    # What no voice can be made of is a sample of its own, for it is not said what a transcript of it has to be.
    bad = (SILENT, SHORT)[: voices.choice((0, 0, 0, 1, 2))]
    places = tuple(
        len(uploads) + voices.randrange(len(bad)) if saying and bad and voices.random() < 0.4 else place
        for place, saying in zip(heard, sayings, strict=True)
    )
    return Client(
        label=label,
        tenant=tenant,
        begins_s=begins_s,
        uploads=uploads + bad,
        items=places,
        sayings=sayings,
        tries=chance.choice((1, 1000, 1000, 1000)),
        pollers=chance.choice((1, 1, 2)),
        poll_every_s=chance.uniform(0.03, 0.2),
        priority=priority,
        cancel=cancel if control.random() < 0.15 else None,
    )


def _saying(chance: random.Random) -> Saying:
    words = chance.choices(_WORDS, k=chance.choice((1, 4, 12, 40)))
    return Saying(text=" ".join(words), form=chance.choice(list(SpeechFormat)))


def _harm(chance: random.Random, names: list[str], chaos_s: float) -> Harm:
    is_kill = chance.random() < 0.6
    return Harm(
        at_s=chance.uniform(0.1, chaos_s),
        name=chance.choice(names),
        stall_s=None if is_kill else chance.uniform(1.2, 2.2) * _LEASE_S,
    )
