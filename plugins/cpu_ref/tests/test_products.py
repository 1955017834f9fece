"""Integer products through float32 BLAS: the same sums as 64-bit integers, at the largest that operands allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sodalite_cpu_ref._products import EXACT_FLOAT32, cuts, product


def multiplied(a: np.ndarray, w: np.ndarray, cut) -> np.ndarray:
    acc = np.full((len(a), len(w)), np.nan, cut.sums)
    part = np.full((len(a), len(w)), np.nan, cut.dtype) if cut.blocks > 1 else None
    product(a.astype(cut.dtype), w.astype(cut.dtype), cut, acc, part)
    return acc


@pytest.mark.parametrize("k", [0, 1, 512, 513, 1024, 1025, 2300, 20000])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("x_most", "w_most"), [(128, 128), (255, 255), (127, 8), (32768, 128), (255, 2)])
def test_largest_sums(k: int, known: bool, x_most: int, w_most: int) -> None:
    """All factors at their largest, in one sign and in alternating ones: nothing is rounded."""
    w = np.full((3, k), w_most, np.int32)
    w[1] = -w_most
    w[2, ::2] = -w_most
    x = np.full((2, k), x_most, np.int64)
    x[1, 1::2] = -x_most
    cut = cuts(k, x_most, w_most, w if known else None)
    np.testing.assert_array_equal(multiplied(x, w, cut), x @ w.T)
    assert cut.bound >= np.abs(x @ w.T).max(initial=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.integers(0, 2**31), st.integers(1, 255))
def test_cuts_hold(k: int, seed: int, zero: int) -> None:
    """Each block of each column stays below 2**24 for the largest input, and blocks cover the sum."""
    rng = np.random.default_rng(seed)
    w = rng.integers(0, 256, (4, k), np.uint8)
    cut = cuts(k, 255, max(zero, 255 - zero), w, zero)
    assert cut.edges[0] == 0
    assert cut.edges[-1] == k
    sizes = np.abs(w.astype(np.int64) - zero)
    for start, stop in zip(cut.edges[:-1], cut.edges[1:], strict=True):
        assert start < stop
        assert sizes[:, start:stop].sum(axis=1).max() * 255 <= EXACT_FLOAT32
    x = rng.integers(0, 256, (3, k))
    centred = w.astype(np.int64) - zero
    np.testing.assert_array_equal(multiplied(x, centred, cut), x @ centred.T)


def test_usual_sizes_need_no_cut() -> None:
    """int8 never does up to 1024 products, uint8 up to 258; real weights allow more."""
    assert cuts(1024, 128, 128, None).blocks == 1
    assert cuts(258, 255, 255, None).blocks == 1
    assert cuts(259, 255, 255, None).blocks == 2
    assert cuts(3000, 255, 255, np.full((2, 3000), 130, np.uint8), 128).blocks == 1
    assert cuts(10**6, 32768, 128, None).dtype == np.float64
