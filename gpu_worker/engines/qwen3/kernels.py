"""The operations of a decoder layer as Triton kernels: each is one launch, where plain PyTorch has up to a dozen.

Every number that a kernel is given is a constant of the compilation: sizes of the model, and how the keys are split.
So nothing is compiled once each captured size and a prefill have been run.
"""

# Arguments are device pointers and constants by Triton's convention; it reads the source, so types would not help it.
# ruff: noqa: ANN001, ANN201, N803
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import triton
import triton.language as tl


@triton.jit
def add_norm(
    residual, added, weight, normed, WIDTH: tl.constexpr, BLOCK: tl.constexpr, EPS: tl.constexpr, ADDS: tl.constexpr
):
    """One token: add in place, then the RMS norm of the sum as it is stored."""
    column = tl.arange(0, BLOCK)
    inside = column < WIDTH
    at = tl.program_id(0).to(tl.int64) * WIDTH + column
    value = tl.load(residual + at, mask=inside, other=0.0)
    if ADDS:
        value = (value.to(tl.float32) + tl.load(added + at, mask=inside, other=0.0).to(tl.float32)).to(value.dtype)
        tl.store(residual + at, value, mask=inside)
    wide = value.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide) / WIDTH + EPS)
    result = wide * scale * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + at, result.to(value.dtype), mask=inside)


@triton.jit(do_not_specialize_on_alignment=["positions", "slots"])
def rotate_and_store(
    qkv, query_weight, key_weight, positions, slots, cosines, sines, queries, keys, values,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One head of one token: queries and keys are normed and rotated, keys and values go to their slot."""
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    column = tl.arange(0, HALF)
    source = qkv + (token * (HEADS + 2 * KV_HEADS) + head) * 2 * HALF + column
    first, second = tl.load(source), tl.load(source + HALF)
    slot = tl.load(slots + token).to(tl.int64)
    if head >= HEADS + KV_HEADS:
        target = values + (slot * KV_HEADS + head - HEADS - KV_HEADS) * 2 * HALF + column
        tl.store(target, first)
        tl.store(target + HALF, second)
    else:
        if head < HEADS:
            weight = query_weight + column
            target = queries + (token * HEADS + head) * 2 * HALF + column
        else:
            weight = key_weight + column
            target = keys + (slot * KV_HEADS + head - HEADS) * 2 * HALF + column
        x, y = first.to(tl.float32), second.to(tl.float32)
        scale = tl.rsqrt((tl.sum(x * x) + tl.sum(y * y)) / (2 * HALF) + EPS)
        x = x * scale * tl.load(weight).to(tl.float32)
        y = y * scale * tl.load(weight + HALF).to(tl.float32)
        position = tl.load(positions + token).to(tl.int64)
        cos, sin = tl.load(cosines + position * HALF + column), tl.load(sines + position * HALF + column)
        tl.store(target, (x * cos - y * sin).to(first.dtype))
        tl.store(target + HALF, (y * cos + x * sin).to(first.dtype))


@triton.jit
def silu_mul(gate_up, product, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """BLOCK columns of one token."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < WIDTH
    source = gate_up + token * 2 * WIDTH + column
    gate = tl.load(source, mask=inside, other=0.0)
    up = tl.load(source + WIDTH, mask=inside, other=0.0)
    wide = gate.to(tl.float32)
    # Rounded in between, as two operations would.
    silu = (wide / (1.0 + tl.exp(-wide))).to(gate.dtype).to(tl.float32)
    tl.store(product + token * WIDTH + column, (silu * up.to(tl.float32)).to(gate.dtype), mask=inside)


@triton.jit(do_not_specialize_on_alignment=["starts", "lengths"])
def attend_split(
    queries, keys, values, starts, lengths, attended, peaks, sums,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, SCALE: tl.constexpr,
    SPLITS: tl.constexpr, BLOCK: tl.constexpr, QUERIES: tl.constexpr,
):  # fmt: skip
    """One row, one head of keys, one of SPLITS shares of its keys, for all queries that use that head."""
    row, kv_head, split = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    length, start = tl.load(lengths + row), tl.load(starts + row).to(tl.int64)
    share = tl.cdiv(tl.cdiv(length, SPLITS), BLOCK) * BLOCK
    group = tl.arange(0, QUERIES)
    is_query = group < HEADS // KV_HEADS
    head = kv_head * (HEADS // KV_HEADS) + group
    column = tl.arange(0, HEAD_DIM)
    query_at = (row * HEADS + head)[:, None] * HEAD_DIM + column[None, :]
    query = tl.load(queries + query_at, mask=is_query[:, None], other=0.0)
    peak = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    result = tl.zeros([QUERIES, HEAD_DIM], tl.float32)
    for offset in range(split * share, tl.minimum((split + 1) * share, length), BLOCK):
        key = offset + tl.arange(0, BLOCK)
        inside = key < length
        at = ((start + key) * KV_HEADS + kv_head)[:, None] * HEAD_DIM + column[None, :]
        scores = tl.dot(query, tl.trans(tl.load(keys + at, mask=inside[:, None], other=0.0))) * SCALE
        scores = tl.where(inside[None, :], scores, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        old = tl.exp(peak - new_peak)
        weights = tl.exp(scores - new_peak[:, None])
        value = tl.load(values + at, mask=inside[:, None], other=0.0)
        result = result * old[:, None] + tl.dot(weights.to(value.dtype), value)
        total = total * old + tl.sum(weights, 1)
        peak = new_peak
    if SPLITS == 1:
        tl.store(attended + query_at, (result / total[:, None]).to(query.dtype), mask=is_query[:, None])
    else:
        part = (row * SPLITS + split) * HEADS + head
        tl.store(attended + part[:, None] * HEAD_DIM + column[None, :], result, mask=is_query[:, None])
        tl.store(peaks + part, peak, mask=is_query)
        tl.store(sums + part, total, mask=is_query)


@triton.jit
def join_splits(parts, peaks, sums, attended, HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, SPLITS: tl.constexpr):
    """One row, one head: the first share is never empty, so the highest peak is a number."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    column = tl.arange(0, HEAD_DIM)
    part = (row * SPLITS + tl.arange(0, SPLITS)) * HEADS + head
    peak = tl.load(peaks + part)
    weight = tl.exp(peak - tl.max(peak))
    result = tl.sum(tl.load(parts + part[:, None] * HEAD_DIM + column[None, :]) * weight[:, None], 0)
    result = result / tl.sum(tl.load(sums + part) * weight)
    tl.store(attended + (row * HEADS + head) * HEAD_DIM + column, result.to(attended.dtype.element_ty))
