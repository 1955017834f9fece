"""Fixed-point functions of 32-bit numbers, element by element: reciprocal and inverse square root.

A number with i integer bits is an int32 whose unit is 2**(i - 31). Arrays are int64 that hold int32 values.
Source: gemmlowp's fixedpoint.h; GetReciprocal, GetInvSqrtQuantizedMultiplierExp in kernels/internal/common.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .quant import INT32_MAX, INT32_MIN, rounding_divide_by_pot, saturating_rounding_doubling_high_mul

Int64s = npt.NDArray[np.int64]


def product(a: Any, b: Any) -> Int64s:
    """a · b, rounded: numbers with i and j integer bits give one with i + j."""
    return saturating_rounding_doubling_high_mul(a, b).astype(np.int64)


def shifted(x: Int64s, bits: int) -> Int64s:
    """x · 2**bits, saturating to the left, rounded half away from zero to the right."""
    if bits < 0:
        return rounding_divide_by_pot(x, -bits).astype(np.int64)
    return np.asarray(np.clip(x << bits, INT32_MIN, INT32_MAX))


def bit_length(x: Int64s) -> Int64s:
    """How many bits the non-negative *x* takes; 0 for 0."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def reciprocal(x: Int64s) -> tuple[Int64s, Int64s]:
    """1 / x as m · 2**-s / 2**31: (m, s), m with no integer bit. x: > 0."""
    bits = bit_length(x)
    return _one_over_one_plus((x << (32 - bits)) - (1 << 31)), bits - 1


def _one_over_one_plus(a: Int64s) -> Int64s:
    """1 / (1 + a) for 0 <= a < 1, both without integer bits: three steps of Newton's method."""
    half = (a + INT32_MAX + 1) >> 1
    x = 1515870810 + product(half, -1010580540)  # 48/17 - 32/17 · half, two integer bits
    for _ in range(3):
        rest = (1 << 29) - product(half, x)
        x = x + shifted(product(x, rest), 2)
    return shifted(x, 1)


def inverse_square_root(x: Int64s) -> tuple[Int64s, Int64s]:
    """1 / sqrt(x) as m · 2**-s / 2**31: (m, s), s >= 0. x: >= 0; 0 is taken as 1."""
    x = np.maximum(np.asarray(x, np.int64), 1)
    one = x == 1
    shift = np.full(x.shape, 11, np.int64)
    while (big := x >= 1 << 29).any():
        x, shift = np.where(big, x // 4, x), shift + big
    pairs = (32 - bit_length(x) - 1) // 2 - 1
    shift = shift - pairs
    x = x << 2 * np.maximum(pairs, 0)
    half = shifted(x >> 1, -1)
    root = np.full(x.shape, 1 << 28, np.int64)  # three integer bits
    for _ in range(5):
        cube = shifted(product(product(root, root), root), 6)
        root = shifted(product((1 << 28) + (1 << 27), root) - product(half, cube), 3)
    root = product(root, 1518500250)  # sqrt(2) / 2
    root = root << np.maximum(-shift, 0)
    return np.where(one, INT32_MAX, root), np.where(one, 0, np.maximum(shift, 0))
