from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr_queue.errors import CallerError, EngineOutOfMemoryError, EngineRestingError, RetryableError
from gpu_worker.engine import Done, Limits, Recognition
from gpu_worker.pipeline import infer as infer_module
from gpu_worker.pipeline.infer import infer
from gpu_worker.work import Failed, Processed
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
    return [one.output.text if isinstance(one, Processed) else one.error.code for one in outcomes]


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


def test_an_engine_that_rests_is_asked_once_and_every_item_comes_back_after_that():
    def rests(values):
        raise EngineRestingError("it rests", retry_after_s=40.0)

    engine = FragileEngine(rests)
    outcomes = infer(chunks(*range(8)), engine)
    assert [one.error.retry_after_s for one in outcomes] == [40.0] * 8
    assert len(engine.passes) == 1


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

    work = claimed("a", language="de", return_timestamps=want_words, prompt="Norland")
    (outcome,) = infer(chunks_of(work, 1.0), ListeningEngine(never))
    assert (seen[0].language, seen[0].want_words, seen[0].prompt) == ("de", want_words, "Norland")
    assert not isinstance(outcome, Failed)


class TestWhatItCosts:
    """The clock is moved by the engine: a second a pass, and one more for each input."""

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = SimpleNamespace(now_s=0.0)
        monkeypatch.setattr(infer_module.time, "monotonic", lambda: clock.now_s)
        return clock

    def moving(self, clock, breaks):
        def take_time(values):
            clock.now_s += 1 + len(values)
            breaks(values)

        return FragileEngine(take_time)

    def test_a_pass_is_shared_by_the_length_of_the_audio(self, clock):
        chunks = [*chunks_of(claimed("a"), 9.0, 3.0), *chunks_of(claimed("b"), 4.0)]
        outcomes = infer(chunks, self.moving(clock, never))
        assert [one.device_s for one in outcomes] == [pytest.approx(4 * part / 16) for part in (9, 3, 4)]
        assert [one.micro_batch for one in outcomes] == [3, 3, 3]

    def test_a_refused_input_has_its_share_as_well(self, clock):
        class RefusingEngine(FragileEngine):
            def run(self, micro_batch):
                from gpu_worker.engine import Failed as Refused

                return [*super().run(micro_batch)[:-1], Refused(CallerError("language_not_supported", "no"))]

        engine = RefusingEngine(self.moving(clock, never)._breaks)
        outcomes = infer(chunks(1, 2), engine)
        assert [one.device_s for one in outcomes] == [1.5, 1.5]
        assert isinstance(outcomes[1], Failed)

    @given(
        lengths_s=st.lists(st.floats(0.1, 1200.0), min_size=1, max_size=16),
        fits=st.integers(0, 16),
        broken=st.sets(st.integers(0, 15)),
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_the_shares_come_to_the_time_of_all_passes_whatever_fails(self, clock, lengths_s, fits, broken):
        def breaks(values):
            if len(values) > fits:
                raise EngineOutOfMemoryError("too much")
            if broken.intersection(int(value) for value in values):
                raise ZeroDivisionError

        clock.now_s = 0.0
        every = [
            chunk
            for n, length_s in enumerate(lengths_s)
            for chunk in chunks_of(claimed(str(n)), length_s, samples=np.array([n], np.float32))
        ]
        outcomes = infer(every, self.moving(clock, breaks))
        assert sum(one.device_s for one in outcomes) == pytest.approx(clock.now_s)
        assert all(1 <= one.micro_batch <= max(fits, 1) for one in outcomes)
