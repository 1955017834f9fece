"""Shape arithmetic that several operators share: windows, broadcasting, axes. Everything in Python integers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sodalite.errors import ShapeError
from sodalite.graph import Shape


class Window(NamedTuple):
    """How a filter slides along one dimension.

    out: number of positions; before, after: padding in elements on either side that the positions reach into;
    size, stride, dilation: of the filter, all > 0.
    """

    out: int
    before: int
    after: int
    size: int
    stride: int
    dilation: int

    @property
    def span(self) -> int:
        """Elements from the filter's first tap to its last, both counted."""
        return (self.size - 1) * self.dilation + 1


def window(length: int, size: int, stride: int, dilation: int, padding: str, what: str = "filter") -> Window:
    """The window of a filter of *size* over a dimension of *length*; padding: "SAME" or "VALID".

    SAME: out = ceil(length / stride), the odd element of padding comes after. VALID: no padding;
    out = (length + stride - span) / stride, truncated. ShapeError if size, stride or dilation is not positive, or
    if the filter is larger than the input by a stride or more. Source: kernels/padding.h.
    """
    for name, value in ((f"{what} size", size), ("stride", stride), ("dilation", dilation)):
        if value <= 0:
            raise ShapeError(f"{name} must be positive, got {value}")
    span = (size - 1) * dilation + 1
    if padding == "SAME":
        out = -(-length // stride)
    elif padding == "VALID":
        room = length + stride - span
        out = room // stride if room >= 0 else -(-room // stride)  # C's division
    else:
        raise ShapeError(f"padding must be SAME or VALID, got {padding}")
    if out < 0:
        raise ShapeError(f"{what} spans {span} elements, input has {length} and padding is VALID")
    total = max((out - 1) * stride + span - length, 0) if out and padding == "SAME" else 0
    return Window(out, total // 2, total - total // 2, size, stride, dilation)


def broadcast_shape(*shapes: Shape) -> Shape:
    """The common shape of *shapes* by the rules of numpy. ShapeError prints them all if there is none."""
    rank = max((len(shape) for shape in shapes), default=0)
    result = []
    for place in range(-rank, 0):
        sizes = {shape[place] for shape in shapes if len(shape) >= -place} - {1}
        if len(sizes) > 1:
            listed = " and ".join(str(tuple(shape)) for shape in shapes)
            raise ShapeError(f"shapes {listed} do not broadcast: dimension {place} has sizes {sorted(sizes)}")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def normalize_axis(axis: int, rank: int) -> int:
    """*axis* counted from the front. ShapeError unless -rank <= axis < rank."""
    if not -rank <= axis < rank:
        raise ShapeError(f"axis {axis} is out of range for rank {rank}: {-rank} ... {rank - 1}")
    return int(axis) % rank


def normalize_axes(axes: int | Iterable[int], rank: int) -> tuple[int, ...]:
    """Each of *axes* once, counted from the front, ascending. ShapeError if one is out of range.

    An axis of a scalar (rank 0) may be 0 or -1, and is then left out. Source: ResolveAxis in reference/reduce.h.
    """
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    if rank == 0:
        for axis in listed:
            normalize_axis(axis, 1)
        return ()
    return tuple(sorted({normalize_axis(axis, rank) for axis in listed}))


def element_count(shape: Shape) -> int:
    """Elements of *shape*, as a Python int that cannot wrap."""
    count = 1
    for size in shape:
        count *= int(size)
    return count
