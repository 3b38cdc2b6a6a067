"""A Pocket TTS small enough to run anywhere: real classes, random weights, nothing downloaded.

What matters is as in the real one: frames of 80 ms at 24 kHz, a codec of its own with a sliding window, a causal
decoder, an end that is a matter of a threshold. The vocabulary is the 256 bytes and the markers, so any text can be
said.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PocketTTSAudioTokenizerConfig,
    PocketTTSAudioTokenizerModel,
    PocketTTSConfig,
    PocketTTSFeatureExtractor,
    PocketTTSForConditionalGeneration,
    PocketTTSProcessor,
    PreTrainedTokenizerFast,
)

from gpu_worker.engine import Voice, VoiceInput

RATE_HZ: Final = 24_000
FRAME: Final = 1920
"""Samples of one."""
_MARKERS: Final = {
    "audio_prompt_token": "<audio_prompt>",
    "audio_latent_token": "<audio_latent>",
    "audio_prompt_bos_token": "<audio_prompt_bos>",
    "audio_bos_token": "<audio_bos>",
}
_TEMPLATE: Final = (
    "{% for m in messages %}{% for part in m['content'] %}"
    "{% if part['type'] == 'audio' %}<audio_prompt_bos><audio_prompt>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}<audio_bos>"
)
_LATENT_DIM: Final = 8


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes without merges, then the markers."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", extra_special_tokens=_MARKERS
    )


def model(seed: int = 0, *, ends: bool = True) -> PocketTTSForConditionalGeneration:
    """In fp32; a text lasts as long as chance has it, or, where it does not end, as long as it may."""
    words = tokenizer()
    ids = {f"{name}_id": words.convert_tokens_to_ids(marker) for name, marker in _MARKERS.items()}
    config = PocketTTSConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        latent_dim=_LATENT_DIM,
        pad_token_id=words.pad_token_id,
        flow_head_config={
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "latent_dim": _LATENT_DIM,
            "condition_dim": 32,
            "frequency_embedding_size": 16,
        },
        **ids,
    )
    made = PocketTTSForConditionalGeneration(config).eval().requires_grad_(False)
    _randomise(made, seed)
    # A frame in ten or so is over the threshold of -4.
    made.eos_head.weight.mul_(2)
    made.eos_head.bias.fill_(-6.0 if ends else -1e4)
    made.generation_config.return_dict_in_generate = True
    return made


def codec(seed: int = 0, *, hears: bool = True) -> PocketTTSAudioTokenizerModel:
    """In fp32; with or without its encoder."""
    config = PocketTTSAudioTokenizerConfig(
        hidden_size=16,
        num_filters=2,
        upsample_groups=16,
        num_hidden_layers=1,
        intermediate_size=24,
        num_attention_heads=2,
        num_key_value_heads=2,
        latent_dim=_LATENT_DIM,
        **({} if hears else {"encoder_config": None}),
    )
    made = PocketTTSAudioTokenizerModel(config).eval().requires_grad_(False)
    _randomise(made, seed)
    # Within what samples may be.
    last = made.decoder.decoder_seanet.layers[-1].conv
    last.weight.mul_(0.4)
    last.bias.zero_()
    return made


def save(folder: Path, seed: int = 0, *, ends: bool = True, hears: bool = True) -> Path:
    """Write what a checkpoint's folder holds, the codec in a folder of its own inside."""
    model(seed, ends=ends).save_pretrained(folder)
    codec(seed, hears=hears).save_pretrained(folder / "audio_tokenizer")
    # Without its codec: the path of that would be written down.
    PocketTTSProcessor(PocketTTSFeatureExtractor(), tokenizer(), chat_template=_TEMPLATE).save_pretrained(folder)
    return folder


def voice(seed: int = 0, seconds: float = 3.0) -> Voice:
    """Of a tone that the seed chooses, in noise."""
    n_samples = round(seconds * RATE_HZ)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(n_samples)
    tone = 0.4 * np.sin(2 * np.pi * 100 * (seed + 1) * np.arange(n_samples) / RATE_HZ)
    return Voice(digest=f"{seed:02x}".ljust(64, "0"), samples=(noise + tone).astype(np.float32))


def asked(text: str, spoken: Voice, language: str | None = "en") -> VoiceInput:
    """One input."""
    return VoiceInput(text=text, voice=spoken, language=language)


def _randomise(made: torch.nn.Module, seed: int) -> None:
    """Weights that keep the scale of what passes through them: every input moves every sample, no rounding grows."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in made.named_parameters():
        if weight.ndim == 1:
            around = 0.0 if name.endswith("bias") else 1.0
            weight.copy_(around + 0.1 * torch.randn(weight.shape, generator=generator))
        else:
            fan_in = weight[0].numel()
            weight.copy_(torch.randn(weight.shape, generator=generator) / fan_in**0.5)
