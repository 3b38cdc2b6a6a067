"""Checkpoints in both layouts come back whole, and anything else is refused by name."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from asr_queue.errors import EngineLoadError
from gpu_worker.engines.pytorch.checkpoints import locate
from gpu_worker.engines.qwen3.weights import load_aligner, load_asr, load_tokenizer
from tests.engines.qwen3 import tiny
from tests.engines.qwen3.authors_layout import rewrite

_CPU = torch.device("cpu")
_EMBEDDING = "model.language_model.embed_tokens.weight"


@pytest.fixture
def damaged(tiny_asr_folder, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_asr_folder, tmp_path / "copy"))


def _assert_same_weights(model, expected) -> None:
    got, want = model.state_dict(), expected.state_dict()
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)


def _change(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _refusal(folder: Path | str) -> str:
    with pytest.raises(EngineLoadError) as refused:
        load_asr(folder, device=_CPU, dtype=torch.float32)
    return refused.value.message


def test_a_recogniser_in_transformers_layout_comes_back_equal(tiny_asr_folder, tiny_asr):
    _assert_same_weights(load_asr(tiny_asr_folder, device=_CPU, dtype=torch.float32), tiny_asr)


def test_a_recogniser_in_the_authors_layout_comes_back_equal(tiny_asr_folder, tiny_asr, tmp_path):
    loaded = load_asr(rewrite(tiny_asr_folder, tmp_path), device=_CPU, dtype=torch.float32)
    _assert_same_weights(loaded, tiny_asr)
    assert loaded.config.eos_token_id == tiny_asr.config.eos_token_id
    assert loaded.config.audio_token_id == tiny_asr.config.audio_token_id


@pytest.mark.parametrize("is_authors", [False, True])
def test_an_aligner_comes_back_equal_from_either_layout(tiny_aligner_folder, tiny_aligner, tmp_path, is_authors):
    folder = rewrite(tiny_aligner_folder, tmp_path) if is_authors else tiny_aligner_folder
    loaded = load_aligner(folder, device=_CPU, dtype=torch.float32)
    _assert_same_weights(loaded, tiny_aligner)
    assert loaded.config.num_labels == tiny.N_TIME_CLASSES
    assert loaded.config.timestamp_token_id == tiny_aligner.config.timestamp_token_id


def test_what_the_layouts_load_writes_the_same_text(tiny_asr_folder, tiny_processor, tmp_path):
    request = tiny_processor.apply_transcription_request([tiny.clip(2.0)])
    texts = [
        load_asr(folder, device=_CPU, dtype=torch.float32).generate(**request, do_sample=False, max_new_tokens=20)
        for folder in (tiny_asr_folder, rewrite(tiny_asr_folder, tmp_path))
    ]
    assert torch.equal(*texts)


def test_weights_are_cast_to_the_wanted_type(tiny_asr_folder):
    loaded = load_asr(tiny_asr_folder, device=_CPU, dtype=torch.bfloat16)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.bfloat16}
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_the_tokenizer_comes_from_either_layout(tiny_asr_folder, tmp_path):
    text = "language English<asr_text>Grüße!<|im_end|>"
    ids = tiny.tokenizer()(text)["input_ids"]
    assert load_tokenizer(tiny_asr_folder)(text)["input_ids"] == ids
    assert load_tokenizer(rewrite(tiny_asr_folder, tmp_path))(text)["input_ids"] == ids


def test_a_missing_weight_is_named(damaged):
    _change(damaged, lambda tensors: tensors.pop("model.audio_tower.ln_post.weight"))
    assert "1 missing keys (model.audio_tower.ln_post.weight)" in _refusal(damaged)


def test_a_weight_too_many_is_named(damaged):
    _change(damaged, lambda tensors: tensors.update(stranger=torch.zeros(1)))
    assert "1 unexpected keys (stranger)" in _refusal(damaged)


def test_a_weight_of_another_shape_is_named(damaged):
    _change(damaged, lambda tensors: tensors.update({_EMBEDDING: tensors[_EMBEDDING][:9].clone()}))
    assert f"{_EMBEDDING}: (9, 32) instead of (264, 32)" in _refusal(damaged)


def test_the_aligner_is_no_recogniser(tiny_aligner_folder):
    assert "score.weight" in _refusal(tiny_aligner_folder)


def test_another_kind_of_model_is_refused(damaged):
    (damaged / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    assert "'whisper'" in _refusal(damaged)


def test_a_file_that_broke_off_is_refused(damaged):
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert str(damaged) in _refusal(damaged)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    assert "config.json" in _refusal(tmp_path)


def test_without_a_network_a_name_on_the_hub_is_refused_with_a_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EngineLoadError, match="name a folder that holds the checkpoint"):
        locate("Qwen/Qwen3-ASR-0.6B-hf", cache_dir=tmp_path)


def test_what_cannot_be_a_name_on_the_hub_is_refused(tmp_path):
    assert "neither a folder" in _refusal(str(tmp_path / "not there"))
