"""What the whole measurement consists of: parts that can be run one by one, each in a process of its own."""

from dataclasses import dataclass

from benchmarks.qwen3.workloads import Workload, equal, ragged


@dataclass(frozen=True, slots=True)
class Part:
    """One side of one model on some workloads."""

    model: str
    """A name of `SIZES`."""
    side: str
    workloads: tuple[Workload, ...]
    name: str

    @property
    def aligns(self) -> bool:
        """Whether it is the aligner's."""
        return "aligner" in self.model


SIDES = ("official", "native", "compiled", "ours")
_EQUAL = tuple(equal(rows) for rows in (1, 16, 64, 128))
_RAGGED = (ragged(16, at_once=16), ragged(64, at_once=64))
_STREAM = ragged(512, at_once=128)
_NARROW_STREAM = ragged(256, at_once=16)
_SHORT_STREAM = ragged(64, at_once=16)
"""For those who take a tenth of its speed: the same lengths, in batches as they come."""
_LONG = (equal(16, duration_s=180.0, n_new_tokens=486),)
_TINY = (equal(1, duration_s=1.0, n_new_tokens=3), ragged(4, at_once=2, longest_s=3.0))


def real_parts() -> list[Part]:
    """Return everything, the quickest side of each model last."""
    parts = []
    for model in ("0.6b", "1.7b"):
        for side in SIDES:
            varied = (*_RAGGED, _STREAM) if side == "ours" else (_RAGGED[0], _SHORT_STREAM)
            # A compiled step is one of a batch size, and a minute each.
            rows = _EQUAL if side != "compiled" else _EQUAL[1:3]
            workloads = rows if side == "compiled" else (*rows, *varied)
            parts.append(Part(model, side, workloads, f"{model}-{side}"))
            if side != "compiled":
                parts.append(Part(model, side, _LONG, f"{model}-{side}-long"))
        # Sixteen rows that are refilled: a generator of its own, since it decodes as many rows as it has.
        parts.append(Part(model, "ours", (_NARROW_STREAM,), f"{model}-ours-refilled"))
    parts += [Part("aligner", side, _EQUAL[1:2], f"aligner-{side}") for side in SIDES if side != "compiled"]
    return parts


def tiny_parts() -> list[Part]:
    """Return the same sides on a processor, with next to nothing to do."""
    parts = [Part("tiny", side, _TINY, f"tiny-{side}") for side in SIDES]
    return parts + [
        Part("tiny-aligner", side, _TINY[:1], f"tiny-aligner-{side}") for side in SIDES if side != "compiled"
    ]
