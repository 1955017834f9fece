# SPDX-License-Identifier: Apache-2.0
"""PAD, PADV2, MIRROR_PAD: paddings known and late, of every type they may have, zero points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Case, case, const, fed, out, q
from .movement import MOVED, numbers, told, types

PADDED = types("float32 float16 bfloat16 int8 uint8 int16 int32 int64 bool")


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed(np.arange(3), dtype="int32")
    yield case("PAD", [x, const([[1, 2]], dtype="int32")], [out("int32")], expected=[[0, 0, 1, 2, 0, 0]])
    yield case("MIRROR_PAD", [x, const([[2, 1]], dtype="int32")], [out("int32")], expected=[[2, 1, 0, 1, 2, 1]], mode="REFLECT")
    yield case("MIRROR_PAD", [x, const([[2, 1]], dtype="int32")], [out("int32")], expected=[[1, 0, 0, 1, 2, 2]], mode="SYMMETRIC")
    for dtype in PADDED:
        for known in (True, False):
            for index in ("int32", "int64"):
                paddings = numbers([[1, 0], [0, 3]], known=known, dtype=index)
                yield case("PAD", [fed(dtype, (2, 3)), paddings], [out(dtype)], note=told(known))
                yield case("PADV2", [fed(dtype, (2, 3)), paddings, fed(dtype, (1,))], [out(dtype)], note=told(known))
        if dtype in ("int8", "uint8", "int16"):
            scheme = q(0.1, 0 if dtype == "int16" else 5)
            given = [fed(dtype, (1, 4, 5, 3), scheme), const([[0, 0], [1, 2], [3, 0], [0, 0]], dtype="int32")]
            yield case("PAD", given, [out(dtype, scheme)], note="image")
            yield case("PADV2", [*given, const(dtype, (), scheme)], [out(dtype, scheme)], note="image")
    for dtype in MOVED:
        for mode in ("REFLECT", "SYMMETRIC"):
            for known in (True, False):
                yield case("MIRROR_PAD", [fed(dtype, (2, 3)), numbers([[1, 1], [0, 2]], known=known)], [out(dtype)], mode=mode, note=told(known))
    yield from _bad()


def _bad() -> Iterator[Case]:
    x = fed("float32", (2, 3))
    for known in (True, False):
        yield case("PAD", [x, numbers([[-1, 0], [0, 0]], known=known)], [out("float32")], raises="ShapeError", note=f"bad-{told(known)}")
        for mode, most in (("REFLECT", 2), ("SYMMETRIC", 3)):
            given = [x, numbers([[most, 0], [0, 0]], known=known)]
            yield case("MIRROR_PAD", given, [out("float32")], raises="ShapeError", mode=mode, note=f"bad-{told(known)}")
    yield case("PAD", [x, const([[1, 1]], dtype="int32")], [out("float32")], raises="ShapeError", note="rank")
