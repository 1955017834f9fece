"""PAD, PADV2, MIRROR_PAD: a tensor with a border."""

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
    alike,
    by_values,
    called,
    ints,
    only,
    quant_of,
    quantised,
    same_quant,
    scalar,
    shape_of,
    types,
)

Pairs = Sequence[tuple[int, int]]


def pad(node: NodeSpec) -> Prepared:
    """The input with paddings[i] elements before and after along dimension i; paddings (rank, 2) are input 1.

    The border is zero, in quantised outputs the zero point.
    """
    return _padded(node)


def padv2(node: NodeSpec) -> Prepared:
    """As PAD, with the value in input 2, which has the output's quantisation."""
    return _padded(node)


def _padded(node: NodeSpec) -> Prepared:
    specs = moved(node, 2, 3)
    source, paddings = specs[:2]
    shape = _paddings_fit(source, paddings, "int32 int64 int8 int16 bool")
    out = node.outputs[0]
    filler: object = 0
    if len(specs) == 3:
        alike(source, specs[2])
        scalar(specs[2])
        same_quant(out, specs[2])
    elif source.dtype in ("int8", "uint8", "int16") and quantised(out):
        filler = quant_of(out).zero_point
    elif source.dtype == "string":
        raise Unsupported("strings have no zero to pad with", code=Reason.TYPE)

    def plan(value: Array) -> tuple[Shape, Work]:
        pairs = _pairs(value, paddings)
        inside = tuple(slice(b, b + size) for (b, _), size in zip(pairs, shape, strict=True))

        def work(ins: Arrays, outs: Arrays) -> None:
            outs[0][...] = filler if len(ins) < 3 else ins[2].reshape(())
            outs[0][inside] = ins[0]

        return tuple(b + size + a for (b, a), size in zip(pairs, shape, strict=True)), work

    return by_values(node, (1,), plan)


def mirror_pad(node: NodeSpec) -> Prepared:
    """The input with a border that mirrors it; mode REFLECT leaves out the edge itself, SYMMETRIC repeats it."""
    source, paddings = moved(node, 2)
    shape = _paddings_fit(source, paddings, "int32 int64")
    same_quant(source, node.outputs[0])
    mode = node.options.get("mode", "REFLECT")
    edge = 1 if mode == "REFLECT" else 0

    def plan(value: Array) -> tuple[Shape, Work]:
        pairs = _pairs(value, paddings)
        for axis, ((before, after), size) in enumerate(zip(pairs, shape, strict=True)):
            if max(before, after) > size - edge and (before or after):
                raise ShapeError(
                    f"{called(paddings)}[{axis}] is ({before}, {after}): a {mode} border of size {size} "
                    f"has at most {size - edge} elements"
                )
        places = [_mirrored(size, before, after, edge) for (before, after), size in zip(pairs, shape, strict=True)]

        def work(ins: Arrays, outs: Arrays) -> None:
            np.copyto(outs[0], ins[0][np.ix_(*places)] if places else ins[0])

        return tuple(len(p) for p in places), work

    return by_values(node, (1,), plan)


def _mirrored(size: int, before: int, after: int, edge: int) -> Array:
    """For each element of a padded dimension, the element that it shows."""
    head = np.arange(before - 1, -1, -1) + edge
    tail = size - 1 - edge - np.arange(after)
    return np.concatenate([head, np.arange(size), tail])


def _paddings_fit(source: TensorSpec, paddings: TensorSpec, allowed: str) -> Shape:
    only(types(allowed), paddings)
    shape = shape_of(source)
    if shape_of(paddings) != (len(shape), 2):
        raise ShapeError(f"{called(paddings)} has shape {paddings.shape}, wanted {(len(shape), 2)}")
    return shape


def _pairs(value: Array, paddings: TensorSpec) -> Pairs:
    flat = ints(value)
    if min(flat, default=0) < 0:
        raise ShapeError(f"{called(paddings)} is {flat}: no padding may be negative")
    return list(zip(flat[::2], flat[1::2], strict=True))
