"""Blocks of pixels moved to channels or to the batch, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from .movement import moved
from .nodes import (
    Arrays,
    Work,
    by_values,
    called,
    fixed,
    ints,
    only,
    quant_of,
    quantised,
    rank_is,
    same_quant,
    shape_of,
    types,
    vector,
)
from .shapes import element_count


def _block_size(node: NodeSpec) -> int:
    size = int(node.options.get("block_size", 0))
    if size <= 0:
        raise ShapeError(f"block_size is {size}, wanted 1 or more")
    return size


def space_to_depth(node: NodeSpec) -> Prepared:
    """(n, h, w, c) -> (n, h/b, w/b, b·b·c): each block of b by b pixels becomes one, row by row."""
    (source,) = moved(node, 1)
    n, h, w, c = rank_is(source, 4)
    b = _block_size(node)
    if h % b or w % b:
        raise ShapeError(f"{called(source)} has shape {source.shape}: {h} by {w} is not made of blocks of {b}")

    def work(ins: Arrays, outs: Arrays) -> None:
        blocks = ins[0].reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5)
        np.copyto(outs[0].reshape(blocks.shape), blocks)

    return fixed(node, (n, h // b, w // b, b * b * c), work)


def depth_to_space(node: NodeSpec) -> Prepared:
    """(n, h, w, b·b·c) -> (n, h·b, w·b, c): the inverse of SPACE_TO_DEPTH."""
    (source,) = moved(node, 1)
    n, h, w, c = rank_is(source, 4)
    b = _block_size(node)
    if c % (b * b):
        raise ShapeError(f"{called(source)} has shape {source.shape}: {c} channels are not made of {b * b}")

    def work(ins: Arrays, outs: Arrays) -> None:
        blocks = ins[0].reshape(n, h, w, b, b, c // (b * b)).transpose(0, 1, 3, 2, 4, 5)
        np.copyto(outs[0].reshape(blocks.shape), blocks)

    return fixed(node, (n, h * b, w * b, c // (b * b)), work)


def _batched(node: NodeSpec) -> tuple[TensorSpec, TensorSpec, TensorSpec, Shape]:
    source, block, border = moved(node, 3)
    only(types("int32"), block, border)
    same_quant(source, node.outputs[0])
    shape = shape_of(source)
    if len(shape) < 3:
        raise Unsupported(f"{called(source)} has rank {len(shape)}, wanted 3 or more", code=Reason.RANK)
    spatial = len(shape) - 2
    vector(block, spatial)
    if shape_of(border) != (spatial, 2):
        raise ShapeError(f"{called(border)} has shape {border.shape}, wanted {(spatial, 2)}")
    return source, block, border, shape


def _sizes(block: TensorSpec, border: TensorSpec, values: Sequence[Array]) -> tuple[list[int], list[tuple[int, int]]]:
    blocks, edges = ints(values[0]), ints(values[1])
    if min(blocks) <= 0:
        raise ShapeError(f"{called(block)} is {blocks}: block sizes are 1 or more")
    if min(edges) < 0:
        raise ShapeError(f"{called(border)} is {edges}: no size may be negative")
    return blocks, list(zip(edges[::2], edges[1::2], strict=True))


def space_to_batch_nd(node: NodeSpec) -> Prepared:
    """Every place within a block becomes a batch of its own: (n, s..., c) -> (n · prod(b), s/b..., c), after padding.

    Block sizes and paddings are inputs 1 and 2; the padding is zero, in quantised tensors the zero point.
    """
    source, block, paddings, shape = _batched(node)
    filler = quant_of(source).zero_point if source.dtype in ("int8", "uint8") and quantised(source) else 0

    def plan(*values: Array) -> tuple[Shape, Work]:
        b, edges = _sizes(block, paddings, values)
        padded = [s + before + after for s, (before, after) in zip(shape[1:-1], edges, strict=True)]
        if any(s % size for s, size in zip(padded, b, strict=True)):
            raise ShapeError(f"{called(source)}, padded to {padded}, is not made of blocks of {b}")
        n, c, d = shape[0], shape[-1], len(b)
        inside = tuple(slice(before, before + s) for s, (before, _) in zip(shape[1:-1], edges, strict=True))
        split = [v for s, size in zip(padded, b, strict=True) for v in (s // size, size)]
        order = (*range(2, 2 * d + 1, 2), 0, *range(1, 2 * d, 2), 2 * d + 1)
        result = (n * element_count(tuple(b)), *(s // size for s, size in zip(padded, b, strict=True)), c)

        def work(ins: Arrays, outs: Arrays) -> None:
            whole = np.full((n, *padded, c), filler, ins[0].dtype)
            whole[(slice(None), *inside)] = ins[0]
            blocks = whole.reshape(n, *split, c).transpose(order)
            np.copyto(outs[0].reshape(blocks.shape), blocks)

        return result, work

    return by_values(node, (1, 2), plan)


def batch_to_space_nd(node: NodeSpec) -> Prepared:
    """The inverse of SPACE_TO_BATCH_ND; block sizes and crops are inputs 1 and 2."""
    source, block, crops, shape = _batched(node)

    def plan(*values: Array) -> tuple[Shape, Work]:
        b, edges = _sizes(block, crops, values)
        d, c, count = len(b), shape[-1], element_count(tuple(b))
        if shape[0] % count:
            raise ShapeError(f"{called(source)} has {shape[0]} batches, which is not made of blocks of {b}")
        n = shape[0] // count
        grown = [s * size for s, size in zip(shape[1:-1], b, strict=True)]
        kept = [s - before - after for s, (before, after) in zip(grown, edges, strict=True)]
        if min(kept) < 0:
            raise ShapeError(f"{called(crops)} leave nothing of {grown}")
        inside = tuple(slice(before, before + s) for s, (before, _) in zip(kept, edges, strict=True))
        order = (d, *(v for i in range(d) for v in (d + 1 + i, i)), 2 * d + 1)

        def work(ins: Arrays, outs: Arrays) -> None:
            whole = ins[0].reshape(*b, n, *shape[1:-1], c).transpose(order).reshape(n, *grown, c)
            np.copyto(outs[0], whole[(slice(None), *inside)])

        return (n, *kept, c), work

    return by_values(node, (1, 2), plan)
