# SPDX-License-Identifier: Apache-2.0
"""SEGMENT_SUM, UNSORTED_SEGMENT_*, SPARSE_TO_DENSE, BUCKETIZE, EMBEDDING_LOOKUP_SPARSE: numbers known and late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Case, case, const, fed, out, q, specials
from .movement import numbers, told

UNSORTED = tuple(f"UNSORTED_SEGMENT_{name}" for name in ("SUM", "PROD", "MAX", "MIN"))


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed(np.array([[1, 2], [3, 4], [5, 6]], np.int32))
    given = [x, numbers([0, 0, 1], known=True)]
    yield case("SEGMENT_SUM", given, [out("int32")], expected=[[[4, 6], [5, 6]]], oracle="opt", note="by-hand")
    given = [x, numbers([2, 0, 2], known=True), numbers(3, known=True)]
    yield case("UNSORTED_SEGMENT_SUM", given, [out("int32")], expected=[[[3, 4], [0, 0], [6, 8]]], note="by-hand")
    for known in (True, False):
        for dtype in ("float32", "int32"):
            yield from _segments(dtype, known)
        for dtype in ("float32", "int8", "uint8", "int32", "int64"):
            yield from _dense(dtype, known)
    yield from _buckets()
    for combiner in ("SUM", "MEAN", "SQRTN"):
        yield from _embedding(combiner)
    yield from _bad()


def _segments(dtype: str, known: bool) -> Iterator[Case]:
    x = fed(dtype, (7, 2, 3))
    for i, parts in enumerate(([0, 0, 1, 2, 2, 2, 3], [0] * 7)):
        yield case("SEGMENT_SUM", [x, numbers(parts, known=known)], [out(dtype)], oracle="opt", note=f"{i}-{told(known)}")
    for op in UNSORTED:
        for parts in ([3, 0, 3, 1, -1, 3, 0], [0] * 7, [-1] * 7):
            given = [x, numbers(parts, known=known), numbers(5, known=known)]
            yield case(op, given, [out(dtype)], note=f"{parts[0]}-{told(known)}")
        matrix = np.arange(14).reshape(7, 2) % 4
        yield case(op, [x, numbers(matrix, known=known), numbers([4], known=known)], [out(dtype)], note=told(known))


def _dense(dtype: str, known: bool) -> Iterator[Case]:
    quant = q(0.1, 3) if dtype in ("int8", "uint8") else None
    rest = fed(dtype, (), quant)
    for index in ("int32", "int64"):
        for size in ([5], [2, 3], [2, 3, 4], [2, 1, 2, 3]):
            places = np.array([[(n * k + k) % s for k, s in enumerate(size, 1)] for n in range(3)], index)
            shape = numbers(size, known=known, dtype=index)
            for count, values in ((3, fed(dtype, (3,), quant)), (1, fed(dtype, (), quant))):
                given = [fed(places), shape, values, rest]
                note = f"{len(size)}of{count}-{told(known)}"
                yield case("SPARSE_TO_DENSE", given, [out(dtype, quant)], note=note)
        flat = fed(np.array([4, 0, 4], index))
        given = [flat, numbers([5], known=known, dtype=index), fed(dtype, (3,), quant), rest]
        yield case("SPARSE_TO_DENSE", given, [out(dtype, quant)], note=f"twice-{told(known)}")
        given = [fed(np.array(2, index)), numbers([5], known=known, dtype=index), fed(dtype, (1,), quant), rest]
        yield case("SPARSE_TO_DENSE", given, [out(dtype, quant)], note=f"one-{told(known)}")


def _buckets() -> Iterator[Case]:
    bounds = [-1.5, 0.0, 0.0, 2.0, 16777216.0]
    x = fed(np.array([-2, -1, 0, 1, 2, 3, 16777215, 16777216, 16777217, 2**31 - 1], np.int32))
    yield case("BUCKETIZE", [x], [out("int32")], boundaries=bounds)
    yield case("BUCKETIZE", [fed(np.array([-(2**63), 2**40, 0], np.int64))], [out("int32")], boundaries=bounds)
    for dtype in ("float32", "float64"):
        yield case("BUCKETIZE", [fed(dtype, (3, 5))], [out("int32")], boundaries=bounds)
        given = fed(np.append(specials("float32"), np.array([-1.5, 2.0], np.float32)).astype(dtype))
        yield case("BUCKETIZE", [given], [out("int32")], boundaries=bounds, note="odd")
        yield case("BUCKETIZE", [fed(dtype, (3,))], [out("int32")], boundaries=[], note="none")


def _embedding(combiner: str) -> Iterator[Case]:
    rows = fed(np.array([1, 3, 0, 2, 1], np.int32))
    table, weights = const("float32", (4, 3, 2)), fed("float32", (5,), low=0.5, high=2)
    for known in (True, False):
        for places, size in (
            ([[0, 0], [0, 1], [2, 0], [2, 1], [0, 2]], [3, 4]),
            ([[0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 2, 0], [1, 2, 1]], [2, 3, 2]),
        ):
            given = [rows, fed(np.array(places, np.int32)), numbers(size, known=known), weights, table]
            note = f"{len(size)}-{told(known)}"
            yield case("EMBEDDING_LOOKUP_SPARSE", given, [out("float32")], combiner=combiner, note=note)


def _bad() -> Iterator[Case]:
    x = fed("float32", (3, 2))
    for known in (True, False):
        for i, parts in enumerate(([1, 2, 3], [0, 2, 3], [0, 1, 0], [-1, 0, 1])):
            given = [x, numbers(parts, known=known)]
            yield case("SEGMENT_SUM", given, [out("float32")], raises="KernelError", note=f"{i}-{told(known)}")
        for op in UNSORTED:
            given = [x, numbers([0, 1, 2], known=known), numbers(2, known=known)]
            yield case(op, given, [out("float32")], raises="KernelError", note=f"beyond-{told(known)}")
            given = [x, numbers([0, 1, 2], known=known), numbers(-1, known=known)]
            yield case(op, given, [out("float32")], raises="ShapeError", note=f"negative-{told(known)}")
        for place in (-1, 4):
            given = [numbers([0, place], known=known), numbers([4], known=True), fed("float32", (2,)), fed("float32", ())]
            note = f"{place}-{told(known)}"
            yield case("SPARSE_TO_DENSE", given, [out("float32")], raises="KernelError", note=note)
            where = [numbers([[0, 0], [place, 0]], known=known), numbers([4, 2], known=True), fed("float32", (2,))]
            given = [numbers([0, 1], known=True), *where, const("float32", (2, 3))]
            yield case("EMBEDDING_LOOKUP_SPARSE", given, [out("float32")], raises="KernelError", note=note)
            where = [numbers([[0, 0], [0, 0]], known=known), numbers([4, 2], known=True), fed("float32", (2,))]
            given = [numbers([0, place], known=True), *where, const("float32", (2, 3))]
            yield case("EMBEDDING_LOOKUP_SPARSE", given, [out("float32")], raises="KernelError", note=f"row{note}")
    for op in UNSORTED:
        given = [x, numbers([0, 1], known=True), numbers(2, known=True)]
        yield case(op, given, [out("float32")], raises="ShapeError")
    given = [numbers([[0, 1]], known=True), numbers([4], known=True), fed("float32", (2,)), fed("float32", ())]
    yield case("SPARSE_TO_DENSE", given, [out("float32")], raises="ShapeError")
