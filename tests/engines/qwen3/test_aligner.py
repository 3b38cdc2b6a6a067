"""The aligner gives transformers' own times, in any company, and never an exception for a text it cannot align."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3ASRForTokenClassification

from asr_queue.domain.languages import NAMES
from asr_queue.domain.transcript import Word
from asr_queue.errors import EngineLoadError
from gpu_worker.engine import Done, EngineSettings, Failed
from gpu_worker.engines.qwen3 import aligning as aligning_module
from gpu_worker.engines.qwen3.aligning import Aligning, Spoken
from gpu_worker.engines.qwen3_aligner import AlignmentInput, Qwen3Aligner
from tests.engines.qwen3 import tiny

SAID = [
    (4.2, "en", "“Well,” he said — no. It's well-known!"),
    (0.1, "fr", "Ah?"),
    (2.0, "zh", "他说：「好。」对吗？"),
    (5.0, "de", "Über alle Gipfel ist Ruh, in allen Wipfeln spürest du kaum einen Hauch."),
    (1.0, "ru", "Да"),
]
INPUTS = [
    AlignmentInput(samples=tiny.clip(seconds, seed), text=text, language=language)
    for seed, (seconds, language, text) in enumerate(SAID)
]


@pytest.fixture(scope="module")
def aligner(tiny_aligner_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Qwen3Aligner:
    made = Qwen3Aligner(
        EngineSettings(cache_dir=tmp_path_factory.mktemp("cache"), aligner=str(tiny_aligner_folder), device="cpu")
    )
    made.load()
    return made


def native_times_ms(model: Qwen3ASRForTokenClassification, one: AlignmentInput) -> tuple[list[str], list[int]]:
    processor = tiny.processor(aligning=True)
    inputs, words = processor.prepare_forced_aligner_inputs(
        [one.samples], [one.text], language=one.language and NAMES[one.language]
    )
    with torch.inference_mode():
        logits = model(**inputs).logits
    (aligned,) = processor.decode_forced_alignment(logits, inputs["input_ids"], words, model.config.timestamp_token_id)
    times = [round(1000 * time_s) for word in aligned for time_s in (word["start_time"], word["end_time"])]
    return words[0], times


def words_of(outcome: Done[tuple[Word, ...]] | Failed) -> tuple[Word, ...]:
    assert isinstance(outcome, Done), outcome
    return outcome.value


@pytest.mark.parametrize("one", INPUTS, ids=[language for _, language, _ in SAID])
def test_times_are_those_of_transformers(tiny_aligner: Qwen3ASRForTokenClassification, one: AlignmentInput) -> None:
    tokens, times_ms = native_times_ms(tiny_aligner, one)
    ours = Aligning(tiny_aligner, tiny.tokenizer()).times_ms([Spoken(samples=one.samples, tokens=tokens)])
    assert ours == [times_ms]
    assert len(set(times_ms)) > 1 or len(tokens) == 1, "the model must tell tokens apart for this to show anything"


@pytest.mark.parametrize("at_once", [16_384, 100, 1])
def test_a_text_has_the_same_times_in_any_company(
    aligner: Qwen3Aligner, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    alone = [aligner.run([one])[0] for one in INPUTS]
    monkeypatch.setattr(aligning_module, "MAX_PREFILL_TOKENS", at_once)
    assert aligner.run(INPUTS) == alone
    assert aligner.run(INPUTS[::-1]) == alone[::-1]


def test_words_are_the_text_and_stay_inside_the_clip(aligner: Qwen3Aligner) -> None:
    for one, outcome in zip(INPUTS, aligner.run(INPUTS), strict=True):
        words = words_of(outcome)
        joint = "" if one.language == "zh" else " "
        assert joint.join(word.text for word in words) == one.text
        times_s = [time_s for word in words for time_s in (word.start_s, word.end_s)]
        assert times_s == sorted(times_s)
        assert times_s[-1] <= one.samples.size / tiny.SAMPLE_RATE_HZ


def test_a_text_without_letters_has_its_marks(aligner: Qwen3Aligner) -> None:
    (outcome,) = aligner.run([AlignmentInput(samples=tiny.clip(1.0), text="… !", language="en")])
    assert words_of(outcome) == (Word(0.0, 1.0, "…"), Word(0.0, 1.0, "!"))


@pytest.mark.parametrize(
    ("language", "why"), [("sv", "no word times in Swedish.*Spanish"), (None, "not known"), ("tl", "Filipino")]
)
def test_a_language_that_cannot_be_aligned_fails_alone(aligner: Qwen3Aligner, language: str, why: str) -> None:
    odd = AlignmentInput(samples=tiny.clip(1.0), text="Ja visst.", language=language)
    before, failed, after = aligner.run([INPUTS[0], odd, INPUTS[0]])
    assert words_of(before) == words_of(after)
    assert isinstance(failed, Failed)
    assert failed.error.code == "timestamps_unavailable"
    with pytest.raises(type(failed.error), match=why):
        raise failed.error


@pytest.mark.parametrize(("language", "package"), [("ja", "nagisa"), ("ko", "soynlp")])
def test_a_missing_package_is_named(
    aligner: Qwen3Aligner, monkeypatch: pytest.MonkeyPatch, language: str, package: str
) -> None:
    processing = "transformers.models.qwen3_asr.processing_qwen3_asr"
    monkeypatch.setattr(f"{processing}.is_{package}_available", lambda: False)
    (failed,) = aligner.run([AlignmentInput(samples=tiny.clip(1.0), text="はい 네", language=language)])
    assert isinstance(failed, Failed)
    assert f"pip install {package}" in failed.error.message


def test_memory_that_runs_out_is_met_with_smaller_passes(
    aligner: Qwen3Aligner, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = aligner.run(INPUTS)
    inside, passes = Aligning.times_ms, []

    def scarce(self: Aligning, spoken: list[Spoken]) -> list[list[int]]:
        passes.append(len(spoken))
        if len(spoken) > 2 or spoken[0].samples.size == INPUTS[3].samples.size:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inside(self, spoken)

    monkeypatch.setattr(Aligning, "times_ms", scarce)
    outcomes = aligner.run(INPUTS)
    assert passes == [5, 2, 3, 1, 2, 1, 1]
    assert [isinstance(one, Failed) for one in outcomes] == [False, False, False, True, False]
    assert [one for i, one in enumerate(outcomes) if i != 3] == [one for i, one in enumerate(usual) if i != 3]
    monkeypatch.undo()
    assert aligner.run(INPUTS) == usual


def test_it_runs_only_while_it_is_loaded(tiny_aligner_folder: Path, tmp_path: Path) -> None:
    aligner = Qwen3Aligner(EngineSettings(cache_dir=tmp_path, aligner=str(tiny_aligner_folder), device="cpu"))
    found = []
    for _ in range(2):
        with pytest.raises(RuntimeError, match="before load"):
            aligner.run(INPUTS[:1])
        aligner.load()
        aligner.load()
        found += aligner.run(INPUTS[:1])
        aligner.unload()
        aligner.unload()
    assert found[0] == found[1]


def test_a_recogniser_is_refused_as_an_aligner(tiny_asr_folder: Path, tmp_path: Path) -> None:
    aligner = Qwen3Aligner(EngineSettings(cache_dir=tmp_path, aligner=str(tiny_asr_folder), device="cpu"))
    with pytest.raises(EngineLoadError, match="score"):
        aligner.load()


def test_a_head_that_is_not_known_is_refused(tmp_path: Path) -> None:
    config = tiny.config()
    config.token_classification_bias, config.num_labels = True, tiny.N_TIME_CLASSES
    Qwen3ASRForTokenClassification(config).save_pretrained(tmp_path)
    tiny.processor(aligning=True).save_pretrained(tmp_path)
    aligner = Qwen3Aligner(EngineSettings(cache_dir=tmp_path, aligner=str(tmp_path), device="cpu"))
    with pytest.raises(EngineLoadError, match="bias"):
        aligner.load()


@pytest.mark.parametrize(("field", "value"), [("device", "tpu9"), ("device", "cuda:99"), ("dtype", "int3")])
def test_a_device_or_type_that_there_is_not_is_named(
    tiny_aligner_folder: Path, tmp_path: Path, field: str, value: str
) -> None:
    settings = EngineSettings(cache_dir=tmp_path, aligner=str(tiny_aligner_folder), **{field: value})
    with pytest.raises(EngineLoadError, match=value):
        Qwen3Aligner(settings).load()


def test_half_precision_changes_no_shape(tiny_aligner_folder: Path, tmp_path: Path) -> None:
    settings = EngineSettings(cache_dir=tmp_path, aligner=str(tiny_aligner_folder), device="cpu", dtype="bfloat16")
    aligner = Qwen3Aligner(settings)
    aligner.load()
    assert [len(words_of(one)) for one in aligner.run(INPUTS)] == [7, 1, 5, 13, 1]
    assert not np.isnan([word.start_s for one in aligner.run(INPUTS) for word in words_of(one)]).any()
