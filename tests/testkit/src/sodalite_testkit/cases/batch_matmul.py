# SPDX-License-Identifier: Apache-2.0
"""BATCH_MATMUL: ranks and broadcasting, swapped operands, levels with zero points, rows quantised on the fly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, Tensor, case, const, fed, out, q
from ..tolerance import SUMS
from .conv import HYBRID, output_scale

OP = "BATCH_MATMUL"
SHAPES = (
    ((1, 1), (1, 1)),
    ((2, 3), (3, 4)),
    ((3, 5, 17), (3, 17, 16)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((1, 4, 6), (3, 6, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 1, 2, 3, 4), (1, 3, 1, 4, 2)),
    ((1, 2, 1100), (1, 1100, 3)),
)


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x, y = np.float32([[1, 2]]), np.float32([[3, 4], [5, 6]])
    yield _product(fed(x), fed(y), out("float32"), note="by_hand", expected=[[[13, 16]]])
    # (3 - 1) · (5 - 2) = 6 quarters = 3 halves
    x8, y8 = fed(np.int8([[3]]), quant=q(0.5, 1)), fed(np.int8([[5]]), quant=q(0.5, 2))
    yield _product(x8, y8, out("int8", q(0.5)), note="by_hand", expected=[[[3]]])
    for a, b in SHAPES:
        for swap_x, swap_y in ((False, False), (True, False), (False, True), (True, True)):
            how: dict[str, Any] = {"adj_x": swap_x, "adj_y": swap_y}
            left = (*a[:-2], a[-1], a[-2]) if swap_x else a
            right = (*b[:-2], b[-1], b[-2]) if swap_y else b
            yield _product(fed("float32", left), fed("float32", right), out("float32"), **how)
            x8, y8 = fed("int8", left, q(0.0625, 5)), fed("int8", right, q(0.015625, -3))
            yield _product(x8, y8, out("int8", q(output_scale("int8", "int8", a[-1]), 7)), **how)
            if not (swap_x or swap_y):
                yield from _types(left, right)
    for note, left, right in (
        ("columns", (2, 3), (4, 2)),
        ("batches", (2, 2, 3), (3, 3, 2)),
        ("rank", (3,), (3, 2)),
        ("rank6", (1, 1, 1, 1, 2, 3), (3, 2)),
    ):
        yield _product(
            fed("float32", left), fed("float32", right), out("float32"), raises="ShapeError", note=note
        )


def _product(x: Tensor, y: Tensor, result: Tensor, **how: Any) -> Case:
    options = {"adj_x": False, "adj_y": False, **how}
    return case(OP, [x, y], [result], **{"version": 4, "tolerance": SUMS, **options})


def _types(a: tuple[int, ...], b: tuple[int, ...]) -> Iterator[Case]:
    """Every other combination of types."""
    x8, y8 = fed("int8", a, q(0.0625, 5)), fed("int8", b, q(0.015625, -3))
    yield _product(
        x8,
        const("int8", b, q(0.015625, -3)),
        out("int8", q(output_scale("int8", "int8", a[-1]), 7)),
        note="constant",
    )
    yield _product(x8, y8, out("int32"))
    x16, y16 = fed("int16", a, q(0.0002)), fed("int16", b, q(0.0003))
    scale = 0.0002 * 0.0003 * 32768 * np.sqrt(a[-1]) / 3
    yield _product(x16, y16, out("int16", q(float(scale))))
    yield _product(
        x16, fed("int8", b, q(0.01)), out("int16", q(float(0.0002 * 0.01 * 128 * np.sqrt(a[-1]) / 3)))
    )
    x = fed("float32", a)
    for both_ends in (False, True):
        how: dict[str, Any] = {"tolerance": HYBRID, "asymmetric_quantize_inputs": both_ends}
        yield _product(x, const("int8", b, q(0.01), low=-127), out("float32"), **how)
        yield _product(x, fed("int8", b, q(0.01), low=-127), out("float32"), note="fed", **how)
