"""Qwen3's decoder over a static cache: the same numbers as transformers' `Qwen3Model`, in fewer, larger steps.

Query, key and value are one matrix product, gate and up another. The model's own modules then share these weights as
views, so nothing is held twice and the model still works.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpu_worker.engines.qwen3.cache import KeysAndValues
from gpu_worker.engines.qwen3.operations import HeadNorms, LastTokens, Operations, Places, turns
from gpu_worker.engines.qwen3.packing import Packed

_Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: Tensor
    qkv: Tensor
    head_norms: HeadNorms
    output: Tensor
    feed_forward_norm: Tensor
    gate_up: Tensor
    down: Tensor


class Decoder:
    """Token embeddings in, logits out."""

    def __init__(self, language_model: Any, head: Any, operations: Operations, *, max_positions: int) -> None:
        """Take the weights, which are on their device and in their final precision.

        Args:
            language_model: a `Qwen3Model`, of the recogniser or of the aligner.
            head: a linear layer without bias, from a token's last state to its logits.
            operations: what to compute the layers with.
            max_positions: no row is longer.

        Raises:
            ValueError: this is not a plain Qwen3 decoder.
        """
        self.config: Any = language_model.config
        _check(self.config)
        self._operations = operations
        self._eps = float(self.config.rms_norm_eps)
        self._layers = [_layer(layer, self._eps) for layer in language_model.layers]
        self._embedding: Tensor = language_model.embed_tokens.weight.detach()
        self._last_norm: Tensor = language_model.norm.weight.detach()
        self._head: Tensor = head.weight.detach()
        self._turns = turns(self.config, max_positions, self._head.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._head.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are in."""
        return self._head.dtype

    def weights(self) -> Iterator[Tensor]:
        """Return every tensor that it computes with, none of which it writes to."""
        yield from (self._embedding, self._last_norm, self._head, self._turns)
        for layer in self._layers:
            yield from (layer.attention_norm, layer.qkv, layer.head_norms.query, layer.head_norms.key, layer.output)
            yield from (layer.feed_forward_norm, layer.gate_up, layer.down)

    def embed(self, ids: Tensor) -> Tensor:
        """Return [t, hidden] of int64[t]."""
        return functional.embedding(ids, self._embedding)

    def prefill(self, embedded: Tensor, packed: Packed, cache: KeysAndValues, tokens: Tensor | None = None) -> Tensor:
        """Put the prompts' keys and values into the cache, and return logits [n, classes] of some of their tokens.

        Args:
            embedded: [t, hidden], overwritten.
            packed: where the prompts are.
            cache: the slots named in `packed` are the prompts' own.
            tokens: int64[n], which of the t; by default each prompt's last one, so what follows it.
        """
        places = Places(packed.positions, packed.slots, self._turns)

        def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return self._operations.attend_prompts(queries, keys, values, packed)

        residual, added = self._layers_of(embedded, places, cache, attend)
        wanted = packed.ends if tokens is None else tokens
        return self._logits(residual[wanted], added[wanted])

    def step(self, ids: Tensor, positions: Tensor, rows: LastTokens, cache: KeysAndValues) -> Tensor:
        """Put one token a row into the cache, and return what follows it: logits [n, vocabulary].

        Nothing in it depends on the values of the tensors but other values: a CUDA graph can hold it.

        Args:
            ids: int64[n].
            positions: int32[n], of these tokens in their rows.
            rows: where the rows are, these tokens included.
            cache: the rows' slots.
        """
        places = Places(positions, (rows.starts[:-1] + positions).long(), self._turns)

        def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return self._operations.attend_rows(queries, keys, values, rows)

        return self._logits(*self._layers_of(self.embed(ids), places, cache, attend))

    def _layers_of(
        self, residual: Tensor, places: Places, cache: KeysAndValues, attend: _Attend
    ) -> tuple[Tensor, Tensor]:
        """Return the residual stream [t, hidden], and what the last layer still has to add to it."""
        operations, added = self._operations, None
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            normed = operations.add_norm(residual, added, layer.attention_norm, self._eps)
            qkv = functional.linear(normed, layer.qkv)
            queries = operations.rotate_and_store(qkv, layer.head_norms, places, keys, values)
            attended = functional.linear(attend(queries, keys, values).flatten(1), layer.output)
            normed = operations.add_norm(residual, attended, layer.feed_forward_norm, self._eps)
            gated = operations.silu_mul(functional.linear(normed, layer.gate_up))
            added = functional.linear(gated, layer.down)
        assert added is not None
        return residual, added

    def _logits(self, residual: Tensor, added: Tensor) -> Tensor:
        return functional.linear(self._operations.add_norm(residual, added, self._last_norm, self._eps), self._head)


def _check(config: Any) -> None:
    """Refuse what is not computed here, before it comes out wrong."""
    rope: str = config.rope_parameters["rope_type"]
    if config.attention_bias or config.hidden_act != "silu" or rope != "default":
        raise ValueError(
            f"The decoder has attention_bias={config.attention_bias}, hidden_act={config.hidden_act!r} and "
            f"rope_type={rope!r}; only False, 'silu' and 'default' are known."
        )
    if set(config.layer_types) != {"full_attention"}:
        kinds = ", ".join(sorted(set(config.layer_types)))
        raise ValueError(f"The decoder has layers of the types {kinds}; only full_attention is known.")


def _layer(layer: Any, eps: float) -> _Layer:
    attention, feed_forward = layer.self_attn, layer.mlp
    return _Layer(
        attention_norm=layer.input_layernorm.weight.detach(),
        qkv=_fused(attention.q_proj, attention.k_proj, attention.v_proj),
        head_norms=HeadNorms(attention.q_norm.weight.detach(), attention.k_norm.weight.detach(), eps),
        output=attention.o_proj.weight.detach(),
        feed_forward_norm=layer.post_attention_layernorm.weight.detach(),
        gate_up=_fused(feed_forward.gate_proj, feed_forward.up_proj),
        down=feed_forward.down_proj.weight.detach(),
    )


def _fused(*parts: nn.Linear) -> Tensor:
    """Return the parts' weights as one matrix [all outputs, inputs]; the parts hold views of it from now on."""
    fused = torch.cat([part.weight.detach() for part in parts])
    for part, view in zip(parts, torch.split(fused, [part.out_features for part in parts]), strict=True):
        part.weight.data = view
    return fused
