# SPDX-License-Identifier: Apache-2.0
"""Unary functions: odd floats, tails, every level, and the values that they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import ELEMENTWISE, Case, around, case, every, fed, out, q, specials
from ..tolerance import EXACT, HALF, LIBM, NEAR, Tolerance

# op -> tolerance of float32, who answers
FLOATS: dict[str, tuple[Tolerance, str]] = {
    "FLOOR": (EXACT, "ref"),
    "CEIL": (EXACT, "opt"),
    "ROUND": (EXACT, "opt"),
    "SQUARE": (EXACT, "ref"),
    "NEG": (EXACT, "ref"),
    "ABS": (EXACT, "ref"),
    "SIGN": (EXACT, "ref"),
    "SQRT": (EXACT, "ref"),
    "RSQRT": (LIBM, "ref"),
    "EXP": (LIBM, "ref"),
    "LOG": (LIBM, "ref"),
    "SIN": (NEAR(abs=1e-6), "ref"),  # near a zero of theirs the error is that of pi's last bit
    "COS": (NEAR(abs=1e-6), "ref"),
}
HALVES = {"FLOOR": ("float16", "bfloat16"), "ROUND": ("float16", "bfloat16"), "NEG": ("float16", "bfloat16"), "SIN": ("float16",), "COS": ("float16",)}


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = fed([-2.5, -0.5, 0.5, 1.5, 2.5], dtype="float32")
    yield case("ROUND", [x], [out("float32")], expected=[[-2, 0, 0, 2, 2]], oracle="opt")
    yield case("SIGN", [fed([-7, 0, 3], dtype="int32")], [out("int32")], expected=[[-1, 0, 1]])
    for op, (tolerance, oracle) in FLOATS.items():
        how: dict[str, Any] = {"low": 0.01, "high": 9} if op in ("LOG", "SQRT", "RSQRT") else {}
        for n in around():
            yield case(op, [fed("float32", (n,), **how)], [out("float32")], tags=ELEMENTWISE, note="tail", tolerance=tolerance, oracle=oracle)
        odd = specials()
        if op in ("SIN", "COS"):
            odd = odd[~(np.abs(odd) > 1e6)]
        yield case(op, [fed(odd)], [out("float32")], note="specials", tolerance=tolerance, oracle=oracle)
        for dtype in HALVES.get(op, ()):
            yield case(op, [fed(dtype, (77,))], [out(dtype)], tolerance=HALF if op in ("SIN", "COS") else EXACT, oracle=oracle)
    for op, dtypes in (("NEG", "int8 int16 int32 int64"), ("ABS", "int16 int32"), ("SIGN", "int32"), ("LOGICAL_NOT", "bool")):
        for dtype in dtypes.split():
            yield case(op, [fed(dtype, (19,))], [out(dtype)], tags=ELEMENTWISE)
    yield case("SIGN", [fed("float64", (19,))], [out("float64")])
    yield from _levels()


def _levels() -> Iterator[Case]:
    eight, sixteen = every("int8"), np.arange(-32768, 32768).astype(np.int16)
    for i, (scale, zero, to, at) in enumerate(((0.02, 3, 0.01, -100), (0.007, -128, 0.1, -7), (0.05, 0, 0.05, 0))):
        result, symmetric = out("int8", q(to, at)), out("int16", q(to / 100))
        for op in ("ABS", "EXP", "LOG"):
            yield case(op, [fed(eight, quant=q(scale, zero))], [result], tags=ELEMENTWISE, note=f"scales{i}")
            yield case(op, [fed(sixteen, quant=q(scale / 100))], [symmetric], note=f"scales{i}")
        for op in ("SQRT", "RSQRT"):
            yield case(op, [fed(eight[eight >= zero], quant=q(scale, zero))], [result], tags=ELEMENTWISE, note=f"scales{i}")
            yield case(op, [fed(sixteen[sixteen >= 0], quant=q(scale / 100))], [symmetric], note=f"scales{i}")
    for op in ("SQRT", "RSQRT"):
        yield case(op, [fed([3, 2], dtype="int8", quant=q(0.1, 3))], [out("int8", q(0.1))], raises="KernelError")
        yield case(op, [fed([3, -2], dtype="int16", quant=q(0.1))], [out("int16", q(0.1))], raises="KernelError")
