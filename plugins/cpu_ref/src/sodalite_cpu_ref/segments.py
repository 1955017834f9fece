"""Operators that bring elements together, or apart, by number: segments, sparse values, buckets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import NodeSpec, Prepare, Prepared, Reason, Unsupported

from .gathering import flat_index, in_range
from .nodes import (
    INDEX,
    Arrays,
    Work,
    alike,
    by_values,
    called,
    first,
    fixed,
    inputs,
    ints,
    only,
    output,
    rank_is,
    scalar,
    shape_of,
    types,
    vector,
)
from .shapes import element_count

_SUMMED = types("float32 int32")


def segment_sum(node: NodeSpec) -> Prepared:
    """Sums of the rows of input 0 that have the same number in input 1, where numbers rise by one from 0."""
    source, numbers = inputs(node, 2)
    only(_SUMMED, source)
    only(types("int32"), numbers)
    alike(source, output(node))
    shape = shape_of(source)
    if not shape:
        raise Unsupported("an input without dimensions", code=Reason.RANK)
    vector(numbers, shape[0])

    def plan(value: Array) -> tuple[Shape, Work]:
        steps = np.diff(value.astype(np.int64), prepend=-1)
        if value.size and (steps[0] != 1 or not np.isin(steps, (0, 1)).all()):
            raise KernelError(f"{called(numbers)} is {value}: segment numbers begin at 0 and rise by at most 1")
        count = int(value[-1]) + 1 if value.size else 0

        def work(ins: Arrays, outs: Arrays) -> None:
            outs[0][...] = 0
            np.add.at(outs[0], ins[1], ins[0])

        return (count, *shape[1:]), work

    return by_values(node, (1,), plan)


def _unsorted(together: np.ufunc, start: str) -> Prepare:
    """prepare for elements of input 0 put *together* by their number in input 1; input 2 says how many segments.

    start: what a segment is before, and without, elements: a number, or "min" or "max" of its type. Elements with a
    negative number go nowhere.
    """

    def prepare(node: NodeSpec) -> Prepared:
        source, numbers, segments = inputs(node, 3)
        only(_SUMMED, source)
        only(types("int32"), numbers, segments)
        alike(source, output(node))
        scalar(segments)
        shape, places = shape_of(source), shape_of(numbers)
        if shape[: len(places)] != places:
            raise ShapeError(f"{called(numbers)} has shape {places}: not how {called(source)}, {shape}, begins")
        kind = memory_dtype(source.dtype)
        limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
        empty = kind.type(getattr(limits, start, start))
        rest = shape[len(places) :]

        def plan(value: Array) -> tuple[Shape, Work]:
            count = ints(value)[0]
            if count < 0:
                raise ShapeError(f"{called(segments)} is {count}: no size")

            def work(ins: Arrays, outs: Arrays) -> None:
                at = ins[1].reshape(-1)
                there = at >= 0
                in_range(numbers, np.where(there, at, 0) if count else at[there], count)
                outs[0][...] = empty
                if outs[0].size:
                    together.at(outs[0], at[there], ins[0].reshape(at.size, *rest)[there])

            return (count, *rest), work

        return by_values(node, (2,), plan)

    return prepare


unsorted_segment_sum = _unsorted(np.add, "0")
unsorted_segment_prod = _unsorted(np.multiply, "1")
unsorted_segment_max = _unsorted(np.fmax, "min")
unsorted_segment_min = _unsorted(np.fmin, "max")


def sparse_to_dense(node: NodeSpec) -> Prepared:
    """Input 3 everywhere in the shape that is input 1, but the values in input 2 at the indices in input 0."""
    indices, wanted, values, rest = inputs(node, 4)
    only(types("float32 int8 uint8 int32 int64"), values)
    alike(values, rest, output(node))
    only(INDEX, indices, wanted)
    scalar(rest)
    depth, places = vector(wanted), rank_is(indices, 0, 1, 2)
    rows = places[0] if places else 1
    if depth != (places[1] if len(places) > 1 else 1):
        raise ShapeError(f"{called(indices)} has shape {places}, but {called(wanted)} {depth} elements")
    if rank_is(values, 0, 1) not in ((), (rows,)):
        raise ShapeError(f"{called(values)} has {element_count(shape_of(values))} elements for {rows} indices")

    def plan(value: Array) -> tuple[Shape, Work]:
        shape = tuple(ints(value))
        if min(shape, default=0) < 0:
            raise ShapeError(f"{called(wanted)} is {shape}: no shape")

        def work(ins: Arrays, outs: Arrays) -> None:
            flat = flat_index(indices, ins[0].reshape(rows, depth), shape)
            outs[0][...] = ins[3].reshape(())
            outs[0].reshape(-1)[flat] = ins[2]

        return shape, work

    return by_values(node, (1,), plan)


def bucketize(node: NodeSpec) -> Prepared:
    """For each element how many of the boundaries it has reached; NaN has reached all."""
    source = first(node)
    only(types("float32 float64 int32 int64"), source)
    only(types("int32"), output(node))
    bounds = np.asarray(node.options.get("boundaries", ()), np.float32)
    if not (bounds[1:] >= bounds[:-1]).all():
        raise Unsupported("boundaries do not rise", code=Reason.OPTION)
    exact = np.float64 if source.dtype == "float64" else np.float32
    bounds = bounds.astype(exact)

    def work(ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], np.searchsorted(bounds, ins[0].astype(exact), side="right"), casting="unsafe")

    return fixed(node, shape_of(source), work)


_DIVISORS = {
    "SUM": lambda weights: None,
    "MEAN": lambda weights: np.add.accumulate(weights)[-1],
    "SQRTN": lambda weights: np.sqrt(np.add.accumulate(weights * weights)[-1]),
}


def embedding_lookup_sparse(node: NodeSpec) -> Prepared:
    """Rows of a table put together as a sparse tensor says.

    Inputs: the numbers of the rows, where each goes (one index a row, the last dimension summed over), the shape of
    all places, the weights of the rows, and the table.
    """
    lookup, indices, dense, weights, table = inputs(node, 5)
    only(types("float32"), weights, table, output(node))
    only(types("int32"), lookup, indices, dense)
    count = vector(lookup)
    vector(weights, count)
    rows, depth = rank_is(indices, 2)
    shape = shape_of(table)
    if len(shape) < 2 or depth < 1:
        raise Unsupported(f"a table of shape {shape} looked up at indices of {depth} dimensions", code=Reason.RANK)
    if rows != count:
        raise ShapeError(f"{called(indices)} has {rows} rows, wanted {count}")
    vector(dense, depth)
    divisor: Any = _DIVISORS[node.options.get("combiner", "SUM")]

    def plan(value: Array) -> tuple[Shape, Work]:
        places = tuple(ints(value)[:-1])
        if min(places, default=0) < 0:
            raise ShapeError(f"{called(dense)} is {ints(value)}: no shape")

        def work(ins: Arrays, outs: Arrays) -> None:
            in_range(lookup, ins[0], shape[0])
            flat = flat_index(indices, ins[1][:, :-1], places)
            out = outs[0].reshape(math.prod(places), element_count(shape[1:]))
            outs[0][...] = 0
            begins = np.flatnonzero(np.diff(flat, prepend=-1))
            for begin, end in zip(begins, [*begins[1:], count], strict=True):
                at, weight = flat[begin], ins[3][begin:end]
                added = ins[4][ins[0][begin:end]].reshape(end - begin, out.shape[1]) * weight[:, None]
                for row in added:
                    out[at] += row
                by = divisor(weight)
                if by is not None:
                    out[at] /= by

        return (*places, *shape[1:]), work

    return by_values(node, (2,), plan)
