# SPDX-License-Identifier: Apache-2.0
"""GATHER, GATHER_ND, SCATTER_ND, EMBEDDING_LOOKUP, HASHTABLE_LOOKUP: every type, and indices that are out of range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Case, case, const, fed, out, q
from .movement import numbers, told, types

GATHERED = types("float32 float16 bfloat16 int8 uint8 int16 int32 int64 bool")


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed([10, 11, 12], dtype="int32")
    yield case("GATHER", [x, numbers([2, 0], known=True)], [out("int32")], expected=[[12, 10]], note="by-hand")
    given = [numbers([[1], [1]], known=True), fed([5, 7], dtype="int32"), numbers([3], known=True)]
    yield case("SCATTER_ND", given, [out("int32")], expected=[[0, 12, 0]], note="by-hand")
    for dtype in GATHERED:
        yield from _gather(dtype)
    yield case("GATHER", [fed("string", (5,)), numbers([3, 1], known=True)], [out("string")])
    yield case("GATHER_ND", [fed("string", (3, 4)), numbers([[1, 0], [2, 3]], known=True)], [out("string")])
    yield case("GATHER", [fed("int4", (6, 4)), numbers([5, 0], known=True)], [out("int4")])
    for dtype in ("float32", "int8", "uint8", "int32", "int64", "bool"):
        yield from _scatter(dtype)
    yield from _embedding()
    yield from _keyed()
    yield from _bad()


def _gather(dtype: str) -> Iterator[Case]:
    x = fed(dtype, (3, 4, 5))
    rows = np.arange(24).reshape(3, 4, 2) % 5
    for known in (True, False):
        for index in ("int16", "int32", "int64"):
            way = f"{index}-{told(known)}"
            yield case("GATHER", [x, numbers([[1, 0], [3, 2]], known=known, dtype=index)], [out(dtype)], axis=1, note=way)
            yield case("GATHER_ND", [x, numbers([[1, 0], [2, 3]], known=known, dtype=index)], [out(dtype)], note=way)
        yield case("GATHER", [x, numbers(2, known=known)], [out(dtype)], axis=-1, note=told(known))
        yield case("GATHER", [x, numbers(rows, known=known)], [out(dtype)], axis=2, batch_dims=2, note=told(known))
        yield case("GATHER", [x, numbers(rows[:, 0], known=known)], [out(dtype)], axis=2, batch_dims=1, note=told(known))
        yield case("GATHER_ND", [x, numbers([[[1, 0, 4]], [[2, 3, 0]]], known=known)], [out(dtype)], note=told(known))


def _scatter(dtype: str) -> Iterator[Case]:
    for known in (True, False):
        shape = numbers([5, 2], known=known)
        twice = [numbers([[1], [3], [1]], known=True), fed(dtype, (3, 2)), shape]
        yield case("SCATTER_ND", twice, [out(dtype)], note=f"twice-{told(known)}")
        single = [numbers([[1, 1], [3, 0]], known=False), fed(dtype, (2,)), shape]
        yield case("SCATTER_ND", single, [out(dtype)], note=f"single-{told(known)}")


def _embedding() -> Iterator[Case]:
    rows = numbers([1, 0, 2, 2], known=False)
    for dtype in ("float32", "int8", "uint8", "int32", "float16", "int64"):
        yield case("EMBEDDING_LOOKUP", [rows, const(dtype, (3, 4))], [out(dtype)])
    for dtype in ("int8", "int4"):
        yield case("EMBEDDING_LOOKUP", [rows, const(dtype, (3, 4), q(0.1))], [out("float32")], note="scale")
        yield case("EMBEDDING_LOOKUP", [rows, const(dtype, (3, 4), q([0.1, 0.2, 0.3]))], [out("float32")], note="scales")
    yield case("EMBEDDING_LOOKUP", [rows, const("int8", (3, 2, 3), q([0.1, 0.2, 0.3]))], [out("float16")], note="scales")


def _keyed() -> Iterator[Case]:
    keys, lookup = const(np.array([-7, 0, 3, 900], np.int32)), fed(np.array([3, 4, -7, 901, -8, 0], np.int32))
    for dtype in ("float32", "int8", "uint8", "int32", "int64", "bool", "string"):
        for shape in [(4,)] if dtype == "string" else [(4,), (4, 2, 3)]:
            yield case("HASHTABLE_LOOKUP", [lookup, keys, const(dtype, shape)], [out(dtype), out("uint8")], note=dtype)
    short = const(np.array([1, 2], np.int32))
    yield case("HASHTABLE_LOOKUP", [lookup, short, const("float32", (4,))], [out("float32"), out("uint8")], raises="ShapeError")
    none = const(np.array([], np.int32))
    yield case("HASHTABLE_LOOKUP", [lookup, none, const("float32", (0, 2))], [out("float32"), out("uint8")], raises="ShapeError")


def _bad() -> Iterator[Case]:
    for index in (-1, 5):
        for known in (True, False):
            note = f"index{index}-{told(known)}"
            at = numbers([1, index], known=known)
            yield case("GATHER", [fed("float32", (5, 2)), at], [out("float32")], raises="KernelError", note=note)
            at = numbers([[1, index]], known=known)
            yield case("GATHER_ND", [fed("float32", (5, 5)), at], [out("float32")], raises="KernelError", note=note)
            given = [numbers([[1], [index]], known=known), fed("float32", (2, 2)), numbers([5, 2], known=True)]
            yield case("SCATTER_ND", given, [out("float32")], raises="KernelError", note=note)
            given = [numbers([index], known=known), const("float32", (5, 2))]
            yield case("EMBEDDING_LOOKUP", given, [out("float32")], raises="KernelError", note=note)
    nothing = [fed("float32", (0, 2)), numbers([0], known=False)]
    yield case("GATHER", nothing, [out("float32")], raises="KernelError", note="from-nothing")
    given = [numbers([[1], [2]], known=True), fed("float32", (2, 3)), numbers([5, 2], known=True)]
    yield case("SCATTER_ND", given, [out("float32")], raises="ShapeError", note="slices")
    yield case("GATHER", [fed("float32", (2, 3)), numbers([[0], [1], [2]], known=True)], [out("float32")], axis=1, batch_dims=1, raises="ShapeError")
    yield case("GATHER_ND", [fed("float32", (2, 3)), numbers([[0, 0, 0]], known=True)], [out("float32")], raises="ShapeError")
