# SPDX-License-Identifier: Apache-2.0
"""SPACE_TO_DEPTH, DEPTH_TO_SPACE, SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND: borders, sizes that do not divide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Case, case, fed, out, q
from .movement import MOVED, numbers, told


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed(np.arange(4).reshape(1, 2, 2, 1), dtype="int32")
    yield case("SPACE_TO_DEPTH", [x], [out("int32")], expected=[[[[[0, 1, 2, 3]]]]], block_size=2, note="by-hand")
    for dtype in ("float32", "int8", "uint8", "int32", "int64"):
        yield case("SPACE_TO_DEPTH", [fed(dtype, (2, 4, 6, 3))], [out(dtype)], block_size=2)
        yield case("DEPTH_TO_SPACE", [fed(dtype, (2, 4, 6, 12))], [out(dtype)], block_size=2)
    for dtype in MOVED:
        quant = q(0.1, 0 if dtype == "int16" else 5) if dtype in ("int8", "uint8", "int16") else None
        for known in (True, False):
            for pixels, batches, block, border in (
                ((2, 4, 6, 3), (12, 2, 3, 3), [2, 3], [[1, 1], [0, 3]]),
                ((2, 5, 3), (6, 5, 3), [3], [[1, 0]]),
            ):
                given = [numbers(block, known=known), numbers(border, known=known)]
                yield case("SPACE_TO_BATCH_ND", [fed(dtype, pixels, quant), *given], [out(dtype, quant)], note=told(known))
                yield case("BATCH_TO_SPACE_ND", [fed(dtype, batches, quant), *given], [out(dtype, quant)], note=told(known))
    yield from _bad()


def _bad() -> Iterator[Case]:
    for size in (0, 3, -1):
        yield case("SPACE_TO_DEPTH", [fed("float32", (1, 4, 4, 1))], [out("float32")], block_size=size, raises="ShapeError")
        yield case("DEPTH_TO_SPACE", [fed("float32", (1, 4, 4, 4))], [out("float32")], block_size=size, raises="ShapeError")
    for known in (True, False):
        for block, border in (([0, 1], [[0, 0], [0, 0]]), ([3, 1], [[0, 0], [0, 0]]), ([2, 2], [[-1, 1], [0, 0]])):
            for op in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"):
                given = [fed("float32", (4, 4, 4, 1)), numbers(block, known=known), numbers(border, known=known)]
                yield case(op, given, [out("float32")], raises="ShapeError", note=f"{block[0]}-{border[0][0]}-{told(known)}")
        crops = [fed("float32", (4, 1, 1, 1)), numbers([2, 2], known=known), numbers([[2, 1], [0, 0]], known=known)]
        yield case("BATCH_TO_SPACE_ND", crops, [out("float32")], raises="ShapeError", note=f"crops-{told(known)}")
