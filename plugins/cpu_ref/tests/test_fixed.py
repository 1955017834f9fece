"""Fixed-point functions against the real ones, over their whole range; corners by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sodalite_cpu_ref import _fixed

TOP = 2**31 - 1


def test_exp_over_its_range() -> None:
    """exp(a) for a in -32 ... 0, within 2**-22; one at 0."""
    a = np.concatenate([-np.arange(0, 2**31, 123457), [-1, -(2**31), 0]])
    got = _fixed.exp_of_negative(a, 5) / 2**31
    np.testing.assert_allclose(got, np.exp(a / 2**26), rtol=0, atol=2**-22)
    assert _fixed.exp_of_negative(np.array([0]), 5).tolist() == [TOP]


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("integer_bits", [0, 3, 4])
def test_logistic_and_tanh(bits: int, integer_bits: int) -> None:
    """Both functions within a few of the last bits of 16, for positive and negative arguments."""
    a = np.concatenate([np.linspace(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1, 4001).astype(np.int64), [0]])
    x = a / 2.0 ** (bits - 1 - integer_bits)
    step = 2.0 ** (1 - bits)
    near = 12 * step if bits == 16 else 2**-22
    np.testing.assert_allclose(
        _fixed.logistic(a, integer_bits, bits) * step, 1 / (1 + np.exp(-x)), rtol=0, atol=near
    )
    np.testing.assert_allclose(_fixed.tanh(a, integer_bits, bits) * step, np.tanh(x), rtol=0, atol=near)


def test_reciprocal() -> None:
    """1 / x from 1 to the largest sum, with the bits above one."""
    x = np.array([1 << 19, (1 << 19) + 1, 3 << 19, 1 << 20, TOP])
    share, above = _fixed.reciprocal(x, 12)
    np.testing.assert_allclose(share / 2.0**31 / 2.0**above, 2.0**19 / x, rtol=2**-27)


def test_log() -> None:
    """ln(x) from 1 to 4096, within 2**-21."""
    x = np.concatenate([np.geomspace(1 << 19, TOP, 3001).astype(np.int64), [1 << 19]])
    np.testing.assert_allclose(_fixed.log(x, 12, 5) / 2.0**26, np.log(x / 2.0**19), rtol=0, atol=2**-21)


def test_inverse_root() -> None:
    """1 / sqrt(x) for every kind of integer, 0 as 1."""
    x = np.array([0, 1, 2, 3, 4, 5, 100, 16129, 2**27 - 1, 2**29 - 1, 2**29, 2**30, TOP])
    m, s = _fixed.inverse_sqrt(x)
    wanted = [1 / math.sqrt(max(int(v), 1)) for v in x]
    np.testing.assert_allclose(m / 2.0**31 * 2.0**s, wanted, rtol=2e-6)
    assert (s <= 0).all()


def test_shifts() -> None:
    """Half away from zero to the right, saturated to the left."""
    assert _fixed.rounding_shift([5, -5, 6, -6, 7], 2).tolist() == [1, -1, 2, -2, 2]
    assert _fixed.rounding_shift([5, -5], 0).tolist() == [5, -5]
    assert _fixed.saturating_shift([1, -1, 2**30, -(2**30) - 1, 3], [1, 2, 1, 1, 0]).tolist() == [
        2,
        -4,
        TOP,
        -TOP - 1,
        3,
    ]
    assert _fixed.leading_zeros([0, 1, 2**31, 2**32 - 1]).tolist() == [32, 31, 0, 0]
