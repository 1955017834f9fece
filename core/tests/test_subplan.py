"""Subgraphs as callables: loops, branches, state shared, limits; strings and resources."""

from __future__ import annotations

import numpy as np
import pytest
from core_graphs import Rows, feed, plugin, runner
from core_kernels import basic
from sodalite.errors import KernelError, ShapeError
from sodalite.kernel import Buffers, Limits, NodeSpec, Prepared, Step


def kernels():
    """basic() with a WHILE, LESS, JOIN (strings) and a resource."""
    made = basic()

    @made.prepare("WHILE")
    def loop(node: NodeSpec) -> Prepared:
        shapes = tuple(t.shape for t in node.inputs)
        cond, body = node.subplan(0), node.subplan(1)
        steady = body.shapes(*shapes) == shapes

        def bind(buffers: Buffers) -> Step:
            def step() -> None:
                values = [a.copy() for a in buffers.inputs]
                while cond(*values)[0].item():
                    values = [v.copy() for v in body(*values)]
                for i, value in enumerate(values):
                    buffers.emit(i, value)

            return step

        return Prepared(shapes if steady else (None,) * len(shapes), bind)

    made.add("LESS_TEN", shape=lambda x: ())(lambda x, out: out.__setitem__((), x.flat[0] < 10))

    @made.prepare("DOUBLE_LENGTH")
    def double_length(node: NodeSpec) -> Prepared:
        (n,) = node.inputs[0].shape
        return Prepared(((2 * n,),), lambda b: lambda: np.concatenate([b.inputs[0]] * 2, out=b.outputs[0]))

    @made.prepare("UPPER")
    def upper(node: NodeSpec) -> Prepared:
        def bind(b: Buffers) -> Step:
            return lambda: b.emit(0, np.array([s.upper() for s in b.inputs[0].flat], object).reshape(b.inputs[0].shape))

        return Prepared((node.inputs[0].shape,), bind)

    @made.prepare("VAR")
    def var(node: NodeSpec) -> Prepared:
        return Prepared(((),), lambda b: lambda: b.outputs[0].__setitem__((), "v"), effects=True)

    @made.prepare("READ_ADD")
    def read_add(node: NodeSpec) -> Prepared:
        def bind(b: Buffers) -> Step:
            def step() -> None:
                key = b.inputs[0][()]
                node.state[key] = node.state.get(key, 0) + float(b.inputs[1].flat[0])
                b.outputs[0][...] = node.state[key]

            return step

        return Prepared((node.inputs[1].shape,), bind, effects=True)

    return made


def loops(body) -> list:
    """main: WHILE(x[0] < 10) body(x)."""
    main, cond, inner = Rows(0), Rows(1), Rows(2)
    main.tensor("x", (1,))
    main.op("WHILE", ["x"], ["y"], shape=(1,), subgraphs=(1, 2))
    cond.tensor("x", (1,))
    cond.tensor("go", (), "bool")
    cond.op("LESS_TEN", ["x"], ["go"])
    inner.tensor("x", (1,))
    inner.constant("three", np.float32([3]))
    outputs = body(inner)
    return [main.graph(["x"], ["y"]), cond.graph(["x"], ["go"]), inner.graph(["x"], outputs)]


def add_three(inner: Rows) -> list[str]:
    inner.op("ADD", ["x", "three"], ["next"], shape=(1,))
    return ["next"]


def test_a_loop_runs_until_its_condition_fails():
    run = runner(loops(add_three), [plugin(kernels())])
    assert feed(run, [[0]])[0].tolist() == [12]
    assert feed(run, [[11]])[0].tolist() == [11]
    assert run.memory().unplanned


def test_a_loop_whose_shapes_grow_is_prepared_as_it_runs():
    """The body adds three and doubles the length: from 1 to 10 takes three turns."""

    def grow(inner: Rows) -> list[str]:
        inner.op("ADD", ["x", "three"], ["next"], shape=None)
        inner.op("DOUBLE_LENGTH", ["next"], ["longer"], shape=None)
        return ["longer"]

    run = runner(loops(grow), [plugin(kernels())])
    (y,) = feed(run, [[1]])
    assert y.shape == (8,)
    assert y.tolist() == [10] * 8


@pytest.mark.parametrize(("turns", "fits"), [(4, True), (3, False)])
def test_a_limit_of_turns_names_the_loop(turns, fits):
    """From 0 in threes it takes four turns to reach 12."""
    run = runner(loops(add_three), [plugin(kernels())], limits=Limits(loop_turns=turns))
    if fits:
        assert feed(run, [[0]])[0].tolist() == [12]
        assert feed(run, [[0]])[0].tolist() == [12]
    else:
        with pytest.raises(KernelError, match=r'node 0 WHILE "y": over the limit of 3 loop turns'):
            feed(run, [[0]])


def test_a_limit_of_seconds_stops_an_endless_loop():
    def stay(inner: Rows) -> list[str]:
        return ["x"]

    run = runner(loops(stay), [plugin(kernels())], limits=Limits(seconds=0.2))
    with pytest.raises(KernelError, match=r"the time limit of 0.2 s"):
        feed(run, [[0]])


def test_outputs_that_are_inputs_come_as_copies():
    """A body that swaps its two values."""
    main, inner = Rows(0), Rows(1)
    main.tensor("a", (1,))
    main.tensor("b", (1,))
    main.op("CALL_TWICE", ["a", "b"], ["c", "d"], shape=(1,), subgraphs=(1,))
    inner.tensor("p", (1,))
    inner.tensor("q", (1,))
    made = kernels()

    @made.prepare("CALL_TWICE")
    def call(node: NodeSpec) -> Prepared:
        sub = node.subplan(0)

        def bind(b: Buffers) -> Step:
            def step() -> None:
                for out, value in zip(b.outputs, sub(*sub(*sub(*b.inputs))), strict=True):
                    out[...] = value

            return step

        return Prepared(((1,), (1,)), bind)

    run = runner([main.graph(["a", "b"], ["c", "d"]), inner.graph(["p", "q"], ["q", "p"])], [plugin(made)])
    assert [o.item() for o in feed(run, [[1], [2]])] == [2, 1]


def test_a_subgraph_called_with_the_wrong_number_or_type_is_an_error():
    graphs = loops(add_three)
    run = runner(graphs, [plugin(kernels())])
    sub = run._subplan(run.graph.nodes[0], 1)
    with pytest.raises(ShapeError, match="takes 1 inputs, got 2"):
        sub(np.zeros(1, np.float32), np.zeros(1, np.float32))
    with pytest.raises(ShapeError, match='subgraph input "x" is float32, got int32'):
        sub(np.zeros(1, np.int32))


def test_strings_pass_between_steps_and_out():
    rows = Rows()
    rows.tensor("x", (2,), "string")
    rows.tensor("u", (2,), "string")
    rows.tensor("v", (2,), "string")
    rows.op("UPPER", ["x"], ["u"])
    rows.op("UPPER", ["u"], ["v"])
    for check in (False, True):
        run = runner(rows.graph(["x"], ["v"]), [plugin(kernels())], check=check)
        assert feed(run, [[b"ab", "é".encode()]])[0].tolist() == [b"AB", "é".encode()]
        run.resize(0, (3,))
        run.allocate()
        assert feed(run, [[b"a", b"", b"c"]])[0].tolist() == [b"A", b"", b"C"]


def test_a_resource_is_a_key_into_the_interpreters_state():
    """Two reads of one variable keep the file's order; the state outlives runs and reallocation."""
    rows = Rows()
    rows.tensor("x", (1,))
    rows.tensor("handle", (), "resource")
    rows.op("VAR", [], ["handle"])
    rows.op("READ_ADD", ["handle", "x"], ["a"], shape=(1,))
    rows.op("READ_ADD", ["handle", "x"], ["b"], shape=(1,))
    run = runner(rows.graph(["x"], ["a", "b"]), [plugin(kernels())])
    assert [float(o[0]) for o in feed(run, [[2]])] == [2, 4]
    run.allocate()
    assert [float(o[0]) for o in feed(run, [[2]])] == [6, 8]
