"""Comparisons and choices: EQUAL ... GREATER_EQUAL, SELECT, SELECT_V2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared

from . import floats
from .nodes import (
    STORED,
    Arrays,
    alike,
    called,
    fixed,
    inputs,
    only,
    output,
    quant_of,
    quantised,
    shape_of,
    types,
)
from .quant import multiplier_and_shift, rescale
from .shapes import broadcast_shape, element_count
from .tables import all_levels

_EQUALITY = "float32 float16 int8 uint8 int16 int32 int64 bool string"
_ORDER = "float32 float16 bfloat16 int8 uint8 int16 int32 int64"


def _comparing(function: Callable[..., Any], allowed: str, scaled: str) -> Prepare:
    """prepare for a comparison; levels of the types *scaled* are brought to a common scale first, if quantised.

    Source: ComparisonWithScaling in reference/comparisons.h: 8 more bits, each side by its own scale.
    """

    def prepare(node: NodeSpec) -> Prepared:
        a, b = inputs(node, 2)
        only(types(allowed), a)
        alike(a, b)
        only({"bool"}, output(node))
        shape = broadcast_shape(shape_of(a), shape_of(b))
        sides = [_plain_side(t) for t in (a, b)]
        if a.dtype in ("int8", "uint8") or (a.dtype in scaled.split() and quantised(a)):
            sides = [_scaled_side(t) for t in (a, b)]

        def work(ins: Arrays, outs: Arrays) -> None:
            function(sides[0](ins[0]), sides[1](ins[1]), out=outs[0], casting="unsafe")

        return fixed(node, shape, work)

    return prepare


def _plain_side(spec: TensorSpec) -> Callable[[Array], Array]:
    return lambda x: floats.widened(x, spec.dtype)


def _scaled_side(spec: TensorSpec) -> Callable[[Array], Array]:
    multiplier, shift = multiplier_and_shift(quant_of(spec).scale)
    zero_point = quant_of(spec).zero_point

    def scale(levels: Array) -> Array:
        return rescale((levels.astype(np.int64) - zero_point) << 8, multiplier, shift)

    if spec.dtype == "int16":
        return scale
    table = scale(all_levels(spec.dtype))
    return lambda levels: table.take(levels.view(np.uint8))


equal = _comparing(np.equal, _EQUALITY, "int16")
not_equal = _comparing(np.not_equal, _EQUALITY, "int16")
less = _comparing(np.less, _ORDER, "")
less_equal = _comparing(np.less_equal, _ORDER, "")
greater = _comparing(np.greater, _ORDER, "")
greater_equal = _comparing(np.greater_equal, _ORDER, "")


def select(node: NodeSpec) -> Prepared:
    """out = condition ? a : b, all of one shape, or one condition for everything, or for each row."""
    condition, a, b = _choice(node)
    shape = shape_of(a)
    if shape_of(b) != shape:
        raise ShapeError(f"{called(a)} has shape {shape}, {called(b)} has {b.shape}")
    by = shape_of(condition)
    if by == shape:
        view = by
    elif len(by) <= 1 and by in ((), shape[:1]):
        view = (*by, *(1 for _ in shape[len(by) :]))
    else:
        raise ShapeError(f"{called(condition)} has shape {by}, wanted {shape}, {shape[:1]} or ()")
    return _choosing(node, shape, view)


def select_v2(node: NodeSpec) -> Prepared:
    """out = condition ? a : b, all three broadcast."""
    condition, a, b = _choice(node)
    shapes = [shape_of(t) for t in (condition, a, b)]
    shape = broadcast_shape(*shapes)
    declared = node.outputs[0].shape
    if declared is not None and all(element_count(s) == 1 for s in (*shapes, declared)):
        shape = declared  # one element: LiteRT keeps the rank that the file says
    return _choosing(node, shape, shapes[0])


def _choice(node: NodeSpec) -> list[TensorSpec]:
    specs = inputs(node, 3)
    only({"bool"}, specs[0])
    only(STORED, specs[1])
    alike(*specs[1:], output(node))
    return specs


def _choosing(node: NodeSpec, shape: tuple[int, ...], view: tuple[int, ...]) -> Prepared:
    def work(ins: Arrays, outs: Arrays) -> None:
        out = outs[0]
        if out.size == 1:
            np.copyto(out.reshape(()), ins[1 if ins[0].all() else 2].reshape(()))
            return
        np.copyto(out, ins[2])
        np.copyto(out, ins[1], where=ins[0].reshape(view))

    return fixed(node, shape, work)
