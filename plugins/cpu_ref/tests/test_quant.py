"""The scale arithmetic against the same formulas in Python's big integers, extremes first."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sodalite_cpu_ref import quant

LOW, HIGH = -(2**31), 2**31 - 1
int32s = st.one_of(
    st.sampled_from([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH, 2**30, -(2**30)]), st.integers(LOW, HIGH)
)
multipliers = st.one_of(st.sampled_from([0, 2**30, 2**30 + 1, HIGH - 1, HIGH]), st.integers(2**30, HIGH))


def wrap(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def truncated(a: int, b: int) -> int:
    return abs(a) // b * (1 if a >= 0 else -1)


def high_mul(a: int, b: int) -> int:
    if a == b == LOW:
        return HIGH
    product = a * b
    return truncated(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)


def divide_by_pot(x: int, exponent: int) -> int:
    mask = 2**exponent - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def double_rounded(x: int, multiplier: int, shift: int) -> int:
    return divide_by_pot(high_mul(wrap(x << max(shift, 0)), multiplier), max(-shift, 0))


@given(st.one_of(st.floats(2**-40, 2**40), st.floats(1e-300, 1e300), st.just(0.0)))
def test_multiplier_is_the_nearest(real: float) -> None:
    """The pair is the real number rounded to 31 bits, or (0, 0) below 2**-31."""
    m, shift = quant.multiplier_and_shift(real)
    if m == 0:
        assert shift == 0
        assert real < 2.0**-32 or real == 0
        return
    assert 2**30 <= m < 2**31
    assert shift >= -31
    step = Fraction(2) ** (shift - 31)
    assert abs(Fraction(real) - m * step) <= step / 2


def test_multiplier_corners() -> None:
    """A fraction that rounds up to one moves into the shift; sums of halves, signs and bad numbers."""
    assert quant.multiplier_and_shift(1.0) == (2**30, 1)
    assert quant.multiplier_and_shift(0.5) == (2**30, 0)
    assert quant.multiplier_and_shift(math.nextafter(1.0, 0.0)) == (2**30, 1)
    assert quant.multiplier_and_shift(2.0**-32) == (2**30, -31)
    assert quant.multiplier_and_shift(2.0**-33) == (0, 0)
    assert quant.multiplier_and_shift(-0.75) == (-3 * 2**29, 0)
    assert quant.multiplier_and_shift((2**30 + 0.5) / 2**31) == (2**30 + 1, 0)
    for bad in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match="finite"):
            quant.multiplier_and_shift(bad)
    m, s = quant.multipliers_and_shifts(np.float64([0.5, 0.25]))
    assert m.tolist() == [2**30, 2**30]
    assert s.tolist() == [0, -1]


@given(int32s, int32s)
def test_high_mul(a: int, b: int) -> None:
    """The half-up form equals gemmlowp's nudge and truncation for both signs."""
    assert quant.saturating_rounding_doubling_high_mul(np.int32([a]), b).tolist() == [high_mul(a, b)]


@given(int32s, st.integers(0, 31))
def test_divide_by_pot(x: int, exponent: int) -> None:
    """Halves go away from zero."""
    got = quant.rounding_divide_by_pot(np.int32([x]), exponent).tolist()
    assert got == [divide_by_pot(x, exponent)]
    exact = Fraction(x, 2**exponent)
    nearest = math.floor(abs(exact) + Fraction(1, 2)) * (1 if x >= 0 else -1)
    assert got == [nearest]


@given(st.lists(int32s, min_size=1, max_size=9), multipliers, st.integers(-31, 30))
def test_rescale(xs: list[int], multiplier: int, shift: int) -> None:
    """Two roundings, and the wrap of an int32 that is shifted out."""
    want = [double_rounded(x, multiplier, shift) for x in xs]
    assert quant.rescale(np.int32(xs), multiplier, shift).tolist() == want
    assert quant.rescale(np.int64(xs), multiplier, shift).tolist() == want


def test_rescale_per_channel() -> None:
    """Arrays of multipliers and shifts lie along the last axis."""
    x = np.int32([[5, -5, LOW], [7, -7, HIGH], [2**20, -(2**20) - 1, 0]])
    m, s = np.int32([2**30, HIGH, 2**30 + 12345]), np.int32([-1, 1, -31])
    got = quant.rescale(x, m, s)
    for i, j in itertools.product(range(3), range(3)):
        assert got[i, j] == double_rounded(int(x[i, j]), int(m[j]), int(s[j]))


@given(int32s, multipliers, st.integers(-31, 30))
def test_rescale_single(x: int, multiplier: int, shift: int) -> None:
    """One rounding, half up, where the result fits 32 bits."""
    want = (x * multiplier + (1 << (30 - shift))) >> (31 - shift)
    if LOW <= want <= HIGH and abs(x * multiplier) < 2**62:
        assert quant.rescale_single(np.int32([x]), multiplier, shift).tolist() == [want]


@given(
    st.one_of(st.sampled_from([-(2**47), 2**47 - 1, -1, 0, 1]), st.integers(-(2**47), 2**47 - 1)), multipliers
)
def test_rescale_int64(x: int, multiplier: int) -> None:
    """A 15-bit multiplier, saturated near one."""
    for shift in (-31, -16, -1, 0, 1, 7):
        reduced = (multiplier + 2**15) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
        want = (x * reduced + (1 << (14 - shift))) >> (15 - shift)
        assert quant.rescale_int64(np.int64([x]), multiplier, shift).tolist() == [wrap(want)]


def test_round_half_away() -> None:
    """As C's round: the largest float below one half goes to zero, signs of zero are kept."""
    x = np.float32([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, -0.49999997, 8388609.0, np.inf, 0.0])
    want = np.float32([1, -1, 2, 3, -3, 0, -0.0, 8388609.0, np.inf, 0.0])
    with np.errstate(invalid="ignore"):
        got = quant.round_half_away(x)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[:8], want[:8])
    assert np.signbit(got[6])


def test_quantize_and_back() -> None:
    """Three numbers that fit in a head, the ends of the range, and what is not a number."""
    got = quant.quantize(np.float32([0.25, -0.25, 0.75, 1e9, -1e9, np.inf, -np.inf, np.nan]), 0.5, 3, "int8")
    assert got.dtype == np.int8
    assert got.tolist() == [4, 2, 5, 127, -128, 127, -128, 3]
    back = quant.dequantize(got[:3], 0.5, 3)
    assert back.dtype == np.float32
    assert back.tolist() == [0.5, -0.5, 1.0]
    assert quant.quantize(np.float32([9.0]), 1.0, 0, "int4").tolist() == [7]
    assert quant.quantize(
        np.float32([1.0, 1.0]), np.float32([0.5, 0.1]), np.int64([1, 2]), "uint8"
    ).tolist() == [3, 12]


@pytest.mark.parametrize(
    ("activation", "dtype", "scale", "zero_point", "want"),
    [
        ("NONE", "int8", 0.1, 5, (-128, 127)),
        ("RELU", "int8", 0.1, 5, (5, 127)),
        ("RELU", "int8", 0.1, -128, (-128, 127)),
        ("RELU6", "int8", 0.05, -100, (-100, 20)),
        ("RELU6", "uint8", 0.0235294122248888, 0, (0, 255)),
        ("RELU6", "uint8", 0.1, 10, (10, 70)),
        ("RELU_N1_TO_1", "int16", 1 / 32768, 0, (-32768, 32767)),
        ("RELU_N1_TO_1", "int8", 0.5, 1, (-1, 3)),
    ],
)
def test_activation_range(activation: str, dtype: str, scale: float, zero_point: int, want: object) -> None:
    """Bounds are quantised with the output's parameters and cut to its type."""
    assert quant.activation_range(activation, dtype, scale, zero_point) == want


def test_activation_errors() -> None:
    """An activation that is not a clamp, and a bound that no int32 holds."""
    with pytest.raises(ValueError, match="TANH; only NONE, RELU, RELU6, RELU_N1_TO_1"):
        quant.activation_range("TANH", "int8", 0.1, 0)
    with pytest.raises(ValueError, match="is level"):
        quant.activation_range("RELU6", "int8", 1e-30, 0)
    assert quant.float_activation_range("RELU6") == (0.0, 6.0)
    assert quant.float_activation_range("NONE") == (-math.inf, math.inf)
