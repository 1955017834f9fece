# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC, TANH, HARD_SWISH, LEAKY_RELU, PRELU, ELU, GELU, RELU_0_TO_1: every level, odd floats, tails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import ELEMENTWISE, Case, around, case, const, every, fed, out, q, specials
from ..tolerance import HALF, LEVELS, LIBM, NEAR, Tolerance

# 1 / (1 + exp(-x)) and x · Φ(x) in LiteRT stop at the size of float32's step near 1.
NEAR_ONE = NEAR(abs=1e-6, rel=2e-6)
SCALES = ((0.1, 3), (0.031, -77), (0.007, 0))


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case("LOGISTIC", [fed([0.0], dtype="float32")], [out("float32")], expected=[[0.5]])
    yield case("HARD_SWISH", [fed([-4.0, 0.0, 1.0, 6.0], dtype="float32")], [out("float32")], expected=[[0, 0, 4 / 6, 6]], tolerance=LIBM)
    yield case("LEAKY_RELU", [fed([-4.0, 2.0], dtype="float32")], [out("float32")], expected=[[-1, 2]], alpha=0.25)
    yield from _floats("LOGISTIC", NEAR_ONE)
    yield from _floats("TANH", LIBM)
    yield from _floats("HARD_SWISH", LIBM)
    yield from _floats("ELU", LIBM, oracle="opt")
    yield from _floats("RELU_0_TO_1", Tolerance())
    for approximate in (False, True):
        yield from _floats("GELU", NEAR_ONE, odd=False, approximate=approximate)
        yield case("GELU", [fed("float16", (77,))], [out("float16")], tolerance=HALF, approximate=approximate)
    for alpha in (0.1, 1.7, -0.3):
        yield from _floats("LEAKY_RELU", Tolerance(), alpha=alpha)
    for op in ("LOGISTIC", "TANH"):
        for dtype in ("float16", "bfloat16"):
            yield case(op, [fed(dtype, (77,))], [out(dtype)], tolerance=HALF, tags=ELEMENTWISE)
    yield from _levels()
    yield from _int16()
    yield from _prelu()


def _floats(op: str, tolerance: Tolerance, *, odd: bool = True, oracle: str = "ref", **options: Any) -> Iterator[Case]:
    for n in around():
        yield case(op, [fed("float32", (n,), low=-12, high=12)], [out("float32")], tags=ELEMENTWISE, note="tail", tolerance=tolerance, oracle=oracle, **options)
    if odd:
        yield case(op, [fed(specials())], [out("float32")], note="specials", tolerance=tolerance, oracle=oracle, **options)


def _levels() -> Iterator[Case]:
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    for dtype, move in (("int8", 0), ("uint8", 128)):
        for i, (scale, zero) in enumerate(SCALES):
            x = fed(every(dtype), quant=q(scale, zero + move))
            for op, (s, z) in fixed.items():
                yield case(op, [x], [out(dtype, q(s, z + move))], tags=ELEMENTWISE, note=f"scale{i}")
            wide, fine = q(0.09, 5 + move), q(0.02, -60 + move)
            for result, what in ((wide, "wide"), (fine, "fine")):
                note = f"scale{i}-{what}"
                yield case("HARD_SWISH", [x], [out(dtype, result)], tags=ELEMENTWISE, note=note)
                yield case("RELU_0_TO_1", [x], [out(dtype, result)], tags=ELEMENTWISE, note=note)
                for alpha in (0.1, 1.7, -0.3):
                    yield case("LEAKY_RELU", [x], [out(dtype, result)], tags=ELEMENTWISE, note=note, alpha=alpha)
                for approximate in (False, True):
                    yield case("GELU", [x], [out(dtype, result)], tags=ELEMENTWISE, note=note, approximate=approximate)
                if dtype == "int8":
                    yield case("ELU", [x], [out(dtype, result)], tags=ELEMENTWISE, note=note, oracle="opt")


def _int16() -> Iterator[Case]:
    levels = np.arange(-32768, 32768).astype(np.int16)
    for op in ("LOGISTIC", "TANH"):
        for scale in (2.0**-12, 2.0**-11, 2.0**-13, 0.0003, 0.0017, 0.02):
            yield case(op, [fed(levels, quant=q(scale))], [out("int16", q(1 / 32768))], note=f"from{scale}")
    for alpha in (0.1, 1.7, -0.3):
        yield case("LEAKY_RELU", [fed(levels, quant=q(0.0003))], [out("int16", q(0.0005))], alpha=alpha)
    for scale in (0.0001, 0.0003):
        x = fed(levels, quant=q(scale))
        yield case("GELU", [x], [out("int16", q(0.0002))], approximate=True, note=f"from{scale}")
        # one entry of the table may lie on the other side of a half: another library's erfc
        yield case("GELU", [x], [out("int16", q(0.0002))], approximate=False, note=f"from{scale}", tolerance=LEVELS(1))


def _prelu() -> Iterator[Case]:
    yield case("PRELU", [fed([-2.0, 4.0], dtype="float32"), const([0.5, 0.5], dtype="float32")], [out("float32")], expected=[[-1, 4]])
    for alpha in ((4,), (3, 1), (2, 3, 4), (1, 1, 4)):
        yield case("PRELU", [fed("float32", (2, 3, 4)), const("float32", alpha)], [out("float32")])
    for dtype, move in (("int8", 0), ("uint8", 128)):
        x = fed(every(dtype).reshape(64, 4), quant=q(0.05, move - 7))
        for alpha in ((4,), (64, 4)):
            yield case("PRELU", [x, const(dtype, alpha, q(0.01, move + 3))], [out(dtype, q(0.03, move + 11))])
    yield case("PRELU", [fed("int16", (50, 4), q(0.001)), const("int8", (4,), q(0.01, 2))], [out("int16", q(0.0007))])
