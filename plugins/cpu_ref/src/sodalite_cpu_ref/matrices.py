"""Diagonals, complex numbers, and the Fourier transform that makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import NodeSpec, Prepare, Prepared, Reason, Unsupported

from .nodes import (
    STORED,
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
    shape_of,
    types,
    vector,
)

_PART = {"complex64": "float32", "complex128": "float64"}


def matrix_diag(node: NodeSpec) -> Prepared:
    """Square matrices that have the rows of the input as diagonals, and zero bytes elsewhere."""
    (source,) = inputs(node, 1)
    only(STORED, source)
    alike(source, output(node))
    shape = shape_of(source)
    if not shape:
        raise Unsupported("an input without dimensions", code=Reason.RANK)

    def work(ins: Arrays, outs: Arrays) -> None:
        outs[0][...] = 0
        _on_diagonal(outs[0], ins[0])

    return fixed(node, (*shape, shape[-1]), work)


def matrix_set_diag(node: NodeSpec) -> Prepared:
    """The matrices in input 0 with the rows of input 1 as diagonals."""
    source, diagonal = inputs(node, 2)
    only(STORED, source)
    alike(source, diagonal, output(node))
    shape = shape_of(source)
    if len(shape) < 2:
        raise Unsupported(f"{called(source)} has rank {len(shape)}, wanted 2 or more", code=Reason.RANK)
    wanted = (*shape[:-2], min(shape[-2:]))
    if shape_of(diagonal) != wanted:
        raise ShapeError(f"{called(diagonal)} has shape {diagonal.shape}, wanted {wanted}")

    def work(ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])
        _on_diagonal(outs[0], ins[1])

    return fixed(node, shape, work)


def _on_diagonal(matrices: Array, rows: Array) -> None:
    at = np.arange(rows.shape[-1])
    matrices[..., at, at] = rows


def _part(take: Callable[[Any], Any]) -> Prepare:
    """prepare for a real number taken of each complex one."""

    def prepare(node: NodeSpec) -> Prepared:
        source = first(node)
        only(_PART, source)
        only({_PART[source.dtype]}, output(node))
        return fixed(node, shape_of(source), lambda ins, outs: np.copyto(outs[0], take(ins[0])))

    return prepare


real = _part(np.real)
imag = _part(np.imag)
complex_abs = _part(np.abs)


def rfft2d(node: NodeSpec) -> Prepared:
    """The Fourier transform of real matrices, cut or filled with zeros to the size in input 1: half of its columns."""
    source, size = inputs(node, 2)
    only(types("float32"), source)
    only(types("int32"), size)
    only(types("complex64"), output(node))
    vector(size, 2)
    shape = shape_of(source)
    if len(shape) < 2:
        raise Unsupported(f"{called(source)} has rank {len(shape)}, wanted 2 or more", code=Reason.RANK)

    def plan(value: Array) -> tuple[Shape, Work]:
        height, width = ints(value)
        if min(height, width) < 1:
            raise ShapeError(f"{called(size)} is {height, width}, wanted 1 or more")

        def work(ins: Arrays, outs: Arrays) -> None:
            rows = np.fft.rfft2(ins[0].astype(np.float64), (height, width))
            np.copyto(outs[0], rows, casting="same_kind")

        return (*shape[:-2], height, width // 2 + 1), work

    return by_values(node, (1,), plan)
