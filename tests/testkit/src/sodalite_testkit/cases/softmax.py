# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX and LOG_SOFTMAX: depths around the width, flat and steep rows, every level, scales from tiny to large."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import ROWS, Case, case, fed, out, q
from ..tolerance import HALF, NEAR

SHARES = NEAR(abs=1e-7, rel=2e-6)  # exp and a sum in another order
LOGS = NEAR(abs=1e-6, rel=2e-6)
SHAPES = ((1, 1), (2, 3), (3, 15), (1, 16), (2, 17), (1, 50), (2, 3, 4, 5), (7,), (2, 1001), (0, 4))
SCALES = (1e-4, 0.01, 0.1, 0.7, 3.0)


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = np.log(np.float32([[1, 2, 5]]))
    yield case(
        "SOFTMAX",
        [fed(x)],
        [out("float32")],
        beta=1.0,
        tolerance=SHARES,
        note="by_hand",
        expected=[[[0.125, 0.25, 0.625]]],
    )
    yield case(
        "LOG_SOFTMAX",
        [fed(x)],
        [out("float32")],
        tolerance=LOGS,
        note="by_hand",
        expected=[np.log(np.float32([[0.125, 0.25, 0.625]]))],
    )
    # two equal levels have a half each: 0.5 is level 128 above zero point -128
    yield case(
        "SOFTMAX",
        [fed(np.int8([[9, 9]]), quant=q(0.1))],
        [out("int8", q(1 / 256, -128))],
        beta=1.0,
        note="by_hand",
        expected=[[[0, 0]]],
    )
    for shape in SHAPES:
        rows = ROWS if len(shape) > 1 else ()
        yield case(
            "SOFTMAX", [fed("float32", shape)], [out("float32")], beta=1.0, tolerance=SHARES, tags=rows
        )
        yield case("LOG_SOFTMAX", [fed("float32", shape)], [out("float32")], tolerance=LOGS, tags=rows)
        for dtype in ("int8", "uint8"):
            x = fed(dtype, shape, q(0.07, 3))
            made = out(dtype, q(1 / 256, -128 if dtype == "int8" else 0))
            yield case("SOFTMAX", [x], [made], beta=1.0, tags=rows)
            made = out(dtype, q(16 / 256, 127 if dtype == "int8" else 255))
            yield case("LOG_SOFTMAX", [x], [made], tags=rows)
        x = fed("int16", shape, q(0.0005))
        yield case("SOFTMAX", [x], [out("int16", q(1 / 32768))], beta=1.0, tags=rows)
    yield case("SOFTMAX", [fed("float32", (3, 9))], [out("float32")], beta=2.5, tolerance=SHARES)
    yield case(
        "SOFTMAX",
        [fed("float16", (3, 9))],
        [out("float16")],
        beta=1.0,
        version=4,
        tolerance=HALF,
        oracle="opt",
    )
    large = np.float32([[1e4, -1e4, 9999.0], [-3e38, 3e38, 0.0], [0.0, 0.0, 0.0]])
    yield case("SOFTMAX", [fed(large)], [out("float32")], beta=1.0, tolerance=SHARES, note="large")
    yield case("LOG_SOFTMAX", [fed(large[::2])], [out("float32")], tolerance=LOGS, note="large")
    yield from _levels()
    yield case(
        "SOFTMAX", [fed(np.float32(1.0))], [out("float32")], beta=1.0, raises="ShapeError", note="scalar"
    )
    yield case("LOG_SOFTMAX", [fed(np.float32(1.0))], [out("float32")], raises="ShapeError", note="scalar")


def _levels() -> Iterator[Case]:
    """Every difference there can be, in rows of two; and long rows of one level."""
    pairs = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1)
    for scale in SCALES:
        for dtype in ("int8", "uint8"):
            move, zero = (0, -128) if dtype == "int8" else (128, 0)
            x = fed((pairs + move).astype(dtype), quant=q(scale, 5))
            yield case("SOFTMAX", [x], [out(dtype, q(1 / 256, zero))], beta=1.0, note=f"pairs{scale}")
            x = fed((pairs + move).astype(dtype), quant=q(scale, 5))
            top = q(16 / 256, 127 if dtype == "int8" else 255)
            if scale > 1e-3:
                yield case("LOG_SOFTMAX", [x], [out(dtype, top)], note=f"pairs{scale}")
            flat = fed(np.full((2, 3000), 7, dtype), quant=q(scale, 5))
            few = fed(np.full((2, 400), 7, dtype), quant=q(scale, 5))  # LiteRT aborts where a sum reaches 512
            yield case("SOFTMAX", [few], [out(dtype, q(1 / 256, zero))], beta=0.5, note=f"flat{scale}")
            if scale > 1e-3:
                yield case("LOG_SOFTMAX", [flat], [out(dtype, top)], note=f"flat{scale}")
            yield case(
                "SOFTMAX", [x], [out("int16", q(1 / 32768))], beta=1.0, version=3, note=f"to_int16_{scale}"
            )
        steep = np.stack([np.full(4096, 32767), np.arange(-32768, 32768, 16)], axis=1)
        x = fed(steep.astype(np.int16), quant=q(scale / 256))
        yield case("SOFTMAX", [x], [out("int16", q(1 / 32768))], beta=1.0, note=f"pairs{scale}")
    x = fed(np.full((2, 3000), 7, np.int16), quant=q(0.01))
    yield case("SOFTMAX", [x], [out("int16", q(1 / 32768))], beta=1.0, note="flat")
