# SPDX-License-Identifier: Apache-2.0
"""Reductions: axes of every kind, sizes kept and dropped, nothing to reduce, every scheme of quantisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, case, const, fed, out, q
from ..tolerance import SUMS
from .movement import numbers, told

NUMBERS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
AXES: tuple[list[int], ...] = ([0], [1, 2], [-1], [0, 0, 1], [0, 1, 2], [])


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed([[1, 2, 3], [4, 5, 9]], dtype="int32")
    for op, want in (("MEAN", [2, 6]), ("SUM", [6, 18]), ("REDUCE_MAX", [3, 9]), ("REDUCE_MIN", [1, 4]), ("REDUCE_PROD", [6, 180])):
        yield case(op, [x, const([1], dtype="int32")], [out("int32")], expected=[want], note="by-hand")
    for dtype in ("float32", "int32", "int64"):
        how: dict[str, Any] = {"low": -2, "high": 2} if dtype == "float32" else {"low": -9, "high": 9}
        for op in NUMBERS:
            for axes in AXES:
                for keep in (True, False):
                    given = [fed(dtype, (3, 4, 5), **how), const(np.array(axes, np.int32))]
                    yield case(op, given, [out(dtype)], keep_dims=keep, tolerance=SUMS, note="".join(map(str, axes)))
            yield case(op, [fed(dtype, (3, 4), **how), numbers([-1], known=False)], [out(dtype)], tolerance=SUMS, note="late")
            yield case(op, [fed(dtype, (), **how), const([0], dtype="int32")], [out(dtype)], note="scalar")
            yield case(op, [fed(dtype, (2, 0, 3)), const([1], dtype="int32")], [out(dtype)], note="of-nothing")
            if op != "REDUCE_PROD":
                given = [fed(dtype, (1, 33, 17, 9), **how), const([1, 2], dtype="int32")]
                yield case(op, given, [out(dtype)], keep_dims=True, tolerance=SUMS)
            for known in (True, False):
                yield case(op, [fed(dtype, (2, 3)), numbers([2], known=known)], [out(dtype)], raises="ShapeError", note=told(known))
    for op in ("REDUCE_ANY", "REDUCE_ALL"):
        for axes in ([0], [-1], [0, 1], []):
            yield case(op, [fed("bool", (3, 4)), const(np.array(axes, np.int32))], [out("bool")], note="".join(map(str, axes)))
        yield case(op, [fed("bool", (2, 0)), const([1], dtype="int32")], [out("bool")], note="of-nothing")
    for dtype in ("int8", "uint8", "int16"):
        yield from _levels(dtype)


def _levels(dtype: str) -> Iterator[Case]:
    zeros = (0, 0) if dtype == "int16" else (5, -3 if dtype == "int8" else 130)
    for axes in ([1, 2], [3], [0, 1, 2, 3], [0]):
        for i, (a, b) in enumerate(((0.05, 0.02), (0.011, 0.07))):
            given = [fed(dtype, (2, 7, 9, 5), q(a, zeros[0])), const(np.array(axes, np.int32))]
            note = f"{''.join(map(str, axes))}-scales{i}"
            yield case("MEAN", given, [out(dtype, q(b, zeros[1]))], note=note)
            # LiteRT's SUM reads int8 and int16 as uint8: only uint8 has an oracle
            if dtype == "uint8":
                yield case("SUM", given, [out(dtype, q(b * 30, zeros[1]))], note=note)
    if dtype != "uint8":
        x = fed([[10, -20, 35], [1, 2, 3]], dtype=dtype, quant=q(0.5))
        yield case("SUM", [x, const([1], dtype="int32")], [out(dtype, q(0.25))], expected=[[50, 12]], oracle="expected")
    for op in ("REDUCE_MAX", "REDUCE_MIN"):
        x = fed(dtype, (3, 4, 5), q(0.1, zeros[0]))
        yield case(op, [x, const([1], dtype="int32")], [out(dtype, q(0.1, zeros[0]))], note="quantised")
        yield case(op, [fed(dtype, (3, 4, 5)), const([1], dtype="int32")], [out(dtype)], note="plain")
    yield case("REDUCE_PROD", [fed(dtype, (3, 4, 5)), const([1], dtype="int32")], [out(dtype)], note="plain")
    if dtype != "uint8":
        scales = (0.05, 0.3) if dtype == "int8" else (0.0002, 0.001)
        for axes in ([1], [0, 2], [0, 1, 2]):
            given = [fed(dtype, (3, 4, 5), q(scales[0], zeros[0])), const(np.array(axes, np.int32))]
            yield case("REDUCE_PROD", given, [out(dtype, q(scales[1], zeros[1]))], note="quantised" + "".join(map(str, axes)))
