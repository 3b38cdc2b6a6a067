"""The sizes of the real models, what they cost at the least, and one that is tiny."""

from dataclasses import dataclass
from typing import Any

from benchmarks.qwen3.workloads import AUDIO_TOKENS_A_SECOND, PROMPT_TOKENS, Workload

_CHANNELS = 480
_MELS = 128
_BF16_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One model; the defaults are what all real ones share."""

    encoder_layers: int
    encoder_width: int
    encoder_heads: int
    encoder_ffn: int
    width: int
    ffn: int
    layers: int = 28
    heads: int = 16
    key_heads: int = 8
    head_dim: int = 128
    vocabulary: int = 151_936
    channels: int = _CHANNELS
    classes: int | None = None
    """Of the aligner's head; None for a recogniser."""

    @property
    def audio_config(self) -> dict[str, Any]:
        """What both packages call the audio configuration."""
        return {
            "encoder_layers": self.encoder_layers,
            "encoder_attention_heads": self.encoder_heads,
            "encoder_ffn_dim": self.encoder_ffn,
            "d_model": self.encoder_width,
            "output_dim": self.width,
            "downsample_hidden_size": self.channels,
            "num_mel_bins": _MELS,
            "n_window": 50,
            "n_window_infer": 800,
        }

    @property
    def text_config(self) -> dict[str, Any]:
        """What both packages call the text configuration, rotary positions left out."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.ffn,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": 65_536,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": self.classes is None,
            # There is no padding token whose embedding would be zeroed.
            "pad_token_id": None,
        }

    @property
    def heard_flop_a_second(self) -> float:
        """Convolutions and encoder for a second of audio."""
        pixels = [64 * 50 * 9, 32 * 25 * 9 * self.channels, 16 * 13 * 9 * self.channels]
        convolved = sum(2 * taps * self.channels for taps in pixels)
        embedded = 2 * AUDIO_TOKENS_A_SECOND * self.channels * (_MELS // 8) * self.encoder_width
        d = self.encoder_width
        layer = 2 * (4 * d * d + 2 * d * self.encoder_ffn) + 4 * 104 * d
        projected = 2 * (d * d + d * self.width)
        return convolved + embedded + AUDIO_TOKENS_A_SECOND * (self.encoder_layers * layer + projected)

    @property
    def layer_weights(self) -> int:
        """Of all decoder layers together."""
        attention = self.width * self.head_dim * 2 * (self.heads + self.key_heads)
        return self.layers * (attention + 3 * self.width * self.ffn)

    @property
    def key_value_bytes_a_token(self) -> int:
        """In the cache."""
        return 2 * self.layers * self.key_heads * self.head_dim * _BF16_BYTES

    def floor_s(self, workload: Workload, *, flop_s: float, bytes_s: float) -> float:
        """Return the least time for a workload of clips, were everything as fast as the measured peaks.

        Source: facts on Qwen3-ASR, section 4. Every step reads all weights and every row's keys and values.
        """
        audio_s = sum(workload.durations_s)
        prompts = [PROMPT_TOKENS + AUDIO_TOKENS_A_SECOND * duration_s for duration_s in workload.durations_s]
        floor = audio_s * self.heard_flop_a_second / flop_s
        floor += 2 * self.layer_weights * sum(prompts) / flop_s
        weights = self.layer_weights + self.vocabulary * self.width
        for first in range(0, len(prompts), workload.at_once):
            rows = range(first, min(first + workload.at_once, len(prompts)))
            for step in range(max(workload.n_new_tokens[i] for i in rows)):
                alive = [i for i in rows if workload.n_new_tokens[i] > step]
                read = weights * _BF16_BYTES + self.key_value_bytes_a_token * sum(prompts[i] + step for i in alive)
                floor += max(read / bytes_s, 2 * weights * len(alive) / flop_s)
        return floor

    def aligning_floor_s(self, durations_s: list[float], text_tokens: int, *, flop_s: float) -> float:
        """Return the same for one forward pass of the aligner with so many text tokens a clip."""
        audio_s = sum(durations_s)
        tokens = AUDIO_TOKENS_A_SECOND * audio_s + text_tokens * len(durations_s)
        return (audio_s * self.heard_flop_a_second + 2 * self.layer_weights * tokens) / flop_s


_SMALL = {
    "encoder_layers": 18,
    "encoder_width": 896,
    "encoder_heads": 14,
    "encoder_ffn": 3584,
    "width": 1024,
    "ffn": 3072,
}
_LARGE_EAR = {"encoder_layers": 24, "encoder_width": 1024, "encoder_heads": 16, "encoder_ffn": 4096}
_TINY = {
    **{"encoder_layers": 2, "encoder_width": 32, "encoder_heads": 4, "encoder_ffn": 64, "width": 32, "ffn": 48},
    **{"layers": 2, "heads": 4, "key_heads": 2, "head_dim": 16, "vocabulary": 300, "channels": 8},
}

SIZES = {
    "0.6b": Size(**_SMALL),
    "1.7b": Size(**_LARGE_EAR, width=2048, ffn=6144),
    "aligner": Size(**_LARGE_EAR, width=1024, ffn=3072, classes=5000),
    "tiny": Size(**_TINY),
    "tiny-aligner": Size(**_TINY, classes=64),
}
