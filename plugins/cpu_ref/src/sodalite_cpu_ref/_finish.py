"""What comes after a sum of products in float kernels: scales, bias and clamp, in pieces that stay in the cache."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from sodalite.graph import Array

from ._checks import option
from ._columns import Row, pieces
from .quant import float_activation_range

CHUNK = 32768

Finish = Callable[[Array], None]  # called with the bias of each column


def float_range(activation: str) -> tuple[float, float]:
    """float_activation_range, or Unsupported for an activation that is not a clamp."""
    return option(lambda: float_activation_range(activation))


def clamp(out: Array, low: float, high: float) -> None:
    """Clamp *out* in place; NaN stays."""
    if low > -math.inf or high < math.inf:
        np.clip(out, low, high, out=out)


def bind_float(out: Array, low: float, high: float) -> Finish:
    """finish(bias): out = clamp(out + bias). out: contiguous (m, o) float32."""
    rows, columns = out.shape
    row = Row(columns, np.float32)
    views = [(out[p].reshape(s), row.values[: s[1]]) for p, s in pieces(rows, columns, CHUNK)]

    def finish(bias: Array) -> None:
        row.set(bias)
        for piece, extra in views:
            np.add(piece, extra, out=piece)
            clamp(piece, low, high)

    return finish


def bind_scaled(
    acc: Array,
    out: Array,
    scales: Callable[[], Array],
    factor: Callable[[], np.float32] | None,
    low: float,
    high: float,
) -> Finish:
    """finish(bias): out = clamp(acc · scales() · factor() + bias), each product rounded to float32.

    acc: contiguous (m, o) integers in float32 or float64; scales: float32 (1,) or (o,); both are asked each run.
    """
    rows, columns = out.shape
    row, along = Row(columns, np.float32), Row(columns, np.float32)
    views = [
        (acc[p].reshape(s), out[p].reshape(s), along.values[: s[1]], row.values[: s[1]])
        for p, s in pieces(rows, columns, CHUNK)
    ]

    def finish(bias: Array) -> None:
        row.set(bias)
        along.set(scales())
        for sums, piece, scale, extra in views:
            np.copyto(piece, sums, casting="same_kind")
            np.multiply(piece, scale, out=piece)
            if factor is not None:
                np.multiply(piece, factor(), out=piece)
            np.add(piece, extra, out=piece)
            clamp(piece, low, high)

    return finish


def bind_by_row(acc: Array, out: Array, scales: Array, by_row: Array, low: float, high: float) -> Finish:
    """finish(bias): out = clamp(bias + acc · (scales · by_row)), each operation rounded to float32.

    acc: (m, o) integers in float32 or float64; scales: float32 (1,) or (o,); by_row: float32 (m,), read each run.
    """
    columns = out.shape[1]
    step = max(CHUNK // max(columns, 1), 1)
    views = [
        (acc[i : i + step], out[i : i + step], by_row[i : i + step, None]) for i in range(0, len(out), step)
    ]

    def finish(bias: Array) -> None:
        for sums, piece, along in views:
            np.multiply(along, scales, out=piece)
            np.multiply(piece, sums.astype(np.float32, copy=False), out=piece)
            np.add(piece, bias, out=piece)
            clamp(piece, low, high)

    return finish
