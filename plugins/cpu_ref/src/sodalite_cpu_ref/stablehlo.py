"""Operators of the StableHLO dialect, and DILATE and REDUCE_WINDOW: raw elements, in integers wrapping, whatever the quantisation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Prepare, Prepared, Reason, SubplanLike, Unsupported

from .nodes import (
    INDEX,
    STORED,
    Arrays,
    Work,
    alike,
    by_values,
    called,
    fixed,
    inputs,
    ints,
    only,
    output,
    scalar,
    shape_of,
    types,
    vector,
)
from .shapes import element_count

_WHOLE = "int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool"
_NUMBERS = types(f"float32 float16 float64 {_WHOLE}")


def _elementwise(function: Callable[..., Any], allowed: frozenset[str]) -> Prepare:
    """prepare for function(a, b, out) over two tensors of one shape."""

    def prepare(node: NodeSpec) -> Prepared:
        a, b = inputs(node, 2)
        only(allowed, a)
        alike(a, b, output(node))
        if shape_of(a) != shape_of(b):
            raise ShapeError(f"{called(b)} has shape {b.shape}, wanted {a.shape} as {called(a)}")
        return fixed(node, shape_of(a), lambda ins, outs: function(ins[0], ins[1], out=outs[0]))

    return prepare


def _greater(a: Array, b: Array, out: Array) -> None:
    np.copyto(out, a)
    np.copyto(out, b, where=a < b)


def _less(a: Array, b: Array, out: Array) -> None:
    np.copyto(out, a)
    np.copyto(out, b, where=b < a)


def _shifted_left(a: Array, b: Array, out: Array) -> None:
    bits = 8 * a.dtype.itemsize
    inside = (b >= 0) & (b < bits)
    np.left_shift(a, np.where(inside, b, 0), out=out)
    np.copyto(out, 0, where=~inside)


add = _elementwise(np.add, _NUMBERS)
multiply = _elementwise(np.multiply, _NUMBERS)
maximum = _elementwise(_greater, _NUMBERS)
minimum = _elementwise(_less, _NUMBERS)
and_ = _elementwise(np.bitwise_and, types(_WHOLE))
shift_left = _elementwise(_shifted_left, types("int8 int16 int32"))


def _numbers(node: NodeSpec, name: str, length: int | None = None, default: int | None = None, least: int | None = None) -> list[int]:
    """The integers of an option: *length* of them, each *default* if the option is empty, and at least *least*."""
    found = ints(node.options.get(name, ()))
    if not found and default is not None and length is not None:
        found = [default] * length
    if length is not None and len(found) != length:
        raise ShapeError(f"{name} has {len(found)} elements, wanted {length}")
    if least is not None and min(found, default=least) < least:
        raise ShapeError(f"{name} is {found}: each must be {least} or more")
    return found


def _axes(node: NodeSpec, name: str, rank: int) -> list[int]:
    """The dimensions that an option names: different ones, of *rank*."""
    found = _numbers(node, name)
    if len(set(found)) < len(found) or not set(found) <= set(range(rank)):
        raise ShapeError(f"{name} is {found}: not different dimensions of {rank}")
    return found


def _laid(x: Array, out: Array, low: Sequence[int], step: Sequence[int]) -> None:
    """The elements of *x* put into *out*, at low + step * i in each dimension, but those that fall outside."""
    source, target = [], []
    for size, room, first, by in zip(x.shape, out.shape, low, step, strict=True):
        begin = max(0, -(first // by))
        end = min(size, -((first - room) // by))
        if end <= begin:
            return
        source.append(slice(begin, end))
        target.append(slice(first + begin * by, first + (end - 1) * by + 1, by))
    out[tuple(target)] = x[tuple(source)]


def _stretched(shape: Shape, low: Sequence[int], high: Sequence[int], step: Sequence[int]) -> Shape:
    """The shape with elements *step* apart and borders; ShapeError if one is negative."""
    sizes = zip(shape, low, high, step, strict=True)
    result = tuple([before + max(0, (size - 1) * by + (size > 0)) + after for size, before, after, by in sizes])
    if min(result, default=0) < 0:
        raise ShapeError(f"padding {list(low)}, {list(high)} cuts more from {shape} than there is")
    return result


def pad(node: NodeSpec) -> Prepared:
    """The input with borders (negative ones cut) and gaps, in which the scalar in input 1 stands."""
    source, filler = inputs(node, 2)
    only(STORED, source)
    alike(source, filler, output(node))
    scalar(filler)
    shape = shape_of(source)
    low = _numbers(node, "edge_padding_low", len(shape))
    high = _numbers(node, "edge_padding_high", len(shape))
    step = [gap + 1 for gap in _numbers(node, "interior_padding", len(shape), least=0)]
    return fixed(node, _stretched(shape, low, high, step), _filled(low, step))


def _filled(low: Sequence[int], step: Sequence[int]) -> Work:
    def work(ins: Arrays, outs: Arrays) -> None:
        outs[0][...] = ins[-1].reshape(())
        _laid(ins[0], outs[0], low, step)

    return work


def dilate(node: NodeSpec) -> Prepared:
    """The input with its elements as far apart as input 1 says; the scalar in input 2 between them."""
    source, apart, filler = inputs(node, 3)
    only(STORED, source)
    only(types("int32"), apart)
    alike(source, filler, output(node))
    scalar(filler)
    shape = shape_of(source)
    vector(apart, len(shape))
    if not shape:
        raise Unsupported("an input without dimensions", code=Reason.RANK)

    def plan(value: Array) -> tuple[Shape, Work]:
        step = ints(value)
        if min(step) < 1:
            raise ShapeError(f"{called(apart)} is {step}: each must be 1 or more")
        nothing = [0] * len(shape)
        return _stretched(shape, nothing, nothing, step), _filled(nothing, step)

    return by_values(node, (1,), plan)


class _Vectors(NamedTuple):
    """A tensor of index vectors. batch: its shape without their dimension; axes: what their elements index."""

    batch: Shape
    axes: list[int]
    last: Callable[[Array], Array]  # the tensor with the vectors' dimension last


def _vectors(node: NodeSpec, spec: TensorSpec, name: str, rank: int) -> _Vectors:
    """Those in *spec*, that index *rank* dimensions as the option *name* says."""
    shape, at = shape_of(spec), int(node.options.get("index_vector_dim", 0))
    if not 0 <= at <= len(shape):
        raise ShapeError(f"index_vector_dim is {at}, but {called(spec)} has rank {len(shape)}")
    whole = shape if at < len(shape) else (*shape, 1)  # beyond the last: vectors of one
    axes = _axes(node, name, rank)
    if len(axes) != whole[at]:
        raise ShapeError(f"{name} has {len(axes)} elements, but the index vectors in {called(spec)} {whole[at]}")
    order = (*range(at), *range(at + 1, len(whole)), at)
    return _Vectors((*whole[:at], *whole[at + 1 :]), axes, lambda values: values.reshape(whole).transpose(order))


def gather(node: NodeSpec) -> Prepared:
    """Slices of input 0, of the sizes in the options, where the index vectors in input 1 say.

    A slice that would reach beyond the input is moved back into it.
    """
    source, starts = inputs(node, 2)
    only(STORED, source)
    only(INDEX, starts)
    alike(source, output(node))
    shape = shape_of(source)
    sizes = _numbers(node, "slice_sizes", len(shape), least=0)
    if any(size > dim for size, dim in zip(sizes, shape, strict=True)):
        raise ShapeError(f"slice_sizes {sizes} are more than {called(source)} of shape {shape} has")
    batch, axes, vectors = _vectors(node, starts, "start_index_map", len(shape))
    collapsed = _axes(node, "collapsed_slice_dims", len(shape))
    kept = [size for axis, size in enumerate(sizes) if axis not in collapsed]
    rank = len(batch) + len(kept)
    offsets = _axes(node, "offset_dims", rank)
    if len(offsets) != len(kept) or any(sizes[axis] != 1 for axis in collapsed):
        raise ShapeError(f"offset_dims {offsets}, collapsed_slice_dims {collapsed} and slice_sizes {sizes} do not fit")
    outer = [axis for axis in range(rank) if axis not in offsets]
    order = [*outer, *sorted(offsets)]  # of the output's dimensions: first the batch, then the slice
    found = (*batch, *kept)
    result = tuple([found[order.index(axis)] for axis in range(rank)])
    steps = np.array([element_count(shape[axis + 1 :]) for axis in range(len(shape))], np.int64)
    room = np.array([dim - size for dim, size in zip(shape, sizes, strict=True)], np.int64)
    inside = (np.indices(sizes, np.int64).reshape(len(sizes), -1).T @ steps) if sizes else np.zeros(1, np.int64)

    def work(ins: Arrays, outs: Arrays) -> None:
        wanted = vectors(ins[1]).astype(np.int64)
        first = np.zeros((*batch, len(shape)), np.int64)
        first[..., axes] = wanted
        np.clip(first, 0, room, out=first)
        places = (first @ steps).reshape(-1, 1) + inside
        picked = ins[0].reshape(-1)[places].reshape(found)
        np.copyto(outs[0].transpose(order), picked)

    return fixed(node, result, work)


def _body(node: NodeSpec, dtype: str) -> Callable[[Array, Array], Array]:
    """The subgraph that puts two scalars together, as a function of two arrays of one shape."""
    sub: SubplanLike = node.subplan(0)
    kinds = [spec.dtype for spec in (*sub.inputs, *sub.outputs)]
    if (len(sub.inputs), len(sub.outputs)) != (2, 1) or set(kinds) != {dtype}:
        raise Unsupported(f"its subgraph does not put two of {dtype} together", code=Reason.SHAPE)

    def together(a: Array, b: Array) -> Array:
        (made,) = sub(a, b)
        if made.shape != a.shape:
            raise ShapeError(f"its subgraph makes shape {made.shape} of two of {a.shape}")
        return made.copy()

    return together


def scatter(node: NodeSpec) -> Prepared:
    """Input 0 with windows of input 2 put into it, by the subgraph, where the index vectors in input 1 say.

    Elements that would fall outside are left out.
    """
    source, starts, updates = inputs(node, 3)
    only(_NUMBERS, source)
    only(INDEX, starts)
    alike(source, updates, output(node))
    shape, given = shape_of(source), shape_of(updates)
    windows = _axes(node, "update_window_dims", len(given))
    inserted = _axes(node, "inserted_window_dims", len(shape))
    batch, axes, vectors = _vectors(node, starts, "scatter_dims_to_operand_dims", len(shape))
    outer = [axis for axis in range(len(given)) if axis not in windows]
    if len(windows) + len(inserted) != len(shape) or [given[axis] for axis in outer] != list(batch):
        raise ShapeError(f"updates {given}, indices {shape_of(starts)} and {called(source)} of {shape} do not fit")
    window_of = dict(zip([axis for axis in range(len(shape)) if axis not in inserted], windows, strict=True))
    together = _body(node, source.dtype)

    def work(ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])
        wanted = vectors(ins[1]).astype(np.int64)
        flat, there = np.zeros(given, np.int64), np.ones(given, np.bool_)
        for axis, size in enumerate(shape):
            place = np.zeros(given, np.int64)
            if axis in axes:
                place += wanted[..., axes.index(axis)].reshape([1 if i in windows else n for i, n in enumerate(given)])
            if axis in window_of:
                along = window_of[axis]
                place += np.arange(given[along]).reshape([-1 if i == along else 1 for i in range(len(given))])
            there &= (place >= 0) & (place < size)
            flat = flat * size + place
        target, value = outs[0].reshape(-1), ins[2][there]
        for turn in _turns(flat[there]):
            where = flat[there][turn]
            target[where] = together(target[where], value[turn])

    return fixed(node, shape, work)


def _turns(places: Array) -> list[Array]:
    """Which of *places* to take together, so that none comes twice at once and equal ones stay in order."""
    order = places.argsort(kind="stable")
    begins = np.flatnonzero(np.diff(places[order], prepend=-1))
    before = np.arange(places.size) - begins.repeat(np.diff(begins, append=places.size))
    return [order[before == turn] for turn in range(int(before.max(initial=-1)) + 1)]


def reduce_window(node: NodeSpec) -> Prepared:
    """Windows of input 0, which is stretched and padded with the scalar in input 1, reduced from it by the subgraph."""
    source, start = inputs(node, 2)
    only(_NUMBERS, source)
    rank = len(shape_of(source))
    sizes = _numbers(node, "window_dimensions", rank, least=1)
    strides = _numbers(node, "window_strides", rank, 1, least=1)
    step = _numbers(node, "base_dilations", rank, 1, least=1)
    apart = _numbers(node, "window_dilations", rank, 1, least=1)
    border = _numbers(node, "padding", 2 * rank, 0)
    windows = _Windows(sizes, strides, apart, step, border)
    return _reduced(node, source, start, windows, _body(node, source.dtype))


_FUNCTIONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "ADD": np.add,
    "MUL": np.multiply,
    "MINIMUM": lambda a, b: np.where(b < a, b, a),
    "MAXIMUM": lambda a, b: np.where(a < b, b, a),
    "ALL": np.logical_and,
    "ANY": np.logical_or,
}


def reduce_window_by_function(node: NodeSpec) -> Prepared:
    """REDUCE_WINDOW, the older form: sizes, strides and distances are inputs 2, 3 and 4, which must be constant."""
    source, start, *given = inputs(node, 5)
    only(types("float32 float64 int8 uint8 int16 int32 int64 bool"), source)
    only(types("int64"), *given)
    shape = shape_of(source)
    found = []
    for spec in given:
        vector(spec, len(shape))
        if spec.data is None:
            raise Unsupported(f"{called(spec)} is not constant", code=Reason.DYNAMIC)
        if min(spec.data, default=1) < 1:
            raise ShapeError(f"{called(spec)} is {spec.data}: each must be 1 or more")
        found.append(ints(spec.data))
    name = str(node.options.get("reduce_function"))
    if name not in _FUNCTIONS:
        raise Unsupported(f"reduce_function {name}", code=Reason.OPTION)
    sizes, strides, apart = found
    windows = _Windows(sizes, strides, apart, [1] * len(shape), [0] * 2 * len(shape))
    return _reduced(node, source, start, windows, _FUNCTIONS[name])


class _Windows(NamedTuple):
    """For each dimension: a window's size, how far windows and their elements are apart, and how far the input's
    elements; border: elements before and after."""

    sizes: Sequence[int]
    strides: Sequence[int]
    apart: Sequence[int]
    step: Sequence[int]
    border: Sequence[int]


def _reduced(
    node: NodeSpec, source: TensorSpec, start: TensorSpec, windows: _Windows, together: Callable[[Array, Array], Array]
) -> Prepared:
    """Each window put *together*, element by element, from *start* on."""
    alike(source, start, output(node))
    scalar(start)
    sizes, strides, apart, step, border = windows
    whole = _stretched(shape_of(source), border[::2], border[1::2], step)
    reach = [(size - 1) * by + 1 for size, by in zip(sizes, apart, strict=True)]
    counts = [max(0, (dim - far) // by + 1) for dim, far, by in zip(whole, reach, strides, strict=True)]

    def work(ins: Arrays, outs: Arrays) -> None:
        kind = ins[0].dtype
        laid = np.full(whole, ins[1].reshape(()), kind)
        _laid(ins[0], laid, border[::2], step)
        result = np.full(counts, ins[1].reshape(()), kind)
        for place in itertools.product(*map(range, sizes)) if result.size else ():
            firsts = [p * by for p, by in zip(place, apart, strict=True)]
            part = [slice(f, f + (n - 1) * by + 1, by) for f, n, by in zip(firsts, counts, strides, strict=True)]
            result = together(result, laid[tuple(part)]).astype(kind, copy=False)
        np.copyto(outs[0], result)

    return fixed(node, tuple(counts), work)
