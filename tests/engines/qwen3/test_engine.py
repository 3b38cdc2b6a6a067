"""What the engine makes of what the model says: transformers' own text, every remark, and never less than the text."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import Qwen3ASRConfig

from asr_queue.domain.items import ItemStatus
from asr_queue.domain.languages import NAMES
from asr_queue.domain.transcript import Word
from asr_queue.errors import EngineLoadError, EngineOutOfMemoryError
from gpu_worker.engine import EngineSettings, Recognition, SpeechInput
from gpu_worker.engines import qwen3_asr
from gpu_worker.engines.qwen3 import memory
from gpu_worker.engines.qwen3.cache import bytes_a_token
from gpu_worker.engines.qwen3.encoder import AudioEncoder
from gpu_worker.engines.qwen3.generation import Generator
from gpu_worker.engines.qwen3.memory import context_tokens
from gpu_worker.engines.qwen3.parsing import parse
from gpu_worker.engines.qwen3.prompts import Prompts
from gpu_worker.engines.qwen3.requests import Generated
from gpu_worker.engines.qwen3.weights import load_asr
from gpu_worker.engines.qwen3_aligner import Qwen3Aligner
from gpu_worker.engines.qwen3_asr import Qwen3AsrEngine
from gpu_worker.pipeline.flow import STATUS_BROKEN
from gpu_worker.pipeline.infer import infer
from gpu_worker.work import Failed, Processed
from tests.engines.clips import clips_of, value_of
from tests.engines.qwen3 import tiny
from tests.pipeline.makers import chunks_of, claimed
from tests.pipeline.rig import Rig

Say = Callable[..., None]


@pytest.fixture(scope="module")
def engine(settings: EngineSettings) -> Iterator[Qwen3AsrEngine]:
    made = Qwen3AsrEngine(settings)
    made.load()
    yield made
    made.unload()


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Have the model say what it is told, clip by clip."""

    def say(*texts: str) -> None:
        encode = tiny.tokenizer()
        said = [Generated(tuple(encode(text)["input_ids"]), is_truncated=False) for text in texts]
        monkeypatch.setattr(Generator, "generate", lambda _, requests: said[: len(requests)])

    return say


def heard(seconds: float, language: str | None = None, *, want_words: bool = False, seed: int = 0) -> SpeechInput:
    """A clip that is taken for speech."""
    return SpeechInput(samples=tiny.clip(seconds, seed), language=language, want_words=want_words, has_speech=True)


def values(engine: Qwen3AsrEngine, *inputs: SpeechInput) -> list[Recognition]:
    return [value_of(outcome) for outcome in engine.run(inputs)]


@pytest.mark.parametrize("prompt", ["", "Dashwood, Norland"])
@pytest.mark.parametrize("language", [None, "en", "tl", "zh"])
def test_the_text_is_what_transformers_makes_of_the_clip(
    engine: Qwen3AsrEngine, settings: EngineSettings, language: str | None, prompt: str
) -> None:
    model = load_asr(str(settings.model), device=torch.device("cpu"), dtype=torch.float32)
    processor = tiny.processor()
    plain = [heard(seconds, language, seed=seed) for seed, seconds in enumerate((0.3, 2.0, 8.5, 1.0))]
    inputs = [replace(one, prompt=prompt) for one in plain]
    found = values(engine, *inputs)
    assert sum(bool(ours.text) for ours in found) >= 3, "the model must say something for this to show anything"
    for one, ours in zip(inputs, found, strict=True):
        request = processor.apply_transcription_request(
            [one.samples], language=language and NAMES[language], prompt=prompt or None
        )
        ids = model.generate(**request, do_sample=False, max_new_tokens=300)[0, request["input_ids"].shape[1] :]
        theirs = processor.decode(ids, return_format="parsed")
        assert ours.text == " ".join(theirs["transcription"].split())
        assert ours.language == language


def test_clips_with_prompts_and_without_are_each_as_alone(engine: Qwen3AsrEngine) -> None:
    inputs = [replace(heard(1.0 + n % 3, "en", seed=n), prompt="Norland " * (n % 4)) for n in range(8)]
    together = values(engine, *inputs)
    assert together == [values(engine, one)[0] for one in inputs]
    assert together[1] != values(engine, replace(inputs[1], prompt=""))[0], "a prompt must change what is generated"


def test_the_language_is_the_one_that_the_model_named(engine: Qwen3AsrEngine, say: Say) -> None:
    say("language German<asr_text>Guten Tag.", "language None<asr_text>", "language Elvish<asr_text>Mae govannen.")
    german, nobody, other = values(engine, heard(1.0), heard(1.0), heard(1.0))
    assert (german.text, german.language) == ("Guten Tag.", "de")
    assert (nobody.text, nobody.language) == ("", None)
    assert (other.text, other.language) == ("Mae govannen.", None)


def test_a_hint_is_taken_as_given(engine: Qwen3AsrEngine, say: Say) -> None:
    say("Guten Tag.", "")
    said, nothing = values(engine, heard(1.0, "de"), heard(1.0, "de"))
    assert (said.text, said.language) == ("Guten Tag.", "de")
    assert (nothing.text, nothing.language) == ("", "de")


def test_a_text_that_was_cut_off_says_so(engine: Qwen3AsrEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    one = heard(8.5, "en", seed=2)
    (whole,) = values(engine, one)
    monkeypatch.setattr(qwen3_asr, "most_new_tokens", lambda _: 3)
    (cut,) = values(engine, one)
    assert (whole.is_truncated, cut.is_truncated) == (False, True)
    assert len(whole.text) > 3
    assert whole.text.startswith(cut.text)


def test_a_model_that_runs_in_circles_is_told_of(engine: Qwen3AsrEngine, say: Say) -> None:
    say("and so" + " on and" * 60, "no, no, no")
    circles, plain = values(engine, heard(1.0, "en"), heard(1.0, "en"))
    assert (circles.text, circles.is_repetitive) == ("and so on and", True)
    assert (plain.text, plain.is_repetitive) == ("no, no, no", False)


def test_what_holds_no_speech_never_reaches_the_model(engine: Qwen3AsrEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = clips_of("en")[0].samples
    noise = tiny.clip(2.0)
    asked: list[int] = []
    inside = Generator.generate
    monkeypatch.setattr(
        Generator, "generate", lambda self, requests: asked.append(len(requests)) or inside(self, requests)
    )
    inputs = [SpeechInput(samples=samples, language="en", want_words=True) for samples in (speech, noise, speech)]
    first, silent, second = values(engine, *inputs)
    assert asked == [2]
    assert (silent.text, silent.language, silent.words) == ("", "en", ())
    assert first == second
    assert first.text


def test_what_the_pipe_has_heard_is_not_listened_to_again(engine: Qwen3AsrEngine) -> None:
    speech = SpeechInput(samples=clips_of("en")[0].samples, language="en", want_words=False)
    assert engine.has_speech(speech.samples)
    assert not engine.has_speech(tiny.clip(2.0))
    told_otherwise, told = values(engine, replace(speech, has_speech=False), heard(2.0, "en"))
    assert told_otherwise.text == ""
    assert told.text


def test_words_have_their_times_and_the_punctuation_of_the_text(engine: Qwen3AsrEngine, say: Say) -> None:
    say("“Well,” he said — no.")
    (one,) = values(engine, heard(3.0, "en", want_words=True))
    assert one.words is not None
    assert [word.text for word in one.words] == ["“Well,”", "he", "said", "—", "no."]
    assert all(word.end_s <= other.start_s for word, other in pairwise(one.words))
    assert 0 <= one.words[0].start_s <= one.words[-1].end_s <= 3.0


@pytest.mark.parametrize(("language", "text"), [("sv", "Ja visst."), (None, "Mae govannen.")])
def test_a_language_without_alignment_costs_the_times_and_not_the_text(
    engine: Qwen3AsrEngine, say: Say, language: str | None, text: str
) -> None:
    say(text, "No.")
    odd, plain = values(engine, heard(1.0, language, want_words=True), heard(1.0, "en", want_words=True))
    assert (odd.text, odd.words) == (text, ())
    assert odd.timestamps_unavailable
    assert plain.words
    assert plain.timestamps_unavailable is None


def test_an_alignment_that_raises_costs_the_times_of_that_text_alone(
    engine: Qwen3AsrEngine, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("Yes.", "Boom!", "No.")
    inside = Qwen3Aligner.run

    def fragile(self, inputs):
        if any("Boom" in one.text for one in inputs):
            raise ZeroDivisionError
        return inside(self, inputs)

    monkeypatch.setattr(Qwen3Aligner, "run", fragile)
    yes, boom, no = values(engine, *[heard(1.0, "en", want_words=True)] * 3)
    assert [len(one.words or ()) for one in (yes, boom, no)] == [1, 0, 1]
    assert boom.text == "Boom!"
    assert "failed" in str(boom.timestamps_unavailable)


def test_a_worker_without_an_aligner_says_so(settings: EngineSettings) -> None:
    engine = Qwen3AsrEngine(replace(settings, aligner="none"))
    engine.load()
    with_words, without = values(engine, heard(2.0, "en", want_words=True), heard(2.0, "en"))
    engine.unload()
    assert with_words.text == without.text
    assert with_words.words == ()
    assert "without an aligner" in str(with_words.timestamps_unavailable)
    assert without.timestamps_unavailable is None


def test_memory_that_runs_out_is_told_and_survived(engine: Qwen3AsrEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [heard(1.0 + seed, "en", want_words=True, seed=seed) for seed in range(5)]
    before = values(engine, *inputs)
    inside = AudioEncoder.encode

    def scarce(self, seconds, n_frames):
        if len(n_frames) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return inside(self, seconds, n_frames)

    monkeypatch.setattr(AudioEncoder, "encode", scarce)
    with pytest.raises(EngineOutOfMemoryError, match="5 inputs"):
        engine.run(inputs)
    chunks = [
        chunk
        for one in inputs
        for chunk in chunks_of(claimed(language="en"), one.samples.size / tiny.SAMPLE_RATE_HZ, samples=one.samples)
    ]
    halved = infer([replace(chunk, has_speech=True) for chunk in chunks], engine)
    assert [one.output for one in halved if isinstance(one, Processed)] == before
    monkeypatch.undo()
    assert values(engine, *inputs) == before


def test_an_input_that_never_fits_ends_and_the_others_are_done(
    engine: Qwen3AsrEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = AudioEncoder.encode

    def scarce(self, seconds, n_frames):
        if max(n_frames) > 400:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return inside(self, seconds, n_frames)

    monkeypatch.setattr(AudioEncoder, "encode", scarce)
    inputs = [heard(seconds, "en") for seconds in (1.0, 6.0, 2.0)]
    chunks = [
        replace(chunk, has_speech=True)
        for one in inputs
        for chunk in chunks_of(claimed(language="en"), one.samples.size / tiny.SAMPLE_RATE_HZ, samples=one.samples)
    ]
    first, large, last = infer(chunks, engine)
    assert isinstance(first, Processed)
    assert isinstance(last, Processed)
    assert isinstance(large, Failed)
    assert large.error.code == "engine_out_of_memory"


@pytest.mark.parametrize("failing", [Generator, Qwen3Aligner])
def test_a_device_that_failed_ends_the_worker_and_costs_no_item(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, failing: type
) -> None:
    rig = Rig(Qwen3AsrEngine(settings))
    batch = rig.submit(clips_of("en")[0].path.read_bytes(), return_timestamps=True, language="en")
    inside = Qwen3AsrEngine.load

    def load_and_fail(self) -> None:
        inside(self)

        def fail(*_) -> None:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

        monkeypatch.setattr(failing, "generate" if failing is Generator else "run", fail)

    monkeypatch.setattr(Qwen3AsrEngine, "load", load_and_fail)
    assert rig.flow().run() == STATUS_BROKEN
    assert [item.status for item in rig.items(batch)] == [ItemStatus.PROCESSING]
    assert rig.queue.backlog().visible == 1


def test_a_larger_micro_batch_is_recognised_as_each_clip_alone(settings: EngineSettings) -> None:
    engine = Qwen3AsrEngine(replace(settings, micro_batch=24))
    assert engine.limits.max_micro_batch == 24
    engine.load()
    inputs = [heard(0.5 + seed % 4, "en", seed=seed) for seed in range(24)]
    together = values(engine, *inputs)
    alone = [values(engine, inputs[i])[0] for i in (0, 6, 23)]
    engine.unload()
    assert [together[i] for i in (0, 6, 23)] == alone


def enough_for_a_minute(settings: EngineSettings) -> int:
    """Return the bytes of a processor's memory of which half are enough for the work and one clip of a minute."""
    config = Qwen3ASRConfig.from_pretrained(settings.model)
    prompt_tokens = Prompts(tiny.tokenizer()).most_tokens
    cache = context_tokens(60, prompt_tokens=prompt_tokens) * bytes_a_token(config.text_config, torch.float32)
    return round(2 * (memory._work_bytes(config, settings.micro_batch, torch.float32) + cache))


def test_a_small_device_takes_shorter_clips_and_says_so(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Qwen3AsrEngine(settings)
    assert (engine.limits.max_chunk_s, engine.limits.max_chunk_with_words_s) == (1200.0, 300.0)
    monkeypatch.setattr(qwen3_asr, "free_bytes", lambda _, **__: enough_for_a_minute(settings))
    engine.load()
    longest_s = engine.limits.max_chunk_s
    assert longest_s == 60
    assert engine.limits.max_chunk_with_words_s == longest_s
    fits, beyond = engine.run([heard(longest_s, "en"), heard(longest_s + 0.01, "en")])
    engine.unload()
    assert value_of(fits).text
    assert beyond.error.code == "audio_too_long"


def test_a_device_without_room_is_refused_at_the_start(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qwen3_asr, "free_bytes", lambda _, **__: 1 << 30)
    with pytest.raises(EngineLoadError, match=r"1\.0 GiB left"):
        Qwen3AsrEngine(settings).load()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "/no/such/folder"}, "/no/such/folder"),
        ({"aligner": "/no/such/folder"}, "/no/such/folder"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_what_cannot_be_loaded_is_named(settings: EngineSettings, change: dict[str, str], why: str) -> None:
    engine = Qwen3AsrEngine(replace(settings, **change))
    with pytest.raises(EngineLoadError, match=why):
        engine.load()
    with pytest.raises(RuntimeError, match="before load"):
        engine.run([heard(1.0)])


def test_recordings_go_through_the_whole_pipe(settings: EngineSettings) -> None:
    clips = [clip for language in ("en", "it", "ru") for clip in clips_of(language)[:2]]
    rig = Rig(Qwen3AsrEngine(settings))
    english = rig.submit(*(clip.path.read_bytes() for clip in clips), return_timestamps=True, language="en")
    swedish = rig.submit(clips[0].path.read_bytes(), return_timestamps=True, language="sv")
    with rig.worker():
        transcripts = [rig.transcript(item) for item in rig.finished(english)]
        (without,) = [rig.transcript(item) for item in rig.finished(swedish)]
    assert len({one["text"] for one in transcripts}) == len(clips)
    for one in transcripts:
        assert " ".join(word["text"] for word in one["timestamps"]) == one["text"]
        assert parse(one["text"]).text == one["text"]
    assert without["text"]
    assert without["timestamps"] == []
    assert "Swedish" in without["timestamps_unavailable"]


def test_words_are_seconds_of_the_clip(engine: Qwen3AsrEngine, say: Say) -> None:
    say("One.")
    (one,) = values(engine, heard(0.2, "en", want_words=True))
    assert one.words == (Word(one.words[0].start_s, one.words[0].end_s, "One."),)
    assert np.all(np.array([one.words[0].start_s, one.words[0].end_s]) <= 0.2)
