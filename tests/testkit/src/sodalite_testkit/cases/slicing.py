# SPDX-License-Identifier: Apache-2.0
"""SLICE, STRIDED_SLICE, DYNAMIC_UPDATE_SLICE: boxes, negative strides, every mask, numbers known and late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, case, fed, generator, out
from .movement import LOW_BIT, MOVED, WITH_STRINGS, numbers, told


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed(np.arange(6).reshape(2, 3), dtype="int32")
    yield case("SLICE", [x, numbers([0, 1], known=True), numbers([2, -1], known=True)], [out("int32", shape=(2, 2))], expected=[[[1, 2], [4, 5]]])
    yield _strided(x, (1, 2), (0, -9), (-1, -2), "by-hand", expected=[[[5, 3]]])
    for dtype in WITH_STRINGS:
        yield from _types(dtype)
    for dtype in LOW_BIT[:1]:
        yield case("SLICE", [fed(dtype, (2, 3)), numbers([0, 1], known=True), numbers([2, 2], known=True)], [out(dtype, shape=(2, 2))])
    for dtype in (*MOVED, "int4"):
        for known in (True, False):
            for begin in ((0, 0), (1, 1), (5, -3)):
                given = [fed(dtype, (3, 4)), fed(dtype, (2, 2)), numbers(begin, known=known)]
                yield case("DYNAMIC_UPDATE_SLICE", given, [out(dtype)], note=f"at{begin[0]}-{told(known)}")
    large = [fed("float32", (3, 4)), fed("float32", (4, 1)), numbers([0, 0], known=False)]
    yield case("DYNAMIC_UPDATE_SLICE", large, [out("float32")], raises="ShapeError")
    yield from _masks()
    yield from _offset()
    yield from _bad()


def _strided(x: Any, begin: Any, end: Any, strides: Any, note: str, *, known: bool = True, **how: Any) -> Case:
    given = [x, *(numbers(v, known=known) for v in (begin, end, strides))]
    return case("STRIDED_SLICE", given, [out(x.dtype)], note=f"{note}-{told(known)}", **how)


def _types(dtype: str) -> Iterator[Case]:
    x = fed(dtype, (2, 3, 4))
    for known in (True, False):
        for index in ("int32", "int64"):
            for begin, size, shape in (((0, 1, 0), (1, 2, 4), (1, 2, 4)), ((1, 1, 2), (-1, -1, -1), (1, 2, 2))):
                given = [x, numbers(begin, known=known, dtype=index), numbers(size, known=known, dtype=index)]
                yield case("SLICE", given, [out(dtype, shape=shape)], note=f"{size[0]}-{told(known)}")
        yield _strided(x, (0, 2, 3), (2, -4, 0), (1, -1, -2), "back", known=known)
        yield _strided(x, (0, 1), (1, 2), (1, 1), "new-beats-shrink", known=known, new_axis_mask=1, shrink_axis_mask=3)


def _masks() -> Iterator[Case]:
    """Random masks, begins, ends and strides. An ellipsis that stands for nothing is left out: see docs."""
    rng = generator("strided slices")
    made = 0
    while made < 150:
        rank = int(rng.integers(1, 5))
        length = int(rng.integers(1, rank + 3))
        bits = {name: int(rng.integers(0, 1 << length)) * int(rng.integers(0, 2)) for name in ("begin", "end", "new_axis", "shrink_axis")}
        bits["ellipsis"] = 1 << int(rng.integers(0, length)) if rng.integers(0, 3) == 0 else 0
        bits["new_axis"] &= ~bits["ellipsis"]
        bits["shrink_axis"] &= ~(bits["ellipsis"] | bits["new_axis"])
        described = length - bits["new_axis"].bit_count() - bool(bits["ellipsis"])
        if described > rank or (bits["ellipsis"] and described >= rank):
            continue
        begin, end, strides = rng.integers(-6, 6, length), rng.integers(-6, 6, length), rng.choice([1, 1, 2, -1, -2, 3], length)
        for i in range(length):
            if bits["shrink_axis"] >> i & 1:
                begin[i], strides[i] = 0, 1
        x = fed("int32", tuple(int(n) for n in rng.integers(2, 6, rank)))
        known = made % 2 == 0
        candidate = _strided(x, begin, end, strides, f"masks{made}", known=known, **{f"{k}_mask": v for k, v in bits.items()})
        if known or _some_elements(x.shape, begin, end, strides, bits):
            yield candidate
        made += 1


def _some_elements(shape: Any, begin: Any, end: Any, strides: Any, bits: dict[str, int]) -> bool:
    """Whether the slice is surely not empty: LiteRT's Python interface cannot fetch an empty output of late shape."""
    if bits["ellipsis"] or bits["new_axis"] or len(begin) > len(shape):
        return False
    box = tuple(
        slice(None if bits["begin"] >> i & 1 else int(b), None if bits["end"] >> i & 1 else int(e), int(s))
        for i, (b, e, s) in enumerate(zip(begin, end, strides, strict=True))
        if not bits["shrink_axis"] >> i & 1
    )
    return not bits["shrink_axis"] and np.zeros(shape)[box].size > 0


def _offset() -> Iterator[Case]:
    x = fed("float32", (4, 5))
    for known in (True, False):
        given = [x, numbers([1, 2], known=known), numbers([2, 3], known=True), numbers([1, 2], known=True)]
        yield case("STRIDED_SLICE", given, [out("float32")], offset=True, oracle="opt", version=8, note=told(known))
    late = [x, numbers([3, 4], known=False), numbers([1, 2], known=True), numbers([1, 1], known=True)]
    yield case("STRIDED_SLICE", late, [out("float32")], offset=True, raises="ShapeError", note="leaves")


def _bad() -> Iterator[Case]:
    x = fed("float32", (2, 3))
    for known in (True, False):
        for begin, size in (((-1, 0), (1, 1)), ((0, 0), (2, 4)), ((0, 0), (-2, 1)), ((2, 0), (1, 1))):
            given = [x, numbers(begin, known=known), numbers(size, known=known)]
            yield case("SLICE", given, [out("float32")], raises="ShapeError", note=f"{begin[0]}{size[0]}{size[1]}-{told(known)}")
        yield _strided(x, (0, 0), (2, 3), (1, 0), "stride-0", known=known, raises="ShapeError")
        yield _strided(x, (0, 3), (2, 3), (1, 1), "dropped", known=known, raises="ShapeError", shrink_axis_mask=2)
        yield _strided(x, (0, 0, 0), (1, 1, 1), (1, 1, 1), "rank", known=known, raises="ShapeError")
