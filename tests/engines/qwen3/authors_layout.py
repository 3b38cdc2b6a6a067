"""A checkpoint rewritten as the model's authors write theirs: other names, another configuration, the same numbers."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

_RENAMED = (
    ("model.multi_modal_projector.linear_", "thinker.audio_tower.proj"),
    ("model.audio_tower.", "thinker.audio_tower."),
    ("model.language_model.", "thinker.model."),
    ("lm_head.", "thinker.lm_head."),
    ("score.", "thinker.lm_head."),
)
_CHAT_TEMPLATE = (
    "<|im_start|>system\n{{ messages[0]['content'] }}<|im_end|>\n"
    "<|im_start|>user\n<|audio_start|><|audio_pad|><|audio_end|><|im_end|>\n<|im_start|>assistant{{ '\\n' }}"
)


def rewrite(source: Path, target: Path, *, n_shards: int = 2) -> Path:
    """Write to `target` what the folder `source` holds in transformers' layout."""
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    shutil.copy(source / "tokenizer.json", target / "tokenizer.json")
    (target / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER))
    (target / "config.json").write_text(json.dumps(_config(config)))
    (target / "chat_template.json").write_text(json.dumps({"chat_template": _CHAT_TEMPLATE}))
    (target / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR))
    _write_shards(load_file(source / "model.safetensors"), target, n_shards, is_aligner=_is_aligner(config))
    return target


def _write_shards(tensors, target: Path, n_shards: int, *, is_aligner: bool) -> None:
    if not is_aligner and "lm_head.weight" not in tensors:
        # Theirs have the tied matrix twice.
        tensors["lm_head.weight"] = tensors["model.language_model.embed_tokens.weight"].clone()
    names = sorted(tensors)
    weight_map = {}
    for i in range(n_shards):
        file_name = f"model-{i + 1:05}-of-{n_shards:05}.safetensors"
        shard = {_authors_name(name): tensors[name].contiguous() for name in names[i::n_shards]}
        save_file(shard, target / file_name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file_name)
    index = {"metadata": {}, "weight_map": weight_map}
    (target / "model.safetensors.index.json").write_text(json.dumps(index))


def _authors_name(name: str) -> str:
    for ours, theirs in _RENAMED:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(name)


def _is_aligner(config: dict) -> bool:
    return config["architectures"] == ["Qwen3ASRForTokenClassification"]


def _config(config: dict) -> dict:
    is_aligner = _is_aligner(config)
    audio = config["audio_config"] | {
        "model_type": "qwen3_asr_audio_encoder",
        "max_source_positions": 1500,
        "conv_chunksize": 500,
    }
    text = {
        name: value for name, value in config["text_config"].items() if name not in {"rope_parameters", "model_type"}
    }
    rope = config["text_config"]["rope_parameters"]
    head_dim = text["head_dim"]
    sections = [head_dim // 2 - 2 * (head_dim // 6), head_dim // 6, head_dim // 6]
    text |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {
            "mrope_interleaved": True,
            "mrope_section": sections,
            "rope_type": "default",
            "type": "default",
        },
    }
    thinker = {
        "model_type": "qwen3_forced_aligner" if is_aligner else "qwen3_asr",
        "audio_config": audio,
        "text_config": text,
        "audio_token_id": config["audio_token_id"],
        "pad_token_id": config["pad_token_id"],
    }
    if is_aligner:
        # Otherwise their class would tie the classes' matrix to the embedding, as it does the recogniser's.
        text["tie_word_embeddings"] = thinker["tie_word_embeddings"] = False
        thinker["classify_num"] = len(config["id2label"])
    written = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "support_languages": ["English"],
        "eos_token_id": config["eos_token_id"],
        "pad_token_id": config["pad_token_id"],
        "thinker_config": thinker,
    }
    if is_aligner:
        written |= {"timestamp_token_id": config["timestamp_token_id"], "timestamp_segment_time": 80}
    return written


_TOKENIZER = {
    "tokenizer_class": "Qwen2Tokenizer",
    "processor_class": "Qwen3ASRProcessor",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|im_end|>",
    "extra_special_tokens": {
        "audio_token": "<|audio_pad|>",
        "audio_bos_token": "<|audio_start|>",
        "audio_eos_token": "<|audio_end|>",
    },
}
_PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "processor_class": "Qwen3ASRProcessor",
    "chunk_length": 30,
    "dither": 0.0,
    "feature_size": 128,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16_000,
}
