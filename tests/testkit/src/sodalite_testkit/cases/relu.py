# SPDX-License-Identifier: Apache-2.0
"""RELU, RELU6, RELU_N1_TO_1: max(x, low), min(..., high); quantised ones also requantise."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import ELEMENTWISE, Case, around, case, every, fed, out, q, specials

OPS = ("RELU", "RELU6", "RELU_N1_TO_1")


def cases() -> Iterator[Case]:
    """Worked examples, sizes around the vector width, every level of the 8-bit types, odd floats."""
    yield case("RELU", [fed([-1.5, 0.0, 2.5], dtype="float32")], [out("float32")], expected=[[0, 0, 2.5]])
    yield case("RELU6", [fed([-1.0, 5.5, 7.0], dtype="float32")], [out("float32")], expected=[[0, 5.5, 6]])
    for op in OPS:
        for n in around():
            yield case(op, [fed("float32", (n,))], [out("float32")], tags=ELEMENTWISE, note="tail")
        yield case(op, [fed(specials())], [out("float32")], note="specials")
        yield case(op, [fed("float32", (2, 3, 5, 7))], [out("float32")], tags=ELEMENTWISE)
        for dtype, z in (("int8", -3), ("uint8", 131), ("int16", 0)):
            if (op, dtype) == ("RELU_N1_TO_1", "int16"):
                continue  # LiteRT has none
            x = fed("int16", (3, 211), q(0.04)) if dtype == "int16" else fed(every(dtype), quant=q(0.04, z))
            for scale in (0.04, 0.021, 0.3):
                yield case(op, [x], [out(dtype, q(scale, z))], tags=ELEMENTWISE, note=f"to{scale}")
