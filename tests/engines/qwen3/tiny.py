"""A Qwen3-ASR and an aligner small enough to run anywhere: real classes, random weights, nothing downloaded.

What matters is as in the real ones: grouped-query attention (two queries a key head), windows and chunks of the
encoder, tied embeddings, two tokens that end a text. The vocabulary is the 256 bytes and the special tokens, so any
text can be written.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from transformers import (
    Qwen2Tokenizer,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from gpu_worker.engine import Samples

SAMPLE_RATE_HZ: Final = 16_000
N_TIME_CLASSES: Final = 64
"""Of the aligner: 64 x 80 ms, so a little over 5 s."""
_SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>")
_ORDINARY: Final = ("<asr_text>", "<timestamp>")
_CHAT_TEMPLATE: Final = (
    "<|im_start|>system\n"
    "{% for m in messages if m['role'] == 'system' %}{{ m['content'][0]['text'] }}{% endfor %}<|im_end|>\n"
    "<|im_start|>user\n<|audio_start|><|audio_pad|><|audio_end|><|im_end|>\n<|im_start|>assistant\n"
    "{% for m in messages if m['role'] == 'assistant' %}{{ m['content'][0]['text'] }}{% endfor %}"
)
_ALIGNER_TEMPLATE: Final = (
    "<|audio_start|><|audio_pad|><|audio_end|>"
    "{% for part in messages[0]['content'] if part['type'] == 'text' %}"
    "{{ part['text'] }}<timestamp><timestamp>{% endfor %}"
)


def tokenizer() -> Qwen2Tokenizer:
    """Bytes without merges, then the special tokens; every id below `len(tokenizer())` is used."""
    vocab = {letter: i for i, letter in enumerate(bytes_to_unicode().values())}
    named = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}
    made = Qwen2Tokenizer(vocab=vocab, merges=[], pad_token="<|im_end|>", extra_special_tokens=named)
    made.add_tokens(list(_SPECIAL), special_tokens=True)
    made.add_tokens(list(_ORDINARY))
    return made


def processor(*, aligning: bool = False) -> Qwen3ASRProcessor:
    """The processor of the recogniser, or of the aligner (no chat around the audio)."""
    return Qwen3ASRProcessor(
        Qwen3ASRFeatureExtractor(), tokenizer(), chat_template=_ALIGNER_TEMPLATE if aligning else _CHAT_TEMPLATE
    )


def config(**text_changes: int) -> Qwen3ASRConfig:
    """Every width divided by dozens; `text_changes` replaces fields of the text model."""
    words = tokenizer()
    ids = {token: words.convert_tokens_to_ids(token) for token in (*_SPECIAL, *_ORDINARY)}
    text = {
        "model_type": "qwen3",
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 65_536,
        "tie_word_embeddings": True,
        "pad_token_id": None,
    }
    audio = {
        "model_type": "qwen3_asr_encoder",
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "d_model": 32,
        "output_dim": 32,
        "downsample_hidden_size": 8,
    }
    return Qwen3ASRConfig(
        audio_config=audio,
        text_config=text | text_changes,
        audio_token_id=ids["<|audio_pad|>"],
        timestamp_token_id=ids["<timestamp>"],
        pad_token_id=ids["<|im_end|>"],
        eos_token_id=[ids["<|endoftext|>"], ids["<|im_end|>"]],
    )


def asr_model(seed: int = 0, **text_changes: int) -> Qwen3ASRForConditionalGeneration:
    """In fp32 on the CPU, its texts as long as chance has it: about one token in twenty ends one."""
    made = Qwen3ASRForConditionalGeneration(config(**text_changes)).eval().requires_grad_(False)
    _randomise(made, seed)
    # A longer row of the tied embedding has logits of a larger spread, so it is more often the largest.
    made.lm_head.weight[made.config.eos_token_id] *= 1.6
    return made


def aligner_model(seed: int = 0) -> Qwen3ASRForTokenClassification:
    """In fp32 on the CPU."""
    aligner_config = config()
    aligner_config.num_labels = N_TIME_CLASSES
    made = Qwen3ASRForTokenClassification(aligner_config).eval().requires_grad_(False)
    _randomise(made, seed)
    return made


def save_asr(folder: Path, seed: int = 0) -> Path:
    """Write what a checkpoint's folder holds: weights, config, tokenizer and processor."""
    asr_model(seed).save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def save_speaker(folder: Path, seed: int = 0) -> Path:
    """The same of a recogniser that says nothing but letters and spaces, so that a text is what is read of it."""
    made = asr_model(seed)
    weight, ends = made.lm_head.weight, list(made.config.eos_token_id)
    letters = [i for byte, i in tokenizer().get_vocab().items() if byte == "Ġ" or (byte.isascii() and byte.isalpha())]
    silent = torch.ones(len(weight), dtype=torch.bool)
    silent[[*letters, *ends]] = False
    # Their logits are 0, and of fifty others one is always larger.
    weight[silent] = 0
    weight[ends] *= 0.75
    made.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def save_aligner(folder: Path, seed: int = 0) -> Path:
    """The same of the aligner."""
    aligner_model(seed).save_pretrained(folder)
    processor(aligning=True).save_pretrained(folder)
    return folder


def clip(duration_s: float, seed: int = 0) -> Samples:
    """Noise under a slow tremolo: no two seconds and no two seeds are alike."""
    n_samples = round(duration_s * SAMPLE_RATE_HZ)
    noise = np.random.default_rng([seed, n_samples]).standard_normal(n_samples)
    loudness = 0.1 + 0.08 * np.sin(np.arange(n_samples) * (seed % 7 + 2) / SAMPLE_RATE_HZ)
    return np.clip(noise * loudness, -1, 1).astype(np.float32)


@cache
def prompt_ids(language: str | None = None, context: str = "") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids before and behind the audio's tokens, as the processor writes them.

    Args:
        language: English name to force, or None to have it identified.
        context: what stands in the system turn.
    """
    made = processor()
    written = made.apply_transcription_request([clip(0.5)], language=language, prompt=context or None)
    ids: Sequence[int] = written["input_ids"][0].tolist()
    audio = [i for i, token in enumerate(ids) if token == made.audio_token_id]
    return tuple(ids[: audio[0]]), tuple(ids[audio[-1] + 1 :])


def _randomise(model: torch.nn.Module, seed: int) -> None:
    """Weights that keep the scale of what passes through them, so that every input moves every logit."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            # Sharp attention, or every step would see the same mean of the audio and repeat itself.
            around = 0.0 if name.endswith("bias") else 2.5 if "q_norm" in name or "k_norm" in name else 1.0
            weight.copy_(around + 0.1 * torch.randn(weight.shape, generator=generator))
        elif "embed_tokens" in name:
            # Small beside what the layers add, or the tied head would choose the token that came in.
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
        else:
            fan_in = weight[0].numel()
            weight.copy_(1.5 * torch.randn(weight.shape, generator=generator) / fan_in**0.5)
