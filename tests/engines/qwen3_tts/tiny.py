"""Writes a Qwen3-TTS that is small enough to run anywhere: the package's own classes, random weights.

    .qwen-tts/bin/python tests/engines/qwen3_tts/tiny.py FOLDER [TYPE [endless]]

A program, since the package needs an interpreter of its own. TYPE is the model's, `base` or another; an endless one
never comes to an end. What matters is as in the real ones: 16 codebooks, grouped-query attention, three-way rotary
positions, 1,920 samples a frame, a codec of convolutions and a transformer. The vocabulary is the 256 bytes and the
markers. It does not sample, so that it says the same again.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import EncodecFeatureExtractor, Qwen2Tokenizer
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

sys.path.insert(0, str(Path(__file__).parents[3]))
from gpu_worker.engines.qwen3_tts_child import LANGUAGES, stand_in_for_the_other_codec

stand_in_for_the_other_codec()
from qwen_tts.core import Qwen3TTSTokenizerV2Config, Qwen3TTSTokenizerV2Model  # noqa: E402
from qwen_tts.core.models import Qwen3TTSConfig, Qwen3TTSForConditionalGeneration  # noqa: E402

_MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>"]
_CODES = 64
_CODEBOOKS = 16
_ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32, "intermediate_size": 48}
_SPEAKER = {"enc_dim": 32, "enc_channels": [16] * 4 + [48], "enc_attention_channels": 8, "enc_se_channels": 8}


def main(folder: str, tts_model_type: str = "base", ends: str = "") -> None:
    """Write it."""
    path = Path(folder)
    # For what `_randomise` leaves as the package makes it; with this one no text of the tests goes on to its bound.
    torch.manual_seed(2)
    model = Qwen3TTSForConditionalGeneration(_config(_tokenizer(path), tts_model_type))
    _randomise(model, seed=0, gain=1.5)
    # A longer row has logits of a larger spread, so it is more often the largest, and ends a text.
    model.talker.codec_head.weight.data[_CODES + 50] *= 0 if ends == "endless" else 3
    model.save_pretrained(path)
    written = json.loads((path / "config.json").read_text())
    # What the package writes of this part is more than it reads.
    written["speaker_encoder_config"] = _SPEAKER
    (path / "config.json").write_text(json.dumps(written))
    sampling = {"do_sample": False, "subtalker_dosample": False, "repetition_penalty": 1.05, "max_new_tokens": 64}
    (path / "generation_config.json").write_text(json.dumps(sampling))
    codec = Qwen3TTSTokenizerV2Model(_codec_config())
    _randomise(codec, seed=1, gain=1.0)
    # Within -1 and 1, beyond which the package cuts off.
    next(codec.decoder.decoder[-1].parameters()).data *= 0.015
    codec.save_pretrained(path / "speech_tokenizer")
    EncodecFeatureExtractor(feature_size=1, sampling_rate=24_000).save_pretrained(path / "speech_tokenizer")


def _tokenizer(folder: Path) -> Qwen2Tokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {letter: i for i, letter in enumerate(bytes_to_unicode().values())}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = Qwen2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token=None)
    tokenizer.add_tokens(_MARKERS, special_tokens=True)
    # The package counts on this one being one token, as it is in the real vocabulary.
    tokenizer.add_tokens(["assistant"])
    tokenizer.save_pretrained(folder)
    return tokenizer


def _config(tokenizer: Qwen2Tokenizer, tts_model_type: str) -> Qwen3TTSConfig:
    _, start, end, pad, text_bos, text_eos = tokenizer.convert_tokens_to_ids(_MARKERS)
    names = {"eos_token": 50, "think": 54, "nothink": 55, "think_bos": 56, "think_eos": 57, "pad": 48, "bos": 49}
    talker = {
        **_ATTENTION,
        **{f"codec_{name}_id": _CODES + place for name, place in names.items()},
        # The last 1,024 are never said.
        "vocab_size": _CODES + 1024,
        "codec_language_id": {name: _CODES + i for i, name in enumerate(LANGUAGES.values())},
        "code_predictor_config": {
            **_ATTENTION,
            "vocab_size": _CODES,
            "num_hidden_layers": 1,
            "head_dim": 8,
            "num_code_groups": _CODEBOOKS,
        },
        "head_dim": 16,
        "num_code_groups": _CODEBOOKS,
        "num_hidden_layers": 2,
        "rope_scaling": {"mrope_section": [4, 2, 2], "interleaved": True, "rope_type": "default"},
        "spk_id": {},
        "spk_is_dialect": {},
        "text_hidden_size": 32,
        "text_vocab_size": len(tokenizer),
    }
    return Qwen3TTSConfig(
        talker_config=talker,
        speaker_encoder_config=_SPEAKER,
        tokenizer_type="qwen3_tts_tokenizer_12hz",
        tts_model_size="tiny",
        tts_model_type=tts_model_type,
        im_start_token_id=start,
        im_end_token_id=end,
        tts_pad_token_id=pad,
        tts_bos_token_id=text_bos,
        tts_eos_token_id=text_eos,
    )


def _codec_config() -> Qwen3TTSTokenizerV2Config:
    shared = {
        "codebook_size": _CODES,
        "head_dim": 8,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "num_quantizers": _CODEBOOKS,
    }
    encoder = {
        "codebook_dim": 8,
        "num_filters": 2,
        "upsample_groups": 16,
        "upsampling_ratios": [8, 6, 5, 4],
        "vector_quantization_hidden_dimension": 8,
    }
    decoder = {"codebook_dim": 16, "decoder_dim": 32, "latent_dim": 16}
    return Qwen3TTSTokenizerV2Config(encoder_config=shared | encoder, decoder_config=shared | decoder)


def _randomise(model: torch.nn.Module, *, seed: int, gain: float) -> None:
    """Weights that keep the scale of what passes through them, so that every input moves every sample."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if "embed" in name and tensor.ndim == 2:
            tensor.data = torch.randn(tensor.shape, generator=generator)
        elif isinstance(tensor, torch.nn.Parameter) and tensor.ndim > 1:
            fan_in = tensor[0].numel()
            tensor.data = gain * torch.randn(tensor.shape, generator=generator) / fan_in**0.5


if __name__ == "__main__":
    main(*sys.argv[1:])
