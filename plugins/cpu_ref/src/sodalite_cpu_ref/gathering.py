"""Elements picked, or put, by index: GATHER, GATHER_ND, SCATTER_ND, EMBEDDING_LOOKUP, HASHTABLE_LOOKUP. Indices are checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from .movement import moved
from .nodes import (
    COPIED,
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
    quant_of,
    shape_of,
    types,
    vector,
)
from .shapes import element_count, normalize_axis

_POSITIONS = types("int16 int32 int64")


def in_range(spec: TensorSpec, values: Array, limit: int) -> None:
    """KernelError unless every index is 0 ... limit - 1."""
    if values.size and (values.min() < 0 or values.max() >= limit):
        bad = np.argwhere((values < 0) | (values >= limit))[0]
        place = tuple(int(i) for i in bad)
        wanted = f"0 ... {limit - 1}" if limit else "none: what it indexes is empty"
        raise KernelError(f"{called(spec)} is {int(values[place])} at {place}, wanted {wanted}")


def gather(node: NodeSpec) -> Prepared:
    """Slices of input 0 along an axis, at the indices in input 1; the first batch_dims dimensions go together."""
    source, positions = moved(node, 2)
    only(_POSITIONS, positions)
    shape, places = shape_of(source), shape_of(positions)
    axis = normalize_axis(node.options.get("axis", 0), len(shape))
    batch = int(node.options.get("batch_dims", 0))
    batch += len(places) if batch < 0 else 0
    if not 0 <= batch <= min(axis, len(places)) or shape[:batch] != places[:batch]:
        raise ShapeError(f"batch_dims {batch} for shapes {shape} and {places}, axis {axis}")
    result = (*shape[:axis], *places[batch:], *shape[axis + 1 :])
    sizes = (element_count(shape[:batch]), element_count(shape[batch:axis]), shape[axis], element_count(shape[axis + 1 :]))
    count = element_count(places[batch:])

    def work(ins: Arrays, outs: Arrays) -> None:
        in_range(positions, ins[1], shape[axis])
        x, at = ins[0].reshape(sizes), ins[1].reshape(sizes[0], count)
        out = outs[0].reshape(sizes[0], sizes[1], count, sizes[3])
        for b in range(sizes[0]):
            np.take(x[b], at[b], axis=1, out=out[b], mode="clip")

    return fixed(node, result, work)


def gather_nd(node: NodeSpec) -> Prepared:
    """Slices of input 0; each row of input 1 is an index into its first dimensions."""
    source, indices = moved(node, 2)
    only(_POSITIONS, indices)
    shape, places = shape_of(source), shape_of(indices)
    if not shape or not places or places[-1] > len(shape):
        raise ShapeError(f"{called(indices)} of shape {places} does not index {called(source)} of shape {shape}")
    depth = places[-1]

    def work(ins: Arrays, outs: Arrays) -> None:
        flat = flat_index(indices, ins[1], shape[:depth])
        rows = ins[0].reshape(element_count(shape[:depth]), element_count(shape[depth:]))
        if flat.size and not rows.shape[0]:
            raise KernelError(f"{called(source)} of shape {shape} is empty")
        np.copyto(outs[0].reshape(flat.size, rows.shape[1]), rows[flat])

    return fixed(node, (*places[:-1], *shape[depth:]), work)


def flat_index(spec: TensorSpec, indices: Array, sizes: Sequence[int]) -> Array:
    """Rows of indices into dimensions of *sizes* as places in the flattened whole."""
    flat = np.zeros(element_count(indices.shape[:-1]), np.int64)
    for i, size in enumerate(sizes):
        column = indices[..., i]
        in_range(spec, column, size)
        flat = flat * size + column.reshape(-1)
    return flat


def scatter_nd(node: NodeSpec) -> Prepared:
    """Zeros of the shape in input 2, to which the slices in input 1 are added where the rows of input 0 say."""
    indices, updates, wanted = inputs(node, 3)
    only(types("float32 int8 uint8 int32 int64 bool"), updates)
    only(types("int32"), indices)
    alike(indices, wanted)
    alike(updates, output(node))
    vector(wanted)
    places, part = shape_of(indices), shape_of(updates)
    if not places or not part:
        raise Unsupported("indices and updates need a dimension", code=Reason.RANK)

    def plan(value: Array) -> tuple[Shape, Work]:
        shape = tuple(ints(value))
        depth = places[-1]
        if min(shape, default=0) < 0 or depth > len(shape) or part != (*places[:-1], *shape[depth:]):
            raise ShapeError(f"shape {shape}, indices {places} and updates {part} do not fit each other")

        def work(ins: Arrays, outs: Arrays) -> None:
            flat = flat_index(indices, ins[0], shape[:depth])
            outs[0][...] = 0
            rows = outs[0].reshape(element_count(shape[:depth]), element_count(shape[depth:]))
            adding = np.logical_or if outs[0].dtype.kind == "b" else np.add
            if rows.size:
                adding.at(rows, flat, ins[1].reshape(flat.size, rows.shape[1]))

        return shape, work

    return by_values(node, (2,), plan)


def embedding_lookup(node: NodeSpec) -> Prepared:
    """The rows of input 1 at the indices in input 0; 8-, 4- and 2-bit rows may become floats, each by its scale."""
    lookup, table = inputs(node, 2)
    out = output(node)
    only(types("int32"), lookup)
    only(STORED, table, out)
    vector(lookup)
    shape = shape_of(table)
    if len(shape) < 2:
        raise Unsupported(f"{called(table)} has rank {len(shape)}, wanted 2 or more", code=Reason.RANK)
    scales = None
    if table.dtype != out.dtype:
        only(types("int8 int4 int2"), table)
        only(types("float32 float16"), out)
        scales = _row_scales(table, shape[0])

    def work(ins: Arrays, outs: Arrays) -> None:
        at = ins[0]
        in_range(lookup, at, shape[0])
        if scales is None:
            np.take(ins[1], at, axis=0, out=outs[0], mode="clip")
            return
        by = scales[at] if scales.size > 1 else scales
        rows = ins[1][at].astype(np.float32)
        np.multiply(rows, by.reshape(-1, *(1 for _ in shape[1:])), out=rows)
        np.copyto(outs[0], rows, casting="same_kind")

    return fixed(node, (*shape_of(lookup), *shape[1:]), work)


def _row_scales(table: TensorSpec, rows: int) -> Array:
    quant = table.quant
    if quant is None or not quant.per_channel or quant.kind != "affine":
        quant = quant_of(table)
    elif quant.axis != 0 or quant.scales.size != rows:
        raise Unsupported(f"{called(table)} is quantised along dimension {quant.axis}; only along rows", code=Reason.QUANT)
    if quant.zero_points.any():
        raise Unsupported(f"{called(table)} has a zero point other than 0", code=Reason.QUANT)
    return quant.scales


def hashtable_lookup(node: NodeSpec) -> Prepared:
    """The elements of input 2 at the places where input 1, which rises, has the keys in input 0, and whether it has.

    Where a key is not found: zero bytes, or an empty string.
    """
    lookup, keys, values = inputs(node, 3)
    found = output(node, 2)
    only(types("int32"), lookup, keys)
    only(COPIED, values)
    alike(values, found)
    only(types("uint8"), node.outputs[1])
    shape = shape_of(values)
    if not shape or (values.dtype == "string" and len(shape) > 1):
        raise Unsupported(f"{called(values)} has rank {len(shape)}", code=Reason.RANK)
    vector(keys, shape[0])
    if not shape[0]:
        raise ShapeError(f"{called(keys)} has no elements")

    def work(ins: Arrays, outs: Arrays) -> None:
        at = np.minimum(np.searchsorted(ins[1], ins[0]), shape[0] - 1)
        hit = ins[1][at] == ins[0]
        np.copyto(outs[0], ins[2][at])
        outs[0][~hit] = b"" if values.dtype == "string" else 0
        np.copyto(outs[1], hit, casting="unsafe")

    return fixed(node, [(vector(lookup), *shape[1:]), (vector(lookup),)], work)
