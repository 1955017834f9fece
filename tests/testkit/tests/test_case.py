# SPDX-License-Identifier: Apache-2.0
"""Cases, drawn data and tolerances are what they say."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from sodalite.dtypes import DTYPES, OBJECTS, memory_dtype
from sodalite_testkit.case import (
    around,
    case,
    const,
    draw,
    every,
    fed,
    generator,
    limits,
    out,
    q,
    specials,
    variable,
)
from sodalite_testkit.cases import all_cases
from sodalite_testkit.tolerance import EXACT, LEVELS, NEAR, ULPS

F = np.float32


def test_an_id_says_operator_types_shapes_options_and_note() -> None:
    made = case("CONV_2D", [fed("int8", (1, 5, 5, 3), q(0.1)), const("int8", (4, 3, 3, 3), q([0.1] * 4))],
                [out("int32")], padding="VALID", stride_h=2, note="odd")  # fmt: skip
    assert made.id == "CONV_2D-int8-int32-1x5x5x3-4x3x3x3-valid-stride_h=2-odd"


def test_ids_are_unique_and_plain() -> None:
    """all_cases() itself refuses two of one id; none needs quoting in a shell or a pattern."""
    for made in all_cases():
        assert not set(made.id) & set("*?[] '\"$/\\"), made.id


def test_data_depend_on_the_id_and_the_seed_alone() -> None:
    first, second = (case("ABS", [fed("int16", (50,))], [out("int16")]).fed[0] for _ in range(2))
    other = case("ABS", [fed("int16", (50,))], [out("int16")], note="other").fed[0]
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    code = "from sodalite_testkit.case import case, fed, out; print(case('ABS', [fed('int16', (50,))], [out('int16')]).fed[0].sum())"
    sums = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "SODALITE_SEED": seed}, check=True, capture_output=True).stdout
        for seed in ("0", "1")
    ]
    assert sums[0] != sums[1]


@pytest.mark.parametrize("dtype", sorted(set(DTYPES) - OBJECTS - {"float8_e4m3fn", "float8_e5m2"}))
def test_drawn_data_are_of_the_type_and_hold_its_extremes(dtype: str) -> None:
    values = draw(generator(dtype), dtype, (4, 30))
    assert values.shape == (4, 30)
    assert values.dtype == memory_dtype(dtype)
    if values.dtype.kind in "iu" and dtype != "bfloat16":
        assert (values.min(), values.max()) == limits(dtype)


def test_bounds_hold() -> None:
    values = draw(generator("bounds"), "int8", (1000,), low=-5, high=7)
    assert (values.min(), values.max()) == (-5, 7)
    values = draw(generator("bounds"), "float32", (1000,), low=0.5, high=0.75)
    assert values.min() == F(0.5)
    assert values.max() == F(0.75)


def test_small_data_are_not_all_extremes() -> None:
    assert draw(generator("one"), "float32", (1,))[0] != 0


def test_values_are_read_only_copies() -> None:
    mine = np.ones(3, F)
    (held,) = case("ABS", [fed(mine)], [out("float32")]).fed
    assert held is not mine
    assert not held.flags.writeable


def test_helpers_for_data() -> None:
    assert around(8) == (0, 1, 7, 8, 9, 26)
    assert every("int4").tolist() == list(range(-8, 8))
    assert np.isnan(specials()).sum() == 1
    assert variable("int8", (2,), value=3).values.tolist() == [3, 3]
    assert q([0.5, 0.25], axis=1).per_channel
    assert fed([b"x"], dtype="string").values.dtype == object
    with pytest.raises(ValueError, match="needs a shape"):
        fed("int8")
    with pytest.raises(ValueError, match="not an integer"):
        limits("bfloat16")


def a(*values: float, dtype: type = F) -> np.ndarray:
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("tolerance", "got", "want", "within"),
    [
        (EXACT, a(1, np.nan), a(1, np.nan), True),
        (EXACT, a(0.0), a(-0.0), False),
        (EXACT, a(1), a(np.nextafter(F(1), F(2))), False),
        (EXACT, a(1, dtype=np.int8), a(2, dtype=np.int8), False),
        (EXACT, a(1), a(1, dtype=np.float64), False),
        (EXACT, a(1), a(1, 2), False),
        (ULPS(1), a(1), a(np.nextafter(F(1), F(2))), True),
        (ULPS(1), a(1), a(np.nextafter(np.nextafter(F(1), F(2)), F(2))), False),
        (ULPS(1), a(0.0), a(-0.0), True),
        (ULPS(2), a(np.nextafter(F(0), F(1))), a(np.nextafter(F(0), F(-1))), True),
        (ULPS(3), a(np.finfo(F).max), a(np.inf), False),
        (ULPS(3), a(np.nan), a(1), False),
        (NEAR(abs=0.1), a(1.05), a(1), True),
        (NEAR(abs=0.1), a(1.15), a(1), False),
        (NEAR(rel=0.1), a(10.5), a(10), True),
        (NEAR(rel=0.1), a(0.05), a(0), False),
        (NEAR(peak=0.1), a(0.5, 10), a(0, 10), True),
        (NEAR(abs=9), a(np.inf), a(-np.inf), False),
        (NEAR(abs=9), a(np.nan), a(1), False),
        (LEVELS(1), a(127, dtype=np.int8), a(-128, dtype=np.int8), False),
        (LEVELS(1), a(4, dtype=np.uint8), a(5, dtype=np.uint8), True),
        (EXACT, np.array([b"a"], object), np.array([b"b"], object), False),
        (EXACT, np.array([1 + 2j], np.complex64), np.array([1 + 2j], np.complex64), True),
        (NEAR(abs=0.1), np.array([1 + 2j], np.complex64), np.array([1 + 3j], np.complex64), False),
    ],
)
def test_tolerances(tolerance, got, want, within) -> None:
    assert (tolerance.complaint(got, want) is None) is within


def test_a_complaint_says_how_many_how_far_and_where() -> None:
    text = NEAR(abs=0.5).complaint(a(1, 2, 5), a(1, 2, 3))
    assert text is not None
    assert "1 of 3 elements" in text
    assert "abs 0.5" in text
    assert "largest difference 2" in text
    assert "first at (2,)" in text
