"""SOFTMAX and LOG_SOFTMAX over the last dimension.

SOFTMAX: out = exp(beta · (x - max)) / sum exp(beta · (x - max)); LOG_SOFTMAX: out = x - max - ln sum exp(x - max).
float32, float16 (SOFTMAX); int8 and uint8 in gemmlowp's fixed point, which only has 256 differences to look up; int16
by two tables. Source: kernels/activations.cc, reference/softmax.h and reference/log_softmax.h.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from . import _fixed
from ._rows import Rows, by_rows, row_shape
from .nodes import alike, inputs, only, output, quant_of
from .quant import INT32_MIN, RANGES, multiplier_and_shift, rescale, round_half_away
from .tables import interpolated

SCALED, SUMMED = 5, 12  # integer bits of scaled differences, and of sums of exponentials


def softmax(node: NodeSpec) -> Prepared:
    """Prepare SOFTMAX; see the module."""
    (x,), out = inputs(node, 1), output(node)
    shape = row_shape(x)
    beta = np.float32(node.options["beta"])
    if x.dtype in ("float32", "float16"):
        alike(x, out)
        half = x.dtype == "float16"
        return by_rows(node, shape, lambda a, b: (_half if half else _floats)(a, b, beta))
    only(("float32", "float16", "int8", "uint8", "int16"), x)
    only((x.dtype, "int16"), out)
    if out.dtype == "int16" or x.dtype == "int8":
        _fixed_output(out, *((1 / 32768, 0) if out.dtype == "int16" else (1 / 256, -128)), 0.001)
    if x.dtype == "int16":
        return by_rows(node, shape, _int16(x, beta))
    levels = _Levels(x, float(beta))
    low, high = RANGES[out.dtype]
    width = 16 if out.dtype == "int16" else 8

    def rows(a: Array, b: Array) -> None:
        apart = levels.below_largest(a)
        exponentials = levels.exponentials.take(apart)
        share, above = _fixed.reciprocal(levels.sums(exponentials), SUMMED)
        products = _fixed.high_mul(share[:, None], exponentials)
        np.copyto(
            b,
            np.clip(_fixed.rounding_shift(products, (above + 31 - width)[:, None]) + low, low, high),
            casting="unsafe",
        )

    return by_rows(node, shape, rows)


def log_softmax(node: NodeSpec) -> Prepared:
    """Prepare LOG_SOFTMAX; see the module."""
    (x,), out = inputs(node, 1), output(node)
    shape = row_shape(x)
    only(("float32", "int8", "uint8"), x)
    alike(x, out)
    if x.dtype == "float32":
        return by_rows(node, shape, _log_floats)
    low, high = RANGES[out.dtype]
    _fixed_output(out, 16 / 256, high, 0)
    levels = _Levels(x, 1.0)
    backwards = 2.0 ** (31 - levels.shift) / levels.multiplier
    reverse, reverse_shift = multiplier_and_shift(backwards)

    def rows(a: Array, b: Array) -> None:
        apart = levels.below_largest(a)
        log = _fixed.log(levels.sums(levels.exponentials.take(apart)), SUMMED, SCALED)
        lowest = np.maximum(levels.least - 1, rescale(log + INT32_MIN, reverse, reverse_shift))
        result = _fixed.rounding_shift(levels.scaled.take(apart) - log[:, None], 31 - SCALED - 4) + high
        result = np.where(-apart > lowest[:, None], np.clip(result, low, high), low)
        np.copyto(b, result, casting="unsafe")

    return by_rows(node, shape, rows)


def _fixed_output(out: TensorSpec, scale: float, zero_point: int, tolerance: float) -> None:
    """Decline unless *out* has the one quantisation that the kernel makes."""
    quant = quant_of(out)
    if abs(quant.scale - scale) > tolerance * scale or quant.zero_point != zero_point:
        raise Unsupported(
            f"output has scale {quant.scale:g}, zero point {quant.zero_point}; only {scale:g}, {zero_point}",
            code=Reason.QUANT,
        )


def _exponentials(x: Array, out: Array, beta: np.float32) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    if beta != 1:
        np.multiply(out, beta, out=out)
    np.exp(out, out=out)


def _floats(x: Array, out: Array, beta: np.float32) -> None:
    _exponentials(x, out, beta)
    np.divide(out, out.sum(axis=1, keepdims=True), out=out)


def _half(x: Array, out: Array, beta: np.float32) -> None:
    """The exponentials are float16 before they are divided; their sum is float32."""
    exact = np.empty(x.shape, np.float32)
    _exponentials(x.astype(np.float32), exact, beta)
    sums = exact.sum(axis=1, keepdims=True)
    np.copyto(out, exact.astype(np.float16).astype(np.float32) / sums, casting="same_kind")


def _log_floats(x: Array, out: Array) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.subtract(out, np.log(np.exp(out).sum(axis=1, keepdims=True)), out=out)


class _Levels:
    """What there is to know of the 256 differences between a level and the largest of its row.

    scaled: beta · scale · -i with SCALED integer bits; exponentials: of these, as Q0, 0 beyond ``least``;
    multiplier, shift: of the scaling. Source: PreprocessSoftmaxScaling in quantization_util.cc.
    """

    def __init__(self, x: TensorSpec, beta: float) -> None:
        real = min(beta * quant_of(x).scale * (1 << (31 - SCALED)), (1 << 31) - 1.0)
        if not real > 1:
            raise Unsupported(
                f"beta · scale is {beta * quant_of(x).scale:g}; only above 2**-26", code=Reason.QUANT
            )
        self.multiplier, self.shift = multiplier_and_shift(real)
        self.least = -math.floor(((1 << SCALED) - 1) * (1 << (31 - SCALED)) / (1 << self.shift))
        apart = -np.arange(256)
        self.scaled = rescale(apart, self.multiplier, self.shift).astype(np.int64)
        exponentials = _fixed.exp_of_negative(self.scaled, SCALED)
        self.exponentials = np.where(apart >= self.least, exponentials, 0)
        self._summed = _fixed.rounding_shift(self.exponentials, SUMMED)

    @staticmethod
    def below_largest(x: Array) -> npt.NDArray[np.int64]:
        """By how much each level is below the largest of its row, 0 ... 255."""
        return x.max(axis=1, keepdims=True).astype(np.int64) - x  # type: ignore[no-any-return]

    def sums(self, exponentials: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sum of each row, with SUMMED integer bits; wraps at 32 bits as C's does."""
        return _fixed.rounding_shift(exponentials, SUMMED).sum(axis=1) & 0xFFFFFFFF  # type: ignore[no-any-return]


@functools.cache
def _table16(function: Callable[[Any], Any], scale: float, zero_point: int) -> npt.NDArray[np.int16]:
    """513 answers between which LUTLookup interpolates, for an output scale of 2 / 65535; all in float64.

    Source: LUTPopulate<int16_t> with double in kernels/internal/common.h.
    """
    first, last = scale * (-32768 - zero_point), scale * (32767 - zero_point)
    inverse = 65536 / ((2.0 / 65535) * 32767 - (2.0 / 65535) * -32768)
    step = (last - first) / 512
    i = np.arange(512)
    at, middle = function(first + i * step), function(first + i * step + step / 2)
    after = function(first + (i + 1) * step)
    here = round_half_away(at * inverse)
    error = round_half_away((after * inverse + here) / 2) - round_half_away(middle * inverse)
    end = round_half_away(function(np.array([last])) * inverse)
    return np.clip(np.append(here - round_half_away(error / 2), end), -32768, 32767).astype(np.int16)  # type: ignore[no-any-return]


def _inverse_of_one_plus(x: Any) -> Any:
    return 1.0 / (1.0 + x)


def _int16(x: TensorSpec, beta: np.float32) -> Rows:
    """Exponentials of differences down to -10 from a table, then their share by a table of 1 / (1 + x)."""
    quant = quant_of(x)
    if quant.zero_point:
        raise Unsupported(f"int16 input has zero point {quant.zero_point}; only 0", code=Reason.QUANT)
    multiplier, shift = multiplier_and_shift(float(quant.scales[0] * beta) / (10.0 / 65535.0))
    exponentials = _table16(np.exp, 10.0 / 65535, 32767)
    inverses = _table16(_inverse_of_one_plus, 1.0 / 65535, -32768)

    def rows(a: Array, b: Array) -> None:
        apart = a.astype(np.int32) - a.max(axis=1, keepdims=True)
        scaled = rescale(apart, multiplier, shift).astype(np.int64) + 32767
        e = interpolated(np.clip(scaled, -32768, 32767), exponentials).astype(np.int64)
        sums = e.sum(axis=1)
        headroom = _fixed.leading_zeros(sums)
        place = (((sums << (headroom - 1)) + (1 << 13)) >> 14) - ((1 << 15) + (1 << 16))
        share = interpolated(np.clip(place, -32768, 32767), inverses).astype(np.int64)
        right = (31 - headroom)[:, None]
        result = (e * share[:, None] + (np.int64(1) << (right - 1))) >> right
        np.copyto(b, np.clip(result, 0, 32767), casting="unsafe")

    return rows
