# SPDX-License-Identifier: Apache-2.0
"""ARG_MAX, ARG_MIN, TOPK_V2, WHERE, UNIQUE: ties, every axis, numbers known and late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, case, fed, out
from .movement import numbers, told


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed([[3, 9, 9], [7, 1, 1]], dtype="int32")
    yield case("ARG_MAX", [x, numbers([1], known=True)], [out("int32")], expected=[[1, 0]], output_type="int32", note="by-hand")
    yield case("TOPK_V2", [x, numbers([2], known=True)], [out("int32"), out("int32")], expected=[[[9, 9], [7, 1]], [[1, 2], [0, 1]]])
    yield case("WHERE", [fed([[0, 5], [6, 0]], dtype="int32")], [out("int64")], expected=[[[0, 1], [1, 0]]])
    for op in ("ARG_MAX", "ARG_MIN"):
        for dtype in ("float32", "int8", "uint8", "int32", "bool"):
            few: dict[str, Any] = {"low": 0, "high": 3} if dtype != "bool" else {}
            for known in (True, False):
                for index in ("int32", "int64"):
                    for axis in (0, -1):
                        given = [fed(dtype, (4, 5, 3), **few), numbers([axis], known=known, dtype=index)]
                        yield case(op, given, [out(index)], output_type=index, note=f"at{axis}-{told(known)}")
        for known in (True, False):
            for shape, axis in (((2, 3), 2), ((2, 0), 1)):
                given = [fed("float32", shape), numbers([axis], known=known)]
                yield case(op, given, [out("int32")], output_type="int32", raises="ShapeError", note=told(known))
    for dtype in ("float32", "int8", "uint8", "int16", "int32", "int64"):
        few = {"low": 0, "high": 3}
        for known in (True, False):
            for index in ("int32", "int16"):
                for k in (1, 3, 5):
                    given = [fed(dtype, (4, 5), **few), numbers([k], known=known, dtype=index)]
                    yield case("TOPK_V2", given, [out(dtype), out("int32")], note=f"k{k}-{index}-{told(known)}")
            late = [fed(dtype, (4, 5)), numbers([6], known=known)]
            yield case("TOPK_V2", late, [out(dtype), out("int32")], raises="ShapeError", note=told(known))
        for index in ("int32", "int64"):
            yield case("UNIQUE", [fed(dtype, (31,), **few)], [out(dtype), out(index)], idx_out_type=index, note=f"as-{index}")
    odd = fed(np.array([np.nan, 1, -np.inf, 3, np.nan, 3, np.inf], np.float32))
    yield case("TOPK_V2", [odd, numbers([7], known=True)], [out("float32"), out("int32")], note="odd")
    for dtype in ("float32", "int8", "uint8", "int32", "uint32", "int64", "bool"):
        sparse: dict[str, Any] = {"low": 0, "high": 1} if dtype not in ("bool", "float32") else {}
        yield case("WHERE", [fed(dtype, (3, 2, 4), **sparse)], [out("int64")])
