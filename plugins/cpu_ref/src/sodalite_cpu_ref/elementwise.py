"""Unary functions, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.errors import KernelError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared

from . import floats
from .activation import in_float32, one, symmetric_int16
from .arithmetic import in_place
from .fixedpoint import inverse_square_root
from .nodes import Arrays, called, first, fixed, quant_of, quantised, shape_of
from .quant import RANGES, multiplier_and_shift, rescale
from .tables import all_levels, each_level, looked_up, of_reals


def simple(function: Callable[..., Any], allowed: str) -> Prepare:
    """prepare for a ufunc over elements of *allowed* types; float16 and bfloat16 go through float32."""

    def prepare(node: NodeSpec) -> Prepared:
        source = one(node, allowed)
        if source.dtype in ("float16", "bfloat16"):
            return in_float32(node, lambda x, out: function(x, out=out))
        return _direct(node, function)

    return prepare


def _direct(node: NodeSpec, function: Callable[..., Any]) -> Prepared:
    shape = shape_of(first(node))

    def work(ins: Arrays, outs: Arrays) -> None:
        function(ins[0], out=outs[0])

    return fixed(node, shape, work, alias=in_place(node, shape))


def _round(x: Array, out: Array) -> None:
    """To nearest, halves to even; the zero of a negative number is +0 (RoundToNearest in reference/round.h)."""
    below = np.floor(x)
    rest = x - below
    up = ~((rest < 0.5) | ((rest == 0.5) & (np.fmod(below, 2) == 0)))
    np.add(below, 1, out=out)
    np.copyto(out, below, where=~up)


def _sign(x: Array, out: Array) -> None:
    np.sign(x, out=out)
    np.copyto(out, 0, where=x == 0)


floor = simple(np.floor, "float32 float16 bfloat16")
ceil = simple(np.ceil, "float32")
round_ = simple(_round, "float32 float16 bfloat16")
sin = simple(np.sin, "float32 float16")
cos = simple(np.cos, "float32 float16")
square = simple(np.square, "float32")
neg = simple(np.negative, "float32 float16 bfloat16 int8 int16 int32 int64")
sign = simple(_sign, "float32 float64 int32")
logical_not = simple(np.logical_not, "bool")


def abs_(node: NodeSpec) -> Prepared:
    """out = |x|; the lowest integer stays as it is. Quantised levels are rescaled if the scales differ."""
    source = one(node, "float32 int8 int16 int32")
    if source.dtype in ("float32", "int32") or (source.dtype == "int16" and not quantised(source)):
        return _direct(node, np.absolute)
    symmetric_int16(source, node.outputs[0])
    qi, qo = quant_of(source), quant_of(node.outputs[0])
    multiplier, shift = multiplier_and_shift(float(qi.scales[0] / qo.scales[0]))

    def size(levels: npt.NDArray[np.int64]) -> Array:
        x = np.abs(levels - qi.zero_point)
        return (x if qi.scales[0] == qo.scales[0] else rescale(x, multiplier, shift)) + np.int64(qo.zero_point)

    return each_level(node, size)


def exp(node: NodeSpec) -> Prepared:
    """e to the power of each element."""
    source = one(node, "float32 int8 int16")
    if source.dtype == "float32":
        return _direct(node, np.exp)
    symmetric_int16(source, node.outputs[0])
    return of_reals(node, floats.in_double(np.exp))


def log(node: NodeSpec) -> Prepared:
    """The natural logarithm of each element. Quantised, what is not positive gives the lowest level."""
    source = one(node, "float32 int8 int16")
    if source.dtype == "float32":
        return _direct(node, np.log)
    symmetric_int16(source, node.outputs[0])
    qo = quant_of(node.outputs[0])
    lowest = np.float32(RANGES[source.dtype][0] - qo.zero_point) * qo.scales[0]
    exact = floats.in_double(np.log)
    return of_reals(node, lambda x: np.where(x <= 0, lowest, exact(x)))


def sqrt(node: NodeSpec) -> Prepared:
    """The square root of each element. Quantised: rounded towards zero; negative values are a KernelError."""
    source = one(node, "float32 int8 int16")
    if source.dtype == "float32":
        return _direct(node, np.sqrt)
    symmetric_int16(source, node.outputs[0])
    qi, qo = quant_of(source), quant_of(node.outputs[0])

    def root(levels: npt.NDArray[np.int64]) -> Array:
        x = qi.scales[0] * np.maximum(levels - qi.zero_point, 0).astype(np.float32)
        return np.asarray(np.trunc(np.sqrt(x) / qo.scales[0]).astype(np.int64) + qo.zero_point)

    return _not_below(node, source, qi.zero_point, each_level(node, root))


def rsqrt(node: NodeSpec) -> Prepared:
    """out = 1 / sqrt(x). Quantised: the greatest level for 0; negative values are a KernelError."""
    source = one(node, "float32 int8 int16")
    if source.dtype == "float32":
        return _direct(node, _float_rsqrt)
    symmetric_int16(source, node.outputs[0])
    qi, qo = quant_of(source), quant_of(node.outputs[0])
    if source.dtype == "int16":
        most = np.float32(32767) * qo.scales[0]
        exact = floats.in_double(np.sqrt)
        made = of_reals(node, lambda x: np.where(x <= 0, most, np.float32(1) / exact(x)))
        return _not_below(node, source, qi.zero_point, made)
    multiplier, shift = multiplier_and_shift(1.0 / float(np.sqrt(qi.scales[0]) * qo.scales[0]))

    def inverse(levels: npt.NDArray[np.int64]) -> Array:
        x = np.maximum(levels - qi.zero_point, 0)
        root, right = inverse_square_root(x)
        scaled = rescale(np.ones_like(x), root, 20 - right)
        out = rescale(scaled, multiplier, shift - 20) + np.int64(qo.zero_point)
        return np.where(x == 0, 127, out)

    return _not_below(node, source, qi.zero_point, looked_up(node, _table(inverse)))


def _table(function: Callable[[npt.NDArray[np.int64]], Array]) -> Array:
    return np.clip(function(all_levels("int8").astype(np.int64)), -128, 127).astype(np.int8)


def _float_rsqrt(x: Array, out: Array) -> None:
    np.sqrt(x, out=out)
    np.divide(np.float32(1), out, out=out)


def _not_below(node: NodeSpec, source: TensorSpec, least: int, prepared: Prepared) -> Prepared:
    """*prepared*, whose step refuses levels below *least*."""

    def bind(buffers: Any) -> Any:
        step, x = prepared.bind(buffers), buffers.inputs[0]

        def checked() -> None:
            if x.size and x.min() < least:
                raise KernelError(f"{called(source)} has the level {x.min()}, below its zero point {least}: {node.op} of a negative number")
            step()

        return checked

    return prepared._replace(bind=bind)
