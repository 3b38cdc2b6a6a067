"""The audio encoder: the same numbers as transformers' `Qwen3ASREncoder` and projector, in a few large steps.

Nothing in it reaches over the edge of an 8-s window, so windows are taken 64 at a time, whichever clips they are of:
memory is bounded however long the audio is. Within such a group

- only seconds that exist are convolved, time-major and channels last, so that nothing is transposed between the steps;
- the tokens are packed, the linear layers work on all of them at once, and attention is one call a layer.

Nothing waits for the device: all lengths are known on the host before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gpu_worker.engines.qwen3.mel import FRAMES_A_SECOND, N_MELS, seconds_in
from gpu_worker.engines.qwen3.transfer import send
from gpu_worker.engines.qwen3.windows import Windows, attend

TOKENS_A_SECOND: Final = 13
WINDOW_SECONDS: Final = 8
_WINDOWS_AT_ONCE: Final = 64
"""Keeps matrix products at full size: 16 clips of 30 s are as many."""
_SECONDS_CONVOLVED_AT_ONCE: Final = 128
"""The first convolution writes 3.07 MB a second of audio (bf16), 0.4 GB in all."""
_TAPS: Final = 9
_TAPS_PADDED: Final = 16
"""Tensor cores want rows of whole 16-byte units."""


class _Layer(NamedTuple):
    """One transformer layer's weights; query, key and value in one matrix."""

    attention_norm: tuple[Tensor, Tensor]
    qkv: tuple[Tensor, Tensor]
    out: tuple[Tensor, Tensor]
    feed_forward_norm: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]


class AudioEncoder:
    """Spectra in, what the language model puts in place of the audio's tokens out."""

    def __init__(self, model: nn.Module) -> None:
        """Take the weights of a `Qwen3ASRForConditionalGeneration` or `...ForTokenClassification`, float32 or bfloat16.

        Those that are laid out anew are copied; the model's own tower is not needed afterwards.
        """
        parts: Any = model.model
        tower, projector = parts.audio_tower, parts.multi_modal_projector
        self._heads: int = tower.config.encoder_attention_heads
        self._first = _first_convolution(tower.conv2d1)
        self._later = [_convolution(tower.conv2d2), _convolution(tower.conv2d3)]
        self._embed = _columns_by_frequency(tower.conv_out.weight, channels=tower.conv2d3.out_channels)
        self._positions: Tensor = tower.positional_embedding.positional_embedding[:TOKENS_A_SECOND].to(
            self._embed.dtype
        )
        self._layers = [_layer(layer) for layer in tower.layers]
        self._last_norm = _pair(tower.ln_post)
        self._projector = (_pair(projector.linear_1), _pair(projector.linear_2))

    def weights(self) -> Iterator[Tensor]:
        """Return every tensor that it computes with, none of which it writes to."""
        yield from (self._embed, self._positions)
        for pair in (self._first, *self._later, self._last_norm, *self._projector):
            yield from pair
        for layer in self._layers:
            for pair in layer:
                yield from pair

    @torch.inference_mode()
    def encode(self, seconds: Tensor, n_frames: Sequence[int]) -> Tensor:
        """Return [sum of the clips' tokens, hidden], clip after clip, in the model's dtype.

        Args:
            seconds: float32[n_seconds, 100, 128] on the model's device, as `LogMel` returns them.
            n_frames: of each clip, at least 1; `n_tokens` says how many tokens each will have.
        """
        groups = [self._encode_group(seconds[group.seconds], group) for group in _groups(n_frames)]
        return torch.cat(groups) if len(groups) > 1 else groups[0]

    def _encode_group(self, seconds: Tensor, group: "_Group") -> Tensor:
        convolved = torch.cat([self._convolve(part) for part in torch.split(seconds, _SECONDS_CONVOLVED_AT_ONCE)])
        x = convolved.flatten(0, 1)[send(group.kept, seconds.device)]
        windows = Windows(group.window_tokens, seconds.device)
        for layer in self._layers:
            x = x + self._attention(_norm(x, layer.attention_norm), layer, windows)
            x = x + functional.linear(
                functional.gelu(functional.linear(_norm(x, layer.feed_forward_norm), *layer.up)), *layer.down
            )
        first, second = self._projector
        return functional.linear(functional.gelu(functional.linear(_norm(x, self._last_norm), *first)), *second)

    def _convolve(self, seconds: Tensor) -> Tensor:
        """Return [n_seconds, 13, d] of spectra [n_seconds, 100, 128]."""
        # One input channel: as a matrix product of patches, this is channels last from the start.
        patches = functional.pad(seconds.to(self._embed.dtype), (1, 1, 1, 1)).unfold(1, 3, 2).unfold(2, 3, 2)
        taps = functional.pad(patches.flatten(-2), (0, _TAPS_PADDED - _TAPS))
        x = functional.linear(taps, *self._first).permute(0, 3, 1, 2)
        x = torch.ops.aten.gelu_(x)
        for weight, bias in self._later:
            x = torch.ops.aten.gelu_(functional.conv2d(x, weight, bias, stride=2, padding=1))
        return functional.linear(x.permute(0, 2, 3, 1).flatten(2), self._embed).add_(self._positions)

    def _attention(self, x: Tensor, layer: _Layer, windows: Windows) -> Tensor:
        q, k, v = functional.linear(x, *layer.qkv).view(len(x), 3, self._heads, -1).unbind(1)
        return functional.linear(attend(q, k, v, windows).flatten(1), *layer.out)


def n_tokens(n_frames: int) -> int:
    """Return how many tokens that many frames become: 13 a second, and an eighth of a last, shorter one."""
    whole, rest = divmod(n_frames, FRAMES_A_SECOND)
    return whole * TOKENS_A_SECOND + -(-rest // 8)


@dataclass(frozen=True, slots=True)
class _Group:
    """Windows that are encoded at once."""

    seconds: slice
    """Among all seconds."""
    kept: NDArray[np.int64]
    """Which of the group's `13 * seconds` convolved positions are tokens, in order."""
    window_tokens: NDArray[np.int64]
    """Tokens of each window, 1 to 104."""


def _groups(n_frames: Sequence[int]) -> list[_Group]:
    second_tokens = np.concatenate([_tokens_by_second(frames) for frames in n_frames])
    window_seconds = np.concatenate([_seconds_by_window(seconds_in(frames)) for frames in n_frames])
    edges = np.cumsum([0, *window_seconds])
    groups = []
    for first in range(0, len(window_seconds), _WINDOWS_AT_ONCE):
        own_edges = edges[first : first + _WINDOWS_AT_ONCE + 1]
        seconds = slice(int(own_edges[0]), int(own_edges[-1]))
        tokens = second_tokens[seconds]
        kept = np.flatnonzero(np.arange(TOKENS_A_SECOND) < tokens[:, None])
        groups.append(_Group(seconds, kept, np.add.reduceat(tokens, own_edges[:-1] - own_edges[0])))
    return groups


def _tokens_by_second(n_frames: int) -> NDArray[np.int64]:
    tokens = np.full(seconds_in(n_frames), TOKENS_A_SECOND)
    tokens[-1] = n_tokens(n_frames) - TOKENS_A_SECOND * (len(tokens) - 1)
    return tokens


def _seconds_by_window(n_seconds: int) -> NDArray[np.int64]:
    return np.minimum(n_seconds - np.arange(0, n_seconds, WINDOW_SECONDS), WINDOW_SECONDS)


def _norm(x: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], *weights)


def _pair(module: Any) -> tuple[Tensor, Tensor]:
    return module.weight.detach(), module.bias.detach()


def _layer(module: Any) -> _Layer:
    attention = module.self_attn
    three = [_pair(part) for part in (attention.q_proj, attention.k_proj, attention.v_proj)]
    return _Layer(
        attention_norm=_pair(module.self_attn_layer_norm),
        qkv=(torch.cat([weight for weight, _ in three]), torch.cat([bias for _, bias in three])),
        out=_pair(attention.out_proj),
        feed_forward_norm=_pair(module.final_layer_norm),
        up=_pair(module.fc1),
        down=_pair(module.fc2),
    )


def _first_convolution(module: Any) -> tuple[Tensor, Tensor]:
    """Return the weights as a matrix over patches that are time-major, as the spectra are."""
    weight, bias = _pair(module)
    return functional.pad(weight.transpose(2, 3).flatten(1), (0, _TAPS_PADDED - _TAPS)), bias


def _convolution(module: Any) -> tuple[Tensor, Tensor]:
    weight, bias = _pair(module)
    return weight.transpose(2, 3).contiguous(memory_format=torch.channels_last), bias


def _columns_by_frequency(weight: Tensor, *, channels: int) -> Tensor:
    """Return the weights for features that are frequency-major; the model's own are channel-major."""
    by_channel = weight.detach().view(len(weight), channels, N_MELS // 8)
    return by_channel.transpose(1, 2).flatten(1)
