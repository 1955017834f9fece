# SPDX-License-Identifier: Apache-2.0
"""Two operands: broadcasting, fused activations, every scheme of quantisation, divisors and exponents that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import ELEMENTWISE, Case, around, case, const, every, fed, out, q, specials
from ..tolerance import EXACT, HALF, LIBM, ROUNDINGS, Tolerance

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
BROADCASTS = (((2, 1, 5), (3, 1)), ((), (2, 2)), ((0, 3), (1, 3)), ((1, 2, 1, 4, 1, 2), (3, 1, 2, 1, 2, 1)))
PLAIN = {
    "ADD": ("float32", "int32", "int64", "float16", "int16"),
    "SUB": ("float32", "int32", "int64"),
    "MUL": ("float32", "int32", "int64", "float16", "int16", "uint32", "complex64"),
}
# (scales of a, b, out), zero points for int8; a sum whose multiplier is large, one that is small, and one whose ties
# are decided by the last of the bits that sums are carried with
SCALES = (
    ((0.05, 0.031, 0.083), (-5, 7, 3)),
    ((0.011, 0.09, 0.02), (100, -128, -20)),
    ((0.3, 0.3, 0.004), (0, 0, 127)),
    ((7 / 16, 5 / 16, 1 / 4), (0, 1, -2)),
)


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case("ADD", [fed([1.5, -2.0], dtype="float32"), fed([1.0, 1.0], dtype="float32")], [out("float32")], expected=[[2.5, -1]])
    yield case("SUB", [fed([7, 2], dtype="int32"), fed([5], dtype="int32")], [out("int32")], expected=[[2, -3]])
    yield case("MUL", [fed([2, -3], dtype="int32"), fed([5, 5], dtype="int32")], [out("int32")], expected=[[10, -15]])
    yield case(
        "ADD",
        [fed([10, -20], dtype="int8", quant=q(0.1)), fed([5, 5], dtype="int8", quant=q(0.2))],
        [out("int8", q(0.5))],
        expected=[[4, -2]],
        note="by-hand",
    )
    for op, dtypes in PLAIN.items():
        for dtype in dtypes:
            yield from _plain(op, dtype)
        yield from _levels(op)
    yield from _power_of_two()
    for dtype in ("int8", "uint8"):
        yield case("MUL", [fed("int16", (7, 9), q(0.1)), fed("int16", (7, 9), q(0.1))], [out(dtype, q(0.1, 3))], note="q15")
    yield case("ADD", [fed("float32", (2, 3)), fed("float32", (2, 4))], [out("float32")], raises="ShapeError")
    yield from _pairs()
    yield from _divisions()
    yield from _quotients_of_levels()


def _plain(op: str, dtype: str) -> Iterator[Case]:
    tolerance: dict[str, Any] = {"tolerance": ROUNDINGS} if dtype == "complex64" else {}
    for n in around() if dtype == "float32" else (19,):
        both = [fed(dtype, (n,)), fed(dtype, (n,))]
        yield case(op, both, [out(dtype)], tags=ELEMENTWISE, note="tail", **tolerance)
    for a, b in BROADCASTS:
        yield case(op, [fed(dtype, a), const(dtype, b)], [out(dtype)], **tolerance)
    if dtype == "float32":
        odd = specials()
        odd = odd[~np.isinf(odd) & ~(np.abs(odd) > 1)]  # LiteRT has no infinities here: the largest float instead
        yield case(op, [fed(odd.reshape(-1, 1)), fed(odd)], [out(dtype)], note="specials")
        for activation in ACTIVATIONS[1:]:
            yield case(op, [fed(odd), fed(odd)], [out(dtype)], note="specials", fused_activation_function=activation)
    for activation in ACTIVATIONS[1:]:
        if dtype != "complex64" and (dtype, activation) != ("uint32", "RELU_N1_TO_1"):
            yield case(op, [fed(dtype, (3, 5)), fed(dtype, (5,))], [out(dtype)], fused_activation_function=activation)


def _levels(op: str) -> Iterator[Case]:
    for dtype, move in (("int8", 0), ("uint8", 128)):
        for i, (scales, zeros) in enumerate(SCALES):
            qa, qb, qo = (q(s, z + move) for s, z in zip(scales, zeros, strict=True))
            levels = every(dtype)
            for activation in ACTIVATIONS:
                yield case(
                    op,
                    [fed(levels.reshape(-1, 1), quant=qa), fed(levels[i::5], quant=qb)],
                    [out(dtype, qo)],
                    note=f"scales{i}",
                    fused_activation_function=activation,
                )
        yield case(op, [fed(dtype, (17,), q(0.1, 3)), fed(dtype, (17,), q(0.1, 3))], [out(dtype, q(0.2, 3))], tags=ELEMENTWISE)
    for i, (scales, _) in enumerate(SCALES):
        qa, qb, qo = (q(s / 99) for s in scales)
        option: dict[str, Any] = {} if op == "MUL" else {"pot_scale_int16": False}
        both = [fed("int16", (11, 23), qa), fed("int16", (23,), qb)]
        yield case(op, both, [out("int16", qo)], note=f"scales{i}", fused_activation_function=ACTIVATIONS[i], **option)


def _power_of_two() -> Iterator[Case]:
    for op in ("ADD", "SUB"):
        for a, b, c in ((-12, -12, -12), (-12, -10, -10), (-9, -12, -9)):
            both = [fed("int16", (211,), q(2.0**a)), fed("int16", (211,), q(2.0**b))]
            for exact in (True, False):
                yield case(op, both, [out("int16", q(2.0**c))], note=f"log{a}{b}{c}", pot_scale_int16=exact)


def _pairs() -> Iterator[Case]:
    """Operators without a fused activation."""
    rows: tuple[tuple[str, str, Tolerance], ...] = (
        ("MAXIMUM", "float32 float16 bfloat16 int8 uint8 int16 int32 int64", EXACT),
        ("MINIMUM", "float32 float16 bfloat16 int8 uint8 int16 int32 int64", EXACT),
        ("SQUARED_DIFFERENCE", "float32 int32", EXACT),
        ("BITWISE_XOR", "int8 uint8 int16 uint16 int32 uint32", EXACT),
        ("ATAN2", "float32 float64 float16", LIBM),
    )
    for op, dtypes, tolerance in rows:
        for dtype in dtypes.split():
            near = HALF if dtype == "float16" and op == "ATAN2" else tolerance
            yield case(op, [fed(dtype, (19,)), fed(dtype, (19,))], [out(dtype)], tags=ELEMENTWISE, tolerance=near)
            if op != "ATAN2":
                yield case(op, [fed(dtype, (3, 1, 7)), fed(dtype, (2, 7))], [out(dtype)])
    odd = specials()
    for op in ("MAXIMUM", "MINIMUM"):
        yield case(op, [fed(odd.reshape(-1, 1)), fed(odd)], [out("float32")], note="specials")
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32"):
        by = fed([0, 1, 3, 7, 40], dtype=dtype)
        yield case("RIGHT_SHIFT", [fed(dtype, (3, 5)), by], [out(dtype)])
    for dtype in ("float32", "int32"):
        yield case("ADD_N", [fed(dtype, (2, 9)), fed(dtype, (2, 9)), const(dtype, (2, 9))], [out(dtype)])
    yield case("ADD_N", [fed("float32", (2, 3)), fed("float32", (3,))], [out("float32")], raises="ShapeError")
    levels = every("int8")
    for i, (scales, zeros) in enumerate(SCALES):
        qa, qb, qo = (q(s, z) for s, z in zip(scales, zeros, strict=True))
        both = [fed(levels.reshape(-1, 1), quant=qa), fed(levels[::5], quant=qb)]
        yield case("SQUARED_DIFFERENCE", both, [out("int8", qo)], note=f"scales{i}")


def _divisions() -> Iterator[Case]:
    for dtype in ("float32", "int32"):
        by = fed([-3, -1, 1, 2, 7], dtype=dtype)
        for activation in ACTIVATIONS:
            yield case("DIV", [fed(dtype, (4, 5)), by], [out(dtype)], fused_activation_function=activation)
    for op, dtypes in (("FLOOR_DIV", "float32 int8 int16 int32"), ("FLOOR_MOD", "float32 int8 int16 int32 int64")):
        for dtype in dtypes.split():
            by = fed([-3, -1, 1, 2, 7], dtype=dtype)
            yield case(op, [fed(dtype, (4, 5)), by], [out(dtype)])
            if (op, dtype) != ("FLOOR_MOD", "float32"):
                yield case(op, [fed(dtype, (4,)), fed([1, 0, 2, 3], dtype=dtype)], [out(dtype)], raises="KernelError")
    odd = specials()
    yield case("FLOOR_MOD", [fed(odd.reshape(-1, 1)), fed(odd)], [out("float32")], note="specials")
    yield case("DIV", [fed("int32", (4,)), fed([1, 0, 2, 3], dtype="int32")], [out("int32")], raises="KernelError")
    yield case("POW", [fed("float32", (5, 7), low=0, high=5), fed("float32", (7,))], [out("float32")], tolerance=ROUNDINGS)
    yield case("POW", [fed("float32", (37,)), const([3.0], dtype="float32")], [out("float32")], tolerance=ROUNDINGS)
    yield case("POW", [fed("int32", (37,), low=-9, high=9), fed("int32", (37,), low=0, high=5)], [out("int32")])
    yield case("POW", [fed("int32", (2,)), fed([1, -1], dtype="int32")], [out("int32")], raises="KernelError")


def _quotients_of_levels() -> Iterator[Case]:
    """Output scales so fine that no shift is over 31: beyond that LiteRT's is undefined."""
    for dtype, zeros in (("int8", (3, -20, 5)), ("uint8", (100, 140, 7)), ("int16", (0, 0, 0))):
        for to in (0.01, 0.002):
            qa, qb, qo = (q(s, z) for s, z in zip((0.07, 0.05, to / 2), zeros, strict=True))
            x = fed(every(dtype).reshape(-1, 1), quant=qa) if dtype != "int16" else fed(dtype, (99, 1), qa)
            divisors = np.array([v for v in (1, 2, 3, 5, 90, 127, 17) if v != zeros[1]])
            by = fed(divisors, dtype=dtype, quant=qb)
            yield case("DIV", [x, by], [out(dtype, qo)], note=f"to{to}")
        zero = fed([zeros[1]], dtype=dtype, quant=q(0.05, zeros[1]))
        yield case("DIV", [fed(dtype, (3,), q(0.1)), zero], [out(dtype, q(0.1))], raises="KernelError")
