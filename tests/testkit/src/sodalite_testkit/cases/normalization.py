# SPDX-License-Identifier: Apache-2.0
"""L2_NORMALIZATION and LOCAL_RESPONSE_NORMALIZATION: depths around the width, rows of zeros, wide windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import ROWS, Case, case, fed, out, q
from ..tolerance import NEAR, ROUNDINGS

L2, LRN = "L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION"
SHAPES = ((1, 1), (2, 3), (3, 15), (2, 17), (1, 50), (2, 3, 4, 5), (7,), (1, 1000), (0, 4))
POWERS = NEAR(abs=1e-6, rel=2e-5)  # a running sum of squares, and pow of another library


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = np.float32([[3, -4]])
    yield case(L2, [fed(x)], [out("float32")], tolerance=ROUNDINGS, note="by_hand", expected=[[[0.6, -0.8]]])
    x8 = fed(np.int8([[3, 0]]), quant=q(0.1, 3))
    yield case(L2, [x8], [out("int8", q(1 / 128))], note="by_hand", expected=[[[0, -128]]])
    for shape in SHAPES:
        rows = ROWS if len(shape) > 1 else ()
        yield case(L2, [fed("float32", shape)], [out("float32")], tolerance=ROUNDINGS, tags=rows)
        for dtype, zero, made in (("int8", -7, q(1 / 128)), ("uint8", 121, q(1 / 128, 128))):
            yield case(L2, [fed(dtype, shape, q(0.05, zero))], [out(dtype, made)], version=2, tags=rows)
    tiny = np.float32([[0, 0, 0], [1e-9, 0, 0], [1e-3, -1e-3, 0]])
    yield case(L2, [fed(tiny)], [out("float32")], tolerance=ROUNDINGS, note="tiny")
    # one element other than the zero point, of every size; and pairs
    steps = np.zeros((256, 3), np.int64)
    steps[:, 1] = np.arange(256) - 128
    for place, extra in enumerate((0, 1, -100)):
        steps[:, 2] = extra
        levels = fed(np.clip(steps, -128, 127).astype(np.int8), quant=q(0.05))
        yield case(L2, [levels], [out("int8", q(1 / 128))], version=2, note=f"steps{place}")
        levels = fed(np.clip(steps + 128, 0, 255).astype(np.uint8), quant=q(0.05, 128))
        yield case(L2, [levels], [out("uint8", q(1 / 128, 128))], version=2, note=f"steps{place}")
    for depth in (4, 2000, 9000):
        levels = fed(np.full((2, depth), 127, np.int8), quant=q(0.05, -128))
        yield case(L2, [levels], [out("int8", q(1 / 128))], version=2, note="long")
    yield case(L2, [fed(np.float32(1.0))], [out("float32")], raises="ShapeError", note="scalar")
    yield from _local()


def _local() -> Iterator[Case]:
    """LiteRT's reference kernel leaves out the window's upper end; its optimised kernel decides."""
    x = fed(np.float32([1, 2, 3]).reshape(1, 1, 1, 3))
    wanted = np.float32([1 / 6, 2 / 15, 3 / 14]).reshape(1, 1, 1, 3)
    how = {"bias": 1.0, "alpha": 1.0, "beta": 1.0, "oracle": "opt", "tolerance": POWERS}
    yield case(LRN, [x], [out("float32")], radius=1, note="by_hand", expected=[wanted], **how)
    for shape in ((1, 1, 1, 1), (2, 3, 4, 5), (1, 2, 2, 17), (1, 20, 20, 64)):
        for radius in (0, 1, 5):
            for beta in (1.0, 0.5, 0.75):
                how = {"bias": 2.0, "alpha": 1e-2, "beta": beta, "oracle": "opt", "tolerance": POWERS}
                yield case(LRN, [fed("float32", shape)], [out("float32")], radius=radius, **how)
    yield case(LRN, [fed("float32", (2, 3))], [out("float32")], radius=1, raises="ShapeError", note="rank")
