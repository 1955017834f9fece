"""TFLite's scale arithmetic, vectorised: how a real multiplier becomes an integer one, and who rounds how.

Formulas are those of TFLite's kernels/internal/quantization_util.cc, common.cc and kernel_util.cc and of
gemmlowp's fixedpoint.h. All arrays are numpy; everything works element by element, per-channel parameters lie
along the last axis. No function writes its arguments.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.dtypes import memory_dtype
from sodalite.graph import Array

Int32s = npt.NDArray[np.int32]
Ints = Any  # an int or an integer array that broadcasts

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
RANGES: dict[str, tuple[int, int]] = {
    "int2": (-2, 1),
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int32": (INT32_MIN, INT32_MAX),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


def multiplier_and_shift(real: float) -> tuple[int, int]:
    """Write *real* as m · 2**shift / 2**31 with |m| in [2**30, 2**31).

    real: finite; 0, and anything that would need shift < -31, gives (0, 0). A negative one gives a negative m.
    shift: -31 ... 1024, positive to the left. ValueError if real is not finite.
    Source: QuantizeMultiplier (double-rounding build) in quantization_util.cc.
    """
    if not math.isfinite(real):
        raise ValueError(f"a multiplier is finite, got {real}")
    fraction, shift = math.frexp(real)
    scaled = abs(fraction) * (1 << 31)
    multiplier = math.floor(scaled)  # half away from zero; scaled keeps 53 bits, so the difference is exact
    multiplier += scaled - multiplier >= 0.5
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if multiplier == 0 or shift < -31:
        return 0, 0
    return (multiplier if fraction > 0 else -multiplier), shift


def multipliers_and_shifts(reals: Any) -> tuple[Int32s, Int32s]:
    """multiplier_and_shift of every element of *reals* (n,): int32 (n,), int32 (n,)."""
    fraction, shift = np.frexp(np.asarray(reals, np.float64))
    if not np.isfinite(fraction).all():
        raise ValueError(f"a multiplier is finite, got {np.asarray(reals)[~np.isfinite(fraction)][0]}")
    scaled = np.abs(fraction) * (1 << 31)
    multiplier = np.floor(scaled)  # half away from zero, as above
    multiplier += scaled - multiplier >= 0.5
    full = multiplier == 1 << 31
    multiplier[full] /= 2
    shift = shift + full
    lost = (multiplier == 0) | (shift < -31)
    multiplier[lost] = shift[lost] = 0
    return np.copysign(multiplier, fraction).astype(np.int32), shift.astype(np.int32)


def saturating_rounding_doubling_high_mul(a: Ints, b: Ints) -> Int32s:
    """floor(a · b / 2**31 + 1/2) as int32, and INT32_MAX where a = b = INT32_MIN.

    a, b: values of int32. Source: SaturatingRoundingDoublingHighMul in gemmlowp's fixedpoint.h, whose nudge and
    truncating division come to a half-up rounding for both signs.
    """
    product = np.multiply(a, b, dtype=np.int64)
    product += 1 << 30
    product >>= 31
    return np.minimum(product, INT32_MAX, out=product).astype(np.int32)  # type: ignore[no-any-return]


def rounding_divide_by_pot(x: Ints, exponent: Ints) -> Int32s:
    """x / 2**exponent as int32, half away from zero; exponent: 0 ... 31.

    Source: RoundingDivideByPOT in gemmlowp's fixedpoint.h.
    """
    x = np.asarray(x, np.int32)
    exponent = np.asarray(exponent, np.int32)
    mask = ((np.int64(1) << exponent.astype(np.int64)) - 1).astype(np.int32)
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)  # type: ignore[no-any-return]


def rescale(x: Ints, multiplier: Ints, shift: Ints) -> Int32s:
    """x · multiplier · 2**shift / 2**31, rounded twice, as int32 (wrapping where C would overflow).

    x: values of int32; multiplier, shift: scalars, or arrays along the last axis, as multiplier_and_shift makes.
    Source: MultiplyByQuantizedMultiplier(int32_t ...) without TFLITE_SINGLE_ROUNDING, in common.cc.
    """
    shift = np.asarray(shift, np.int32)
    x = np.asarray(x)
    left = np.maximum(shift, 0)
    if left.any():
        x = (x.astype(np.int64) << np.minimum(left, 63)).astype(np.int32)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(x, multiplier), np.maximum(-shift, 0))


def rescale_single(x: Ints, multiplier: Ints, shift: Ints) -> Int32s:
    """x · multiplier · 2**shift / 2**31, rounded once, half up, as int32.

    shift: -31 ... 30. Source: MultiplyByQuantizedMultiplier(int32_t ...) with TFLITE_SINGLE_ROUNDING, in
    common.cc; that build also has multiplier_and_shift clamp a larger shift to (2**31 - 1, 30).
    """
    total = 31 - np.asarray(shift, np.int64)
    product = np.multiply(x, multiplier, dtype=np.int64) + (np.int64(1) << (total - 1))
    return (product >> total).astype(np.int32)  # type: ignore[no-any-return]


def rescale_int64(x: Ints, multiplier: Ints, shift: Ints) -> Int32s:
    """x · multiplier · 2**shift / 2**31 for the 64-bit sums of 16x8 kernels: a 15-bit multiplier, half up.

    x: -2**47 ... 2**47 - 1; shift: -31 ... 7. Source: MultiplyByQuantizedMultiplier(int64_t ...) in common.cc.
    """
    multiplier = np.asarray(multiplier, np.int64)
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    total = 15 - np.asarray(shift, np.int64)
    product = np.multiply(x, reduced, dtype=np.int64) + (np.int64(1) << (total - 1))
    return (product >> total).astype(np.int32)  # type: ignore[no-any-return]


def round_half_away(x: Any) -> Array:
    """The nearest integer of each element, halves away from zero, in the float type of *x*: C's round()."""
    whole = np.trunc(x)
    return whole + np.copysign(np.abs(x - whole) >= 0.5, x)  # type: ignore[no-any-return]


def quantize(x: Any, scale: Any, zero_point: Any, dtype: str) -> Array:
    """clamp(round(x / scale) + zero_point) as *dtype*; the division in float32, halves away from zero.

    x: float array; scale, zero_point: scalars, or arrays that broadcast. NaN gives the zero point.
    Source: AffineQuantize in reference/quantize.h.
    """
    low, high = RANGES[dtype]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        levels = round_half_away(np.asarray(x, np.float32) / np.asarray(scale, np.float32)).astype(np.float64)
    levels = np.clip(np.where(np.isnan(levels), 0, levels) + zero_point, low, high)
    return np.asarray(levels, memory_dtype(dtype))


def dequantize(q: Any, scale: Any, zero_point: Any) -> npt.NDArray[np.float32]:
    """scale · (q - zero_point), the product in float64, as float32.

    scale, zero_point: scalars, or arrays that broadcast. Source: Dequantize in reference/dequantize.h (per-tensor).
    """
    centred = np.subtract(q, np.asarray(zero_point, np.int64), dtype=np.int64)
    return (np.asarray(scale, np.float64) * centred).astype(np.float32)  # type: ignore[no-any-return]


_CLAMPS = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def activation_range(activation: str, dtype: str, scale: float, zero_point: int) -> tuple[int, int]:
    """The smallest and the largest level that a fused *activation* lets an output of *dtype* have.

    scale, zero_point: of the output. ValueError for an activation that quantised kernels do not have, or if a
    bound does not fit int32. Source: CalculateActivationRangeQuantized in kernel_util.cc.
    """
    bounds = _clamp(activation)
    low, high = RANGES[dtype]
    least, most = low, high
    for bound, is_low in zip(bounds, (True, False), strict=True):
        if bound is None:
            continue
        level = float(round_half_away(np.float32(bound) / np.float32(scale)))
        if not INT32_MIN <= level <= INT32_MAX:
            raise ValueError(f"{activation} of an output with scale {scale:g}: {bound:g} is level {level:g}")
        if is_low:
            least = max(low, int(level) + zero_point)
        else:
            most = min(high, int(level) + zero_point)
    return least, most


def float_activation_range(activation: str) -> tuple[float, float]:
    """The bounds of a fused *activation* as floats, -inf and inf where there is none.

    ValueError for one that is not a clamp. Source: CalculateActivationRange in kernel_util.h.
    """
    low, high = _clamp(activation)
    return -math.inf if low is None else low, math.inf if high is None else high


def _clamp(activation: str) -> tuple[float | None, float | None]:
    try:
        return _CLAMPS[activation]
    except KeyError:
        raise ValueError(f"fused activation {activation}; only {', '.join(_CLAMPS)}") from None
