"""Float inputs quantised on the fly, for kernels whose weights alone are integers.

Formulas: SymmetricQuantizeFloats and AsymmetricQuantizeFloats in reference/portable_tensor_utils.cc. Levels are
given with the zero point taken off, as integers in float32, which is what the products want.
"""

from __future__ import annotations

import numpy as np
from sodalite.graph import Array

CHUNK = 16384


def symmetric(x: Array, levels: Array, scales: Array) -> None:
    """levels = clamp(round(x · (127 / r)), -127, 127), scales = r / 127, r = max |x| of the row; a row of zeros has scale 1.

    x, levels: (rows, n) float32, n > 0; scales: (rows,) float32.
    """
    reach = np.maximum(np.abs(x.min(axis=1)), np.abs(x.max(axis=1)))
    still = reach == 0
    reach[still] = 127
    np.divide(reach, np.float32(127), out=scales)
    _rounded(x, np.float32(127) / reach, None, levels)
    np.clip(levels, -127, 127, out=levels)
    levels[still] = 0


def asymmetric(x: Array, levels: Array, scales: Array) -> None:
    """levels = clamp(round(z + x / scale), -128, 127) - z over the range of the row with 0 in it; zeros have scale 1.

    The range has 255 steps; z comes from the end at which it is the more exact. Arguments as for ``symmetric``.
    """
    low = np.minimum(x.min(axis=1), 0).astype(np.float64)
    high = np.maximum(x.max(axis=1), 0).astype(np.float64)
    still = low == high
    step = np.where(still, 1.0, (high - low) / 255)
    from_low, from_high = -128 - low / step, 127 - high / step
    zero = np.where(128 + np.abs(low / step) < 127 + np.abs(high / step), from_low, from_high)
    zero = np.clip(np.trunc(zero + np.copysign(np.nextafter(0.5, 0), zero)), -128, 127).astype(np.float32)
    zero[still] = 0
    scales[:] = step
    _rounded(x, np.float32(1) / scales, zero, levels)
    np.clip(levels, -128, 127, out=levels)
    np.subtract(levels, zero[:, None], out=levels)
    levels[still] = 0


def _rounded(x: Array, inverse: Array, zero: Array | None, levels: Array) -> None:
    """levels = round(zero + x · inverse) of each row, halves away from zero, every operation in float32.

    What is rounded lies below 2**23, where trunc(v ± the float before 1/2) is C's round().
    """
    half = np.nextafter(np.float32(0.5), np.float32(0))
    rows, n = x.shape
    step = max(CHUNK // n, 1)
    for row in range(0, rows, step):
        some = slice(row, row + step)
        for at in range(0, n, CHUNK):
            v = levels[some, at : at + CHUNK]
            np.multiply(x[some, at : at + CHUNK], inverse[some, None], out=v)
            if zero is not None:
                np.add(v, zero[some, None], out=v)
            np.add(v, np.copysign(half, v), out=v)
            np.trunc(v, out=v)
