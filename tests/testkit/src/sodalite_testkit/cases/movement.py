# SPDX-License-Identifier: Apache-2.0
"""Operators that move elements: each in every type, with the numbers that say how as constants and as inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..case import Case, Tensor, case, const, every, fed, out, q


def types(names: str) -> tuple[str, ...]:
    """The dtypes named, separated by blanks."""
    return tuple(names.split())


MOVED = types("float32 float16 bfloat16 float64 int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool complex64")
WITH_STRINGS = (*MOVED, "string")
LOW_BIT = ("int4", "uint4")


def numbers(values: Any, *, known: bool, dtype: str = "int32") -> Tensor:
    """An operand of indices: in the model, or given when running."""
    return (const if known else fed)(np.asarray(values, np.int64), dtype=dtype)


def both(make: Callable[[bool], Case]) -> Iterator[Case]:
    """The case with its numbers as constants, and as inputs."""
    yield make(True)
    yield make(False)


def told(known: bool) -> str:
    return "known" if known else "late"


def cases() -> Iterator[Case]:
    """Worked examples are those with expected values."""
    for dtype in WITH_STRINGS:
        yield from _same_elements(dtype)
        yield from _split(dtype)
    for dtype in MOVED:
        yield from _arranged(dtype)
    for dtype in LOW_BIT:
        x = fed(dtype, (2, 3))
        yield case("RESHAPE", [x, numbers((3, -1), known=True)], [out(dtype)])
        yield case("TRANSPOSE", [x, numbers((1, 0), known=True)], [out(dtype)])
        if dtype == "int4":
            yield case("CONCATENATION", [fed(dtype, (2, 4)), fed(dtype, (3, 4))], [out(dtype)], axis=0)
        yield case("SQUEEZE", [fed(dtype, (2, 1, 3))], [out(dtype)])
        yield case("EXPAND_DIMS", [x, numbers((1,), known=True)], [out(dtype)])
    wide = "complex128"
    yield case("RESHAPE", [fed(wide, (2, 3)), numbers((3, -1), known=True)], [out(wide)])
    yield case("SQUEEZE", [fed(wide, (2, 1, 3))], [out(wide)])
    yield case("EXPAND_DIMS", [fed(wide, (2, 3)), numbers((1,), known=True)], [out(wide)])
    yield case("BROADCAST_TO", [fed(wide, (2, 1)), numbers((2, 3), known=True)], [out(wide)], version=3)
    for dtype in WITH_STRINGS:
        yield from _repeated(dtype)
    yield from _turned()
    yield from _by_hand()
    yield from _bad()
    yield from _quantised()


def _same_elements(dtype: str) -> Iterator[Case]:
    x = fed(dtype, (2, 3, 4))
    for known in (True, False):
        for shape in ((6, 4), (-1, 3), (24,), (2, 2, -1)):
            yield case("RESHAPE", [x, numbers(shape, known=known)], [out(dtype)], note="x".join(map(str, shape)) + told(known))
        for axis in (0, -1, 2):
            yield case("EXPAND_DIMS", [fed(dtype, (2, 3)), numbers([axis], known=known)], [out(dtype)], note=f"at{axis}{told(known)}")
    yield case("RESHAPE", [x], [out(dtype)], new_shape=[3, 8])
    yield case("RESHAPE", [fed(dtype, (1,))], [out(dtype)], new_shape=[0], note="scalar")
    for dims in ([], [0], [-1, 0]):
        yield case("SQUEEZE", [fed(dtype, (1, 3, 1))], [out(dtype)], squeeze_dims=dims)


def _split(dtype: str) -> Iterator[Case]:
    if dtype not in ("float32", "int8", "uint8", "int16", "int32", "int64"):
        return
    for known in (True, False):
        for axis in (0, -1):
            given = [numbers([axis], known=known), fed(dtype, (4, 3, 2))]
            yield case("SPLIT", given, [out(dtype), out(dtype)], num_splits=2, note=f"at{axis}{told(known)}")
        for sizes in ((1, 2, 1), (2, -1, 1)):
            given = [fed(dtype, (4, 3)), numbers(sizes, known=known), numbers([0], known=known)]
            yield case("SPLIT_V", given, [out(dtype)] * 3, num_splits=3, note="x".join(map(str, sizes)) + told(known))


def _arranged(dtype: str) -> Iterator[Case]:
    x = fed(dtype, (2, 3, 4))
    for known in (True, False):
        for order in ((0, 1, 2), (2, 0, 1), (-1, 0, 1), (1, 0, 2)):
            yield case("TRANSPOSE", [x, numbers(order, known=known)], [out(dtype)], note="x".join(map(str, order)) + told(known))
    if dtype not in ("float64", "uint16", "uint64", "complex64"):
        for axis in (0, 1, -1):
            yield case("CONCATENATION", [fed(dtype, (2, 3)), const(dtype, (2, 3)), fed(dtype, (2, 3))], [out(dtype)], axis=axis)
        yield case("CONCATENATION", [fed(dtype, (2, 3)), fed(dtype, (0, 3)), fed(dtype, (1, 3))], [out(dtype)], axis=0)
    if dtype in ("float32", "int8", "uint8", "int16", "int32", "uint32", "int64"):
        for axis in (0, 1, -1):
            yield case("PACK", [fed(dtype, (2, 3)), fed(dtype, (2, 3))], [out(dtype)], axis=axis, values_count=2)
    if dtype in ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "bool"):
        for axis in (0, -1):
            yield case("UNPACK", [fed(dtype, (2, 3, 2))], [out(dtype), out(dtype)], axis=axis, num=2)
        yield case("UNPACK", [fed(dtype, (2,))], [out(dtype), out(dtype)], axis=0, num=2)


def _repeated(dtype: str) -> Iterator[Case]:
    for known in (True, False):
        for index in ("int32", "int64"):
            yield case("TILE", [fed(dtype, (2, 3)), numbers((2, 3), known=known, dtype=index)], [out(dtype)], note=told(known))
            if dtype != "string":
                given = [fed(dtype, (2, 1)), numbers((4, 2, 3), known=known, dtype=index)]
                yield case("BROADCAST_TO", given, [out(dtype)], version=2, note=told(known))
        for times in ((-1, 1), (1, 1, 1)):
            given = [fed(dtype, (2, 3)), numbers(times, known=known)]
            yield case("TILE", given, [out(dtype)], raises="ShapeError", note=f"bad{len(times)}-{told(known)}")


def _turned() -> Iterator[Case]:
    for dtype in ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool"):
        for axes in ([0], [1], [-1, 1], [0, 1, 2]):
            given = [fed(dtype, (2, 3, 4)), const(np.array(axes, np.int32))]
            yield case("REVERSE_V2", given, [out(dtype)], note="".join(map(str, axes)))
    yield case("REVERSE_V2", [fed("int32", (2, 3)), numbers([1], known=False)], [out("int32")], note="late")
    for bad in ([2], [0, 0]):
        yield case("REVERSE_V2", [fed("int32", (2, 3)), numbers(bad, known=False)], [out("int32")], raises="ShapeError", note=str(len(bad)))
    for dtype in ("float32", "uint8", "int16", "int32", "int64"):
        given = [fed(dtype, (3, 4, 2)), numbers([2, 4, 0], known=False)]
        yield case("REVERSE_SEQUENCE", given, [out(dtype)], seq_dim=1, batch_dim=0)
        given = [fed(dtype, (3, 4, 2)), numbers([2, 1], known=True, dtype="int64")]
        yield case("REVERSE_SEQUENCE", given, [out(dtype)], seq_dim=0, batch_dim=2)
    for lengths in ([2, 5, 0], [2, -1, 0]):
        given = [fed("int32", (3, 4, 2)), numbers(lengths, known=False)]
        yield case("REVERSE_SEQUENCE", given, [out("int32")], seq_dim=1, batch_dim=0, raises="ShapeError", note=str(lengths[1]))
    for index in ("int32", "int64"):
        for known in (True, False):
            given = [numbers((2, 1, 3), known=known, dtype=index), numbers((5, 1), known=known, dtype=index)]
            yield case("BROADCAST_ARGS", given, [out(index)], note=told(known))
    clash = [numbers((2, 3), known=False), numbers((2,), known=False)]
    yield case("BROADCAST_ARGS", clash, [out("int32")], raises="ShapeError")
    for known in (True, False):
        given = [fed("int32", (2, 3)), numbers((2, 4), known=known)]
        yield case("BROADCAST_TO", given, [out("int32")], version=2, raises="ShapeError", note=told(known))


def _by_hand() -> Iterator[Case]:
    x = fed(np.arange(6).reshape(2, 3), dtype="int32")
    yield case("TRANSPOSE", [x, const([1, 0], dtype="int32")], [out("int32")], expected=[[[0, 3], [1, 4], [2, 5]]], note="by-hand")
    yield case("RESHAPE", [x, const([3, 2], dtype="int32")], [out("int32")], expected=[[[0, 1], [2, 3], [4, 5]]], note="by-hand")
    yield case("PACK", [x, x], [out("int32")], expected=[[[[0, 0], [1, 1], [2, 2]], [[3, 3], [4, 4], [5, 5]]]], axis=2, values_count=2, note="by-hand")
    yield case("CONCATENATION", [x, x], [out("int32")], expected=[[[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]], axis=1, note="by-hand")
    big = fed("float32", (1, 17, 33, 5))
    for order in ((0, 3, 1, 2), (0, 2, 1, 3), (3, 2, 1, 0)):
        yield case("TRANSPOSE", [big, const(order, dtype="int32")], [out("float32")], note="".join(map(str, order)))
    yield case("RESHAPE", [fed("float32", (0, 3)), const([-1, 5], dtype="int32")], [out("float32")], note="empty")
    yield case("RESHAPE", [fed("float32", (0, 3)), const([0, -1], dtype="int32")], [out("float32")], note="empty-after-0")


def _bad() -> Iterator[Case]:
    x = fed("float32", (2, 3))
    for known in (True, False):
        where = told(known)
        yield case("RESHAPE", [x, numbers([4, 2], known=known)], [out("float32")], raises="ShapeError", note=f"count-{where}")
        yield case("RESHAPE", [x, numbers([-1, -1], known=known)], [out("float32")], raises="ShapeError", note=f"two-{where}")
        yield case("RESHAPE", [x, numbers([-2, -3], known=known)], [out("float32")], raises="ShapeError", note=f"minus-{where}")
        yield case("TRANSPOSE", [x, numbers([0, 2], known=known)], [out("float32")], raises="ShapeError", note=f"range-{where}")
        yield case("TRANSPOSE", [x, numbers([0, 0], known=known)], [out("float32")], raises="ShapeError", note=f"twice-{where}")
        yield case("EXPAND_DIMS", [x, numbers([3], known=known)], [out("float32")], raises="ShapeError", note=f"range-{where}")
        yield case("SPLIT", [numbers([1], known=known), x], [out("float32")] * 2, raises="ShapeError", num_splits=2, note=f"uneven-{where}")
        for sizes in ((1, 2), (-1, -1), (3, -1), (-2, 4)):
            yield case(
                "SPLIT_V",
                [x, numbers(sizes, known=known), numbers([0], known=known)],
                [out("float32")] * 2,
                raises="ShapeError",
                num_splits=2,
                note=f"{sizes[0]}and{sizes[1]}-{where}",
            )
    yield case("SQUEEZE", [x], [out("float32")], squeeze_dims=[0], raises="ShapeError")
    yield case("CONCATENATION", [x, fed("float32", (2, 4))], [out("float32")], axis=0, raises="ShapeError")
    yield case("CONCATENATION", [x, x], [out("float32")], axis=2, raises="ShapeError")
    yield case("PACK", [x, fed("float32", (3, 2))], [out("float32")], axis=0, values_count=2, raises="ShapeError")
    yield case("UNPACK", [x], [out("float32")] * 2, axis=1, num=2, raises="ShapeError")


def _quantised() -> Iterator[Case]:
    levels = every("uint8").reshape(2, 128)
    for i, (a, b, o) in enumerate(
        (
            (q(0.1, 3), q(0.1, 3), q(0.1, 3)),
            (q(0.1, 3), q(0.05, 100), q(0.07, 50)),
            (q(0.3, 200), q(0.07, 50), q(0.07, 50)),
        )
    ):
        yield case("CONCATENATION", [fed(levels, quant=a), fed(levels, quant=b)], [out("uint8", o)], axis=1, note=f"scales{i}")
    for dtype in ("int8", "int16"):
        x = fed(dtype, (3, 5), q(0.1))
        yield case("CONCATENATION", [x, x], [out(dtype, q(0.1))], axis=0, note="quantised")
        yield case("PACK", [x, x], [out(dtype, q(0.1))], axis=0, values_count=2, note="quantised")
        yield case("UNPACK", [x], [out(dtype, q(0.1))] * 3, axis=0, num=3, note="quantised")
