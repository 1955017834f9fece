# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D: windows over the edge, rounding of means, activations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import ROWS, Case, case, fed, out, q, specials
from ..tolerance import EXACT, SUMS, ULPS

SIGN_OF_ZERO = ULPS(1)  # the larger of 0 and -0 is either

# input, window, stride, padding
SHAPES = (
    ((1, 1, 1, 1), (1, 1), (1, 1), "SAME"),
    ((1, 4, 4, 3), (2, 2), (2, 2), "VALID"),
    ((2, 5, 7, 3), (3, 2), (2, 1), "SAME"),
    ((1, 7, 7, 17), (7, 7), (1, 1), "VALID"),
    ((1, 6, 5, 2), (3, 3), (1, 1), "SAME"),
    ((1, 6, 5, 2), (5, 4), (3, 3), "SAME"),
    ((3, 3, 4, 2), (1, 1), (2, 3), "VALID"),
    ((1, 3, 3, 2), (8, 9), (1, 1), "SAME"),
    ((1, 40, 37, 33), (3, 3), (2, 2), "SAME"),
    ((1, 64, 1, 5), (64, 1), (1, 1), "VALID"),
)
OPS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")
INTEGERS = (("int8", -7), ("uint8", 121), ("int16", 0))
ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    for op, value in (("AVERAGE_POOL_2D", 1.5), ("MAX_POOL_2D", 3.0), ("L2_POOL_2D", np.sqrt(14 / 4))):
        wanted = np.float32(value).reshape(1, 1, 1, 1)
        tolerance = EXACT if op == "MAX_POOL_2D" else SUMS
        yield _pool(
            op, fed(x), out("float32"), (2, 2), note="by_hand", expected=[wanted], tolerance=tolerance
        )
    # means of -0.5, 0.5, 2.5 and -1.5: halves go away from zero
    x = np.int8([[0, -1], [0, 1], [2, 3], [-1, -2]]).reshape(1, 4, 2, 1)
    wanted = np.int8([-1, 1, 3, -2]).reshape(1, 4, 1, 1)
    yield _pool(
        "AVERAGE_POOL_2D",
        fed(x, quant=q(1.0)),
        out("int8", q(1.0)),
        (1, 2),
        note="by_hand",
        expected=[wanted],
    )
    for op in OPS:
        for shape, size, stride, padding in SHAPES:
            how: dict[str, Any] = {"stride": stride, "padding": padding, "tags": ROWS}
            tolerance = EXACT if op == "MAX_POOL_2D" else SUMS
            yield _pool(op, fed("float32", shape), out("float32"), size, tolerance=tolerance, **how)
            for dtype, zero in INTEGERS if op != "L2_POOL_2D" else ():
                yield _pool(op, fed(dtype, shape, q(0.05, zero)), out(dtype, q(0.05, zero)), size, **how)
        for activation in ACTIVATIONS:
            how = {"stride": (2, 2), "padding": "SAME", "fused_activation_function": activation}
            x = fed("float32", (1, 5, 5, 3))
            yield _pool(
                op, x, out("float32"), (3, 3), tolerance=EXACT if op == "MAX_POOL_2D" else SUMS, **how
            )
            for dtype, zero in INTEGERS if op != "L2_POOL_2D" else ():
                x = fed(dtype, (1, 5, 5, 3), q(0.05, zero))
                yield _pool(op, x, out(dtype, q(0.05, zero)), (3, 3), **how)
        yield from _bad(op)
    # LiteRT's reference kernels clamp infinity to the largest float even where nothing is to be clamped.
    odd = specials()
    x = fed(np.tile(odd[~np.isinf(odd)], (3, 2)).reshape(1, 3, -1, 1))
    yield _pool("MAX_POOL_2D", x, out("float32"), (2, 2), note="specials", tolerance=SIGN_OF_ZERO)
    for op in OPS[:2]:
        for dtype in ("int8", "uint8", "int16"):
            yield _pool(op, fed(dtype, (1, 5, 5, 3)), out(dtype), (2, 3), note="levels_without_scale")


def _pool(op: str, x: Any, result: Any, size: tuple[int, int], **how: Any) -> Case:
    stride = how.pop("stride", (1, 1))
    options = {
        "padding": "VALID",
        "filter_height": size[0],
        "filter_width": size[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        **how,
    }
    return case(op, [x], [result], **options)


def _bad(op: str) -> Iterator[Case]:
    x = fed("float32", (1, 5, 5, 3))
    for shape, made in (
        ((0, 5, 5, 3), (0, 2, 2, 3)),
        ((1, 3, 5, 3), (1, 0, 2, 3)),
        ((1, 5, 3, 3), (1, 2, 0, 3)),
    ):
        how: dict[str, Any] = {
            "note": "empty",
            "oracle": "expected",
            "expected": [np.zeros(made, np.float32)],
        }
        yield _pool(op, fed("float32", shape), out("float32"), (4, 4), **how)
    yield _pool(op, fed("float32", (5, 5, 3)), out("float32"), (2, 2), raises="ShapeError", note="rank")
    yield _pool(op, x, out("float32"), (2, 2), stride=(0, 1), raises="ShapeError", note="stride")
    yield _pool(op, x, out("float32"), (0, 2), raises="ShapeError", note="window")
    yield _pool(op, x, out("float32"), (2, 2), raises="ShapeError", note="no_stride", stride=(1, -1))
    yield _pool(op, fed("float32", (1, 5, 5, 0)), out("float32"), (2, 2), raises="ShapeError", note="empty")
