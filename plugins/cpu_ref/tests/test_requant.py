"""Requantisation in float64 gives every bit of TFLite's integer formulas, wherever it says that it does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sodalite_cpu_ref import quant
from sodalite_cpu_ref._columns import LONG, largest_piece, pieces
from sodalite_cpu_ref._requant import DOUBLE, REAL, REAL_WIDE, SINGLE, WIDE, Requant

RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def by_formula(sums, how: str, reals, zero: int, low: int, high: int) -> np.ndarray:
    """Each element by Python's integers, from TFLite's source."""
    wanted = np.empty(sums.shape, np.int64)
    for place, total in np.ndenumerate(sums):
        real = float(reals[place[1] % len(reals)])
        m, s = quant.multiplier_and_shift(real)
        x = int(total)
        if how in (REAL, REAL_WIDE):
            exact = np.float64(x) * np.float64(real)
            level = int(quant.round_half_away(exact))
        elif how == WIDE:
            reduced = (m + (1 << 15)) >> 16 if m < 0x7FFF0000 else 0x7FFF
            level = (x * reduced + (1 << (14 - s))) >> (15 - s)
        elif how == SINGLE:
            level = (x * m + (1 << (30 - s))) >> (31 - s)
        else:
            product = (x << max(s, 0)) * m
            nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
            first = abs(product + nudge) // (1 << 31) * (1 if product + nudge >= 0 else -1)
            e = max(-s, 0)
            mask = (1 << e) - 1
            level = (first >> e) + ((first & mask) > (mask >> 1) + (first < 0))
        wanted[place] = min(max(level + zero, low), high)
    return wanted


def run(requant: Requant, sums: np.ndarray, bias: np.ndarray, dtype=np.float64) -> np.ndarray:
    out = np.full(sums.shape, 77, requant.dtype)
    work = np.full(requant.work(sums.shape[1]), np.nan)
    requant.bind(sums.astype(dtype), out, work)(bias.astype(np.float64))
    return out


def near_ties(real: float, zero: int, low: int, high: int, bound: int) -> list[int]:
    """Sums on either side of where the level changes, for levels at the ends, the middle and between."""
    found = {-bound, bound, 0, 1, -1}
    for level in {low - 1, low, -2, -1, 0, 1, 2, high - zero, high, high + 1, (low + high) // 3}:
        for half in (-0.5, 0.0, 0.5):
            at = (level + half) / real
            if abs(at) < 2 * bound:
                found |= {round(at) + d for d in range(-3, 4)}
    return [s for s in found if abs(s) <= bound]


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([DOUBLE, WIDE, REAL, REAL_WIDE, SINGLE]),
    st.sampled_from(["int8", "uint8", "int16"]),
    st.one_of(st.floats(1e-7, 3.0), st.integers(-30, 2).map(lambda e: 2.0**e)),
    st.integers(0, 255),
    st.sampled_from([100, 1 << 15, 1 << 22, 1 << 24, (1 << 31) - 1]),
    st.booleans(),
)
def test_every_bit(how: str, dtype: str, real: float, zero: int, bound: int, relu: bool) -> None:
    """At the ends of the sums and around every change of level, exact or not."""
    low, high = RANGES[dtype]
    zero = 0 if dtype == "int16" else zero + low
    if relu:
        low = max(low, zero)
    if how != DOUBLE:
        bound = min(bound, int(2**30 / real)) if real > 1 else bound  # C's cast beyond is anything
    requant = Requant([real], zero, low, high, dtype, rounding=how, bound=bound)
    sums = near_ties(real, zero, low, high, bound)
    shift = quant.multiplier_and_shift(real)[1]
    if how == DOUBLE:
        sums = [s for s in sums if -(2**31) <= s << max(shift, 0) < 2**31]
    sums = np.array(sums).reshape(-1, 1)
    wanted = by_formula(sums, how, [real], zero, low, high)
    np.testing.assert_array_equal(run(requant, sums, np.zeros(1)), wanted)
    slow = Requant([real], zero, low, high, dtype, rounding=how, bound=None)
    np.testing.assert_array_equal(run(slow, sums, np.zeros(1)), wanted)


def test_usual_layers_are_exact() -> None:
    """The float64 form holds for what models have; not for sums without a bound, nor where an int32 wraps."""
    assert Requant([0.002, 0.7, 2.0**-12], 3, -128, 127, "int8", bound=2.0**24).exact
    assert Requant([0.002, 1e-9], 3, -128, 127, "int8", bound=2.0**24).exact
    assert Requant([1e-4], 0, -32768, 32767, "int16", rounding=WIDE, bound=2.0**36).exact
    assert Requant([1e-4], 0, -32768, 32767, "int16", rounding=REAL_WIDE, bound=2.0**40).exact
    assert not Requant([0.002], 3, -128, 127, "int8").exact
    assert not Requant([0.002], 3, -128, 127, "int8", bound=2.0**31).exact
    assert not Requant([4.0], 3, -128, 127, "int8", bound=2.0**29).exact
    assert not Requant([1e-5], 3, -128, 127, "int8", bound=2.0**24).exact


def test_wraps_as_c() -> None:
    """A sum that leaves 32 bits comes back at the other end."""
    requant = Requant([0.5], 0, -128, 127, "int8")
    got = run(requant, np.array([[2**31 - 1]]), np.array([1.0]), np.float64)
    assert got.tolist() == [[-128]]


@pytest.mark.parametrize("rows", [0, 1, 7, 300])
@pytest.mark.parametrize("columns", [1, 3, 17, 256, 300, 40000])
def test_per_channel_in_pieces(rows: int, columns: int) -> None:
    """Rows taken several at a time, tails, and one long row: every element by its own channel."""
    rng = np.random.default_rng(columns)
    rows = rows if columns < 1000 else min(rows, 3)
    reals = 0.001 * (1 + rng.random(columns))
    sums = rng.integers(-100000, 100000, (rows, columns))
    bias = rng.integers(-1000, 1000, columns)
    for dtype, how in (("int8", DOUBLE), ("uint8", REAL), ("int16", WIDE)):
        low, high = RANGES[dtype]
        fast = Requant(reals, 0, low, high, dtype, rounding=how, bound=2.0**20)
        slow = Requant(reals, 0, low, high, dtype, rounding=how)
        assert fast.exact
        kind = np.float64 if how == WIDE else np.float32
        np.testing.assert_array_equal(run(fast, sums, bias, kind), run(slow, sums, bias, kind))


@given(st.integers(0, 500), st.integers(0, 700), st.integers(1, 5000))
def test_pieces_cover_rows_once(rows: int, columns: int, most: int) -> None:
    """In order, without a gap, none larger than announced."""
    at = 0
    for part, shape in pieces(rows, columns, most):
        assert part.start == at
        at = part.stop
        assert shape[0] * shape[1] == (part.stop - part.start) * columns
        assert shape[0] * shape[1] <= max(
            largest_piece(columns, most), columns * max(LONG // max(columns, 1), 1)
        )
    assert at == rows
