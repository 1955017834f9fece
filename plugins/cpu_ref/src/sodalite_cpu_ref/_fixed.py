"""gemmlowp's fixed-point functions, element by element on int64 arrays that hold *bits*-bit values.

A raw value with m integer bits stands for raw / 2**(bits - 1 - m), Qm.(bits - 1 - m). Formulas: gemmlowp's
fixedpoint.h, and kernels/internal/common.h for logarithm and reciprocals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Raw = npt.NDArray[np.int64]


def high_mul(a: Any, b: Any, bits: int = 32) -> Raw:
    """The product of two fractions, half up, saturated: SaturatingRoundingDoublingHighMul."""
    product = (np.multiply(a, b, dtype=np.int64) + (1 << (bits - 2))) >> (bits - 1)
    return np.minimum(product, (1 << (bits - 1)) - 1)  # type: ignore[no-any-return]


def rounding_shift(x: Any, exponent: Any) -> Raw:
    """x / 2**exponent, half away from zero: RoundingDivideByPOT."""
    x = np.asarray(x, np.int64)
    half = (np.int64(1) << exponent) >> 1
    return (x + half - ((x < 0) & (half > 0))) >> exponent  # type: ignore[no-any-return]


def saturating_shift(x: Any, exponent: Any, bits: int = 32) -> Raw:
    """x · 2**exponent, saturated: SaturatingRoundingMultiplyByPOT with a positive exponent."""
    x = np.asarray(x, np.int64)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    threshold = (np.int64(1) << (bits - 1 - np.asarray(exponent, np.int64))) - 1
    shifted = np.where(x > threshold, high, np.where(x < -threshold, low, x << exponent))
    return np.where(np.asarray(exponent) == 0, x, shifted)


def _constant(raw32: int, bits: int) -> int:
    """A constant given with 32 bits."""
    return int(rounding_shift(raw32, 32 - bits))


def exp_of_negative(a: Any, integer_bits: int, bits: int = 32) -> Raw:
    """exp(a) as Q0 for a <= 0 with *integer_bits*: exp_on_negative_values."""
    a = np.asarray(a, np.int64)
    top = (1 << (bits - 1)) - 1
    fractional = bits - 1 - integer_bits
    quarter = 1 << (fractional - 2)
    part = (a & (quarter - 1)) - quarter
    # around -1/8, by four terms of Taylor's series
    x = saturating_shift(part, integer_bits, bits) + (1 << (bits - 4))
    x2 = high_mul(x, x, bits)
    x3, x4 = high_mul(x2, x, bits), high_mul(x2, x2, bits)
    terms = rounding_shift(high_mul(rounding_shift(x4, 2) + x3, _constant(715827883, bits), bits) + x2, 1)
    eighth = _constant(1895147668, bits)
    result = eighth + high_mul(eighth, x + terms, bits)
    if bits == 16:
        result = np.clip(result, -top - 1, top)
    rest = part - a
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for exponent, factor in zip(range(-2, 5), factors, strict=True):
        if integer_bits > exponent:
            chosen = (rest >> (fractional + exponent)) & 1
            result = np.where(chosen, high_mul(result, _constant(factor, bits), bits), result)
    if integer_bits > 5:
        result = np.where(a < -(1 << (bits + 4 - integer_bits)), 0, result)
    return np.where(a == 0, top, result)


def _reciprocal_of_half_sum(a: Raw, bits: int) -> Raw:
    """2 / (1 + a) as Q2 for a Q0 in 0 ... 1, by three steps of Newton and Raphson."""
    total = a + ((1 << (bits - 1)) - 1)
    half = np.trunc((total + np.where(total >= 0, 1, -1)) / 2).astype(np.int64)
    x = _constant(1515870810, bits) + high_mul(half, _constant(-1010580540, bits), bits)
    one = 1 << (bits - 3)
    for _ in range(3):
        x = x + saturating_shift(high_mul(x, one - high_mul(half, x, bits), bits), 2, bits)
    return x


def one_over_one_plus(a: Any, bits: int = 32) -> Raw:
    """1 / (1 + a) as Q0 for a Q0 in 0 ... 1: one_over_one_plus_x_for_x_in_0_1."""
    return saturating_shift(_reciprocal_of_half_sum(np.asarray(a, np.int64), bits), 1, bits)


def logistic(a: Any, integer_bits: int, bits: int = 32) -> Raw:
    """1 / (1 + exp(-a)) as Q0 for a with *integer_bits*."""
    a = np.asarray(a, np.int64)
    top = (1 << (bits - 1)) - 1
    positive = one_over_one_plus(exp_of_negative(-np.abs(a), integer_bits, bits), bits)
    return np.where(a == 0, 1 << (bits - 2), np.where(a > 0, positive, top - positive))


def tanh(a: Any, integer_bits: int, bits: int = 32) -> Raw:
    """The hyperbolic tangent of a with *integer_bits*, as Q0."""
    a = np.asarray(a, np.int64)
    e = exp_of_negative(-np.abs(a), integer_bits + 1, bits)
    one = 1 << (bits - 3)
    t = saturating_shift(_reciprocal_of_half_sum(e, bits) - one, 2, bits)
    return np.where(a == 0, 0, np.where(a < 0, -t, t))


def leading_zeros(x: Any) -> Raw:
    """Zero bits before the first one of 32; 32 for 0."""
    return 32 - np.frexp(np.asarray(x, np.float64))[1].astype(np.int64)


def reciprocal(x: Any, integer_bits: int) -> tuple[Raw, Raw]:
    """1 / x for x > 0 with *integer_bits*, as a Q0 in 1/2 ... 1, and the bits that x has above 1: GetReciprocal."""
    x = np.asarray(x, np.int64)
    headroom = leading_zeros(x)
    return one_over_one_plus((x << headroom) - (1 << 31)), integer_bits - headroom


def log(x: Any, integer_bits: int, output_bits: int) -> Raw:
    """ln(x) with *output_bits* integer bits for x > 0 with *integer_bits*: log_x_for_x_greater_than_or_equal_to_1."""
    x = np.asarray(x, np.int64)
    root = 1518500250  # sqrt(1/2)
    bits = output_bits + 1
    quarter = int(rounding_shift(536870912, bits))

    def power(count: Raw, change: int) -> Raw:
        moved = saturating_shift(integer_bits - count, 31 - bits) + change
        return np.clip(moved, -(1 << 31), (1 << 31) - 1)

    headroom_a = leading_zeros(x)
    r_a = saturating_shift(high_mul(saturating_shift(x, headroom_a - 1), root), 1)
    headroom_b = leading_zeros(high_mul(x, root)) - 1
    r_b = saturating_shift(x, headroom_b)
    r = np.minimum(r_a, r_b)
    whole = np.maximum(power(headroom_a, quarter), power(headroom_b, -quarter))
    centre = 1805811301  # fourth root of 1/2
    total = r + centre
    p = np.trunc((total + np.where(total >= 0, 1, -1)) / 2).astype(np.int64)
    q = 2 * (r - centre)
    square = high_mul(q, q)
    above = high_mul(q, r) + high_mul(high_mul(q, square), 117049297)
    below = high_mul(p, 1057819769 + q + high_mul(127690142, square)) + high_mul(638450708, q)
    fraction = high_mul(rounding_shift(above, bits), one_over_one_plus(below))
    return saturating_shift(high_mul(whole, 1488522236) + fraction, 1)


def inverse_sqrt(x: Any) -> tuple[Raw, Raw]:
    """1 / sqrt(x) for integers x > 0 (0 counts as 1), as (multiplier, shift <= 0): GetInvSqrtQuantizedMultiplierExp."""
    x = np.asarray(x, np.int64)
    value = np.maximum(x, 2)
    # down by fours until below 2**29, then up by fours to 2**27 or more
    down = np.maximum((4 - leading_zeros(value)) // 2, 0)
    value >>= 2 * down
    up = (leading_zeros(value) - 1) // 2 - 1
    shift = 11 + down - up
    value <<= 2 * up
    halved = rounding_shift(value >> 1, 1)
    y = np.full(x.shape, 1 << 28, np.int64)
    for _ in range(5):  # Newton and Raphson, Q3
        cube = saturating_shift(high_mul(high_mul(y, y), y), 6)
        y = saturating_shift(high_mul((1 << 28) + (1 << 27), y) - high_mul(halved, cube), 3)
    y = high_mul(y, 1518500250)
    y <<= np.maximum(-shift, 0)
    small = x <= 1
    return np.where(small, (1 << 31) - 1, y), np.where(small, 0, -np.maximum(shift, 0))
