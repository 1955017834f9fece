"""Operators that run subgraphs: IF, WHILE, CALL, CALL_ONCE, STABLEHLO_CASE, STABLEHLO_COMPOSITE.

They all count as having effects, because a subgraph may: core then keeps them in the file's order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step, SubplanLike, Unsupported

from .nodes import called, inputs, only, scalar, shape_of
from .shapes import element_count

Shapes = tuple[Shape | None, ...]


def call(node: NodeSpec) -> Prepared:
    """The outputs of the subgraph for these inputs."""
    specs = inputs(node, 0, -1)
    sub = node.subplan(0)
    _fits(node, sub, specs, "the subgraph")
    shapes = _settled([sub.shapes(*map(shape_of, specs))])
    return Prepared(shapes, lambda buffers: _delivering(buffers, shapes, lambda: sub(*_given(buffers))), effects=True)


def call_once(node: NodeSpec) -> Prepared:
    """Runs the subgraph, which has neither inputs nor outputs, unless this interpreter's state says that it ran."""
    sub = node.subplan(0)
    _fits(node, sub, inputs(node, 0), "the subgraph")
    key = f"ran subgraph {node.options.get('init_subgraph_index', 0)}"

    def bind(_: Buffers) -> Step:
        def step() -> None:
            if key not in node.state:
                sub()
                node.state[key] = True

        return step

    return Prepared((), bind, effects=True)


def if_(node: NodeSpec) -> Prepared:
    """The outputs of the first subgraph if the scalar in input 0 is true, else those of the second."""
    condition, *specs = inputs(node, 1, -1)
    only({"bool"}, condition)
    scalar(condition)
    return _branching(node, specs, 2, lambda value: 0 if value.all() else 1)


def case(node: NodeSpec) -> Prepared:
    """The outputs of the subgraph whose number the scalar in input 0 holds, else those of the last one."""
    index, *specs = inputs(node, 1, -1)
    only({"int32"}, index)
    scalar(index)
    count = len(node.options.get("branch_subgraph_indices", ()))
    if not count:
        raise Unsupported("no branches", code=Reason.OPTION)

    def choose(value: Array) -> int:
        number = int(value.reshape(()))
        return number if 0 <= number < count else count - 1

    return _branching(node, specs, count, choose)


def _branching(node: NodeSpec, specs: Sequence[TensorSpec], count: int, choose: Callable[[Array], int]) -> Prepared:
    branches = [node.subplan(i) for i in range(count)]
    for i, branch in enumerate(branches):
        _fits(node, branch, specs, f"branch {i}")
    given = [shape_of(t) for t in specs]
    shapes = _settled([branch.shapes(*given) for branch in branches])

    def bind(buffers: Buffers) -> Step:
        by, *arrays = _given(buffers)
        return _delivering(buffers, shapes, lambda: branches[choose(by)](*arrays))

    return Prepared(shapes, bind, effects=True)


def while_(node: NodeSpec) -> Prepared:
    """Runs the second subgraph on its own outputs, starting from the inputs, as long as the first says true."""
    specs = inputs(node, 0, -1)
    condition, body = node.subplan(0), node.subplan(1)
    _fits(node, body, specs, "the body")
    if len(node.outputs) != len(specs) or len(condition.inputs) != len(specs):
        raise ShapeError(f"{len(specs)} inputs, {len(node.outputs)} outputs, a condition of {len(condition.inputs)}: all must be one number")
    if [t.dtype for t in condition.outputs] != ["bool"]:
        raise ShapeError("the condition must have one output, bool")
    start = tuple(shape_of(t) for t in specs)
    after = body.shapes(*start)
    steady = all(_alike(a, b) for a, b in zip(start, after, strict=True))
    shapes: Shapes = after if steady else (None,) * len(start)

    def bind(buffers: Buffers) -> Step:
        first = _given(buffers)

        def run() -> list[Array]:
            values = first
            while _true(condition(*values)[0]):
                values = body(*values)
            return values

        return _delivering(buffers, shapes, run)

    return Prepared(shapes, bind, effects=True)


def _true(value: Array) -> bool:
    if value.size != 1:
        raise KernelError(f"the condition of a loop has {value.size} elements, wanted one")
    return bool(value.reshape(())[()])


def _alike(a: Shape, b: Shape | None) -> bool:
    """Whether a loop's value keeps its shape; a scalar and one element in a vector are the same."""
    return a == b or (b is not None and element_count(a) == element_count(b) == 1 and max(len(a), len(b)) == 1)


def _fits(node: NodeSpec, sub: SubplanLike, specs: Sequence[TensorSpec], what: str) -> None:
    if len(sub.inputs) != len(specs) or len(sub.outputs) != len(node.outputs):
        raise ShapeError(
            f"{what} has {len(sub.inputs)} inputs and {len(sub.outputs)} outputs, "
            f"the operator gives {len(specs)} and wants {len(node.outputs)}"
        )
    pairs = [*zip(specs, sub.inputs, strict=True), *zip(node.outputs, sub.outputs, strict=True)]
    for mine, theirs in pairs:
        if mine.dtype != theirs.dtype:
            raise ShapeError(f"{called(mine)} is {mine.dtype}, {called(theirs)} of {what} is {theirs.dtype}")


def _settled(found: Sequence[Shapes]) -> Shapes:
    """The outputs' shapes if they are known and the same for every subgraph that may run, else None for each."""
    if any(shapes != found[0] for shapes in found) or None in found[0]:
        return (None,) * len(found[0])
    return found[0]


def _given(buffers: Buffers) -> list[Any]:
    return list(buffers.inputs)


def _delivering(buffers: Buffers, shapes: Shapes, run: Callable[[], Sequence[Array]]) -> Step:
    """A step that puts what *run* returns where it belongs."""

    def step() -> None:
        for i, (value, shape) in enumerate(zip(run(), shapes, strict=True)):
            if shape is None:
                buffers.emit(i, value.copy())
            else:
                np.copyto(np.asarray(buffers.outputs[i]), value.reshape(shape))

    return step
