import numpy as np
import pytest

from asr_queue.errors import CallerError, EngineOutOfMemoryError, RetryableError
from gpu_worker.engine import Done, Limits, Recognition
from gpu_worker.pipeline.infer import infer
from gpu_worker.work import Failed, Recognised
from tests.pipeline.makers import chunks_of, claimed


class FragileEngine:
    """Remembers its passes. Each input has one sample: its number, which `breaks` may raise at."""

    limits = Limits(max_micro_batch=16, max_chunk_s=30.0, sample_rate_hz=16_000, languages=frozenset())

    def __init__(self, breaks) -> None:
        self.passes: list[list[float]] = []
        self._breaks = breaks

    def load(self) -> None: ...

    def run(self, micro_batch):
        values = [float(one.samples[0]) for one in micro_batch]
        self.passes.append(values)
        self._breaks(values)
        return [Done(Recognition(text=f"{value:g}", language="en", words=None)) for value in values]

    def unload(self) -> None: ...


def never(values): ...


def chunks(*values: float):
    return [
        chunk
        for value in values
        for chunk in chunks_of(claimed(f"{value:g}"), 1.0, samples=np.array([value], np.float32))
    ]


def texts(outcomes) -> list[str]:
    return [one.recognition.text if isinstance(one, Recognised) else one.error.code for one in outcomes]


def test_what_does_not_fit_at_once_is_halved_until_it_does():
    def at_most_three(values):
        if len(values) > 3:
            raise EngineOutOfMemoryError("too much")

    engine = FragileEngine(at_most_three)
    assert texts(infer(chunks(*range(8)), engine)) == [str(n) for n in range(8)]
    assert [len(values) for values in engine.passes] == [8, 4, 2, 2, 4, 2, 2]


def test_a_chunk_that_does_not_fit_alone_ends_and_the_others_are_done():
    def not_five(values):
        if 5.0 in values:
            raise EngineOutOfMemoryError("too much")

    outcomes = infer(chunks(*range(16)), FragileEngine(not_five))
    assert texts(outcomes) == [str(n) if n != 5 else "engine_out_of_memory" for n in range(16)]
    assert isinstance(outcomes[5].error, CallerError)
    assert outcomes[5].claimed.item.item_id == "5"


def test_a_bug_of_the_engine_costs_the_one_item_that_shows_it_and_that_one_may_come_again():
    def not_five(values):
        if 5.0 in values:
            raise ZeroDivisionError

    engine = FragileEngine(not_five)
    outcomes = infer(chunks(*range(8)), engine)
    assert texts(outcomes) == [str(n) if n != 5 else "engine_bug" for n in range(8)]
    assert isinstance(outcomes[5].error, RetryableError)
    assert engine.passes[1:] == [[float(n)] for n in range(8)]


def test_an_engine_that_loses_an_outcome_is_a_bug_as_well():
    class LosingEngine(FragileEngine):
        def run(self, micro_batch):
            return super().run(micro_batch)[: max(1, len(micro_batch) - 1)]

    assert texts(infer(chunks(1, 2, 3), LosingEngine(never))) == ["1", "2", "3"]


def test_an_input_that_the_engine_refuses_fails_alone():
    class RefusingEngine(FragileEngine):
        def run(self, micro_batch):
            from gpu_worker.engine import Failed as Refused

            return [*super().run(micro_batch[:-1]), Refused(CallerError("language_not_supported", "no"))]

    outcomes = infer(chunks(1, 2), RefusingEngine(never))
    assert texts(outcomes) == ["1", "language_not_supported"]


@pytest.mark.parametrize("want_words", [True, False])
def test_the_engine_is_told_what_the_item_asked_for(want_words):
    seen = []

    class ListeningEngine(FragileEngine):
        def run(self, micro_batch):
            seen.extend(micro_batch)
            return super().run(micro_batch)

    work = claimed("a", language="de", return_timestamps=want_words)
    (outcome,) = infer(chunks_of(work, 1.0), ListeningEngine(never))
    assert (seen[0].language, seen[0].want_words) == ("de", want_words)
    assert not isinstance(outcome, Failed)
