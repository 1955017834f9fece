# SPDX-License-Identifier: Apache-2.0
"""ADD, SUB, MUL: broadcasting, fused activations, every scheme of quantisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import ELEMENTWISE, Case, around, case, const, every, fed, out, q, specials
from ..tolerance import ROUNDINGS

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
BROADCASTS = (((2, 1, 5), (3, 1)), ((), (2, 2)), ((0, 3), (1, 3)), ((1, 2, 1, 4, 1, 2), (3, 1, 2, 1, 2, 1)))
PLAIN = {
    "ADD": ("float32", "int32", "int64", "float16", "int16"),
    "SUB": ("float32", "int32", "int64"),
    "MUL": ("float32", "int32", "int64", "float16", "int16", "uint32", "complex64"),
}
# (scales of a, b, out), zero points for int8; a sum whose multiplier is large, and one that is small
SCALES = (((0.05, 0.031, 0.083), (-5, 7, 3)), ((0.011, 0.09, 0.02), (100, -128, -20)), ((0.3, 0.3, 0.004), (0, 0, 127)))


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
