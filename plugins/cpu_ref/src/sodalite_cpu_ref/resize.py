"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR: images (n, h, w, c) to a size given as int32 (2,), height first.

Position i of the output lies at i · s, or (i + 1/2) · s - 1/2 with half_pixel_centers, of the input; s = in / out, or
(in - 1) / (out - 1) with align_corners. float32 and uint8 are interpolated in float32, int8 and int16 in fixed
point with ten bits. Source: reference/resize_bilinear.h and reference/resize_nearest_neighbor.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from ._fixed import rounding_shift
from ._memory import rows_per_tile
from .nodes import Arrays, Work, alike, by_values, inputs, ints, only, output, rank_is, types, vector
from .quant import round_half_away

TILE_NBYTES = 128 << 10
BILINEAR = types("float32 int8 uint8 int16")
NEAREST = types(
    "float32 float16 bfloat16 int8 uint8 int16 uint16 int32 uint32 bool float8_e4m3fn float8_e5m2 int4 uint4 int2"
)
ONE = 1 << 10


class Line(NamedTuple):
    """For each position along one dimension: the two elements, and the second one's weight (the first has 1 - weight)."""

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    weight: Array


def resize_bilinear(node: NodeSpec) -> Prepared:
    """Prepare RESIZE_BILINEAR; see the module."""
    align, half = node.options["align_corners"], node.options["half_pixel_centers"]
    if align and half:
        raise Unsupported("align_corners together with half_pixel_centers", code=Reason.OPTION)
    x = inputs(node, 2)[0]
    only(BILINEAR, x)
    line = _fixed_line if x.dtype in ("int8", "int16") else _float_line
    interpolate = _in_fixed_point if x.dtype in ("int8", "int16") else _in_floats

    def plan(shape: Shape, height: int, width: int) -> Work:
        down, along = line(shape[1], height, align, half), line(shape[2], width, align, half)
        rows = rows_per_tile(height, (shape[2] + 2 * width) * shape[3] * 4, TILE_NBYTES)
        tiles = [slice(y, y + rows) for y in range(0, height, rows)]
        lines = [(tile, Line(down.first[tile], down.second[tile], down.weight[tile])) for tile in tiles]

        def work(ins: Arrays, outs: Arrays) -> None:
            for image, result in zip(ins[0], outs[0], strict=True):
                for tile, some in lines:
                    interpolate(image, some, along, result[tile])

        return work

    return _resized(node, plan)


def resize_nearest_neighbor(node: NodeSpec) -> Prepared:
    """Prepare RESIZE_NEAREST_NEIGHBOR; see the module."""
    align, half = node.options["align_corners"], node.options["half_pixel_centers"]
    only(NEAREST, inputs(node, 2)[0])

    def plan(shape: Shape, height: int, width: int) -> Work:
        down, along = _nearest(shape[1], height, align, half), _nearest(shape[2], width, align, half)
        rows = rows_per_tile(height, shape[2] * shape[3] * 4, TILE_NBYTES)

        def work(ins: Arrays, outs: Arrays) -> None:
            for image, result in zip(ins[0], outs[0], strict=True):
                for y in range(0, height, rows):
                    part = image.take(down[y : y + rows], axis=0)
                    part.take(along, axis=1, out=result[y : y + rows], mode="clip")

        return work

    return _resized(node, plan)


def _resized(node: NodeSpec, plan: Callable[[Shape, int, int], Work]) -> Prepared:
    x, size = inputs(node, 2)
    alike(x, output(node))
    only(("int32",), size)
    vector(size, 2)
    shape = rank_is(x, 4)

    def sized(values: Array) -> tuple[Shape, Work]:
        height, width = ints(values)
        if height <= 0 or width <= 0:
            raise ShapeError(f"size is ({height}, {width}); both must be positive")
        if not (shape[1] and shape[2]):
            raise ShapeError(f"input {shape} has no elements to make ({height}, {width}) of")
        return (shape[0], height, width, shape[3]), plan(shape, height, width)

    return by_values(node, (1,), sized)


def _scale(size: int, out: int, align: bool) -> np.float32:
    if align and out > 1:
        return np.float32(size - 1) / np.float32(out - 1)
    return np.float32(size) / np.float32(out)


def _nearest(size: int, out: int, align: bool, half: bool) -> npt.NDArray[np.intp]:
    at = (np.arange(out).astype(np.float32) + np.float32(0.5 if half else 0)) * _scale(size, out, align)
    at = round_half_away(at) if align else np.floor(at)
    return np.asarray(np.clip(at, 0, size - 1), np.intp)


def _float_line(size: int, out: int, align: bool, half: bool) -> Line:
    """ComputeInterpolationValues, in float32."""
    at = np.arange(out).astype(np.float32)
    scale = _scale(size, out, align)
    at = (at + np.float32(0.5)) * scale - np.float32(0.5) if half else at * scale
    first = np.clip(np.floor(at), 0, size - 1).astype(np.intp)
    second = np.clip(np.ceil(at), 0, size - 1).astype(np.intp)
    return Line(first, second, at - first.astype(np.float32))


def _fixed_line(size: int, out: int, align: bool, half: bool) -> Line:
    """ComputeInterpolationValuesInteger; weights have ten bits."""
    scale = (ONE * size + out // 2) // out
    if align and out > 1:
        scale = (ONE * (size - 1) + (out - 1) // 2) // (out - 1)
    at = np.arange(out) * scale + (scale // 2 - ONE // 2 if half else 0)
    first = np.clip(at // ONE, 0, size - 1)
    second = np.clip((at + ONE - 1) // ONE, 0, size - 1)
    return Line(first.astype(np.intp), second.astype(np.intp), at - ONE * first)


def _in_floats(image: Array, down: Line, along: Line, out: Array) -> None:
    """out = a·(1-v)·(1-u) + b·v·(1-u) + c·(1-v)·u + d·v·u, in this order; a uint8 gets 1/2 more, and is truncated."""
    v, u = down.weight[:, None, None], along.weight[:, None]
    above = image.take(down.first, axis=0) * (1 - v)
    below = image.take(down.second, axis=0) * v
    total = above.take(along.first, axis=1) * (1 - u)
    total += below.take(along.first, axis=1) * (1 - u)
    total += above.take(along.second, axis=1) * u
    total += below.take(along.second, axis=1) * u
    if out.dtype.kind != "f":
        total += np.float32(0.5)
    np.copyto(out, total, casting="unsafe")


def _in_fixed_point(image: Array, down: Line, along: Line, out: Array) -> None:
    """The same sum of integers with weights of ten bits each, half away from zero by twenty."""
    wide: Any = np.int32 if out.dtype.itemsize == 1 else np.int64
    v, u = down.weight.astype(wide)[:, None, None], along.weight.astype(wide)[:, None]
    rows = image.take(down.first, axis=0) * (ONE - v) + image.take(down.second, axis=0) * v
    total = rows.take(along.first, axis=1) * (ONE - u)
    total += rows.take(along.second, axis=1) * u
    np.copyto(out, rounding_shift(total, 20), casting="unsafe")
