"""From one element type to another: QUANTIZE, DEQUANTIZE, CAST, FAKE_QUANT, BITCAST, DENSIFY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sodalite.dtypes import DTYPES, PACKED, memory_dtype
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, Sparsity, TensorSpec
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from . import floats
from .activation import symmetric_int16
from .arithmetic import clamp
from .nodes import STORED, Arrays, alike, called, fixed, inputs, only, output, quant_of, shape_of, types
from .quant import (
    RANGES,
    multiplier_and_shift,
    rescale,
    round_half_away,
)
from .quant import dequantize as reals_of
from .quant import quantize as levels_of
from .shapes import element_count, normalize_axis
from .tables import all_levels, each_level, looked_up

_REQUANTISED = {
    "int8": types("int8 uint8 int16"),
    "uint8": types("int8 uint8 int16"),
    "int16": types("int8 int16 int32"),
    "int32": types("int8 int16"),
}


def quantize(node: NodeSpec) -> Prepared:
    """Reals to levels, or levels to those of another scale.

    Source: AffineQuantize, PerChannelQuantize in reference/quantize.h; Requantize in reference/requantize.h.
    """
    (source,) = inputs(node, 1)
    out = output(node)
    if source.dtype == "float32":
        only(types("int8 uint8 int16 int4 uint4"), out)
        scales, zero_points = _along(out, shape_of(source))

        def work(ins: Arrays, outs: Arrays) -> None:
            np.copyto(outs[0], levels_of(ins[0], scales, zero_points, out.dtype))

        return fixed(node, shape_of(source), work)
    only(_REQUANTISED, source)
    only(_REQUANTISED[source.dtype], out)
    if source.dtype == out.dtype == "int16":
        symmetric_int16(source, out)
    qi, qo = quant_of(source), quant_of(out)
    multiplier, shift = multiplier_and_shift(qi.scale / qo.scale)
    return each_level(
        node, lambda levels: rescale(levels - qi.zero_point, multiplier, shift) + np.int64(qo.zero_point)
    )


def _along(spec: TensorSpec, shape: Shape) -> tuple[Array, Array]:
    """Scales and zero points of *spec*, shaped to broadcast to *shape* along its quantised dimension."""
    quant = spec.quant
    if quant is None or not quant.per_channel or quant.kind != "affine":
        quant = quant_of(spec)
        return quant.scales.reshape(()), quant.zero_points.reshape(())
    axis = normalize_axis(quant.axis, len(shape))
    if shape[axis] != quant.scales.size:
        raise ShapeError(f"{called(spec)} has {quant.scales.size} scales for dimension {axis} of shape {shape}")
    along = tuple(-1 if i == axis else 1 for i in range(len(shape)))
    return quant.scales.reshape(along), quant.zero_points.reshape(along)


def dequantize(node: NodeSpec) -> Prepared:
    """scale · (level - zero point) as float32; float16 and bfloat16 are widened.

    Per tensor the product is made in float64 and rounded, per channel in float32.
    Source: Dequantize, PerChannelDequantize in reference/dequantize.h.
    """
    (source,) = inputs(node, 1)
    only(types("float16 bfloat16 int8 uint8 int16 int4 uint4 int2"), source)
    only(types("float32"), output(node))
    shape = shape_of(source)
    if source.dtype in ("float16", "bfloat16"):
        return fixed(node, shape, lambda ins, outs: np.copyto(outs[0], floats.widened(ins[0], source.dtype)))
    if source.dtype == "int16":
        symmetric_int16(source)
    scales, zero_points = _along(source, shape)
    if scales.size > 1 and source.dtype == "int16":
        raise Unsupported("int16 quantised per channel", code=Reason.QUANT)
    if scales.size > 1:

        def work(ins: Arrays, outs: Arrays) -> None:
            np.copyto(outs[0], ins[0].astype(np.int32) - zero_points, casting="unsafe")
            np.multiply(scales, outs[0], out=outs[0])

        return fixed(node, shape, work)
    if memory_dtype(source.dtype).itemsize == 1:
        kind = "uint8" if source.dtype.startswith("u") else "int8"
        return looked_up(node, reals_of(all_levels(kind), scales, zero_points))
    return fixed(node, shape, lambda ins, outs: np.copyto(outs[0], reals_of(ins[0], scales, zero_points)))


_CASTABLE = types(
    "float32 float16 bfloat16 float64 int8 uint8 int16 uint16 int32 uint32 int64 bool complex64 int4 uint4 int2"
)


def cast(node: NodeSpec) -> Prepared:
    """The same numbers in another type: floats to integers towards zero, saturating; integers wrap.

    NaN gives an integer type's greatest value; a complex number's imaginary part is dropped.
    """
    (source,) = inputs(node, 1)
    out = output(node)
    only(_CASTABLE, source, out)
    if out.dtype in PACKED and source.dtype != "float32":
        raise Unsupported(f"{source.dtype} to {out.dtype}; only from float32", code=Reason.TYPE)

    def work(ins: Arrays, outs: Arrays) -> None:
        _convert(floats.widened(ins[0], source.dtype), outs[0], out.dtype)

    return fixed(node, shape_of(source), work)


def _convert(x: Array, out: Array, dtype: str) -> None:
    if x.dtype.kind == "c" and out.dtype.kind != "c":
        x = x.real
    if dtype in ("float16", "bfloat16"):
        floats.narrow(x.astype(np.float32), out, dtype)
    elif dtype == "bool":
        np.not_equal(x, 0, out=out)
    elif x.dtype.kind == "f" and out.dtype.kind in "iu":
        low, high = RANGES[dtype]
        over, under = ~(x < float(high)), x <= float(low)  # the first is true for NaN
        np.copyto(out, np.where(over | under, 0, x), casting="unsafe")
        np.copyto(out, low, where=under, casting="unsafe")
        np.copyto(out, high, where=over, casting="unsafe")
    else:
        np.copyto(out, x, casting="unsafe")


def fake_quant(node: NodeSpec) -> Prepared:
    """float32 rounded to the 2**num_bits levels of a range that is moved to hold 0 exactly.

    Source: FakeQuant in reference/reference_ops.h, NudgeQuantizationRange in quantization_util.cc.
    """
    (source,) = inputs(node, 1)
    only(types("float32"), source)
    alike(source, output(node))
    if node.options.get("narrow_range", False):
        raise Unsupported("narrow_range", code=Reason.OPTION)
    bits = int(node.options.get("num_bits", 0))
    least, most = np.float32(node.options.get("min", 0.0)), np.float32(node.options.get("max", 0.0))
    if not (1 <= bits <= 16 and least <= 0 <= most and least < most):
        raise Unsupported(f"num_bits {bits}, min {least:g}, max {most:g}: no range around 0", code=Reason.OPTION)
    top = np.float32((1 << bits) - 1)
    scale = (most - least) / top
    zero = round_half_away(np.clip(-least / scale, np.float32(0), top))
    low, high = -zero * scale, (top - zero) * scale
    inverse = np.float32(1) / scale

    def work(ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])
        clamp(outs[0], low, high)
        steps = round_half_away((outs[0] - low) * inverse)
        np.add(steps * scale, low, out=outs[0])

    return fixed(node, shape_of(source), work)


def bitcast(node: NodeSpec) -> Prepared:
    """The bytes of the input read as the output's type; a last dimension makes up for a different width."""
    (source,) = inputs(node, 1)
    out = output(node)
    only(STORED - PACKED, source, out)
    shape = shape_of(source)
    old, new = DTYPES[source.dtype].memory.itemsize, DTYPES[out.dtype].memory.itemsize
    result = shape
    if old > new:
        result = (*shape, old // new)
    elif old < new:
        if not shape or shape[-1] != new // old:
            raise ShapeError(f"{called(source)} has shape {shape}: its last size must be {new // old} for {out.dtype}")
        result = shape[:-1]

    def work(ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0].reshape(-1).view(np.uint8), ins[0].reshape(-1).view(np.uint8))

    return fixed(node, result, work)


def densify(node: NodeSpec) -> Prepared:
    """The dense form of a sparse constant; what is not stored is 0."""
    (source,) = inputs(node, 1)
    only(STORED, source)
    alike(source, output(node))
    if source.data is None or source.sparsity is None:
        raise Unsupported(f"{called(source)} is not a sparse constant", code=Reason.STATE)
    shape = shape_of(source)
    stored = source.data.reshape(-1)
    flat = _dense_places(source.sparsity, shape, stored.size, called(source))

    def work(_: Arrays, outs: Arrays) -> None:
        outs[0][...] = 0
        outs[0].reshape(-1)[flat] = stored

    return fixed(node, shape, work)


def _dense_places(sparsity: Sparsity, shape: Shape, stored: int, name: str) -> Array:
    """For each stored element, its place in the dense tensor. ShapeError if they do not fit each other."""
    rank, blocks = len(shape), len(sparsity.block_map)
    order = sparsity.traversal_order
    if sorted(order) != list(range(rank + blocks)) or len(sparsity.dims) != len(order):
        raise ShapeError(f"{name}: traversal order {order} for rank {rank} and {blocks} block dimensions")
    if any(not 0 <= d < rank for d in sparsity.block_map):
        raise ShapeError(f"{name}: block map {sparsity.block_map} for rank {rank}")
    place = np.zeros(1, np.int64)
    index: dict[int, Array] = {}
    for dim, level in zip(order, sparsity.dims, strict=True):
        place, index = _next_level(place, index, dim, level, name)
        if place.size > stored:
            raise ShapeError(f"{name} stores {stored} elements, its sparsity describes {place.size} or more")
    if not np.array_equal(place, np.arange(stored)):
        raise ShapeError(f"{name} stores {stored} elements, its sparsity describes {place.size}")
    for i, dim in enumerate(sparsity.block_map):
        sizes = [level[1] for d, level in zip(order, sparsity.dims, strict=True) if d == rank + i]
        index[dim] = index[dim] * sizes[0] + index[rank + i]
    for dim in range(rank):
        if index[dim].size and not 0 <= index[dim].min() <= index[dim].max() < shape[dim]:
            raise ShapeError(f"{name}: sparsity reaches outside dimension {dim} of shape {shape}")
    return np.ravel_multi_index([index[dim] for dim in range(rank)], shape) if element_count(shape) else place


def _next_level(
    place: Array, index: dict[int, Array], dim: int, level: Sequence[Any], name: str
) -> tuple[Array, dict[int, Array]]:
    """One level further down: every place becomes as many as the level stores there."""
    if level[0] == "dense":
        size = int(level[1])
        parents = np.repeat(np.arange(place.size), size)
        chosen = np.tile(np.arange(size), place.size)
        place = np.repeat(place, size) * size + chosen
    else:
        segments, indices = np.asarray(level[1]), np.asarray(level[2])
        if segments.size < place.size + 1 or (np.diff(segments) < 0).any() or segments[0] < 0:
            raise ShapeError(f"{name}: the segments of sparse dimension {dim} are not ascending")
        counts = segments[place + 1] - segments[place]
        parents = np.repeat(np.arange(place.size), counts)
        starts = np.repeat(segments[place] - np.cumsum(counts) + counts, counts)
        place = starts + np.arange(parents.size)
        if place.size and place.max() >= indices.size:
            raise ShapeError(f"{name}: the segments of sparse dimension {dim} run past its {indices.size} indices")
        chosen = indices[place]
    return place, {**{d: i[parents] for d, i in index.items()}, dim: chosen}
