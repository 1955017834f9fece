"""Operators that only move elements, or give the same elements another shape. Every type of element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sodalite.dtypes import OBJECTS
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step, Unsupported

from .nodes import (
    COPIED,
    INDEX,
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
    quantised,
    same_quant,
    scalar,
    shape_of,
    types,
    vector,
)
from .quant import round_half_away
from .shapes import broadcast_shape, element_count, normalize_axis


def relabelled(node: NodeSpec, shape: Shape, _: Work | None = None) -> Prepared:
    """The first input's elements in their order, as *shape*; they need not be moved."""

    def bind(buffers: Buffers) -> Step:
        source: Any = buffers.inputs[0]
        target: Any = buffers.outputs[0]
        view = target.reshape(source.shape)
        if view.__array_interface__["data"][0] == source.__array_interface__["data"][0]:
            return _nothing
        return lambda: np.copyto(view, source)

    objects = node.outputs[0].dtype in OBJECTS
    return Prepared((tuple(shape),), bind, alias={} if objects else {0: 0})


def _nothing() -> None:
    """The step of an operator whose output lies where its input does."""


def _in_order(ins: Arrays, outs: Arrays) -> None:
    np.copyto(outs[0].reshape(ins[0].shape), ins[0])


def moved(node: NodeSpec, least: int, most: int | None = None) -> list[TensorSpec]:
    """The inputs of an operator that moves its first input's elements to outputs of that type."""
    specs = inputs(node, least, most)
    only(COPIED, specs[0])
    alike(specs[0], *node.outputs)
    return specs


def reshape(node: NodeSpec) -> Prepared:
    """The same elements as another shape: that of input 1, or of the option new_shape; one size may be -1."""
    specs = node.inputs[:1] + tuple(t for t in node.inputs[1:2] if t is not None)
    source = specs[0]
    if source is None or len(node.inputs) > 2:
        raise Unsupported(f"{len(node.inputs)} inputs, wanted an input and perhaps a shape", code=Reason.SHAPE)
    only(COPIED, source)
    alike(source, output(node))
    new = list(node.options.get("new_shape", ()))
    wanted = specs[1] if len(specs) > 1 else None
    usable = {"int32"} if new else INDEX
    if wanted is not None and wanted.dtype in usable and len(shape_of(wanted)) == 1:
        return by_values(
            node, (1,), lambda v: (_resolved(shape_of(source), ints(v)), _in_order), prepared=relabelled
        )
    return relabelled(node, _resolved(shape_of(source), [] if new == [0] else new))  # [0]: a scalar of old models


def _resolved(old: Shape, new: Sequence[int]) -> Shape:
    """*new* with its -1 replaced, checked to have as many elements as *old*."""
    if any(size < -1 for size in new) or list(new).count(-1) > 1:
        raise ShapeError(f"cannot reshape to {tuple(new)}: sizes are >= 0, and one may be -1")
    count, rest = element_count(old), element_count(tuple(size for size in new if size != -1))
    result = tuple(new)
    if -1 in new:
        if rest:
            stretched = count // rest
        else:
            stretched = element_count(tuple(s for s in old if s)) // element_count(tuple(s for s in new if s > 0))
        result = tuple(stretched if size == -1 else size for size in new)
    if element_count(result) != count:
        raise ShapeError(f"cannot reshape {old} ({count} elements) to {tuple(new)}")
    return result


def squeeze(node: NodeSpec) -> Prepared:
    """The input without its dimensions of size 1, or without those of them that squeeze_dims names."""
    (source,) = moved(node, 1)
    shape = shape_of(source)
    named = node.options.get("squeeze_dims", ())
    gone = {normalize_axis(axis, len(shape)) for axis in named}
    if any(shape[axis] != 1 for axis in gone):
        raise ShapeError(f"{called(source)} has shape {shape}: cannot squeeze dimensions {sorted(gone)}")
    if not named:
        gone = {axis for axis, size in enumerate(shape) if size == 1}
    return relabelled(node, tuple(size for axis, size in enumerate(shape) if axis not in gone))


def expand_dims(node: NodeSpec) -> Prepared:
    """The input with a dimension of size 1 put in at the axis that input 1 holds."""
    source, axis = moved(node, 2)
    only(INDEX, axis)
    scalar(axis)
    same_quant(source, output(node))
    shape = shape_of(source)

    def plan(value: Array) -> tuple[Shape, Work]:
        at = normalize_axis(ints(value)[0], len(shape) + 1)
        return (*shape[:at], 1, *shape[at:]), _in_order

    return by_values(node, (1,), plan, prepared=relabelled)


def transpose(node: NodeSpec) -> Prepared:
    """Dimension i of the output is dimension perm[i] of the input; perm is input 1."""
    source, perm = moved(node, 2)
    only(types("int32"), perm)
    shape = shape_of(source)
    vector(perm, len(shape))

    def plan(value: Array) -> tuple[Shape, Work]:
        order = [normalize_axis(axis, len(shape)) for axis in ints(value)]
        if len(set(order)) != len(order):
            raise ShapeError(f"{called(perm)} is {order}, which is not a permutation")

        def work(ins: Arrays, outs: Arrays) -> None:
            np.copyto(outs[0], ins[0].transpose(order))

        return tuple(shape[axis] for axis in order), work

    return by_values(node, (1,), plan)


def concatenation(node: NodeSpec) -> Prepared:
    """The inputs one after the other along an axis. uint8 inputs of another quantisation are rescaled.

    Source: ConcatenationWithScaling in reference/concatenation.h.
    """
    specs = moved(node, 1, -1)
    out = output(node)
    alike(*specs)
    if node.options.get("fused_activation_function", "NONE") != "NONE":
        raise Unsupported("a fused activation", code=Reason.OPTION)
    first = shape_of(specs[0])
    if not first:
        if len(specs) > 1 and any(shape_of(t) for t in specs):
            raise ShapeError(f"cannot concatenate shapes {[t.shape for t in specs]}")
        normalize_axis(node.options.get("axis", 0), 1)
        return fixed(node, (len(specs),), _stacked)
    axis = normalize_axis(node.options.get("axis", 0), len(first))
    for spec in specs[1:]:
        shape = shape_of(spec)
        if len(shape) != len(first) or any(a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis):
            raise ShapeError(f"cannot concatenate {called(spec)} of shape {shape} to {first} along axis {axis}")
    total = sum(shape_of(spec)[axis] for spec in specs)
    result = (*first[:axis], total, *first[axis + 1 :])
    if out.dtype == "int8":
        same_quant(out, *specs)
    if out.dtype == "uint8" and any(quantised(t) for t in (out, *specs)):
        return fixed(node, result, _rescaling_concatenation(specs, out, axis))

    def work(ins: Arrays, outs: Arrays) -> None:
        np.concatenate(ins, axis=axis, out=outs[0])

    return fixed(node, result, work)


def _stacked(ins: Arrays, outs: Arrays) -> None:
    np.stack(ins, out=outs[0])


def _rescaling_concatenation(specs: Sequence[TensorSpec], out: TensorSpec, axis: int) -> Work:
    """Each input through a table of 256 levels, in float32; those of the output's quantisation are copied."""
    target = quant_of(out)
    inverse = np.float32(1) / target.scales[0]
    tables: list[Array | None] = []
    for spec in specs:
        quant = quant_of(spec)
        if quant.scale == target.scale and quant.zero_point == target.zero_point:
            tables.append(None)
            continue
        scale = quant.scales[0] * inverse
        levels = np.arange(256).astype(np.float32) * scale + np.float32(-quant.zero_point) * scale
        tables.append(np.clip(round_half_away(levels) + target.zero_point, 0, 255).astype(np.uint8))

    def work(ins: Arrays, outs: Arrays) -> None:
        moved_ins = [x if table is None else table.take(x) for x, table in zip(ins, tables, strict=True)]
        np.concatenate(moved_ins, axis=axis, out=outs[0])

    return work


def pack(node: NodeSpec) -> Prepared:
    """The inputs, all of one shape, stacked along a new axis."""
    specs = moved(node, 1, -1)
    alike(*specs)
    count = node.options.get("values_count", len(specs))
    if count != len(specs):
        raise Unsupported(f"values_count is {count}, but there are {len(specs)} inputs", code=Reason.OPTION)
    shape = shape_of(specs[0])
    for spec in specs[1:]:
        if spec.shape != shape:
            raise ShapeError(f"cannot pack {called(spec)} of shape {spec.shape} with shape {shape}")
    same_quant(output(node), *specs)
    axis = normalize_axis(node.options.get("axis", 0), len(shape) + 1)

    def work(ins: Arrays, outs: Arrays) -> None:
        np.stack(ins, axis=axis, out=outs[0])

    return fixed(node, (*shape[:axis], len(specs), *shape[axis:]), work)


def unpack(node: NodeSpec) -> Prepared:
    """One output for each index along an axis, which disappears."""
    (source,) = moved(node, 1)
    shape = shape_of(source)
    axis = normalize_axis(node.options.get("axis", 0), len(shape))
    count = node.options.get("num", len(node.outputs))
    if not count == len(node.outputs) == shape[axis]:
        raise ShapeError(
            f"cannot unpack {called(source)} of shape {shape} along axis {axis} into {len(node.outputs)} (num {count})"
        )
    same_quant(source, *node.outputs)

    def work(ins: Arrays, outs: Arrays) -> None:
        for i, out in enumerate(outs):
            np.copyto(out, ins[0][(slice(None),) * axis + (i, ...)])

    return fixed(node, [(*shape[:axis], *shape[axis + 1 :])] * count, work)


def split(node: NodeSpec) -> Prepared:
    """Equal parts of input 1 along the axis that input 0 holds."""
    axis, source = inputs(node, 2)
    count = node.options.get("num_splits", len(node.outputs))
    if count != len(node.outputs) or not count:
        raise Unsupported(f"num_splits is {count}, but there are {len(node.outputs)} outputs", code=Reason.OPTION)
    only(COPIED, source)
    only(types("int32"), axis)
    scalar(axis)
    alike(source, *node.outputs)
    shape = shape_of(source)

    def plan(value: Array) -> tuple[list[Shape], Work]:
        at = normalize_axis(ints(value)[0], len(shape))
        if shape[at] % count:
            raise ShapeError(f"{called(source)} has shape {shape}: size {shape[at]} does not split in {count}")
        return _parts(shape, at, [shape[at] // count] * count, place=1)

    return by_values(node, (0,), plan)


def split_v(node: NodeSpec) -> Prepared:
    """Parts of input 0 of the sizes in input 1 along the axis in input 2; one size may be -1."""
    source, sizes, axis = moved(node, 3)
    count = node.options.get("num_splits", len(node.outputs))
    if count != len(node.outputs):
        raise Unsupported(f"num_splits is {count}, but there are {len(node.outputs)} outputs", code=Reason.OPTION)
    only(INDEX, sizes)
    only(types("int32"), axis)
    scalar(axis)
    vector(sizes, len(node.outputs))
    shape = shape_of(source)

    def plan(values: Array, axis_value: Array) -> tuple[list[Shape], Work]:
        at = normalize_axis(ints(axis_value)[0], len(shape))
        wanted = ints(values)
        if wanted.count(-1) == 1:
            wanted[wanted.index(-1)] = shape[at] - sum(wanted) - 1
        if min(wanted, default=0) < 0 or sum(wanted) != shape[at]:
            raise ShapeError(f"sizes {ints(values)} do not make up the {shape[at]} of {called(source)} axis {at}")
        return _parts(shape, at, wanted, place=0)

    return by_values(node, (1, 2), plan)


def _parts(shape: Shape, axis: int, sizes: Sequence[int], place: int) -> tuple[list[Shape], Work]:
    def work(ins: Arrays, outs: Arrays) -> None:
        start = 0
        for size, out in zip(sizes, outs, strict=True):
            np.copyto(out, ins[place][(slice(None),) * axis + (slice(start, start + size),)])
            start += size

    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes], work


def tile(node: NodeSpec) -> Prepared:
    """The input repeated multiples[i] times along dimension i; multiples are input 1."""
    source, multiples = moved(node, 2)
    only(INDEX, multiples)
    shape = shape_of(source)
    vector(multiples, len(shape))

    def plan(value: Array) -> tuple[Shape, Work]:
        times = ints(value)
        if min(times, default=0) < 0:
            raise ShapeError(f"{called(multiples)} is {times}: no multiple may be negative")
        split_shape = tuple(size for pair in zip(times, shape, strict=True) for size in pair)
        once = tuple(size for length in shape for size in (1, length))

        def work(ins: Arrays, outs: Arrays) -> None:
            np.copyto(outs[0].reshape(split_shape), ins[0].reshape(once))

        return tuple(t * s for t, s in zip(times, shape, strict=True)), work

    return by_values(node, (1,), plan)


def broadcast_to(node: NodeSpec) -> Prepared:
    """The input broadcast to the shape that input 1 holds."""
    source, wanted = moved(node, 2)
    only(INDEX, wanted)
    vector(wanted)
    shape = shape_of(source)

    def plan(value: Array) -> tuple[Shape, Work]:
        result = tuple(ints(value))
        if min(result, default=0) < 0 or broadcast_shape(shape, result) != result:
            raise ShapeError(f"{called(source)} of shape {shape} does not broadcast to {result}")
        return result, lambda ins, outs: np.copyto(outs[0], ins[0])

    return by_values(node, (1,), plan)


def broadcast_args(node: NodeSpec) -> Prepared:
    """The shape to which the two shapes in the inputs broadcast."""
    a, b = inputs(node, 2)
    only(INDEX, a)
    alike(a, b, output(node))
    lengths = vector(a), vector(b)

    def work(ins: Arrays, outs: Arrays) -> None:
        shapes = [tuple(ints(x)) for x in ins]
        if any(size < 0 for shape in shapes for size in shape):
            raise ShapeError(f"shapes {shapes[0]} and {shapes[1]}: no size may be negative")
        outs[0][...] = broadcast_shape(*shapes)

    return fixed(node, (max(lengths),), work)


def reverse_v2(node: NodeSpec) -> Prepared:
    """The input with the dimensions that input 1 names turned round."""
    source, axes = moved(node, 2)
    only(types("int32"), axes)
    vector(axes)
    rank = len(shape_of(source))

    def work(ins: Arrays, outs: Arrays) -> None:
        turned = [normalize_axis(axis, rank) for axis in ints(ins[1])]
        if len(set(turned)) != len(turned):
            raise ShapeError(f"{called(axes)} names an axis twice: {ints(ins[1])}")
        np.copyto(outs[0], np.flip(ins[0], tuple(turned)))

    return fixed(node, shape_of(source), work)


def reverse_sequence(node: NodeSpec) -> Prepared:
    """For each index b along batch_dim, the first lengths[b] elements along seq_dim turned round."""
    source, lengths = moved(node, 2)
    only(INDEX, lengths)
    shape = shape_of(source)
    seq = normalize_axis(node.options.get("seq_dim", 0), len(shape))
    batch = normalize_axis(node.options.get("batch_dim", 0), len(shape))
    if seq == batch:
        raise ShapeError(f"seq_dim and batch_dim are both {seq}")
    vector(lengths, shape[batch])

    order = (batch, seq, *(i for i in range(len(shape)) if i not in (batch, seq)))

    def work(ins: Arrays, outs: Arrays) -> None:
        x, out = ins[0].transpose(order), outs[0].transpose(order)
        for b, length in enumerate(ints(ins[1])):
            if not 0 <= length <= shape[seq]:
                raise ShapeError(f"{called(lengths)}[{b}] is {length}, wanted 0 ... {shape[seq]}")
            out[b, :length] = x[b, :length][::-1]
            out[b, length:] = x[b, length:]

    return fixed(node, shape, work)


