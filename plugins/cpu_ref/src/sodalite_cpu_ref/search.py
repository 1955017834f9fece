"""Operators that look for elements: ARG_MAX, ARG_MIN, TOPK_V2, WHERE, UNIQUE."""

from __future__ import annotations

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import Buffers, NodeSpec, Prepare, Prepared, Reason, Step, Unsupported

from .nodes import (
    INDEX,
    Arrays,
    Work,
    alike,
    by_values,
    called,
    first,
    inputs,
    ints,
    only,
    output,
    rank_is,
    scalar,
    shape_of,
    types,
    vector,
)
from .shapes import normalize_axis


def _extreme(*, largest: bool) -> Prepare:
    """prepare for the place of the first largest (smallest) element along the axis in input 1.

    NaN is passed over, unless it comes first.
    """

    def prepare(node: NodeSpec) -> Prepared:
        source, axis = inputs(node, 2)
        only(types("float32 int8 uint8 int32 bool"), source)
        only(INDEX, axis)
        only(INDEX, output(node))
        scalar(axis)
        shape = shape_of(source)
        if not shape:
            raise Unsupported("an input without dimensions", code=Reason.RANK)

        def plan(value: Array) -> tuple[Shape, Work]:
            at = normalize_axis(ints(value)[0], len(shape))
            if not shape[at]:
                raise ShapeError(f"{called(source)} has shape {shape}: axis {at} is empty")

            def work(ins: Arrays, outs: Arrays) -> None:
                x = ins[0]
                if x.dtype.kind == "f":
                    x = np.where(np.isnan(x), -np.inf if largest else np.inf, x)
                place = x.argmax(at) if largest else x.argmin(at)
                if x.dtype.kind == "f":
                    place = np.where(np.isnan(ins[0].take(0, at)), 0, place)
                np.copyto(outs[0], place, casting="unsafe")

            return (*shape[:at], *shape[at + 1 :]), work

        return by_values(node, (1,), plan)

    return prepare


arg_max = _extreme(largest=True)
arg_min = _extreme(largest=False)


def topk_v2(node: NodeSpec) -> Prepared:
    """The k largest elements of each row, largest first, and their places; of equals the first; NaN last."""
    source, k = inputs(node, 2)
    output(node, 2)
    only(types("float32 int8 uint8 int16 int32 int64"), source)
    only(types("int16 int32"), k)
    alike(source, node.outputs[0])
    only(types("int16 int32"), node.outputs[1])
    scalar(k)
    shape = shape_of(source)
    if not shape:
        raise Unsupported("an input without dimensions", code=Reason.RANK)

    def plan(value: Array) -> tuple[list[Shape], Work]:
        count = max(ints(value)[0], 0)
        if count > shape[-1]:
            raise ShapeError(f"{called(k)} is {count}, but rows of {called(source)} have {shape[-1]} elements")

        def work(ins: Arrays, outs: Arrays) -> None:
            falling = -ins[0] if ins[0].dtype.kind == "f" else ~ins[0]
            place = falling.argsort(-1, kind="stable")[..., :count]
            np.copyto(outs[0], np.take_along_axis(ins[0], place, -1))
            np.copyto(outs[1], place, casting="unsafe")

        return [(*shape[:-1], count)] * 2, work

    return by_values(node, (1,), plan)


def where(node: NodeSpec) -> Prepared:
    """The places of the elements that are not zero, one a row, in order."""
    source = first(node)
    only(types("float32 int8 uint8 int32 uint32 int64 bool"), source)
    only(types("int64"), output(node))
    if not shape_of(source):
        raise Unsupported("an input without dimensions", code=Reason.RANK)

    def plan(value: Array) -> tuple[Shape, Work]:
        places = np.argwhere(value)
        return places.shape, lambda _, outs: np.copyto(outs[0], places, casting="unsafe")

    return by_values(node, (0,), plan)


def unique(node: NodeSpec) -> Prepared:
    """The different elements of a vector in the order in which they come, and for each element its place there."""
    (source,) = inputs(node, 1)
    output(node, 2)
    only(types("float32 int8 uint8 int16 int32 int64"), source)
    alike(source, node.outputs[0])
    only(INDEX, node.outputs[1])
    length = vector(source)
    rank_is(source, 1)
    kind = memory_dtype(node.outputs[1].dtype)

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            x, places = buffers.inputs[0], buffers.outputs[1]
            _, at, which = np.unique(np.asarray(x), return_index=True, return_inverse=True)
            order = at.argsort(kind="stable")
            rank = np.empty_like(order)
            rank[order] = np.arange(order.size)
            buffers.emit(0, np.asarray(x)[at[order]])
            np.copyto(np.asarray(places), rank[which.reshape(-1)].astype(kind))

        return step

    return Prepared((None, (length,)), bind)
