# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE, DEQUANTIZE, CAST, FAKE_QUANT, BITCAST: every pair of types, per tensor and per channel, values at halves and beyond the ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import ELEMENTWISE, Case, case, every, fed, out, q
from .movement import types

ZERO = {"int8": -3, "uint8": 100, "int16": 0, "int4": 1, "uint4": 7, "int32": 0}
PAIRS = {"int8": ("int8", "uint8", "int16"), "uint8": ("int8", "uint8", "int16"), "int16": ("int8", "int16", "int32"), "int32": ("int8", "int16")}


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case("QUANTIZE", [fed([0.0, 0.24, 0.25, -0.25, 99.0], dtype="float32")], [out("int8", q(0.5, 1))], expected=[[1, 1, 2, 0, 127]])
    yield case("DEQUANTIZE", [fed([-128, 1, 127], dtype="int8", quant=q(0.5, 1))], [out("float32")], expected=[[-64.5, 0, 63]])
    halves = np.concatenate([np.arange(-600, 600) * 0.025 + 0.0125, np.linspace(-4000, 4000, 333)]).astype(np.float32)
    for dtype in ("int8", "uint8", "int16", "int4", "uint4"):
        for scale in (0.025, 0.1, 0.0133):
            yield case("QUANTIZE", [fed(halves)], [out(dtype, q(scale, ZERO[dtype]))], tags=ELEMENTWISE, note=f"to{scale}")
    for dtype in ("int8", "uint8", "int16"):
        zeros = [0] * 4 if dtype == "int16" else [1, 2, 3, 4]
        yield case("QUANTIZE", [fed("float32", (3, 2, 4))], [out(dtype, q([0.1, 0.2, 0.3, 0.04], zeros, 2), (3, 2, 4))], note="channels")
    for source, targets in PAIRS.items():
        for target in targets:
            yield from _requantised(source, target)
    for dtype in ("int8", "uint8", "int16", "int4", "uint4"):
        x = fed(every(dtype), quant=q(0.0137, ZERO[dtype])) if dtype != "int16" else fed(dtype, (700,), q(0.0137))
        yield case("DEQUANTIZE", [x], [out("float32")], tags=ELEMENTWISE)
        if dtype != "int16":
            x = fed(dtype, (2, 3, 4), q([0.1, 0.2, 0.3], [1, 2, 3], 1))
            yield case("DEQUANTIZE", [x], [out("float32")], note="channels")
    yield case("DEQUANTIZE", [fed("float16", (77,))], [out("float32")], tags=ELEMENTWISE)
    yield from _casts()
    for bits, low, high in ((8, -1, 1), (8, 0, 6), (4, -2.3, 1.1), (16, -1, 5), (8, -6, 0)):
        yield case("FAKE_QUANT", [fed(halves)], [out("float32")], tags=ELEMENTWISE, num_bits=bits, min=low, max=high)
    for source, target, shape in (
        ("float32", "int32", (3,)),
        ("int16", "int8", (3,)),
        ("int8", "int16", (3, 2)),
        ("float64", "uint8", (2,)),
        ("uint8", "float32", (5, 4)),
        ("bfloat16", "int16", (3,)),
        ("float16", "uint16", (3,)),
        ("uint32", "float32", (3,)),
        ("int64", "uint32", (3,)),
        ("uint64", "complex64", (3,)),
        ("complex64", "float32", (3,)),
        ("complex128", "int64", (3,)),
        ("uint16", "float16", (3,)),
        ("bool", "uint8", (3,)),
    ):
        yield case("BITCAST", [fed(source, shape)], [out(target)])
    yield case("BITCAST", [fed("uint8", (5, 3))], [out("float32")], raises="ShapeError")


def _casts() -> Iterator[Case]:
    """Every type to every other; floats beyond the ends of every integer type."""
    kinds = types("float32 float16 bfloat16 float64 int8 uint8 int16 uint16 int32 uint32 int64 bool complex64")
    odd = [0, -0.0, 1.5, -1.5, 2.9, 127.5, 128, -129, 255.9, 256, -1, 32767.9, 40000, -40000, 3e9, -3e9, 1e19, -1e19, np.inf, -np.inf, np.nan, 65504, 1e-8]
    for source in kinds:
        for target in kinds:
            if source in ("float32", "float16", "float64"):
                finite = [v for v in odd if target != "complex64" or not np.isnan(v)]
                with np.errstate(over="ignore"):
                    x = fed(np.array(finite).astype(source))
            else:
                x = fed(source, (41,))
            yield case("CAST", [x], [out(target)], tags=ELEMENTWISE)
    for dtype in ("int4", "uint4"):
        yield case("CAST", [fed(dtype, (9,))], [out("float32")])
        yield case("CAST", [fed(np.array(odd, np.float32))], [out(dtype)])


def _requantised(source: str, target: str) -> Iterator[Case]:
    for i, (a, b) in enumerate(((0.031, 0.083), (0.083, 0.031), (0.1, 0.1))):
        quant = q(a, ZERO[source])
        if source in ("int8", "uint8"):
            x = fed(every(source), quant=quant)
        else:
            x = fed(source, (700,), quant, low=-32768, high=32767)
        yield case("QUANTIZE", [x], [out(target, q(b, ZERO[target]))], tags=ELEMENTWISE, note=f"scales{i}")
    if {source, target} == {"int8", "uint8"}:
        zeros = (0, 128) if source == "int8" else (128, 0)
        yield case("QUANTIZE", [fed(every(source), quant=q(0.1, zeros[0]))], [out(target, q(0.1, zeros[1]))], note="flipped")
