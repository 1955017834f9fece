# SPDX-License-Identifier: Apache-2.0
"""Comparisons and choices: types, odd floats, broadcasting, scales that differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import ELEMENTWISE, Case, case, every, fed, out, q, specials
from .movement import MOVED

COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
SCALES = ((0.05, 0.05), (0.03, 0.1), (0.007, 0.5))


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed([1, 2, 3], dtype="int32")
    for op, want in zip(COMPARISONS, ([0, 1, 0], [1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1]), strict=True):
        yield case(op, [x, fed([2], dtype="int32")], [out("bool")], expected=[np.array(want, bool)])
        yield from _of(op)
    for op in ("LOGICAL_AND", "LOGICAL_OR"):
        yield case(op, [fed("bool", (3, 19)), fed("bool", (19,))], [out("bool")])
    yield from _choices()


def _of(op: str) -> Iterator[Case]:
    dtypes = ["float32", "float16", "int16", "int32", "int64"]
    dtypes += ["bool", "string"] if op in ("EQUAL", "NOT_EQUAL") else []
    dtypes += ["bfloat16"] if op in ("LESS", "GREATER") else []
    for dtype in dtypes:
        if (op, dtype) == ("NOT_EQUAL", "int16"):
            continue  # LiteRT leaves the output as it is
        yield case(op, [fed(dtype, (3, 1, 7)), fed(dtype, (2, 7))], [out("bool")])
        if dtype.startswith("int"):
            near = [fed(dtype, (41,), low=0, high=3), fed(dtype, (41,), low=0, high=3)]
            yield case(op, near, [out("bool")], tags=ELEMENTWISE, note="near")
    odd = specials()
    yield case(op, [fed(odd.reshape(-1, 1)), fed(odd)], [out("bool")], note="specials")
    for dtype, zeros in (("int8", (3, -7)), ("uint8", (100, 140)), ("int16", (0, 0))):
        for i, (a, b) in enumerate(SCALES):
            x = fed(every(dtype)[::3].reshape(-1, 1), quant=q(a, zeros[0])) if dtype != "int16" else fed(dtype, (70, 1), q(a))
            y = fed(every(dtype)[::5], quant=q(b, zeros[1])) if dtype != "int16" else fed(dtype, (50,), q(b))
            yield case(op, [x, y], [out("bool")], note=f"scales{i}")


def _choices() -> Iterator[Case]:
    for dtype in MOVED:
        a, b = fed(dtype, (3, 4)), fed(dtype, (3, 4))
        for by in ((3, 4), (3,), ()):
            yield case("SELECT", [fed("bool", by), a, b], [out(dtype)])
        yield case("SELECT_V2", [fed("bool", (3, 1)), fed(dtype, (4,)), fed(dtype, (2, 1, 4))], [out(dtype)])
        yield case("SELECT_V2", [fed("bool", (3, 4)), a, b], [out(dtype)])
    one = [fed("bool", (1,)), fed("float32", (1,)), fed("float32", (1,))]
    yield case("SELECT_V2", one, [out("float32", shape=(1,))], note="one")
    x = fed("float32", (3, 4))
    yield case("SELECT", [fed("bool", (4,)), x, x], [out("float32")], raises="ShapeError")
    yield case("SELECT", [fed("bool", (3, 4)), x, fed("float32", (3, 1))], [out("float32")], raises="ShapeError")
    yield case("SELECT_V2", [fed("bool", (5,)), x, x], [out("float32")], raises="ShapeError")
