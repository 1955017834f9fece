"""Kernels that treat each row of the last dimension by itself."""

from __future__ import annotations

from collections.abc import Callable

from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Prepared

from .nodes import Arrays, fixed, shape_of

CHUNK = 32768  # elements at a time

Rows = Callable[[Array, Array], None]


def row_shape(x: TensorSpec) -> Shape:
    """The shape of *x*; ShapeError if it has no last dimension."""
    shape = shape_of(x)
    if not shape:
        raise ShapeError("input is a scalar, wanted at least one dimension")
    return shape


def by_rows(node: NodeSpec, shape: Shape, rows: Rows) -> Prepared:
    """``rows(x, out)`` on (rows, depth) arrays, a few rows of the last dimension at a time."""
    depth = shape[-1]

    def work(ins: Arrays, outs: Arrays) -> None:
        if not outs[0].size:
            return
        x, out = ins[0].reshape(-1, depth), outs[0].reshape(-1, depth)
        step = max(CHUNK // depth, 1)
        for start in range(0, len(x), step):
            rows(x[start : start + step], out[start : start + step])

    return fixed(node, shape, work)
