"""Reductions over the axes that input 1 names; option keep_dims leaves them in place with size 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared

from .activation import symmetric_int16
from .arithmetic import store
from .nodes import (
    Arrays,
    Work,
    alike,
    by_values,
    called,
    inputs,
    only,
    output,
    quant_of,
    quantised,
    same_quant,
    shape_of,
    types,
)
from .quant import RANGES, multiplier_and_shift, rescale, rescale_int64
from .shapes import element_count, normalize_axes

Axes = tuple[int, ...]
Reduction = Callable[[Array, Array, Axes, int], None]  # input, output with all dimensions, axes, elements reduced


def _reducing(node: NodeSpec, allowed: str, work: Reduction) -> Prepared:
    source, axes = inputs(node, 2)
    out = output(node)
    only(types(allowed), source)
    alike(source, out)
    only(types("int32"), axes)
    shape = shape_of(source)
    if len(shape_of(axes)) > 1:
        raise ShapeError(f"{called(axes)} has shape {axes.shape}: axes are a scalar or a vector")
    keep = bool(node.options.get("keep_dims", False))

    def plan(value: Array) -> tuple[Shape, Work]:
        given = tuple(int(v) for v in np.asarray(value).reshape(-1))
        chosen = normalize_axes(given, len(shape)) if shape else ()
        kept = tuple(1 if axis in chosen else size for axis, size in enumerate(shape))
        count = element_count(tuple(shape[axis] for axis in chosen))

        def reduce(ins: Arrays, outs: Arrays) -> None:
            work(ins[0], outs[0].reshape(kept), chosen, count)

        return kept if keep else tuple(s for axis, s in enumerate(shape) if axis not in chosen), reduce

    return by_values(node, (1,), plan)


def mean(node: NodeSpec) -> Prepared:
    """out = sum / count. Integers are divided towards zero; the mean of nothing is NaN, or 0.

    Quantised: the division is part of the multiplier (QuantizedMeanOrSum in reference/reduce.h).
    """
    source = inputs(node, 2)[0]
    if source.dtype in ("int8", "uint8", "int16"):
        return _quantised_sum(node, divide=True)

    def work(x: Array, out: Array, axes: Axes, count: int) -> None:
        if not count:
            out[...] = np.nan if out.dtype.kind == "f" else 0
        elif out.dtype.kind == "f":
            np.add.reduce(x, axes, out.dtype, out, keepdims=True)
            np.divide(out, out.dtype.type(count), out=out)
        else:
            total = np.add.reduce(x, axes, np.int64, keepdims=True)
            np.copyto(out, np.where(total < 0, -(-total // count), total // count), casting="unsafe")

    return _reducing(node, "float32 int32 int64", work)


def sum_(node: NodeSpec) -> Prepared:
    """out = sum; integers wrap. Quantised: QuantizedMeanOrSum in reference/reduce.h, for every type as for uint8."""
    source = inputs(node, 2)[0]
    if source.dtype in ("int8", "uint8", "int16"):
        return _quantised_sum(node, divide=False)

    def work(x: Array, out: Array, axes: Axes, _: int) -> None:
        np.add.reduce(x, axes, out.dtype, out, keepdims=True)

    return _reducing(node, "float32 int32 int64", work)


def _quantised_sum(node: NodeSpec, *, divide: bool) -> Prepared:
    source, out = inputs(node, 2)[0], output(node)
    qi, qo = quant_of(source), quant_of(out)
    symmetric_int16(source, out)
    multiplier, shift = multiplier_and_shift(qi.scale / qo.scale)
    low, high = RANGES[out.dtype]

    def work(x: Array, result: Array, axes: Axes, count: int) -> None:
        if not x.size:
            result[...] = 0
            return
        m, s = multiplier, shift
        if divide:
            left = min(count.bit_length() - 1, 32, 31 + shift)
            m, s = (multiplier << left) // count, shift - left
        total = np.add.reduce(x, axes, np.int64, keepdims=True) - qi.zero_point * count
        store(rescale(total.astype(np.int32), m, s) + np.int64(qo.zero_point), result, low, high)

    return _reducing(node, "int8 uint8 int16", work)


def _extreme(function: Any, worst: Callable[[str], Any]) -> Prepare:
    """prepare for the largest or smallest element; NaN loses against numbers; *worst* if there is none."""

    def prepare(node: NodeSpec) -> Prepared:
        source = inputs(node, 2)[0]
        same_quant(source, output(node))

        def work(x: Array, out: Array, axes: Axes, count: int) -> None:
            if count:
                function.reduce(x, axes, None, out, keepdims=True)
            else:
                out[...] = worst(source.dtype)

        return _reducing(node, "float32 int8 uint8 int16 int32 int64", work)

    return prepare


def _lowest(dtype: str) -> Any:
    return RANGES[dtype][0] if dtype in RANGES else np.finfo(memory_dtype(dtype)).min


def _highest(dtype: str) -> Any:
    return RANGES[dtype][1] if dtype in RANGES else np.finfo(memory_dtype(dtype)).max


reduce_max = _extreme(np.fmax, _lowest)
reduce_min = _extreme(np.fmin, _highest)


def _logical(function: Any) -> Prepare:
    def prepare(node: NodeSpec) -> Prepared:
        def work(x: Array, out: Array, axes: Axes, _: int) -> None:
            function.reduce(x, axes, None, out, keepdims=True)

        return _reducing(node, "bool", work)

    return prepare


reduce_any = _logical(np.logical_or)
reduce_all = _logical(np.logical_and)


def reduce_prod(node: NodeSpec) -> Prepared:
    """out = product; integers wrap. Quantised: rescaled after every factor (QuantizedReduceProd)."""
    source, out = inputs(node, 2)[0], output(node)
    if quantised(source):
        return _quantised_product(node, source, out)

    def work(x: Array, result: Array, axes: Axes, _: int) -> None:
        np.multiply.reduce(x, axes, result.dtype, result, keepdims=True)

    return _reducing(node, "float32 int8 uint8 int16 int32 int64", work)


def _quantised_product(node: NodeSpec, source: TensorSpec, out: TensorSpec) -> Prepared:
    qi, qo = quant_of(source), quant_of(out)
    symmetric_int16(source, out)
    low, high = RANGES.get(out.dtype, (0, 0))

    def work(x: Array, result: Array, axes: Axes, count: int) -> None:
        if not x.size:
            result[...] = 0
            return
        multiplier, shift = multiplier_and_shift(qi.scale / qo.scale ** (1.0 / count))
        order = (*axes, *(i for i in range(x.ndim) if i not in axes))
        factors = x.transpose(order).reshape(count, -1).astype(np.int64) - qi.zero_point
        product = factors[0]
        for factor in factors[1:]:
            product = rescale_int64(product * factor, multiplier, shift).astype(np.int64)
        levels = rescale_int64(product, multiplier, shift) + np.int64(qo.zero_point)
        store(levels.reshape(result.shape), result, low, high)

    return _reducing(node, "int8 int16", work)
