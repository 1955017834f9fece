"""Activation functions as operators of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared, Reason, Unsupported

from . import floats
from .arithmetic import clamp, exact_log2, in_place, store
from .nodes import Arrays, alike, first, fixed, inputs, only, output, quant_of, shape_of, types
from .quant import RANGES, multiplier_and_shift, rescale, round_half_away, rounding_divide_by_pot
from .shapes import broadcast_shape
from .tables import each_level, of_reals, sigmoid_table


def one(node: NodeSpec, allowed: str) -> TensorSpec:
    """The only input; the output has its type."""
    (source,) = inputs(node, 1)
    only(types(allowed), source)
    alike(source, output(node))
    return source


def in_float32(node: NodeSpec, function: Callable[[Array, Array], None]) -> Prepared:
    """``function(x, out)`` over float32; float16 and bfloat16 are widened before and rounded after."""
    source = first(node)
    dtype = source.dtype
    if dtype == "float32":
        return fixed(node, shape_of(source), lambda ins, outs: function(ins[0], outs[0]))

    def work(ins: Arrays, outs: Arrays) -> None:
        x = floats.widened(ins[0], dtype)
        result = np.empty_like(x)
        function(x, result)
        floats.narrow(result, outs[0], dtype)

    return fixed(node, shape_of(source), work)


def _clamping(low: float, high: float, allowed: str) -> Prepare:
    """prepare for out = min(max(x, low), high). Quantised inputs are rescaled to the output's scale first.

    Source: ReluX in reference/reference_ops.h, QuantizedReluX in activations.cc.
    """

    def prepare(node: NodeSpec) -> Prepared:
        source = one(node, allowed)
        if source.dtype == "float32":
            bounds = np.float32(low), None if math.isinf(high) else np.float32(high)

            def work(ins: Arrays, outs: Arrays) -> None:
                np.copyto(outs[0], ins[0])
                clamp(outs[0], *bounds)

            return fixed(node, shape_of(source), work, alias=in_place(node, shape_of(source)))
        qi, qo = quant_of(source), quant_of(node.outputs[0])
        symmetric_int16(source, node.outputs[0])
        multiplier, shift = multiplier_and_shift(float(qi.scales[0] / qo.scales[0]))
        least, most = RANGES[source.dtype]
        least = max(least, qo.zero_point + int(round_half_away(np.float32(low) / qo.scales[0])))
        if not math.isinf(high):
            most = min(most, qo.zero_point + int(round_half_away(np.float32(high) / qo.scales[0])))

        def clamped(levels: npt.NDArray[np.int64]) -> Array:
            moved = rescale(levels - qi.zero_point, multiplier, shift) + np.int64(qo.zero_point)
            return np.asarray(np.minimum(np.maximum(moved, least), most))

        return each_level(node, clamped)

    return prepare


def symmetric_int16(*specs: TensorSpec) -> None:
    """Decline int16 tensors with a zero point other than 0."""
    for spec in specs:
        if spec.dtype == "int16" and quant_of(spec).zero_point:
            raise Unsupported("int16 with a zero point other than 0", code=Reason.QUANT)


relu = _clamping(0, math.inf, "float32 int8 uint8 int16")
relu6 = _clamping(0, 6, "float32 int8 uint8 int16")
relu_n1_to_1 = _clamping(-1, 1, "float32 int8 uint8")
relu_0_to_1 = _clamping(0, 1, "float32 int8 uint8")


def logistic(node: NodeSpec) -> Prepared:
    """out = 1 / (1 + exp(-x)); quantised outputs have the scale 1/256 or 1/32768."""
    source = one(node, "float32 float16 bfloat16 int8 uint8 int16")
    if source.dtype == "int16":
        return _sigmoid16(node, (0,), _logistic16)
    if source.dtype in ("int8", "uint8"):
        if quant_of(node.outputs[0]).scale != 1 / 256:
            raise Unsupported(f"output scale {quant_of(node.outputs[0]).scale:g}; only 1/256", code=Reason.QUANT)
        return of_reals(node, floats.single_logistic)
    return in_float32(node, _float_logistic)


def _float_logistic(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, np.float32(1), out=out)
    np.reciprocal(out, out=out)


def tanh(node: NodeSpec) -> Prepared:
    """The hyperbolic tangent of each element; an int16 output has the scale 1/32768."""
    source = one(node, "float32 float16 bfloat16 int8 uint8 int16")
    if source.dtype == "int16":
        return _sigmoid16(node, (0, 1), _tanh16)
    if source.dtype in ("int8", "uint8"):
        return of_reals(node, floats.in_double(np.tanh))
    return in_float32(node, _float_tanh)


def _float_tanh(x: Array, out: Array) -> None:
    np.tanh(x, out=out)


def _sigmoid16(node: NodeSpec, shifts: tuple[int, ...], function: Callable[[Array], Array]) -> Prepared:
    """int16 through the sigmoid table: the input is brought to the scale 1 / (3 · 4096), rounded to nearest.

    shifts: powers by which a power-of-two input scale may exceed 2**-12 to be scaled exactly.
    Source: SigmoidPrepare, TanhPrepare in activations.cc; Logistic, Tanh in reference/integer_ops.
    """
    source, target = first(node), node.outputs[0]
    symmetric_int16(source, target)
    if exact_log2(quant_of(target).scale) != -15:
        raise Unsupported(f"output scale {quant_of(target).scale:g}; only 1/32768", code=Reason.QUANT)
    log = exact_log2(quant_of(source).scale)
    if log is not None and 12 + log in shifts:
        multiplier, shift = 3 << (12 + log), 0
    else:
        real, shift = quant_of(source).scale * 4096.0 * 3.0, 0
        while real <= 32767.0 / 2.0 and shift <= 30:
            real, shift = real * 2.0, shift + 1
        multiplier = int(real)
    nudge = (1 << shift) >> 1

    def work(ins: Arrays, outs: Arrays) -> None:
        scaled = (ins[0].astype(np.int64) * multiplier + nudge) >> shift
        np.copyto(outs[0], function(scaled), casting="unsafe")

    return fixed(node, shape_of(source), work)


def _interpolated(x: Array, bits: int, saturated: int) -> Array:
    """sigmoid of |x| with *bits* bits of place within a step, as 16 + bits bits."""
    table = sigmoid_table()
    size = np.abs(x)
    step = np.minimum(size >> bits, 254)
    here = table.take(step)
    value = (here << bits) + (size & ((1 << bits) - 1)) * (table.take(step + 1) - here)
    return np.where(size >> bits >= 255, saturated, value)


def _logistic16(x: Array) -> Array:
    value = _interpolated(x, 9, 0x7FFF << 10)
    return np.where(x >= 0, value + (1 << 9), (1 << 25) - value + (1 << 9) - 1) >> 10


def _tanh16(x: Array) -> Array:
    value = _interpolated(x, 8, 0xFFFF << 8) - (1 << 23)
    return np.where(x >= 0, value + (1 << 7), (1 << 7) - value - 1) >> 8


def hard_swish(node: NodeSpec) -> Prepared:
    """out = x · min(max(x + 3, 0), 6) / 6. Quantised: 16-bit fixed point (reference/hard_swish.h)."""
    source = one(node, "float32 int8 uint8")
    if source.dtype == "float32":
        return fixed(node, shape_of(source), lambda ins, outs: _float_hard_swish(ins[0], outs[0]))
    qi, qo = quant_of(source), quant_of(node.outputs[0])
    fine = np.float32(1 / 128) * qi.scales[0]
    out_multiplier, out_exponent = _multiplier16(fine / qo.scales[0])
    relu_multiplier, relu_exponent = _multiplier16(fine / np.float32(3 / 32768))
    if out_exponent > 0:
        raise Unsupported(f"output scale {qo.scale:g} is finer than input scale {qi.scale:g} / 128", code=Reason.QUANT)

    def swished(levels: npt.NDArray[np.int64]) -> Array:
        x = (levels - qi.zero_point) * 128
        linear = _high_mul16(x, out_multiplier)
        if relu_exponent > 0:
            x = _saturated16(x << (relu_exponent - 1))
        x = _high_mul16(x, relu_multiplier)
        if relu_exponent > 0:
            x = _saturated16(x << 1)
        elif relu_exponent < 0:
            x = rounding_divide_by_pot(x, -relu_exponent).astype(np.int64)
        product = ((x + 32768) >> 1) * linear
        whole = np.where(product < 0, -(-product >> 15), product >> 15)
        return rounding_divide_by_pot(whole, -out_exponent) + np.int64(qo.zero_point)

    return each_level(node, swished)


def _float_hard_swish(x: Array, out: Array) -> None:
    np.add(x, np.float32(3), out=out)
    clamp(out, np.float32(0), np.float32(6))
    np.multiply(x, out, out=out)
    np.divide(out, np.float32(6), out=out)


def _multiplier16(real: Any) -> tuple[int, int]:
    multiplier, shift = multiplier_and_shift(float(real))
    return min((multiplier + (1 << 15)) >> 16, 32767), shift


def _saturated16(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.clip(x, -32768, 32767)


def _high_mul16(x: npt.NDArray[np.int64], multiplier: int) -> npt.NDArray[np.int64]:
    """SaturatingRoundingDoublingHighMul of int16."""
    return _saturated16((x * multiplier + (1 << 14)) >> 15)


def leaky_relu(node: NodeSpec) -> Prepared:
    """out = x if x > 0 else alpha · x. Source: QuantizeLeakyRelu in reference/leaky_relu.h."""
    source = one(node, "float32 int8 uint8 int16")
    alpha = np.float32(node.options.get("alpha", 0.0))
    if source.dtype == "float32":

        def work(ins: Arrays, outs: Arrays) -> None:
            np.multiply(ins[0], alpha, out=outs[0])
            np.copyto(outs[0], ins[0], where=ins[0] > 0)

        return fixed(node, shape_of(source), work)
    symmetric_int16(source, node.outputs[0])
    qi, qo = quant_of(source), quant_of(node.outputs[0])
    above = multiplier_and_shift(float(qi.scales[0] / qo.scales[0]))
    slope = float(qi.scales[0] * alpha / qo.scales[0])
    below = multiplier_and_shift(abs(slope))
    sign = -1 if slope < 0 else 1

    def leaky(levels: npt.NDArray[np.int64]) -> Array:
        x = levels - qi.zero_point
        return np.where(x >= 0, rescale(x, *above), sign * rescale(x, *below)) + np.int64(qo.zero_point)

    return each_level(node, leaky)


def prelu(node: NodeSpec) -> Prepared:
    """out = x if x >= 0 else alpha · x; alpha broadcasts to the input's shape. int16 has an int8 alpha.

    Source: Prelu in reference/prelu.h.
    """
    source, alpha = inputs(node, 2)
    out = output(node)
    only(types("float32 int8 uint8 int16"), source)
    alike(source, out)
    only({"int8"} if source.dtype == "int16" else {source.dtype}, alpha)
    shape = shape_of(source)
    if broadcast_shape(shape, shape_of(alpha)) != shape:
        raise Unsupported(f"alpha of shape {alpha.shape} does not broadcast to {shape}", code=Reason.SHAPE)
    if source.dtype == "float32":

        def work(ins: Arrays, outs: Arrays) -> None:
            np.multiply(ins[0], ins[1], out=outs[0])
            np.copyto(outs[0], ins[0], where=ins[0] >= 0)

        return fixed(node, shape, work)
    qi, qa, qo = (quant_of(t) for t in (source, alpha, out))
    above = multiplier_and_shift(float(qi.scales[0] / qo.scales[0]))
    below = multiplier_and_shift(float(qi.scales[0] * qa.scales[0] / qo.scales[0]))
    low, high = RANGES[out.dtype]

    def quantised_work(ins: Arrays, outs: Arrays) -> None:
        x = ins[0].astype(np.int64) - qi.zero_point
        slope = ins[1].astype(np.int64) - qa.zero_point
        scaled = np.where(x >= 0, rescale(x, *above), rescale(x * slope, *below))
        store(scaled + np.int64(qo.zero_point), outs[0], low, high)

    return fixed(node, shape, quantised_work)


def elu(node: NodeSpec) -> Prepared:
    """out = x if x >= 0 else exp(x) - 1."""
    source = one(node, "float32 int8")
    if source.dtype == "int8":
        exact = floats.in_double(np.expm1)
        return of_reals(node, lambda x: np.where(x < 0, exact(x), x))

    def work(ins: Arrays, outs: Arrays) -> None:
        np.expm1(ins[0], out=outs[0])
        np.copyto(outs[0], ins[0], where=ins[0] >= 0)

    return fixed(node, shape_of(source), work)


def gelu(node: NodeSpec) -> Prepared:
    """out = x · Φ(x), or its approximation by tanh. Worked out in float64."""
    source = one(node, "float32 float16 int8 uint8 int16")
    approximate = bool(node.options.get("approximate", False))
    if source.dtype in ("float32", "float16"):
        exact = floats.in_double(floats.gelu_approximate if approximate else floats.gelu)
        return in_float32(node, lambda x, out: np.copyto(out, exact(x)))
    return of_reals(node, floats.single_gelu_approximate if approximate else floats.single_gelu)
