# SPDX-License-Identifier: Apache-2.0
"""STABLEHLO_ADD and its like, STABLEHLO_PAD, STABLEHLO_GATHER, DILATE, REDUCE_WINDOW. (What runs subgraphs is tested as models.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, case, const, fed, out, q, specials
from .movement import numbers, told, types

WHOLE = types("int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool")
NUMBERS = ("float32", "float16", "float64", *WHOLE)
STORED = (*NUMBERS, "bfloat16", "complex64", "complex128")


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed(np.array([[1, 2], [3, 4]], np.int32))
    gaps: dict[str, Any] = {"edge_padding_low": [1, -1], "edge_padding_high": [0, 1], "interior_padding": [0, 1]}
    yield case("STABLEHLO_PAD", [x, _nine("int32")], [out("int32")], **gaps, expected=[[[9, 9, 9], [9, 2, 9], [9, 4, 9]]])
    given = [fed(np.array([1, 2, 3], np.int32)), numbers([2], known=True), _nine("int32")]
    yield case("DILATE", given, [out("int32")], expected=[[1, 9, 2, 9, 3]], note="by-hand")
    for op in ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM"):
        for dtype in NUMBERS:
            yield from _elementwise(f"STABLEHLO_{op}", dtype)
        odd = np.meshgrid(specials(), specials())
        yield case(f"STABLEHLO_{op}", [fed(x) for x in odd], [out("float32")], note="odd")
    for dtype in WHOLE:
        yield from _elementwise("STABLEHLO_AND", dtype, oracle="opt")
    for dtype in ("int8", "int16", "int32"):
        given = [fed(dtype, (3, 7)), fed(dtype, (3, 7), low=0, high=8 * np.dtype(dtype).itemsize - 1)]
        yield case("STABLEHLO_SHIFT_LEFT", given, [out(dtype)], oracle="opt")
    by = [fed(np.array([1, 1, 1, 1], np.int32)), fed(np.array([31, 32, -1, 0], np.int32))]
    yield case("STABLEHLO_SHIFT_LEFT", by, [out("int32")], oracle="expected", expected=[[-(2**31), 0, 0, 1]])
    for dtype in STORED:
        yield from _padded(dtype)
        yield from _dilated(dtype)
        if dtype != "complex128":  # too wide for LiteRT
            yield from _gathered(dtype)
    x, at = fed(np.arange(6, dtype=np.int32).reshape(2, 3)), numbers([2, 0], known=True)
    single: dict[str, Any] = {"offset_dims": [0], "collapsed_slice_dims": [1], "start_index_map": [1]}
    single |= {"index_vector_dim": 1, "slice_sizes": [2, 1]}  # vectors of one, at which LiteRT crashes
    yield case("STABLEHLO_GATHER", [x, at], [out("int32")], **single, oracle="expected", expected=[[[2, 0], [5, 3]]])
    yield from _windows()
    yield from _bad()


def _nine(dtype: str) -> Any:
    return fed(np.array(9, dtype))


def _elementwise(op: str, dtype: str, **how: Any) -> Iterator[Case]:
    for shape in ((3, 7), (), (0, 2)):
        yield case(op, [fed(dtype, shape), fed(dtype, shape)], [out(dtype)], **how)
    if dtype in ("int8", "uint8", "int16"):
        given = [fed(dtype, (5,), q(0.1, 0)), fed(dtype, (5,), q(0.2, 0))]
        yield case(op, given, [out(dtype, q(0.3, 0))], note="quant", **how)


def _padded(dtype: str) -> Iterator[Case]:
    for shape, low, high, inner in (
        ((5,), [1], [2], [0]),
        ((5,), [-2], [-1], [0]),
        ((5,), [-3], [2], [2]),
        ((2, 3, 4), [0, 1, -1], [2, 0, 1], [1, 0, 3]),
        ((2, 3), [-1, -2], [4, 3], [1, 2]),
        ((2, 3), [-4, 0], [8, 0], [0, 0]),
    ):
        how: dict[str, Any] = {"edge_padding_low": low, "edge_padding_high": high, "interior_padding": inner}
        yield case("STABLEHLO_PAD", [fed(dtype, shape), fed(dtype, ())], [out(dtype)], **how)


def _dilated(dtype: str) -> Iterator[Case]:
    for known in (True, False):
        for shape, apart in (((5,), [3]), ((2, 3, 4), [1, 2, 3]), ((2, 3), [2, 1]), ((2, 3), [1, 1])):
            given = [fed(dtype, shape), numbers(apart, known=known), fed(dtype, ())]
            yield case("DILATE", given, [out(dtype)], note=f"by{'x'.join(map(str, apart))}-{told(known)}")


def _gathered(dtype: str) -> Iterator[Case]:
    x = fed(dtype, (3, 4, 2))
    rows: dict[str, Any] = {"offset_dims": [2, 3], "collapsed_slice_dims": [0], "start_index_map": [1, 0]}
    for known in (True, False):
        for index in ("int32", "int64"):
            note = f"{index}-{told(known)}"
            at = numbers([[[0, 0], [1, 0], [2, 1]], [[0, 1], [1, 1], [0, 2]]], known=known, dtype=index)
            how = rows | {"index_vector_dim": 2, "slice_sizes": [1, 2, 2]}
            yield case("STABLEHLO_GATHER", [x, at], [out(dtype, shape=(2, 3, 2, 2))], note=note, **how)
            at = numbers([[9, -9, 1], [1, 2, 9]], known=known, dtype=index)
            how = rows | {"offset_dims": [0, 2], "index_vector_dim": 0, "slice_sizes": [1, 3, 1]}
            yield case("STABLEHLO_GATHER", [x, at], [out(dtype, shape=(3, 3, 1))], note=f"beyond-{note}", **how)


def _windows() -> Iterator[Case]:
    for dtype in ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"):
        functions = ("ALL", "ANY") if dtype == "bool" else ("ADD", "MUL", "MINIMUM", "MAXIMUM")
        for name in functions:
            for shape, sizes, strides, apart in (
                ((7,), [3], [1], [1]),
                ((5, 6), [2, 3], [2, 1], [1, 2]),
                ((2, 3, 4), [1, 2, 2], [1, 1, 3], [2, 1, 1]),
            ):
                how = [numbers(values, known=True, dtype="int64") for values in (sizes, strides, apart)]
                given = [fed(dtype, shape), fed(dtype, ()), *how]
                yield case("REDUCE_WINDOW", given, [out(dtype)], reduce_function=name, note=name)


def _bad() -> Iterator[Case]:
    x, filler, result = fed("float32", (2, 3)), const("float32", ()), [out("float32")]
    yield case("STABLEHLO_ADD", [x, fed("float32", (3,))], result, raises="ShapeError")
    cut: dict[str, Any] = {"edge_padding_low": [-3, 0], "edge_padding_high": [0, 0], "interior_padding": [0, 0]}
    yield case("STABLEHLO_PAD", [x, filler], result, **cut, raises="ShapeError", note="cut")
    yield case("STABLEHLO_PAD", [x, filler], result, **cut | {"interior_padding": [0, -1]}, raises="ShapeError")
    yield case("STABLEHLO_PAD", [x, filler], result, edge_padding_low=[1], raises="ShapeError")
    for known in (True, False):
        given = [x, numbers([2, 0], known=known), filler]
        yield case("DILATE", given, result, raises="ShapeError", note=told(known))
    at = numbers([[0, 0]], known=True)
    right: dict[str, Any] = {"offset_dims": [1, 2], "start_index_map": [0, 1], "index_vector_dim": 1, "slice_sizes": [1, 2]}
    wrong: tuple[dict[str, Any], ...] = (
        {"slice_sizes": [3, 1]},
        {"slice_sizes": [1]},
        {"offset_dims": [1, 3]},
        {"offset_dims": [1]},
        {"start_index_map": [0, 2]},
        {"start_index_map": [0]},
        {"index_vector_dim": 3},
        {"collapsed_slice_dims": [1]},
    )
    for i, how in enumerate(wrong):
        yield case("STABLEHLO_GATHER", [x, at], result, **right | how, raises="ShapeError", note=f"wrong{i}")
