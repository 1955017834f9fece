"""Parts of a tensor that are boxes: SLICE, STRIDED_SLICE, DYNAMIC_UPDATE_SLICE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sodalite.dtypes import OBJECTS
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from .movement import moved
from .nodes import INDEX, Arrays, Work, alike, by_values, called, fixed, ints, only, shape_of, types, vector


def slice_(node: NodeSpec) -> Prepared:
    """size[i] elements of dimension i from begin[i] on; begin and size are inputs 1 and 2; size -1 is the rest."""
    source, begin, size = moved(node, 3)
    only(INDEX, begin, size)
    shape = shape_of(source)
    vector(begin, len(shape))
    vector(size, len(shape))

    def plan(begin_value: Array, size_value: Array) -> tuple[Shape, Work]:
        starts, wanted = ints(begin_value), ints(size_value)
        sizes = [length - b if s == -1 else s for length, b, s in zip(shape, starts, wanted, strict=True)]
        for axis, (b, s) in enumerate(zip(starts, sizes, strict=True)):
            if b < 0 or s < 0 or b + s > shape[axis]:
                raise ShapeError(
                    f"{called(source)} has shape {shape}: begin {starts}, size {wanted} leave it in dimension {axis}"
                )
        box = tuple(slice(b, b + s) for b, s in zip(starts, sizes, strict=True))
        return tuple(sizes), lambda ins, outs: np.copyto(outs[0], ins[0][box])

    return by_values(node, (1, 2), plan)


def strided_slice(node: NodeSpec) -> Prepared:
    """input[begin:end:strides], with bit masks for open ends, an ellipsis, new and dropped dimensions.

    begin, end, strides: inputs 1 to 3, int32, one length of at most 31. Option offset: end counts from begin.
    """
    source, begin, end, strides = moved(node, 4)
    only(types("int32"), begin, end, strides)
    length = vector(begin)
    vector(end, length)
    vector(strides, length)
    if length > 31:
        raise Unsupported(f"{length} indices; at most 31", code=Reason.SIZE)
    masks = {name: int(node.options.get(f"{name}_mask", 0)) for name in _MASKS}
    offset = bool(node.options.get("offset", False))
    shape = shape_of(source)

    def plan(*values: Array) -> tuple[Shape, Work]:
        whole, ranges, result = _box(shape, [ints(v) for v in values], masks, offset=offset)
        taken = tuple(len(r) for r in ranges)
        box = tuple(_as_slice(r) for r in ranges)

        def work(ins: Arrays, outs: Arrays) -> None:
            np.copyto(outs[0].reshape(taken), ins[0].reshape(whole)[box])

        return result, work

    if offset and begin.data is None and end.data is not None and strides.data is not None:
        return _of_known_size(node, end.data, strides.data, plan)
    return by_values(node, (1, 2, 3), plan)


def _of_known_size(node: NodeSpec, end: Array, strides: Array, plan: Callable[..., tuple[Shape, Work]]) -> Prepared:
    """A slice of which only the place is not known yet."""
    if min(ints(strides), default=1) < 0 or min(ints(end), default=0) < 0:
        return by_values(node, (1, 2, 3), plan)
    shape, _ = plan(np.zeros_like(end), end, strides)

    def work(ins: Arrays, outs: Arrays) -> None:
        found, copy = plan(*ins[1:4])
        if found != shape:
            raise KernelError(f"begin is {ints(ins[1])}: the slice of shape {shape} leaves the input {ins[0].shape}")
        copy(ins, outs)

    return fixed(node, shape, work)


_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


def _as_slice(r: range) -> slice:
    return slice(r.start, None if r.stop < 0 else r.stop, r.step) if r else slice(0, 0)


def _box(
    shape: Shape, values: Sequence[Sequence[int]], masks: dict[str, int], *, offset: bool
) -> tuple[Shape, tuple[range, ...], Shape]:
    """The input's shape with new dimensions, the range taken of each of its dimensions, and the output's shape."""
    whole, ranges, result = [], [], []
    at = 0
    for entry in _expanded(shape, len(values[0]), masks):
        if entry is not None and masks["new_axis"] >> entry & 1 and not masks["ellipsis"] >> entry & 1:
            size, taken = 1, range(1)
        else:
            size, at = shape[at], at + 1
            taken = range(size)
            if entry is not None:
                taken = _taken(size, [v[entry] for v in values], masks, entry, offset=offset)
        whole.append(size)
        ranges.append(taken)
        if entry is None or not masks["shrink_axis"] >> entry & 1 or masks["new_axis"] >> entry & 1:
            result.append(len(taken))
    return tuple(whole), tuple(ranges), tuple(result)


def _expanded(shape: Shape, length: int, masks: dict[str, int]) -> list[int | None]:
    """For each dimension, new ones counted, the index that describes it; None: taken whole."""
    ellipsis = next((i for i in range(length) if masks["ellipsis"] >> i & 1), length)
    new = sum(1 for i in range(length) if masks["new_axis"] >> i & 1 and not masks["ellipsis"] >> i & 1)
    described = length - new - (ellipsis < length)
    if described > len(shape):
        raise ShapeError(f"{described} indices for an input of rank {len(shape)}")
    filled: list[int | None] = [None] * (len(shape) - described)
    indices: list[int | None] = list(range(length))
    return indices[:ellipsis] + filled + indices[ellipsis + 1 :]


def _taken(size: int, values: Sequence[int], masks: dict[str, int], entry: int, *, offset: bool) -> range:
    """The places taken along one dimension of *size*, by its begin, end and stride."""
    begin, end, step = values
    if step == 0:
        raise ShapeError(f"strides[{entry}] is 0")
    low, high = (0, size) if step > 0 else (-1, size - 1)
    start = min(max(begin + size if begin < 0 else begin, low), high)
    if masks["begin"] >> entry & 1:
        start = 0 if step > 0 else size - 1
    if masks["shrink_axis"] >> entry & 1:
        if not 0 <= start < size:
            raise ShapeError(f"index {begin} of a dropped dimension of size {size} is out of range")
        return range(start, start + 1)
    stop = end + start if offset else end
    if offset and stop > size and not masks["end"] >> entry & 1:
        raise ShapeError(f"{end} elements from {start} on leave a dimension of size {size}")
    stop = min(max(stop + size if stop < 0 else stop, low), high)
    if masks["end"] >> entry & 1:
        stop = size if step > 0 else -1
    return range(start, stop, step)


def dynamic_update_slice(node: NodeSpec) -> Prepared:
    """The input with a box overwritten by input 1 at the place in input 2, which is moved inside if need be."""
    source, update, starts = moved(node, 3)
    alike(source, update)
    only(INDEX, starts)
    shape, part = shape_of(source), shape_of(update)
    vector(starts, len(shape))
    if len(part) != len(shape) or any(p > s for p, s in zip(part, shape, strict=True)):
        raise ShapeError(f"{called(update)} of shape {part} does not fit in {called(source)} of shape {shape}")

    def work(ins: Arrays, outs: Arrays) -> None:
        places = [min(max(b, 0), s - p) for b, s, p in zip(ints(ins[2]), shape, part, strict=True)]
        np.copyto(outs[0], ins[0])
        box = [slice(b, b + p) for b, p in zip(places, part, strict=True)]
        outs[0][tuple(box)] = ins[1]

    return fixed(node, shape, work, alias={} if source.dtype in OBJECTS else {0: 0})
