"""Random models of a size, in whichever classes: the same numbers under the same names, drawn on the device."""

import re
import zlib
from typing import Any

import torch

from benchmarks.qwen3.sizes import Size

_CANONICAL = (
    (r"^thinker\.audio_tower\.proj([12])\.", r"model.multi_modal_projector.linear_\1."),
    (r"^thinker\.audio_tower\.", "model.audio_tower."),
    (r"^thinker\.model\.", "model.language_model."),
    (r"^thinker\.lm_head\.", "lm_head."),
)
_THEIR_ENDS = (151_643, 151_645)
"""Ids that end a text in the authors' package, whatever the configuration says."""


def recogniser(size: Size, ids: dict[str, int], device: torch.device, dtype: torch.dtype) -> Any:
    """Return a `Qwen3ASRForConditionalGeneration` of transformers 5 that never ends a text by itself."""
    from transformers import Qwen3ASRForConditionalGeneration

    return _filled(Qwen3ASRForConditionalGeneration, _config(size, ids), ids, device, dtype)


def aligner(size: Size, ids: dict[str, int], device: torch.device, dtype: torch.dtype) -> Any:
    """Return a `Qwen3ASRForTokenClassification` of transformers 5."""
    from transformers import Qwen3ASRForTokenClassification

    config = _config(size, ids)
    config.num_labels = size.classes
    return _filled(Qwen3ASRForTokenClassification, config, ids, device, dtype)


def official(size: Size, ids: dict[str, int], device: torch.device, dtype: torch.dtype) -> Any:
    """Return the authors' class, a recogniser or an aligner, under their transformers."""
    from qwen_asr.core.transformers_backend import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration

    half = size.head_dim // 2
    rope = {"mrope_interleaved": True, "mrope_section": [half - 2 * (half // 3), half // 3, half // 3]}
    thinker: dict[str, Any] = {
        "model_type": "qwen3_asr" if size.classes is None else "qwen3_forced_aligner",
        "audio_config": size.audio_config,
        "text_config": size.text_config | {"rope_theta": 1e6, "rope_scaling": {**rope, "rope_type": "default"}},
        "audio_token_id": ids["<|audio_pad|>"],
        "tie_word_embeddings": size.classes is None,
    }
    if size.classes is not None:
        thinker["classify_num"] = size.classes
    config = Qwen3ASRConfig(thinker_config=thinker, timestamp_token_id=ids["<timestamp>"], timestamp_segment_time=80)
    return _filled(Qwen3ASRForConditionalGeneration, config, ids, device, dtype)


def _config(size: Size, ids: dict[str, int]) -> Any:
    from transformers import Qwen3ASRConfig

    rope = {"rope_type": "default", "rope_theta": 1e6}
    return Qwen3ASRConfig(
        audio_config=size.audio_config,
        text_config=size.text_config | {"model_type": "qwen3", "rope_parameters": rope},
        audio_token_id=ids["<|audio_pad|>"],
        timestamp_token_id=ids["<timestamp>"],
        pad_token_id=ids["<|im_end|>"],
        eos_token_id=[ids["<|endoftext|>"], ids["<|im_end|>"]],
    )


def _filled(model_class: Any, config: Any, ids: dict[str, int], device: torch.device, dtype: torch.dtype) -> Any:
    with device:
        model = model_class(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        # Buffers such as the rotary frequencies stay in float32, as after `from_pretrained`.
        weight.data = _draw(_canonical(name), weight, device).to(dtype)
    embedding = getattr(model, "thinker", model).get_input_embeddings().weight
    ends = {ids["<|endoftext|>"], ids["<|im_end|>"], *_THEIR_ENDS}
    # Their logit is exactly 0, and in practice never the largest of so many.
    embedding.data[[token_id for token_id in ends if token_id < len(embedding)]] = 0.0
    return model


def _draw(name: str, weight: torch.Tensor, device: torch.device) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
    drawn = torch.randn(weight.shape, generator=generator, device=device)
    if weight.ndim == 1:
        return drawn.mul_(0.02).add_(0.0 if name.endswith("bias") else 1.0)
    return drawn.div_(weight[0].numel() ** 0.5)


def _canonical(name: str) -> str:
    for theirs, ours in _CANONICAL:
        name, found = re.subn(theirs, ours, name)
        if found:
            return name
    return name
