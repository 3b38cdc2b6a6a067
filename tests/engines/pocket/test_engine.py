"""The engine on transformers' own classes, with random weights: nothing is downloaded, nothing is learned."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    PocketTTSAudioTokenizerModel,
    PocketTTSForConditionalGeneration,
    PocketTTSProcessor,
)

from asr_queue.errors import EngineLoadError, EngineNoRoomError, EngineOutOfMemoryError
from gpu_worker.engine import Done, EngineSettings, Failed, Speech, VoiceInput
from gpu_worker.engines import pocket_tts
from gpu_worker.engines.pocket.noise import noise_of, seed_of
from gpu_worker.engines.pocket.speaking import Speaker
from gpu_worker.engines.pocket.voices import HeardVoices
from gpu_worker.engines.pocket_tts import DEFAULT_LANGUAGES, LANGUAGES, PocketTtsEngine
from gpu_worker.engines.pytorch import arena as arenas
from gpu_worker.engines.pytorch import residence
from tests.engines.pocket import tiny
from tests.engines.pocket.tiny import FRAME, asked, voice

TEXTS = ["Hello.", "Good morning to you all.", "Wie geht's?", "one", "two"]


def said(engine: PocketTtsEngine, *inputs: VoiceInput) -> list[Speech]:
    outcomes = engine.run(list(inputs))
    assert all(isinstance(one, Done) for one in outcomes), outcomes
    return [one.value for one in outcomes if isinstance(one, Done)]


def assert_alike(one: Speech, other: Speech) -> None:
    """Up to the rounding of sums that are of other widths."""
    assert one.is_truncated == other.is_truncated
    np.testing.assert_allclose(one.samples, other.samples, atol=1e-4)


@contextmanager
def counted(engine: PocketTtsEngine) -> Iterator[list[None]]:
    """Grows by one whenever a sample is encoded."""
    assert engine._parts is not None
    heard: list[None] = []
    hook = engine._parts.checkpoint.codec.encoder.register_forward_hook(lambda *_: heard.append(None))
    yield heard
    hook.remove()


def test_the_samples_are_those_of_transformers(
    engine: PocketTtsEngine, tiny_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, spoken = tiny_folder(), voice()
    official = PocketTTSForConditionalGeneration.from_pretrained(folder)
    processor = PocketTTSProcessor.from_pretrained(folder)
    processor.audio_tokenizer = PocketTTSAudioTokenizerModel.from_pretrained(folder / "audio_tokenizer")
    for text in TEXTS:
        content = [{"type": "audio"}, {"type": "text", "text": text}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}])
        inputs = processor(
            text=[prompt],
            audio=[spoken.samples],
            audio_kwargs={"sampling_rate": tiny.RATE_HZ},
            return_tensors="pt",
        )
        noise = iter(noise_of([seed_of(text, spoken.digest)], n_frames=751, size=8))
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *_, noise=noise, **__: next(noise))
            made = official.generate(**inputs, do_sample=True, temperature=0.7)
        samples = processor.decode(made.audio_latents[0])
        (ours,) = said(engine, asked(text, spoken))
        np.testing.assert_allclose(ours.samples, np.clip(samples.numpy(), -1, 1), atol=1e-5)


def test_lengths_and_voices_of_a_pass_are_mixed_and_none_changes_another(engine: PocketTtsEngine) -> None:
    voices = [voice(0, 3.0), voice(1, 7.3), voice(2, 4.0)]
    inputs = [asked(text, voices[i % 3]) for i, text in enumerate(TEXTS)]
    together = said(engine, *inputs)
    backwards = said(engine, *reversed(inputs))
    assert len({one.samples.size for one in together}) > 1
    for one, input_, other in zip(together, inputs, reversed(backwards), strict=True):
        assert_alike(one, said(engine, input_)[0])
        assert_alike(one, other)
        assert one.samples.size % FRAME == 0
        assert 0.05 < np.abs(one.samples).max() <= 1


def test_the_voice_and_the_text_make_the_sound(engine: PocketTtsEngine) -> None:
    first, again, voiced, worded = said(
        engine, asked("one", voice(0)), asked("one", voice(0)), asked("one", voice(1)), asked("two", voice(0))
    )
    assert_alike(first, again)
    for other in (voiced, worded):
        size = min(other.samples.size, first.samples.size)
        assert np.abs(other.samples[:size] - first.samples[:size]).max() > 0.01


def test_a_voice_is_heard_once(engine: PocketTtsEngine) -> None:
    spoken = [voice(100), voice(101)]
    with counted(engine) as heard:
        said(engine, asked("one", spoken[0]), asked("two", spoken[0]), asked("one", spoken[1]))
        assert len(heard) == 2
        said(engine, asked("three", spoken[1]), asked("four", spoken[0]))
        engine.park()
        engine.load()
        said(engine, asked("five", spoken[0]))
        assert len(heard) == 2


def test_with_no_memory_for_voices_each_is_heard_anew(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pocket_tts, "_KEPT_BYTES", 0)
    engine = PocketTtsEngine(settings)
    engine.load()
    with counted(engine) as heard:
        before, after = (said(engine, asked("one", voice()))[0] for _ in range(2))
        assert len(heard) == 2
    np.testing.assert_array_equal(before.samples, after.samples)
    engine.unload()


def test_voices_are_forgotten_in_the_order_of_their_last_use_where_their_bytes_are_too_many() -> None:
    voices = HeardVoices(3 * 400)
    for digest in "abc":
        voices.put(digest, torch.zeros(100))
    assert voices.get("a") is not None
    voices.put("d", torch.zeros(100))
    assert [digest for digest in "abcd" if voices.get(digest) is None] == ["b"]
    voices.put("e", torch.zeros(250))
    assert [digest for digest in "abcde" if voices.get(digest) is None] == list("abcd")
    voices.put("f", torch.zeros(301))
    assert all(voices.get(digest) is None for digest in "abcdef")


def test_a_text_that_never_ends_is_cut_off_where_its_length_allows(
    settings: EngineSettings, tiny_folder: Callable[..., Path]
) -> None:
    engine = PocketTtsEngine(replace(settings, model=str(tiny_folder(ends=False))))
    engine.load()
    texts = ["ab", "a" * 30, "你" * 200]
    for text, one in zip(texts, said(engine, *(asked(text, voice()) for text in texts)), strict=True):
        # A byte is a token here, and there are two markers.
        seconds = min(2 + (len(text.encode()) + 2) / 3, 60)
        assert one.samples.size == FRAME * math.ceil(12.5 * seconds)
        assert one.is_truncated
    engine.unload()


def test_markers_of_the_model_are_no_text(engine: PocketTtsEngine) -> None:
    marked, plain, only = engine.run(
        [
            asked("<audio_bos>one<audio_prompt>", voice()),
            asked(" one ", voice()),
            asked("<audio_latent><pad>", voice()),
        ]
    )
    assert isinstance(marked, Done)
    assert isinstance(plain, Done)
    assert_alike(marked.value, plain.value)
    assert isinstance(only, Failed)
    assert only.error.code == "text_empty"


@pytest.mark.parametrize("text", ["x" * 200, "你好。" * 60, "مرحبا 🎧 \x00 \u202e", "7" * 200, "a\n\n\tb", "{{ x }}"])
def test_whatever_the_text_holds_it_is_said_in_bounds(engine: PocketTtsEngine, text: str) -> None:
    (one,) = said(engine, asked(text, voice(), None))
    assert 0 < one.samples.size <= 60 * tiny.RATE_HZ
    assert np.isfinite(one.samples).all()


def test_half_precision_is_spoken_too(settings: EngineSettings) -> None:
    # What a GPU computes in by default.
    engine = PocketTtsEngine(replace(settings, dtype="bfloat16"))
    engine.load()
    for one in said(engine, *(asked(text, voice()) for text in TEXTS)):
        assert 0.05 < np.abs(one.samples).max() <= 1
    engine.unload()


def test_other_weights_speak_one_of_six_languages_and_its_own_english(settings: EngineSettings) -> None:
    assert PocketTtsEngine(replace(settings, model=None)).limits.languages == DEFAULT_LANGUAGES == {"en"}
    assert PocketTtsEngine(settings).limits.languages == LANGUAGES


def test_no_memory_for_a_pass_is_told_and_the_next_goes_well(
    engine: PocketTtsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = said(engine, asked("one", voice()))

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("It is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Speaker, "say", full)
        with pytest.raises(EngineOutOfMemoryError, match="1 inputs"):
            engine.run([asked("one", voice())])
    np.testing.assert_array_equal(said(engine, asked("one", voice()))[0].samples, before[0].samples)


def test_with_no_room_it_stays_parked_or_is_unloaded_and_says_the_same_later(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = PocketTtsEngine(settings)
    engine.load()
    before = said(engine, asked("one", voice()))[0]

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("It is full.")

    engine.park()
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(arenas.Arena, "enter", full)
            with pytest.raises(EngineNoRoomError, match="It is full"):
                engine.load()
        assert engine.device_bytes == 0
    engine.load()
    np.testing.assert_array_equal(said(engine, asked("one", voice()))[0].samples, before.samples)
    engine.unload()
    engine.load()
    with monkeypatch.context() as patch:
        patch.setattr(residence, "Movable", full)
        engine.park()
    assert engine.device_bytes == 0
    with pytest.raises(RuntimeError, match="before load"):
        said(engine, asked("one", voice()))
    with monkeypatch.context() as patch:
        patch.setattr(Speaker, "say", full)
        with pytest.raises(EngineNoRoomError, match="1 inputs"):
            engine.load()
    engine.load()
    np.testing.assert_array_equal(said(engine, asked("one", voice()))[0].samples, before.samples)
    engine.unload()


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"torn")


def _of_another_kind(folder: Path) -> None:
    shutil.copy(folder / "audio_tokenizer" / "config.json", folder / "config.json")


def _of_another_width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))


def _without_codec(folder: Path) -> None:
    shutil.rmtree(folder / "audio_tokenizer")


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without_weights, "cannot be read"),
        (_of_another_kind, r"type 'pocket_tts_audio_tokenizer', not 'pocket_tts'"),
        (_of_another_width, r"missing keys \(model\.layers\.2"),
        (_without_codec, "has no codec"),
        (_without_tokenizer, "cannot be read"),
        (_without_template, "cannot be read"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_told(
    settings: EngineSettings,
    tiny_folder: Callable[..., Path],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    told: str,
) -> None:
    folder = shutil.copytree(tiny_folder(), tmp_path / "spoilt")
    spoil(folder)
    engine = PocketTtsEngine(replace(settings, model=str(folder)))
    with pytest.raises(EngineLoadError, match=told):
        engine.load()
    assert engine.device_bytes == 0


def test_what_fails_when_it_speaks_for_the_first_time_is_not_loaded(
    settings: EngineSettings, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder(), tmp_path / "spoilt")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('This template wants more than a text.') }}")
    engine = PocketTtsEngine(replace(settings, model=str(folder)))
    for _ in range(2):
        with pytest.raises(EngineLoadError, match=r"do not make it speak: .*wants more than a text"):
            engine.load()
    assert engine.device_bytes == 0


def test_a_codec_is_found_where_the_processor_says(
    settings: EngineSettings, tiny_folder: Callable[..., Path], tmp_path: Path, engine: PocketTtsEngine
) -> None:
    folder = shutil.copytree(tiny_folder(), tmp_path / "apart")
    (folder / "audio_tokenizer").rename(tmp_path / "codec")
    written = json.loads((folder / "processor_config.json").read_text())
    named = {"audio_tokenizer_class": "PocketTTSAudioTokenizerModel", "audio_tokenizer_name_or_path": "../codec"}
    (folder / "processor_config.json").write_text(json.dumps(written | {"audio_tokenizer": named}))
    apart = PocketTtsEngine(replace(settings, model=str(folder)))
    apart.load()
    (one,), (other,) = (said(each, asked("one", voice())) for each in (apart, engine))
    np.testing.assert_array_equal(one.samples, other.samples)
    apart.unload()


def test_a_codec_that_hears_no_voices_is_told(settings: EngineSettings, tiny_folder: Callable[..., Path]) -> None:
    engine = PocketTtsEngine(replace(settings, model=str(tiny_folder(hears=False))))
    with pytest.raises(EngineLoadError, match="no voice can be cloned"):
        engine.load()


def test_a_folder_without_a_checkpoint_and_a_device_that_is_not_there_are_told(
    settings: EngineSettings, tmp_path: Path
) -> None:
    for changed, told in (({"model": str(tmp_path)}, "cannot be read"), ({"device": "cuda:99"}, "cuda:99")):
        with pytest.raises(EngineLoadError, match=told):
            PocketTtsEngine(replace(settings, **changed)).load()
