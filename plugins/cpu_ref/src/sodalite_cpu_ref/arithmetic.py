"""ADD, SUB, MUL and their relatives: two operands that broadcast, one result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared, Reason, Unsupported
from sodalite.quant import (
    activation_range,
    float_activation_range,
    multiplier_and_shift,
    rescale,
    rounding_divide_by_pot,
)
from sodalite.shapes import broadcast_shape

from .nodes import Arrays, Work, alike, fixed, inputs, only, output, quant_of, quantised, shape_of, types

_LEVELS = types("int8 uint8 int16")


def clamp(out: Array, low: Any, high: Any) -> None:
    """Set elements of *out* below *low* to low and above *high* to high; NaN and -0.0 stay. None: no bound."""
    if low is not None:
        np.copyto(out, low, where=out < low, casting="unsafe")
    if high is not None:
        np.copyto(out, high, where=out > high, casting="unsafe")


def store(levels: Array, out: Array, low: int, high: int) -> None:
    """out = levels clamped to low ... high."""
    np.copyto(out, np.clip(levels, low, high), casting="unsafe")


def fused_bounds(node: NodeSpec, dtype: str) -> tuple[Any, Any]:
    """Bounds of the fused activation for unquantised elements of *dtype*; None where there is none."""
    name = node.options.get("fused_activation_function", "NONE")
    try:
        low, high = float_activation_range(name)
    except ValueError as error:
        raise Unsupported(str(error), code=Reason.OPTION) from error
    if memory_dtype(dtype).kind == "u" and -math.inf < low < 0:
        raise Unsupported(f"{name} of {dtype}, which cannot be {low:g}", code=Reason.OPTION)
    kind = memory_dtype(dtype).type
    return (None if math.isinf(low) else kind(low)), (None if math.isinf(high) else kind(high))


def fused_levels(node: NodeSpec, out: TensorSpec) -> tuple[int, int]:
    """Bounds of the fused activation in levels of the quantised output *out*."""
    quant = quant_of(out)
    name = node.options.get("fused_activation_function", "NONE")
    try:
        return activation_range(name, out.dtype, quant.scale, quant.zero_point)
    except ValueError as error:
        raise Unsupported(str(error), code=Reason.OPTION) from error


def operands(node: NodeSpec, allowed: frozenset[str]) -> tuple[TensorSpec, TensorSpec, TensorSpec, tuple[int, ...]]:
    """The two operands, the output, and the shape that the operands broadcast to. All of one dtype."""
    a, b = inputs(node, 2)
    out = output(node)
    only(allowed, a)
    alike(a, b, out)
    return a, b, out, broadcast_shape(shape_of(a), shape_of(b))


def in_place(node: NodeSpec, shape: tuple[int, ...]) -> dict[int, int]:
    """The alias of an elementwise result: the first input that has its shape and type."""
    for i, spec in enumerate(node.inputs):
        if spec is not None and spec.shape == shape and spec.dtype == node.outputs[0].dtype:
            return {0: i}
    return {}


def plain(node: NodeSpec, function: Callable[..., Any], shape: tuple[int, ...]) -> Prepared:
    """out = clamp(function(a, b)), a ufunc over elements of the operands' type; integers wrap."""
    low, high = fused_bounds(node, node.outputs[0].dtype)

    def work(ins: Arrays, outs: Arrays) -> None:
        function(ins[0], ins[1], out=outs[0])
        clamp(outs[0], low, high)

    return fixed(node, shape, work, alias=in_place(node, shape))


def _sum(function: Callable[..., Any], allowed: str, unquantised_int16: bool) -> Prepare:
    """prepare for a + b (np.add) or a - b (np.subtract).

    Quantised: both sides are brought to a common scale with 20 (int8, uint8) or 15 (int16) more bits, added, and
    rescaled. Source: AddElementwise in reference/add.h, SubElementwise in reference/sub.h.
    """

    def prepare(node: NodeSpec) -> Prepared:
        a, b, out, shape = operands(node, types(allowed))
        if a.dtype not in _LEVELS or (a.dtype == "int16" and unquantised_int16 and not quantised(a)):
            return plain(node, function, shape)
        if a.dtype == "int16" and any(quant_of(t).zero_point for t in (a, b, out)):
            raise Unsupported("int16 operands with a zero point other than 0", code=Reason.QUANT)
        work = _power_of_two_sum(node, function) or _general_sum(node, function)
        return fixed(node, shape, work, alias=in_place(node, shape))

    return prepare


def _general_sum(node: NodeSpec, function: Callable[..., Any]) -> Work:
    a, b = inputs(node, 2)
    out = output(node)
    low, high = fused_levels(node, out)
    bits = 15 if a.dtype == "int16" else 20
    twice_max = 2.0 * max(quant_of(a).scale, quant_of(b).scale)
    scaled = [_lifted(t, bits, quant_of(t).scale / twice_max) for t in (a, b)]
    multiplier, shift = multiplier_and_shift(twice_max / ((1 << bits) * quant_of(out).scale))
    zero_point = quant_of(out).zero_point

    def work(ins: Arrays, outs: Arrays) -> None:
        total = function(scaled[0](ins[0]), scaled[1](ins[1]))
        store(rescale(total, multiplier, shift) + np.int64(zero_point), outs[0], low, high)

    return work


def _lifted(spec: TensorSpec, bits: int, real: float) -> Callable[[Array], Array]:
    """levels -> (levels - zero_point) · 2**bits · real, rounded; through a table for 8-bit levels."""
    multiplier, shift = multiplier_and_shift(real)
    zero_point = quant_of(spec).zero_point

    def lift(levels: Array) -> Array:
        return rescale((levels.astype(np.int64) - zero_point) << bits, multiplier, shift)

    if spec.dtype == "int16":
        return lift
    table = lift(np.arange(256).astype(np.uint8).view(memory_dtype(spec.dtype)))
    return lambda levels: table.take(levels.view(np.uint8))


def _power_of_two_sum(node: NodeSpec, function: Callable[..., Any]) -> Work | None:
    """int16 with scales that are powers of two: the finer side is shifted. None if that does not apply."""
    a, b = inputs(node, 2)
    out = output(node)
    if a.dtype != "int16" or not node.options.get("pot_scale_int16", True):
        return None
    logs = [log for t in (a, b, out) if (log := exact_log2(quant_of(t).scale)) is not None]
    if len(logs) < 3:
        return None
    right = [logs[2] - logs[i] for i in range(2)]
    if min(right) < 0 or all(right):
        raise Unsupported(
            "int16 operands with power-of-two scales: one must have the output's scale, the other a finer one; "
            f"log2 of the scales are {logs}",
            code=Reason.QUANT,
        )
    low, high = fused_levels(node, out)

    def work(ins: Arrays, outs: Arrays) -> None:
        sides = [rounding_divide_by_pot(x, r) for x, r in zip(ins, right, strict=True)]
        store(function(*sides), outs[0], low, high)

    return work


def exact_log2(scale: float) -> int | None:
    """log2(scale) if it is within 1/1000 of an integer (CheckedLog2 in quantization_util.cc)."""
    log = math.log2(scale)
    nearest = math.floor(log + 0.5)
    return nearest if abs(log - nearest) < 1e-3 else None


add = _sum(np.add, "float32 float16 int8 uint8 int16 int32 int64", unquantised_int16=True)
sub = _sum(np.subtract, "float32 int8 uint8 int16 int32 int64", unquantised_int16=False)


def mul(node: NodeSpec) -> Prepared:
    """out = a · b. Quantised: the product of the centred levels, rescaled once.

    int16 · int16 -> int8 or uint8 is a product of Q0.15 numbers, whatever the scales.
    Source: MulElementwise in reference/integer_ops/mul.h.
    """
    a, b = inputs(node, 2)
    out = output(node)
    only(types("float32 float16 int8 uint8 int16 int32 uint32 int64 complex64"), a)
    alike(a, b)
    shape = broadcast_shape(shape_of(a), shape_of(b))
    if a.dtype == "int16" and out.dtype in ("int8", "uint8"):
        return _mul_q15(node, shape)
    alike(a, out)
    if a.dtype == "complex64" and node.options.get("fused_activation_function", "NONE") != "NONE":
        raise Unsupported("a fused activation of complex64", code=Reason.OPTION)
    if a.dtype not in _LEVELS or (a.dtype == "int16" and not quantised(out)):
        return plain(node, np.multiply, shape)
    low, high = fused_levels(node, out)
    qa, qb, qo = (quant_of(t) for t in (a, b, out))
    if a.dtype == "int16" and (qa.zero_point or qb.zero_point or qo.zero_point):
        raise Unsupported("int16 operands with a zero point other than 0", code=Reason.QUANT)
    multiplier, shift = multiplier_and_shift(float(qa.scales[0] * qb.scales[0] / qo.scales[0]))

    def work(ins: Arrays, outs: Arrays) -> None:
        x = np.subtract(ins[0], qa.zero_point, dtype=np.int32)
        y = np.subtract(ins[1], qb.zero_point, dtype=np.int32)
        store(rescale(x * y, multiplier, shift) + np.int64(qo.zero_point), outs[0], low, high)

    return fixed(node, shape, work, alias=in_place(node, shape))


def _mul_q15(node: NodeSpec, shape: tuple[int, ...]) -> Prepared:
    out = output(node)
    low, high = fused_levels(node, out)
    zero_point = quant_of(out).zero_point

    def work(ins: Arrays, outs: Arrays) -> None:
        product = np.multiply(ins[0], ins[1], dtype=np.int64)
        halves = np.minimum((product + (1 << 14)) >> 15, 32767)  # SaturatingRoundingDoublingHighMul of int16
        store(rounding_divide_by_pot(halves, 8) + np.int64(zero_point), outs[0], low, high)

    return fixed(node, shape, work)
