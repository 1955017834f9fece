"""BATCH_MATMUL: out[..., m, n] = sum x[..., m, k] · y[..., k, n]; leading dimensions broadcast, rank 2 ... 5.

adj_x, adj_y: the last two dimensions of x or y are stored swapped. float32; int8 with an int8 output, or int32 (the
sum of products of levels, whatever the zero points); int16 with int16 or int8 for y; float32 with int8 for y, where
the rows of x are quantised on the fly. Source: kernels/batch_matmul.cc and reference/batch_matmul.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import affine, constant, declined, per_tensor, shape_of, tensor, types
from ._engine import weights_once
from ._finish import bind_by_row
from ._hybrid import asymmetric, symmetric
from ._memory import Part, Scratch
from ._products import cuts, product
from ._requant import DOUBLE, WIDE, Requant
from .nodes import quiet
from .quant import RANGES
from .shapes import broadcast_shape, element_count

MOST = {"int8": 128, "int16": 32768}


class Layout(NamedTuple):
    """batch: common leading dimensions; m, k, n; x, y: shapes as stored; swap_x, swap_y: adj_x, adj_y."""

    batch: Shape
    m: int
    k: int
    n: int
    x: Shape
    y: Shape
    swap_x: bool
    swap_y: bool

    @property
    def out(self) -> Shape:
        return (*self.batch, self.m, self.n)

    def rows(self, x: Array) -> Array:
        """x as (batches of x, m, k), a view."""
        x = x.reshape(-1, *self.x[-2:])
        return x.swapaxes(1, 2) if self.swap_x else x

    def columns(self, y: Array) -> Array:
        """y as (batches of y, n, k), a view."""
        y = y.reshape(-1, *self.y[-2:])
        return y if self.swap_y else y.swapaxes(1, 2)

    def pairs(self) -> list[tuple[int, int]]:
        """For each batch of the output, which of x and of y."""
        each = (np.arange(element_count(s[:-2])).reshape(s[:-2]) for s in (self.x, self.y))
        first, second = (np.broadcast_to(places, self.batch).reshape(-1) for places in each)
        return [(int(i), int(j)) for i, j in zip(first, second, strict=True)]


def batch_matmul(node: NodeSpec) -> Prepared:
    """Prepare BATCH_MATMUL; see the module."""
    x, y, out = tensor(node, 0, "first matrix"), tensor(node, 1, "second matrix"), node.outputs[0]
    layout = _layout(node, shape_of(x), shape_of(y))
    kind = types(x, ("float32", "int8", "int16"), "first matrix")
    if kind == "float32":
        types(out, ("float32",), "output")
        types(y, ("float32", "int8"), "second matrix")
        return _float(layout) if y.dtype == "float32" else _hybrid(node, layout, y)
    types(y, ("int8",) if kind == "int8" else ("int16", "int8"), "second matrix")
    types(out, ("int8", "int32") if kind == "int8" else ("int16",), "output")
    return _integer(node, layout, x, y, out)


def _layout(node: NodeSpec, x: Shape, y: Shape) -> Layout:
    swap_x, swap_y = bool(node.options["adj_x"]), bool(node.options["adj_y"])
    for shape in (x, y):
        if not 2 <= len(shape) <= 5:
            raise ShapeError(f"a matrix has {len(shape)} dimensions {shape}, wanted 2 ... 5")
    m, k = x[-2:][::-1] if swap_x else x[-2:]
    deep, n = y[-2:][::-1] if swap_y else y[-2:]
    if k != deep:
        raise ShapeError(f"matrices {x} and {y} do not fit: {k} columns, {deep} rows")
    return Layout(broadcast_shape(x[:-2], y[:-2]), m, k, n, x, y, swap_x, swap_y)


def _given(buffers: Buffers) -> tuple[Array, Array, Array]:
    x, y, out = buffers.inputs[0], buffers.inputs[1], buffers.outputs[0]
    assert x is not None and y is not None and out is not None  # noqa: PT018, S101  core gives what prepare saw
    return x, y, out


def _float(layout: Layout) -> Prepared:
    def bind(buffers: Buffers) -> Step:
        x, y, out = _given(buffers)
        a = x.swapaxes(-1, -2) if layout.swap_x else x
        b = y.swapaxes(-1, -2) if layout.swap_y else y
        return quiet(lambda: _matmul(a, b, out))

    return Prepared((layout.out,), bind)


def _matmul(a: Array, b: Array, out: Array) -> None:
    np.matmul(a, b, out=out)


class Operand(NamedTuple):
    """One operand's matrices in the dtype of the products, zero point taken off, one at a time.

    whole: all of them, kept; or room: for one.
    """

    views: Array
    zero: int
    room: Array | None
    whole: Callable[[], Array] | None

    def matrix(self, place: int) -> Array:
        if self.whole is not None:
            kept: Array = self.whole()[place]
            return kept
        assert self.room is not None  # noqa: S101  one or the other
        np.copyto(self.room, self.views[place], casting="unsafe")
        if self.zero:
            np.subtract(self.room, self.zero, out=self.room)
        return self.room


def _centred(views: Array, zero: int, dtype: Any) -> Array:
    made: Array = views.astype(dtype, order="C")
    if zero:
        made -= zero
    return made


def _integer(node: NodeSpec, layout: Layout, x: TensorSpec, y: TensorSpec, out: TensorSpec) -> Prepared:
    raw = out.dtype == "int32"
    x_zero, y_zero = (
        (0, 0)
        if raw
        else (per_tensor(x, "first matrix").zero_point, per_tensor(y, "second matrix").zero_point)
    )
    requant = None if raw else _requant(x, y, out, layout.k, abs(x_zero), abs(y_zero))
    m, k, n = layout.m, layout.k, layout.n
    cut = cuts(k, MOST[x.dtype] + abs(x_zero), MOST[y.dtype] + abs(y_zero), None)
    scratch = Scratch()
    known = constant(y)
    x_room = scratch.take((m, k), cut.dtype)
    y_room = None if known else scratch.take((n, k), cut.dtype)
    sums, part = scratch.take((m, n), cut.sums), _part(scratch, (m, n), cut)
    work = scratch.take((0 if requant is None else requant.work(n),), np.float64)

    def bind(buffers: Buffers) -> Step:
        a, b, result = _given(buffers)
        space = buffers.scratch
        whole = (
            weights_once(node, True, lambda: _centred(layout.columns(b), y_zero, cut.dtype))
            if known
            else None
        )
        first = Operand(layout.rows(a), x_zero, x_room(space), None)
        second = Operand(layout.columns(b), y_zero, None if y_room is None else y_room(space), whole)
        acc, spare = sums(space), None if part is None else part(space)
        rows = result.reshape(-1, m, n)
        finishes = [_copied(acc, r) if requant is None else requant.bind(acc, r, work(space)) for r in rows]
        jobs = list(zip(layout.pairs(), finishes, strict=True))
        nothing = np.zeros(n)

        def step() -> None:
            seen = (-1, -1)
            left = right = acc
            for (i, j), finish in jobs:
                left = left if i == seen[0] else first.matrix(i)
                right = right if j == seen[1] else second.matrix(j)
                seen = (i, j)
                product(left, right, cut, acc, spare)
                finish(nothing)

        return step

    packed = element_count(layout.y) * cut.dtype.itemsize if known else 0
    return Prepared((layout.out,), bind, scratch.nbytes, packed=packed)


def _part(scratch: Scratch, shape: Shape, cut: Any) -> Part | None:
    return scratch.take(shape, cut.dtype) if cut.blocks > 1 else None


def _copied(acc: Array, out: Array) -> Callable[[Array], None]:
    return lambda _: np.copyto(out, acc, casting="unsafe")


def _requant(x: TensorSpec, y: TensorSpec, out: TensorSpec, k: int, x_zero: int, y_zero: int) -> Requant:
    xq, yq, quant = per_tensor(x, "first matrix"), per_tensor(y, "second matrix"), per_tensor(out, "output")
    if x.dtype == "int16" and (xq.zero_point or yq.zero_point or quant.zero_point):
        raise declined("int16 tensors with a zero point; only 0", Reason.QUANT)
    if not quant.scale > 0:
        raise declined(f"output has scale {quant.scale:g}; only positive ones", Reason.QUANT)
    real = float(xq.scales[0] * yq.scales[0]) / quant.scale  # the product in float32
    bound = float(k) * (MOST[x.dtype] + x_zero) * (MOST[y.dtype] + y_zero)
    rounding = WIDE if x.dtype == "int16" else DOUBLE
    return Requant(real, quant.zero_point, *RANGES[out.dtype], out.dtype, rounding=rounding, bound=bound)


def _hybrid(node: NodeSpec, layout: Layout, y: TensorSpec) -> Prepared:
    """Each row of x becomes 8-bit levels: asymmetric if the option says so."""
    m, k, n = layout.m, layout.k, layout.n
    scales = affine(y, "second matrix").scales
    if scales.size not in (1, n):
        raise declined(f"second matrix has {scales.size} scales; only 1 or {n}", Reason.QUANT)
    both_ends = bool(node.options["asymmetric_quantize_inputs"])
    cut = cuts(k, 255 if both_ends else 127, 128, None)
    scratch = Scratch()
    known = constant(y)
    room, levels, steps = scratch.take((m, k)), scratch.take((m, k), cut.dtype), scratch.take((m,))
    y_room = None if known else scratch.take((n, k), cut.dtype)
    sums, part = scratch.take((m, n), cut.sums), _part(scratch, (m, n), cut)
    quantised = asymmetric if both_ends else symmetric

    def bind(buffers: Buffers) -> Step:
        a, b, result = _given(buffers)
        space = buffers.scratch
        whole = weights_once(node, True, lambda: _centred(layout.columns(b), 0, cut.dtype)) if known else None
        second = Operand(layout.columns(b), 0, None if y_room is None else y_room(space), whole)
        x, q, s, acc = room(space), levels(space), steps(space), sums(space)
        spare = None if part is None else part(space)
        views = layout.rows(a)
        finishes = [bind_by_row(acc, r, scales, s, -np.inf, np.inf) for r in result.reshape(-1, m, n)]
        jobs = list(zip(layout.pairs(), finishes, strict=True))
        nothing = np.zeros(n, np.float32)

        def step() -> None:
            for (i, j), finish in jobs:
                if m and k:
                    np.copyto(x, views[i])
                    quantised(x, q, s)
                else:
                    s.fill(1)
                product(q, second.matrix(j), cut, acc, spare)
                finish(nothing)

        return quiet(step)

    packed = element_count(layout.y) * cut.dtype.itemsize if known else 0
    return Prepared((layout.out,), bind, scratch.nbytes, packed=packed)
