# SPDX-License-Identifier: Apache-2.0
"""MATRIX_DIAG, MATRIX_SET_DIAG, REAL, IMAG, COMPLEX_ABS, RFFT2D."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sodalite.graph import Array

from ..case import Case, case, fed, out, specials
from ..tolerance import Tolerance
from .movement import numbers, told

HYPOT = Tolerance(ulps=2)
TRANSFORM = Tolerance(peak=2e-7)
FILLED = ("float32", "int8", "uint8", "int16", "int32", "int64")
PARTS = {"complex64": "float32", "complex128": "float64"}


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case("MATRIX_DIAG", [fed(np.array([1, 2], np.int32))], [out("int32")], expected=[[[1, 0], [0, 2]]], note="by-hand")
    x = fed(np.array([3 + 4j], np.complex64))
    yield case("COMPLEX_ABS", [x], [out("float32")], expected=[[5]], note="by-hand")
    for dtype in FILLED:
        for rows in ((1,), (4,), (2, 3, 4), (0,)):
            yield case("MATRIX_DIAG", [fed(dtype, rows)], [out(dtype)])
        for shape, diagonal in (((3, 3), (3,)), ((2, 5, 3), (2, 3)), ((2, 3, 5), (2, 3)), ((2, 0, 5), (2, 0))):
            yield case("MATRIX_SET_DIAG", [fed(dtype, shape), fed(dtype, diagonal)], [out(dtype)])
    wrong = [fed("float32", (2, 3, 5)), fed("float32", (2, 5))]
    yield case("MATRIX_SET_DIAG", wrong, [out("float32")], raises="ShapeError")
    for dtype in PARTS:
        yield from _parts(dtype)
    for known in (True, False):
        yield from _transforms(known)


def _parts(dtype: str) -> Iterator[Case]:
    part = PARTS[dtype]
    odd = specials(part)
    both = np.empty((odd.size, odd.size), dtype)
    both.real, both.imag = np.meshgrid(odd, odd)
    for op in ("REAL", "IMAG", "COMPLEX_ABS"):
        close = HYPOT if op == "COMPLEX_ABS" else Tolerance()
        for note, x in (("spread", fed(_spread(dtype, (3, 5)))), ("odd", fed(both)), ("none", fed(np.zeros((0, 2), dtype)))):
            yield case(op, [x], [out(part)], tolerance=close, note=note)


def _spread(dtype: str, shape: tuple[int, ...]) -> Array:
    at = np.arange(np.prod(shape)).reshape(shape)
    spread: Array = (np.sin(at * 1.7) * 10.0 ** (at % 7 - 3) + 1j * np.cos(at * 2.3)).astype(dtype)
    return spread


def _transforms(known: bool) -> Iterator[Case]:
    for shape in ((8, 8), (2, 5, 3), (1, 2, 16, 9)):
        for size in ([8, 8], [4, 16], [2, 2], [16, 4]):
            given = [fed("float32", shape), numbers(size, known=known)]
            note = f"to{size[0]}x{size[1]}-{told(known)}"
            yield case("RFFT2D", given, [out("complex64")], tolerance=TRANSFORM, note=note)
    for size in ([0, 4], [4, -1]):
        given = [fed("float32", (4, 4)), numbers(size, known=known)]
        yield case("RFFT2D", given, [out("complex64")], raises="ShapeError", note=f"to{size[1]}-{told(known)}")
