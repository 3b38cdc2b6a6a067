"""A tokenizer that writes prompts of the real length, in a folder that both generations of transformers can read."""

import json
from pathlib import Path

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>")
_ORDINARY = ("<asr_text>", "<timestamp>", "system", "user", "assistant", "\n", "language", " English")
CHAT_TEMPLATE = (
    "<|im_start|>system{{ '\\n' }}<|im_end|>{{ '\\n' }}<|im_start|>user{{ '\\n' }}"
    "<|audio_start|><|audio_pad|><|audio_end|><|im_end|>{{ '\\n' }}<|im_start|>assistant{{ '\\n' }}"
    "{% for m in messages if m['role'] == 'assistant' %}{{ m['content'][0]['text'] }}{% endfor %}"
)
ALIGNER_TEMPLATE = (
    "<|audio_start|><|audio_pad|><|audio_end|>"
    "{% for part in messages[0]['content'] if part['type'] == 'text' %}"
    "{{ part['text'] }}<timestamp><timestamp>{% endfor %}"
)
WORDS = " ".join(["language"] * 75)
"""What is aligned: a token a word."""
_NAMED = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}


def write(folder: Path) -> dict[str, int]:
    """Write what the processors of both packages are loaded from; return the ids of the special tokens.

    Under transformers 5 only.
    """
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocab = {letter: i for i, letter in enumerate(bytes_to_unicode().values())}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], pad_token="<|im_end|>", extra_special_tokens=_NAMED)
    tokenizer.add_tokens(list(SPECIAL), special_tokens=True)
    tokenizer.add_tokens(list(_ORDINARY))
    tokenizer.save_pretrained(folder)
    ids = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in (*SPECIAL, *_ORDINARY)}
    older = {
        "tokenizer_class": "Qwen2Tokenizer",
        "processor_class": "Qwen3ASRProcessor",
        "pad_token": "<|im_end|>",
        "extra_special_tokens": _NAMED,
    }
    spectra = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "Qwen3ASRProcessor",
        "feature_size": 128,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "padding_value": 0.0,
        "return_attention_mask": True,
    }
    _write_json(folder / "tokenizer_config.json", older)
    _write_json(folder / "preprocessor_config.json", spectra)
    _write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    _write_json(folder / "ids.json", ids)
    return ids


def read_ids(folder: Path) -> dict[str, int]:
    """Return what `write` returned."""
    ids: dict[str, int] = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
    return ids


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
