"""float16 and bfloat16 around float32 arithmetic, and the functions that numpy lacks.

A bfloat16 is the upper half of a float32; in memory it is a uint16 bit pattern.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.graph import Array


def widened(x: Array, dtype: str) -> Array:
    """Elements of *dtype* (float16, bfloat16, float32) as float32; float32 as it is."""
    if dtype == "bfloat16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float32) if dtype == "float16" else x


def narrow(x: Array, out: Array, dtype: str) -> None:
    """Round float32 *x* to the nearest element of *dtype*, ties to even, into *out*."""
    if dtype != "bfloat16":
        np.copyto(out, x, casting="same_kind")
        return
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    np.copyto(out, np.where(np.isnan(x), (bits >> 16) | 0x40, rounded), casting="unsafe")


def in_double(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
    """*function* worked out in float64 and rounded to float32 once: what a correctly rounded libm gives."""

    def rounded(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.float64)), np.float32)

    return rounded


def erfc(x: Any) -> Array:
    """The complementary error function of float64 *x*, within 1e-13 of its size."""
    size = np.abs(x)
    t = 2.0 / (2.0 + size)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        tail = np.polynomial.chebyshev.chebval(2.0 * t - 1.0, _erfc_series()) * t * np.exp(-size * size)
    return np.asarray(np.where(x < 0, 2.0 - tail, tail))


@functools.cache
def _erfc_series() -> Array:
    """Chebyshev series in 2t - 1 of erfc(z) exp(z²) / t, t = 2 / (2 + z), z >= 0: smooth all the way to infinity."""

    def scaled(y: Array) -> Array:
        return np.array([_scaled_erfc(4.0 / (v + 1.0) - 2.0) * (2.0 / (v + 1.0)) for v in y])

    return np.polynomial.chebyshev.chebinterpolate(scaled, 40)


def _scaled_erfc(z: float) -> float:
    if z < 12:
        return math.erfc(z) * math.exp(z * z)
    term = total = 1.0
    for k in range(1, 7):
        term *= -(2 * k - 1) / (2 * z * z)
        total += term
    return total / (z * math.sqrt(math.pi))


def gelu(x: Any) -> Any:
    """x · erfc(-x / √2) / 2."""
    return 0.5 * x * erfc(x * -math.sqrt(0.5))


def gelu_approximate(x: Any) -> Any:
    """x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


# The same, rounded to float32 after every operation, as the tables of quantised GELU are made.


def single_gelu(x: Array) -> Array:
    return np.float32(0.5) * x * in_double(erfc)(x * np.float32(-math.sqrt(0.5)))


def single_gelu_approximate(x: Array) -> Array:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (np.float32(1) + in_double(np.tanh)(inner))


def single_logistic(x: Array) -> Array:
    return np.float32(1) / (np.float32(1) + in_double(np.exp)(-x))
