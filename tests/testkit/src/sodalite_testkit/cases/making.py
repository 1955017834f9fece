# SPDX-License-Identifier: Apache-2.0
"""Operators that make a tensor out of little: every type, numbers known and late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Case, case, const, fed, out
from ..tolerance import SUMS
from .movement import LOW_BIT, MOVED, WITH_STRINGS, numbers, told


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case("SHAPE", [fed("float32", (2, 0, 3))], [out("int32")], expected=[[2, 0, 3]], out_type="int32")
    yield case("RANK", [fed("float32", (2, 0, 3))], [out("int32")], expected=[3])
    for dtype in (*WITH_STRINGS, *LOW_BIT):
        for index in ("int32", "int64"):
            yield case("SHAPE", [fed(dtype, (2, 3))], [out(index)], out_type=index, note=f"as-{index}")
        yield case("SHAPE", [fed(dtype, (1,))], [out("int32")], out_type="int32")
        yield case("RANK", [fed(dtype, (2, 3))], [out("int32")])
    for dtype in MOVED:
        for known in (True, False):
            for index in ("int32", "int64"):
                sizes = numbers((2, 3), known=known, dtype=index)
                yield case("FILL", [sizes, fed(dtype, ())], [out(dtype)], note=told(known))
    yield case("FILL", [numbers((2, 3), known=True), const(np.array(b"ab\0", object))], [out("string")])
    for known in (True, False):
        yield case("FILL", [numbers((2, -3), known=known), fed("int32", ())], [out("int32")], raises="ShapeError", note=f"bad-{told(known)}")
    for dtype in ("float32", "int32", "int64"):
        yield case("ZEROS_LIKE", [fed(dtype, (2, 3))], [out(dtype)])
        yield from _ranges(dtype)
        for known in (True, False):
            for axis in (0, -1):
                for exclusive in (False, True):
                    for reverse in (False, True):
                        given = [fed(dtype, (3, 4, 2), low=-9, high=9), numbers([axis], known=known)]
                        yield case("CUMSUM", given, [out(dtype)], exclusive=exclusive, reverse=reverse, note=f"at{axis}-{told(known)}", tolerance=SUMS)
        yield case("CUMSUM", [fed(dtype, (3,)), numbers([1], known=False)], [out(dtype)], raises="ShapeError")
    for dtype in ("float32", "int8", "uint8", "int32", "int64", "bool"):
        for known in (True, False):
            for axis in (-1, 0, 1):
                indices = fed("int64" if known else "int32", (2, 3), low=-2, high=6)
                given = [indices, numbers([4], known=known), fed(dtype, (1,)), fed(dtype, ())]
                yield case("ONE_HOT", given, [out(dtype)], axis=axis, note=f"{dtype}-{told(known)}")
    for known in (True, False):
        given = [fed("int32", (2,)), numbers([-1], known=known), fed("float32", ()), fed("float32", ())]
        yield case("ONE_HOT", given, [out("float32")], axis=-1, raises="ShapeError", note=told(known))


def _ranges(dtype: str) -> Iterator[Case]:
    steps = ((0, 5, 1), (0, 5, 2), (5, 0, -2)) + (((0.1, 100, 0.3), (0, 1, 0.1)) if dtype == "float32" else ())
    for known in (True, False):
        make = const if known else fed
        for start, limit, delta in steps:
            given = [make(np.array(v), dtype=dtype) for v in (start, limit, delta)]
            yield case("RANGE", given, [out(dtype)], note=f"{start}to{limit}by{delta}-{told(known)}")
        for start, limit, delta in ((0, 5, -1), (0, 5, 0)):
            given = [make(np.array(v), dtype=dtype) for v in (start, limit, delta)]
            yield case("RANGE", given, [out(dtype)], raises="ShapeError", note=f"by{delta}-{told(known)}")
