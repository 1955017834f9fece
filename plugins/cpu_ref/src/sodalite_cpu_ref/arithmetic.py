"""ADD, SUB, MUL and their relatives: two operands that broadcast, one result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared, Reason, Unsupported

from . import floats
from .fixedpoint import bit_length, reciprocal
from .nodes import (
    Arrays,
    Work,
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
from .quant import (
    activation_range,
    float_activation_range,
    multiplier_and_shift,
    rescale,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from .shapes import broadcast_shape

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


def div(node: NodeSpec) -> Prepared:
    """out = a / b; integers towards zero; a quantised or integer 0 in b is a KernelError.

    Quantised: a · (1 / b), the reciprocal by Newton's method. Source: DivElementwise in reference/div.h.
    """
    a, b, out, shape = operands(node, types("float32 int8 uint8 int16 int32"))
    if a.dtype not in _LEVELS:
        return plain(node, np.divide if a.dtype == "float32" else _towards_zero(b), shape)
    low, high = fused_levels(node, out)
    qa, qb, qo = (quant_of(t) for t in (a, b, out))
    multiplier, shift = multiplier_and_shift(float(qa.scales[0] / (qb.scales[0] * qo.scales[0])))

    def work(ins: Arrays, outs: Arrays) -> None:
        x, y = ins[0].astype(np.int64) - qa.zero_point, ins[1].astype(np.int64) - qb.zero_point
        not_zero(b, y)
        x, y = np.where(y < 0, -x, x), np.abs(y)
        inverse, bits = reciprocal(y)
        room = np.where(x < 0, 32 - bit_length(2 * np.abs(x) - 1), 31 - bit_length(np.abs(x)))
        quotient = saturating_rounding_doubling_high_mul(x << room, inverse)
        scaled = saturating_rounding_doubling_high_mul(quotient, multiplier)
        right = np.minimum(bits + room - shift, 31)
        store(rounding_divide_by_pot(scaled, right) + np.int64(qo.zero_point), outs[0], low, high)

    return fixed(node, shape, work)


def _towards_zero(divisor: TensorSpec) -> Callable[..., None]:
    def divide(x: Array, y: Array, out: Array) -> None:
        not_zero(divisor, y)
        quotient = np.floor_divide(x, y)
        quotient += (quotient < 0) & (quotient * y != x)
        np.copyto(out, quotient)

    return divide


def not_zero(spec: TensorSpec, values: Array) -> None:
    """KernelError if a divisor is zero."""
    if not values.all():
        where = tuple(int(i) for i in np.argwhere(values == 0)[0])
        raise KernelError(f"{called(spec)} is zero at {where}: division by zero")


def squared_difference(node: NodeSpec) -> Prepared:
    """out = (a - b)². Quantised: at a common scale with 7 more bits (squared_difference.cc)."""
    a, b, out, shape = operands(node, types("float32 int8 int32"))
    if a.dtype != "int8":
        return plain(node, _squared_difference, shape)
    twice_max = 2.0 * max(quant_of(a).scale, quant_of(b).scale)
    scaled = [_lifted(t, 7, quant_of(t).scale / twice_max) for t in (a, b)]
    # the square of the scale is formed in float32 where the source does it
    multiplier, shift = multiplier_and_shift(twice_max * twice_max / float(np.float32(1 << 14) * quant_of(out).scales[0]))
    zero_point = quant_of(out).zero_point

    def work(ins: Arrays, outs: Arrays) -> None:
        gap = scaled[0](ins[0]) - scaled[1](ins[1])
        store(rescale(gap * gap, multiplier, shift) + np.int64(zero_point), outs[0], -128, 127)

    return fixed(node, shape, work)


def _squared_difference(x: Array, y: Array, out: Array) -> None:
    np.subtract(x, y, out=out)
    np.multiply(out, out, out=out)


def _larger(x: Array, y: Array, out: Array) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=x > y)


def _smaller(x: Array, y: Array, out: Array) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=x < y)


def _floor_quotient(x: Array, y: Array, out: Array) -> None:
    np.divide(x, y, out=out)
    np.floor(out, out=out)


def _floor_remainder(x: Array, y: Array, out: Array) -> None:
    rest = np.fmod(x, y)
    np.add(rest, y, out=out)
    np.copyto(out, rest, where=(rest == 0) | ((y < 0) == (rest < 0)))


def _power(x: Array, y: Array, out: Array) -> None:
    if out.dtype.kind == "f":
        np.copyto(out, np.power(x.astype(np.float64), y), casting="same_kind")
    else:
        np.power(x, y, out=out)


def _shifted_right(x: Array, y: Array, out: Array) -> None:
    np.right_shift(x, np.clip(y, 0, 8 * x.dtype.itemsize - 1), out=out)


def _pairwise(function: Callable[..., Any], allowed: str, check: Callable[[TensorSpec, Array], None] | None = None) -> Prepare:
    """prepare for function(a, b, out) over raw elements; bfloat16 and float16 go through float32.

    check: looks at the second operand before each run.
    """

    def prepare(node: NodeSpec) -> Prepared:
        a, b, _, shape = operands(node, types(allowed))
        dtype = a.dtype

        def work(ins: Arrays, outs: Arrays) -> None:
            if check is not None:
                check(b, ins[1])
            if dtype not in ("float16", "bfloat16"):
                function(ins[0], ins[1], out=outs[0])
                return
            result = np.empty(shape, np.float32)
            function(floats.widened(ins[0], dtype), floats.widened(ins[1], dtype), out=result)
            floats.narrow(result, outs[0], dtype)

        return fixed(node, shape, work)

    return prepare


def _negative_integers(spec: TensorSpec, values: Array) -> None:
    if values.dtype.kind != "f" and values.size and values.min() < 0:
        raise KernelError(f"{called(spec)} has the exponent {values.min()}: integers have no negative powers")


_ORDERED = "float32 float16 bfloat16 int8 uint8 int16 int32 int64"
maximum = _pairwise(_larger, _ORDERED)
minimum = _pairwise(_smaller, _ORDERED)
pow_ = _pairwise(_power, "float32 int32", _negative_integers)
atan2 = _pairwise(np.arctan2, "float32 float16 bfloat16 float64")
bitwise_xor = _pairwise(np.bitwise_xor, "int8 uint8 int16 uint16 int32 uint32")
right_shift = _pairwise(_shifted_right, "int8 uint8 int16 uint16 int32 uint32")
logical_and = _pairwise(np.logical_and, "bool")
logical_or = _pairwise(np.logical_or, "bool")


def floor_div(node: NodeSpec) -> Prepared:
    """out = floor(a / b); a zero in b is a KernelError, for floats too."""
    return (_FLOOR_DIV_FLOAT if inputs(node, 2)[0].dtype == "float32" else _FLOOR_DIV_INT)(node)


def floor_mod(node: NodeSpec) -> Prepared:
    """out = a - floor(a / b) · b, with the sign of b; an integer zero in b is a KernelError."""
    return (_FLOOR_MOD_FLOAT if inputs(node, 2)[0].dtype == "float32" else _FLOOR_MOD_INT)(node)


_FLOOR_DIV_FLOAT = _pairwise(_floor_quotient, "float32", not_zero)
_FLOOR_DIV_INT = _pairwise(np.floor_divide, "int8 int16 int32", not_zero)
_FLOOR_MOD_FLOAT = _pairwise(_floor_remainder, "float32")
_FLOOR_MOD_INT = _pairwise(np.remainder, "int8 int16 int32 int64", not_zero)


def add_n(node: NodeSpec) -> Prepared:
    """The sum of all inputs, from the first on; all of one shape; integers wrap."""
    specs = inputs(node, 2, -1)
    only(types("float32 int32"), specs[0])
    alike(specs[0], *specs[1:], output(node))
    shape = shape_of(specs[0])
    for spec in specs[1:]:
        if spec.shape != shape:
            raise ShapeError(f"{called(spec)} has shape {spec.shape}, {called(specs[0])} has {shape}")

    def work(ins: Arrays, outs: Arrays) -> None:
        np.add(ins[0], ins[1], out=outs[0])
        for x in ins[2:]:
            np.add(outs[0], x, out=outs[0])

    return fixed(node, shape, work)
