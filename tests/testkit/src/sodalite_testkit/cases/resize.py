# SPDX-License-Identifier: Apache-2.0
"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR: up, down, to one, with every convention for where pixels lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Case, case, const, fed, out, q
from ..tolerance import ROUNDINGS

SHAPES = (
    ((1, 1, 1, 1), (3, 2)),
    ((1, 2, 2, 3), (4, 4)),
    ((2, 5, 7, 3), (3, 9)),
    ((1, 7, 5, 2), (7, 5)),
    ((1, 8, 6, 17), (1, 1)),
    ((1, 3, 4, 2), (10, 13)),
    ((1, 33, 20, 16), (70, 41)),
)
CONVENTIONS = ((False, False), (True, False), (False, True))
NEAREST = ("float32", "float16", "int8", "uint8", "int16", "int32", "bool")


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed(np.float32([0, 4]).reshape(1, 1, 2, 1))
    size = const(np.int32([1, 4]))
    wanted = np.float32([0, 2, 4, 4]).reshape(1, 1, 4, 1)
    yield case("RESIZE_BILINEAR", [x, size], [out("float32")], note="by_hand", expected=[wanted])
    wanted = np.float32([0, 1, 3, 4]).reshape(1, 1, 4, 1)
    yield case(
        "RESIZE_BILINEAR",
        [x, size],
        [out("float32")],
        half_pixel_centers=True,
        note="by_hand",
        expected=[wanted],
    )
    wanted = np.float32([0, 0, 4, 4]).reshape(1, 1, 4, 1)
    yield case("RESIZE_NEAREST_NEIGHBOR", [x, size], [out("float32")], note="by_hand", expected=[wanted])
    for align, half in CONVENTIONS:
        how = {"align_corners": align, "half_pixel_centers": half}
        for shape, size_to in SHAPES:
            size = const(np.int32(size_to))
            x = fed("float32", shape)
            yield case("RESIZE_BILINEAR", [x, size], [out("float32")], version=3, tolerance=ROUNDINGS, **how)
            for dtype, scale in (("int8", q(0.1, 3)), ("uint8", q(0.1, 130)), ("int16", q(0.01))):
                x = fed(dtype, shape, scale)
                yield case("RESIZE_BILINEAR", [x, size], [out(dtype, scale)], version=3, **how)
            for dtype in NEAREST:
                x = fed(dtype, shape)
                yield case("RESIZE_NEAREST_NEIGHBOR", [x, size], [out(dtype)], version=3, **how)
    how = {"align_corners": True, "half_pixel_centers": True}
    x = fed("float32", (1, 3, 4, 2))
    yield case("RESIZE_NEAREST_NEIGHBOR", [x, const(np.int32([10, 13]))], [out("float32")], version=3, **how)
    for op in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        yield case(op, [x, fed(np.int32([5, 6]))], [out("float32")], tolerance=ROUNDINGS, note="size_fed")
        for note, bad in (("zero", [0, 2]), ("negative", [2, -1]), ("three", [2, 2, 2])):
            yield case(op, [x, const(np.int32(bad))], [out("float32")], raises="ShapeError", note=note)
        yield case(op, [x, fed(np.int32([5, 0]))], [out("float32")], raises="ShapeError", note="size_fed_bad")
        flat = fed("float32", (3, 4, 2))
        yield case(op, [flat, const(np.int32([2, 2]))], [out("float32")], raises="ShapeError", note="rank")
