"""What prepare functions ask of a node, and the two forms that most of their answers take.

``fixed`` is for results whose shape follows from the inputs' shapes; ``by_values`` for those whose shape follows
from values (the shape given to RESHAPE), which may be known when preparing or only when running.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sodalite.dtypes import DTYPES, OBJECTS, memory_dtype
from sodalite.errors import KernelError, ShapeError, printable
from sodalite.graph import Array, Quant, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step, Unsupported

from .shapes import element_count

Arrays = Sequence[Any]
Work = Callable[[Arrays, Arrays], None]  # inputs, outputs -> outputs are filled

INDEX = frozenset({"int32", "int64"})
STORED = frozenset(DTYPES) - OBJECTS  # everything that lies in memory as numbers
COPIED = STORED | {"string"}


def types(names: str) -> frozenset[str]:
    """The set of the dtype names in *names*, separated by blanks."""
    return frozenset(names.split())


def called(spec: TensorSpec) -> str:
    """How messages call a tensor."""
    return f'"{printable(spec.name)}"' if spec.name else f"tensor {spec.index}"


def inputs(node: NodeSpec, least: int, most: int | None = None) -> list[TensorSpec]:
    """The inputs of *node*: *least* ... *most* (None: exactly *least*; -1: any number), none omitted."""
    if most is None:
        most = least
    found = len(node.inputs)
    if found < least or (most >= 0 and found > most):
        wanted = str(least) if most == least else f"{least} ... {most}" if most > 0 else f"at least {least}"
        raise Unsupported(f"{found} inputs, wanted {wanted}", code=Reason.SHAPE)
    present = [spec for spec in node.inputs if spec is not None]
    if len(present) < found:
        raise Unsupported(f"input {node.inputs.index(None)} is omitted, but required", code=Reason.SHAPE)
    return present


def first(node: NodeSpec) -> TensorSpec:
    """The first input, which must not be omitted."""
    return inputs(node, 1, -1)[0]


def output(node: NodeSpec, count: int = 1) -> TensorSpec:
    """The first of the *count* outputs that *node* must have."""
    if len(node.outputs) != count:
        raise Unsupported(f"{len(node.outputs)} outputs, wanted {count}", code=Reason.SHAPE)
    return node.outputs[0]


def only(allowed: Iterable[str], *specs: TensorSpec) -> None:
    """Decline unless each of *specs* has one of the *allowed* dtypes."""
    for spec in specs:
        if spec.dtype not in allowed:
            raise Unsupported(f"{called(spec)} is {spec.dtype}; only {listed(allowed)}", code=Reason.TYPE)


def listed(names: Iterable[str]) -> str:
    """dtype names in the order of the format's table."""
    return ", ".join(sorted(names, key=lambda name: DTYPES[name].code))


def alike(first: TensorSpec, *others: TensorSpec) -> None:
    """Decline unless all have one dtype."""
    for other in others:
        if other.dtype != first.dtype:
            raise Unsupported(
                f"{called(other)} is {other.dtype}, {called(first)} is {first.dtype}; they must be the same",
                code=Reason.TYPE,
            )


def shape_of(spec: TensorSpec) -> Shape:
    """The shape of an input, which is always known."""
    if spec.shape is None:
        raise Unsupported(f"the shape of {called(spec)} is not known", code=Reason.DYNAMIC)
    return spec.shape


def quant_of(spec: TensorSpec) -> Quant:
    """The per-tensor quantisation of *spec*; declined if there is none, or another kind."""
    quant = spec.quant
    if quant is None or quant.kind != "affine" or quant.scales.size == 0:
        raise Unsupported(f"{called(spec)} ({spec.dtype}) has no per-tensor quantisation", code=Reason.QUANT)
    if quant.per_channel:
        raise Unsupported(f"{called(spec)} is quantised per channel; only per tensor", code=Reason.QUANT)
    if not (np.isfinite(quant.scales[0]) and quant.scales[0] > 0):
        raise Unsupported(f"{called(spec)} has scale {quant.scale:g}; only positive ones", code=Reason.QUANT)
    return quant


def quantised(spec: TensorSpec) -> bool:
    """Whether *spec* has quantisation parameters (of any kind)."""
    return spec.quant is not None and spec.quant.scales.size > 0


def same_quant(first: TensorSpec, *others: TensorSpec) -> None:
    """Decline unless all quantised tensors have the parameters of the first; unquantised ones pass."""
    for other in others:
        a, b = first.quant, other.quant
        if a is None or b is None or not a.scales.size or not b.scales.size:
            continue
        if not (np.array_equal(a.scales, b.scales) and np.array_equal(a.zero_points, b.zero_points)):
            raise Unsupported(
                f"{called(first)} and {called(other)} have different quantisation: "
                f"({a.scale:g}, {a.zero_point}) and ({b.scale:g}, {b.zero_point})",
                code=Reason.QUANT,
            )


def rank_is(spec: TensorSpec, *ranks: int) -> Shape:
    """The shape of *spec*, whose rank must be one of *ranks*."""
    shape = shape_of(spec)
    if len(shape) not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise ShapeError(f"{called(spec)} has shape {shape}: rank must be {wanted}")
    return shape


def scalar(spec: TensorSpec) -> None:
    """ShapeError unless *spec* has exactly one element."""
    if element_count(shape_of(spec)) != 1:
        raise ShapeError(f"{called(spec)} has shape {spec.shape}, wanted one element")


def vector(spec: TensorSpec, length: int | None = None) -> int:
    """The length of the one-dimensional *spec*, which must be *length* if that is given."""
    shape = rank_is(spec, 1)
    if length is not None and shape[0] != length:
        raise ShapeError(f"{called(spec)} has {shape[0]} elements, wanted {length}")
    return shape[0]


def ints(values: Any) -> list[int]:
    """The elements of an integer array as Python ints, which cannot wrap."""
    return [int(v) for v in np.asarray(values).reshape(-1)]


def number(options: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A number among the options of a custom operator."""
    value = options.get(name, default)
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
        raise Unsupported(f"option {name} is {value!r}, wanted a number", code=Reason.OPTION)
    return value


def fresh(shape: Shape, dtype: str) -> Array:
    """New memory for an output whose shape came out while running. KernelError if there is not enough."""
    kind = memory_dtype(dtype)
    try:
        return np.full(shape, b"", kind) if kind.kind == "O" else np.empty(shape, kind)
    except (MemoryError, ValueError, OverflowError) as error:
        size = kind.itemsize
        for dim in shape:
            size *= dim
        raise KernelError(f"no memory for an output of shape {shape}, {dtype}: {size:,} bytes") from error


def quiet(step: Step) -> Step:
    """*step* without numpy's warnings: overflow and NaN are values like others to a kernel."""

    def run() -> None:
        with np.errstate(all="ignore"):
            step()

    return run


def fixed(
    node: NodeSpec,
    shapes: Shape | Sequence[Shape],
    work: Work,
    *,
    alias: dict[int, int] | None = None,
    effects: bool = False,
) -> Prepared:
    """Outputs of known *shapes*, filled by ``work(inputs, outputs)``.

    shapes: one for each output, or the only one.
    """

    def bind(buffers: Buffers) -> Step:
        return quiet(lambda: work(buffers.inputs, buffers.outputs))

    return Prepared(_each(shapes), bind, alias=alias or {}, effects=effects)


def by_values(
    node: NodeSpec,
    places: Iterable[int],
    plan: Callable[..., tuple[Any, Work]],
    *,
    prepared: Callable[[NodeSpec, Any, Work], Prepared] = fixed,
) -> Prepared:
    """Outputs whose shapes follow from the values of the inputs at *places*.

    ``plan(*values)`` checks them and returns (shapes as for ``fixed``, work). It is called once now if all
    are known, and ``prepared(node, shapes, work)`` is the answer; otherwise each time the step runs.
    """
    places = tuple(places)
    given = [node.inputs[i] if i < len(node.inputs) else None for i in places]
    known = [None if spec is None else spec.data for spec in given]
    if all(spec is None or spec.data is not None for spec in given):
        return prepared(node, *plan(*known))

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            values = [buffers.inputs[i] if i < len(buffers.inputs) else None for i in places]
            shapes, work = plan(*values)
            outs = [fresh(s, t.dtype) for s, t in zip(_each(shapes), node.outputs, strict=True)]
            work(buffers.inputs, outs)
            for i, out in enumerate(outs):
                buffers.emit(i, out)

        return quiet(step)

    return Prepared((None,) * len(node.outputs), bind)


def _each(shapes: Any) -> tuple[Shape, ...]:
    """*shapes* as a tuple of shapes: one shape is a tuple of ints, several are a list."""
    return tuple(tuple(s) for s in shapes) if isinstance(shapes, list) else (tuple(shapes),)
