"""What kernels ask of a node before they take it, with the words they decline in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sodalite.errors import ShapeError
from sodalite.graph import Quant, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Reason, Unsupported

_T = TypeVar("_T")


def tensor(node: NodeSpec, place: int, what: str) -> TensorSpec:
    """Input *place* of *node*. ShapeError if it is missing."""
    found = optional(node, place)
    if found is None:
        raise ShapeError(f"input {place}, the {what}, is missing")
    return found


def optional(node: NodeSpec, place: int) -> TensorSpec | None:
    """Input *place* of *node*, None if it is omitted."""
    return node.inputs[place] if place < len(node.inputs) else None


def shape_of(spec: TensorSpec, rank: int | None = None, what: str = "input") -> Shape:
    """The shape of *spec*. ShapeError if it does not have *rank* dimensions."""
    if spec.shape is None:
        raise Unsupported(f"the shape of the {what} is not known before running", code=Reason.DYNAMIC)
    if rank is not None and len(spec.shape) != rank:
        raise ShapeError(f"{what} has {len(spec.shape)} dimensions {spec.shape}, wanted {rank}")
    return spec.shape


def types(spec: TensorSpec, allowed: Iterable[str], what: str) -> str:
    """The dtype of *spec*. Unsupported if it is not one of *allowed*."""
    listed = tuple(allowed)
    if spec.dtype not in listed:
        raise Unsupported(f"{what} is {spec.dtype}; only {', '.join(listed)}", code=Reason.TYPE)
    return spec.dtype


def per_tensor(spec: TensorSpec, what: str) -> Quant:
    """The quantisation of *spec*, one scale for all. Unsupported if there is none, or more than one."""
    quant = affine(spec, what)
    if quant.per_channel:
        raise Unsupported(f"{what} has {quant.scales.size} scales; only one", code=Reason.QUANT)
    return quant


def affine(spec: TensorSpec, what: str) -> Quant:
    """The quantisation of *spec*, with one or more scales. Unsupported if there is none, or of another kind."""
    quant = spec.quant
    if quant is None or quant.scales.size == 0:
        raise Unsupported(f"{what} is {spec.dtype} without quantisation parameters", code=Reason.QUANT)
    if quant.kind != "affine":
        raise Unsupported(f"{what} has {quant.kind} quantisation; only affine", code=Reason.QUANT)
    return quant


def option(find: Callable[[], _T]) -> _T:
    """What *find* returns; its ValueError is an option that kernels do not have: Unsupported."""
    try:
        return find()
    except ValueError as error:
        raise Unsupported(str(error), code=Reason.OPTION) from error


def declined(why: str, code: Reason) -> Unsupported:
    return Unsupported(why, code=code)


def constant(*specs: TensorSpec | None) -> bool:
    """Whether all *specs* that are there have known values."""
    return all(spec is None or spec.data is not None for spec in specs)


def value(spec: TensorSpec, what: str) -> Any:
    """The known value of *spec*. Unsupported if it is not known before running."""
    if spec.data is None:
        raise Unsupported(f"{what} is not known before running", code=Reason.DYNAMIC)
    return spec.data
