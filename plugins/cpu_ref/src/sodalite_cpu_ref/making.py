"""Operators that make a tensor out of little: SHAPE, RANK, FILL, ZEROS_LIKE, RANGE, ONE_HOT, CUMSUM."""

from __future__ import annotations

import math

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from .nodes import (
    COPIED,
    INDEX,
    Arrays,
    Work,
    alike,
    by_values,
    called,
    fixed,
    inputs,
    ints,
    only,
    output,
    rank_is,
    same_quant,
    scalar,
    shape_of,
    types,
    vector,
)
from .shapes import element_count, normalize_axis


def shape(node: NodeSpec) -> Prepared:
    """The input's sizes."""
    (source,) = inputs(node, 1)
    out = output(node)
    only(INDEX, out)
    return _known(node, np.array(shape_of(source), memory_dtype(out.dtype)))


def rank(node: NodeSpec) -> Prepared:
    """The number of the input's dimensions, a scalar."""
    (source,) = inputs(node, 1)
    only(types("int32"), output(node))
    return _known(node, np.array(len(shape_of(source)), np.int32))


def _known(node: NodeSpec, value: Array) -> Prepared:
    value.flags.writeable = False
    return fixed(node, value.shape, lambda _, outs: np.copyto(outs[0], value))._replace(values={0: value})


def fill(node: NodeSpec) -> Prepared:
    """A tensor of the shape that input 0 holds, everywhere the scalar in input 1."""
    sizes, value = inputs(node, 2)
    only(INDEX, sizes)
    only(COPIED, value)
    alike(value, output(node))
    rank_is(value, 0)
    vector(sizes)
    same_quant(output(node), value)

    def plan(given: Array) -> tuple[Shape, Work]:
        result = tuple(ints(given))
        if min(result, default=0) < 0:
            raise ShapeError(f"{called(sizes)} is {result}: no size may be negative")
        return result, lambda ins, outs: np.copyto(outs[0], ins[1])

    return by_values(node, (0,), plan)


def zeros_like(node: NodeSpec) -> Prepared:
    """Zeros of the input's shape and type."""
    (source,) = inputs(node, 1)
    only(types("float32 int32 int64"), source)
    alike(source, output(node))
    return fixed(node, shape_of(source), lambda _, outs: outs[0].fill(0))


def range_(node: NodeSpec) -> Prepared:
    """start, start + delta, start + 2 delta, ... before limit; floats are added up one by one."""
    start, limit, delta = inputs(node, 3)
    only(types("float32 int32 int64"), start)
    alike(start, limit, delta, output(node))
    for spec in (start, limit, delta):
        rank_is(spec, 0)

    def plan(*values: Array) -> tuple[Shape, Work]:
        first, end, step = (v.reshape(())[()].item() for v in values)
        finite = all(map(math.isfinite, (first, end, step)))
        if not finite or step == 0 or (end - first) * step < 0:
            raise ShapeError(f"no range from {first:g} to {end:g} in steps of {step:g}")
        kind = memory_dtype(start.dtype).type
        if start.dtype == "float32":
            count = math.ceil(abs((kind(end) - kind(first)) / kind(step)))
        else:
            count = -(-abs(end - first) // abs(step))

        def work(_: Arrays, outs: Arrays) -> None:
            outs[0][:] = kind(step)
            outs[0][:1] = kind(first)
            np.add.accumulate(outs[0], out=outs[0])

        return (count,), work

    return by_values(node, (0, 1, 2), plan)


def one_hot(node: NodeSpec) -> Prepared:
    """A new axis of size depth (input 1) that is on_value (input 2) at the index in input 0, off_value elsewhere.

    An index outside 0 ... depth - 1 is on nowhere.
    """
    indices, depth, on_value, off_value = inputs(node, 4)
    only(INDEX, indices)
    only(types("int32"), depth)
    only(types("float32 int8 uint8 int16 int32 int64 bool"), on_value)
    alike(on_value, off_value, output(node))
    for spec in (depth, on_value, off_value):
        scalar(spec)
    old = shape_of(indices)
    axis = normalize_axis(node.options.get("axis", -1), len(old) + 1)

    def plan(value: Array) -> tuple[Shape, Work]:
        size = ints(value)[0]
        if size < 0:
            raise ShapeError(f"{called(depth)} is {size}, wanted 0 or more")
        places = np.arange(size).reshape((size,) + (1,) * (len(old) - axis))

        def work(ins: Arrays, outs: Arrays) -> None:
            on = np.expand_dims(ins[0], axis) == places
            np.copyto(outs[0], ins[3].reshape(()))
            np.copyto(outs[0], ins[2].reshape(()), where=on)

        return (*old[:axis], size, *old[axis:]), work

    return by_values(node, (1,), plan)


def cumsum(node: NodeSpec) -> Prepared:
    """Sums of all elements up to each along the axis in input 1; exclusive: without it; reverse: from the end."""
    source, axis = inputs(node, 2)
    only(types("float32 int32 int64"), source)
    only(types("int32"), axis)
    alike(source, output(node))
    scalar(axis)
    size = shape_of(source)
    if not size:
        raise Unsupported("an input without dimensions", code=Reason.RANK)
    exclusive, reverse = bool(node.options.get("exclusive", False)), bool(node.options.get("reverse", False))

    def work(ins: Arrays, outs: Arrays) -> None:
        at = normalize_axis(ints(ins[1])[0], len(size))
        if not element_count(size):
            return
        x, out = ins[0].swapaxes(at, 0), outs[0].swapaxes(at, 0)
        if reverse:
            x, out = x[::-1], out[::-1]
        if exclusive:
            out[0] = 0
            x, out = x[:-1], out[1:]
        np.add.accumulate(x, axis=0, dtype=out.dtype, out=out)

    return fixed(node, size, work)
