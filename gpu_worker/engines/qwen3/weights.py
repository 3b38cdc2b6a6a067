"""Checkpoints of Qwen3-ASR, in transformers' layout or the authors' own."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import (
    Qwen2Tokenizer,
    Qwen3ASRConfig,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
)
from transformers.utils.logging import disable_progress_bar

from asr_queue.errors import EngineLoadError
from gpu_worker.engines.pytorch.checkpoints import locate, refuse_incomplete

_MODEL_TYPE: Final = "qwen3_asr"
_AUTHORS_PART: Final = "thinker_config"
"""Only configurations in the authors' layout have it."""
_RENAMED: Final = {
    r"^thinker\.audio_tower\.proj1\.": "model.multi_modal_projector.linear_1.",
    r"^thinker\.audio_tower\.proj2\.": "model.multi_modal_projector.linear_2.",
    r"^thinker\.audio_tower\.": "model.audio_tower.",
    r"^thinker\.model\.": "model.language_model.",
}
_AUTHORS_HEAD: Final = r"^thinker\.lm_head\."
_AUDIO_FIELDS: Final = (
    "num_mel_bins",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "d_model",
    "activation_function",
    "initializer_range",
    "n_window",
    "n_window_infer",
    "output_dim",
    "downsample_hidden_size",
)
_TEXT_FIELDS: Final = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "attention_bias",
    "tie_word_embeddings",
)


def load_asr(source: str | Path, *, device: torch.device, dtype: torch.dtype) -> Qwen3ASRForConditionalGeneration:
    """Return the recogniser on the device, every weight of it read from the checkpoint.

    Raises:
        EngineLoadError: the checkpoint cannot be found or read, or is not exactly one of this model.
    """
    model: Qwen3ASRForConditionalGeneration = _load(Qwen3ASRForConditionalGeneration, "lm_head.", source, device, dtype)
    return model


def load_aligner(source: str | Path, *, device: torch.device, dtype: torch.dtype) -> Qwen3ASRForTokenClassification:
    """Return the forced aligner on the device, every weight of it read from the checkpoint.

    Raises:
        EngineLoadError: as for `load_asr`.
    """
    model: Qwen3ASRForTokenClassification = _load(Qwen3ASRForTokenClassification, "score.", source, device, dtype)
    return model


def load_tokenizer(source: str | Path) -> Qwen2Tokenizer:
    """Return the checkpoint's tokenizer.

    Raises:
        EngineLoadError: the checkpoint cannot be found, or holds none.
    """
    folder = locate(source)
    try:
        tokenizer: Qwen2Tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise EngineLoadError(f"The tokenizer in {folder} cannot be read: {error}") from error
    return tokenizer


def _load(model_class: Any, head: str, source: str | Path, device: torch.device, dtype: torch.dtype) -> Any:
    folder = locate(source)
    written = _read_config(folder)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    is_authors = _AUTHORS_PART in written
    try:
        config = Qwen3ASRConfig(**(_as_transformers(written) if is_authors else written))
        model, report = model_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            key_mapping={**_RENAMED, _AUTHORS_HEAD: head} if is_authors else None,
            # So that they are in the report, which says which ones.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EngineLoadError(f"The checkpoint in {folder} cannot be read: {error}") from error
    refuse_incomplete(report, kind=model_class.__name__, folder=folder)
    return model.to(device).eval().requires_grad_(False)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineLoadError(f"{path} cannot be read: {error}") from error
    if written.get("model_type") != _MODEL_TYPE:
        raise EngineLoadError(f"{path} describes a model of type {written.get('model_type')!r}, not {_MODEL_TYPE!r}.")
    return written


def _as_transformers(written: dict[str, Any]) -> dict[str, Any]:
    """Return the authors' configuration in transformers' words."""
    inner = written[_AUTHORS_PART]
    audio, text = inner["audio_config"], inner["text_config"]
    config = {name: value for name, value in written.items() if name not in {_AUTHORS_PART, "support_languages"}}
    config["audio_config"] = {name: audio[name] for name in _AUDIO_FIELDS if name in audio}
    # Their rotary positions have three axes, which are always equal here: plain ones.
    rope = {"rope_type": "default", "rope_theta": text["rope_theta"]}
    config["text_config"] = {name: text[name] for name in _TEXT_FIELDS if name in text} | {"rope_parameters": rope}
    if "audio_token_id" in inner:
        config["audio_token_id"] = inner["audio_token_id"]
    if "classify_num" in inner:
        config["num_labels"] = inner["classify_num"]
    return config
