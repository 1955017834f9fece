"""Unary functions of quantised levels: all 256 answers worked out when preparing, or a table with interpolation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.dtypes import memory_dtype
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepared

from .nodes import Arrays, first, fixed, quant_of, shape_of
from .quant import RANGES, round_half_away

Floats = npt.NDArray[np.float32]
Real = Callable[[Floats], Floats]


def each_level(node: NodeSpec, function: Callable[[npt.NDArray[np.int64]], Array]) -> Prepared:
    """out = function(level), clamped to the output's type: through a table for 8-bit inputs.

    function: int64 levels of the first input -> integer levels of the output.
    """
    source, target = first(node), node.outputs[0]
    low, high = RANGES[target.dtype]
    kind = memory_dtype(target.dtype)

    def apply(levels: Array) -> Array:
        return np.clip(function(levels.astype(np.int64)), low, high).astype(kind)

    if source.dtype in ("int8", "uint8"):
        return looked_up(node, apply(all_levels(source.dtype)))

    def work(ins: Arrays, outs: Arrays) -> None:
        outs[0][...] = apply(ins[0])

    return fixed(node, shape_of(source), work)


def all_levels(dtype: str) -> Array:
    """The 256 levels of an 8-bit type in the order of their bytes."""
    return np.arange(256).astype(np.uint8).view(memory_dtype(dtype))


def looked_up(node: NodeSpec, table: Array) -> Prepared:
    """out = table[byte of the level]."""
    source = first(node)

    def work(ins: Arrays, outs: Arrays) -> None:
        table.take(ins[0].view(np.uint8), out=outs[0], mode="clip")

    alias = {0: 0} if table.dtype.itemsize == 1 else None
    return fixed(node, shape_of(source), work, alias=alias)


def of_reals(node: NodeSpec, function: Real) -> Prepared:
    """out = quantised function(dequantised level) for int8, uint8 and int16 inputs and outputs of one type.

    function: float32 -> float32. Source: LUTPopulate and LUTLookup in kernels/internal/common.h.
    """
    source, target = first(node), node.outputs[0]
    if source.dtype != "int16":
        return looked_up(node, _table8(source, target, function))
    table = _table16(source, target, function)

    def work(ins: Arrays, outs: Arrays) -> None:
        outs[0][...] = interpolated(ins[0], table)

    return fixed(node, shape_of(source), work)


def _table8(source: TensorSpec, target: TensorSpec, function: Real) -> Array:
    """Every answer for an 8-bit input; all arithmetic in float32."""
    scale, zero_point = quant_of(source).scales[0], quant_of(source).zero_point
    inverse = np.float32(1) / quant_of(target).scales[0]
    low, high = RANGES[target.dtype]
    with np.errstate(all="ignore"):
        reals = scale * (all_levels(source.dtype).astype(np.int32) - zero_point).astype(np.float32)
        levels = round_half_away(function(reals) * inverse) + np.float32(quant_of(target).zero_point)
        return np.clip(np.where(np.isnan(levels), low, levels), low, high).astype(memory_dtype(target.dtype))


def _table16(source: TensorSpec, target: TensorSpec, function: Real) -> Array:
    """513 answers for an int16 input, each moved by half the error of interpolation at the middle of its step."""
    low, high = np.float32(-32768), np.float32(32767)
    scale, zero_point = quant_of(source).scales[0], np.float32(quant_of(source).zero_point)
    start, last = scale * (low - zero_point), scale * (high - zero_point)
    out_scale, out_zero = quant_of(target).scales[0], np.float32(quant_of(target).zero_point)
    inverse = np.float32(65536) / (out_scale * (high - out_zero) - out_scale * (low - out_zero))
    step = (last - start) / np.float32(512)
    with np.errstate(all="ignore"):
        i = np.arange(512).astype(np.float32)
        places = start + i * step
        at, middle, after = function(places), function(places + step / 2), function(start + (i + 1) * step)
        here = round_half_away(at * inverse)
        error = round_half_away((after * inverse + here) / 2) - round_half_away(middle * inverse)
        end = round_half_away(function(np.array([last], np.float32)) * inverse)
        table = np.append(here - round_half_away(error / 2), end)
        return np.clip(np.where(np.isnan(table), low, table), low, high).astype(np.int16)


def interpolated(levels: Any, table: Array) -> Array:
    """int16 *levels* through a table of 513 int16: the upper nine bits choose the step, seven are the place in it."""
    wide = np.asarray(levels, np.int32)
    place = 256 + (wide >> 7)
    base = table.take(place)
    slope = (table.take(place + 1) - base).astype(np.int32)
    return (base + ((slope * (wide & 127) + 64) >> 7)).astype(np.int16)  # type: ignore[no-any-return]


@functools.cache
def sigmoid_table() -> npt.NDArray[np.int64]:
    """65536 · sigmoid(i / 24) for i = 0 ... 255, moved by half the error of interpolation at the middle of a step.

    These are the values of sigmoid_table_uint16 in kernels/internal/common.h.
    """
    s = 1 / (1 + np.exp(-np.arange(256) / 24))
    table = np.floor(65536 * (s + s * (1 - s) * (2 * s - 1) / (24 * 24 * 16)) + 0.5).astype(np.int64)
    table[255] = 65535
    table.flags.writeable = False
    return table
