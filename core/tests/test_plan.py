"""Plans: order, memory, aliases, variables, effects, known values, dynamic outputs, limits, observing."""

from __future__ import annotations

import random

import numpy as np
import pytest
from core_graphs import Rows, feed, plugin, runner
from core_kernels import basic
from sodalite.errors import KernelError, PluginError, ShapeError
from sodalite.kernel import Buffers, KernelSet, Limits, NodeSpec, Prepared

OPS = {"ADD": 2, "MUL": 2, "NEG": 1, "VIEW": 1, "INPLACE_NEG": 1, "SCRATCHED": 1}


def random_rows(seed: int, nodes: int = 25) -> tuple[Rows, list[str]]:
    """A random graph over OPS: any earlier tensor may be read, so lifetimes overlap in every way."""
    rng = random.Random(seed)
    rows = Rows()
    names = [rows.tensor("x"), rows.tensor("y"), rows.constant("c", np.arange(4, dtype=np.float32))]
    for k in range(nodes):
        op = rng.choice(list(OPS))
        rows.op(op, [rng.choice(names[-6:] if rng.random() < 0.8 else names) for _ in range(OPS[op])], [f"t{k}"])
        names.append(f"t{k}")
    return rows, names


def by_hand(rows: Rows, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of a random graph, computed without any of what is under test."""
    found = dict(values)
    name_of = {v: k for k, v in rows.names.items()}
    for node in rows.nodes:
        args = [found[name_of[i]] for i in node.inputs]
        f = {
            "ADD": lambda a, b: a + b,
            "MUL": lambda a, b: a * b,
            "NEG": lambda a: -a,
            "INPLACE_NEG": lambda a: -a,
            "VIEW": lambda a: a,
            "SCRATCHED": lambda a: a * 2,
        }[node.op]
        with np.errstate(all="ignore"):
            found[name_of[node.outputs[0]]] = np.asarray(f(*args), np.float32)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_right_whatever_memory_is_reused(seed):
    """Outputs equal a computation without reuse, with checks on, off, and with every tensor kept."""
    rows, names = random_rows(seed)
    rng = random.Random(seed)
    outputs = sorted({names[-1], *rng.sample(names[3:], 3)}, key=names.index)
    graph = rows.graph(["x", "y"], outputs)
    x, y = np.float32([1, -2, 0.5, 3]), np.float32([0.25, 1, -1, 2])
    wanted = by_hand(rows, {"x": x, "y": y, "c": np.arange(4, dtype=np.float32)})
    for how in ({}, {"check": True}, {"keep_all": True}):
        run = runner(graph, [plugin(basic())], **how)
        for _ in range(2):
            for name, got in zip(outputs, feed(run, [x, y]), strict=True):
                np.testing.assert_array_equal(got, wanted[name], err_msg=f"{name} {how}")
    for name, index in rows.names.items():
        np.testing.assert_array_equal(run.value(index), wanted[name])


@pytest.mark.parametrize("seed", range(20))
def test_a_tensor_can_be_read_after_the_run_or_says_it_cannot(seed):
    """value() of any intermediate is right, or raises because its memory was used again; never stale."""
    rows, names = random_rows(seed)
    run = runner(rows.graph(["x", "y"], [names[-1]]), [plugin(basic())])
    x, y = np.float32([1, -2, 0.5, 3]), np.float32([0.25, 1, -1, 2])
    feed(run, [x, y])
    wanted = by_hand(rows, {"x": x, "y": y, "c": np.arange(4, dtype=np.float32)})
    for name, index in rows.names.items():
        try:
            np.testing.assert_array_equal(run.value(index), wanted[name], err_msg=name)
        except KernelError as error:
            assert "used again" in str(error) and name in str(error)


def chain(length: int) -> Rows:
    rows = Rows()
    rows.tensor("t0", (1000,))
    for k in range(length):
        rows.op("NEG", [f"t{k}"], [f"t{k + 1}"], shape=(1000,))
    return rows


def test_a_chain_takes_the_memory_of_three_tensors():
    """The input stays; intermediates and the output take turns in two more places."""
    run = runner(chain(10).graph(["t0"], ["t10"]), [plugin(basic())], allocate=False)
    assert run.memory().arena == 3 * 4032
    assert not run.allocated


def test_an_alias_costs_nothing():
    rows = Rows()
    rows.tensor("x", (1000,))
    rows.op("NEG", ["x"], ["a"], shape=(1000,))
    rows.op("VIEW", ["a"], ["b"], shape=(1000,))
    rows.op("NEG", ["b"], ["y"], shape=(1000,))
    run = runner(rows.graph(["x"], ["y"]), [plugin(basic())])
    assert run.memory().arena == 3 * 4032
    np.testing.assert_array_equal(feed(run, [np.ones(1000, np.float32)])[0], 1)


@pytest.mark.parametrize("read_later", [True, False])
def test_no_alias_where_the_input_lives_on(read_later):
    """x is a graph input, a is read again: neither may be overwritten in place."""
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["a"])
    rows.op("INPLACE_NEG", ["a"], ["b"])
    rows.op("INPLACE_NEG", ["x"], ["c"])
    if read_later:
        rows.op("ADD", ["a", "b"], ["z"])
    run = runner(rows.graph(["x"], ["b", "c", "z"] if read_later else ["a", "b", "c"]), [plugin(basic())])
    one = np.ones(4, np.float32)
    got = feed(run, [one])
    np.testing.assert_array_equal(np.stack(got), [one, -one, 0 * one] if read_later else [-one, one, -one])
    np.testing.assert_array_equal(run.input(rows.names["x"]), one)


def test_no_alias_of_a_tensor_that_its_step_reads_twice():
    """out = 10 a, then out += b: with a and b one tensor, out over a would change b."""
    kernels = basic()

    @kernels.prepare("SUM_LATER")
    def sum_later(node: NodeSpec) -> Prepared:
        def bind(b: Buffers):
            def step() -> None:
                np.multiply(b.inputs[0], 10, out=b.outputs[0])
                np.add(b.outputs[0], b.inputs[1], out=b.outputs[0])

            return step

        return Prepared((node.inputs[0].shape,), bind, alias={0: 0})

    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["a"])
    rows.op("SUM_LATER", ["a", "a"], ["b"])
    rows.op("NEG", ["b"], ["y"])
    run = runner(rows.graph(["x"], ["y"]), [plugin(kernels)])
    assert feed(run, [1])[0].tolist() == [11] * 4


def test_variables_keep_their_value_between_runs_and_reset():
    rows = Rows()
    rows.tensor("x")
    rows.tensor("state", variable=True)
    rows.op("COUNT", ["state", "x"], ["y"], writes=frozenset({0}))
    run = runner(rows.graph(["x"], ["y"]), [plugin(basic())])
    one = np.ones(4, np.float32)
    assert [feed(run, [one])[0][0] for _ in range(3)] == [1, 2, 3]
    run.reset_variables()
    assert feed(run, [one])[0][0] == 1
    assert run.value(rows.names["state"])[0] == 1
    assert run.memory().variables == 16


def test_effects_keep_the_order_of_the_file():
    rows = Rows()
    rows.tensor("x")
    for k in range(5):
        rows.op("LOG_EFFECT", ["x"], [f"e{k}"])
    run = runner(rows.graph(["x"], ["e4"]), [plugin(basic())])
    feed(run, [0])
    assert run._state["log"] == [f"e{k}" for k in range(5)]


def test_known_values_are_computed_once_and_follow_a_resize():
    """SIZE is known when shapes are; what hangs on it is folded, and is not kept for another shape."""
    rows = Rows()
    rows.tensor("x", (4,))
    rows.op("SIZE", ["x"], ["n"], shape=(1,))
    rows.op("ADD", ["n", "n"], ["two"], shape=(1,))
    run = runner(rows.graph(["x"], ["two"]), [plugin(basic())])
    assert feed(run, [0])[0][0] == 8
    assert {r.op: r.kind for r in run.explain().rows} == {"SIZE": "folded", "ADD": "folded"}
    run.resize(rows.names["x"], (6,))
    run.allocate()
    assert feed(run, [0])[0][0] == 12
    run.resize(rows.names["x"], (4,))
    run.allocate()
    assert feed(run, [0])[0][0] == 8


def test_a_constant_is_folded_once_a_model():
    rows = Rows()
    rows.tensor("x")
    rows.constant("c", np.float32([1, 2, 3, 4]))
    calls = []
    kernels = KernelSet()

    @kernels.add("TWICE")
    def twice(a, out):
        calls.append(1)
        np.multiply(a, 2, out=out)

    @kernels.add("ADD")
    def add(a, b, out):
        np.add(a, b, out=out)

    rows.op("TWICE", ["c"], ["d"])
    rows.op("ADD", ["x", "d"], ["y"])
    run = runner(rows.graph(["x"], ["y"]), [plugin(kernels)])
    assert feed(run, [1])[0].tolist() == [3, 5, 7, 9]
    run.resize(0, (4,))
    run.allocate()
    feed(run, [1])
    assert len(calls) == 1


def dynamic() -> Rows:
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["a"])
    rows.op("NONZERO", ["a"], ["d"], shape=None)
    rows.op("NEG", ["d"], ["e"], shape=None)
    rows.op("NEG", ["a"], ["f"])
    rows.op("NONZERO", ["e"], ["g"], shape=None)
    rows.op("NEG", ["g"], ["h"], shape=None)
    return rows


@pytest.mark.parametrize("check", [True, False])
def test_a_dynamic_output_cuts_the_plan(check):
    """What follows is prepared for each shape at hand, kept, and reads what was computed before the cut."""
    rows = dynamic()
    run = runner(rows.graph(["x"], ["e", "f", "h", "d"]), [plugin(basic())], check=check)
    assert run.memory().unplanned
    for x in ([1, 0, 2, 0], [1, 2, 3, 4], [0, 0, 0, 0], [1, 0, 2, 0], [5, 0, 6, 0]):
        x = np.float32(x)
        nz = x[x != 0]
        e, f, h, d = feed(run, [x])
        for got, wanted in ((e, nz), (f, x), (h, -nz), (d, -nz)):
            np.testing.assert_array_equal(got, wanted)
    assert run.shape(rows.names["h"]) == (2,)
    assert all(r.kind == "kernel" for r in run.explain().rows)


def test_prepared_continuations_are_bounded():
    rows = Rows()
    rows.tensor("x", (30,))
    rows.op("NONZERO", ["x"], ["d"], shape=None)
    rows.op("NEG", ["d"], ["e"], shape=None)
    run = runner(rows.graph(["x"], ["e"]), [plugin(basic())])
    for n in range(30):
        x = np.zeros(30, np.float32)
        x[:n] = 1
        assert feed(run, [x])[0].shape == (n,)
    assert len(run._plan._tails) == 8


def test_plans_by_input_shape_are_kept_and_bounded():
    rows = chain(2)
    run = runner(rows.graph(["t0"], ["t2"]), [plugin(basic())])
    first = run._plan
    for n in (*range(1, 8), 1000):
        run.resize(0, (n,))
        assert not run.allocated
        run.allocate()
        assert feed(run, [np.ones(n)])[0].shape == (n,)
    assert run._plan is first
    assert len(run._plans) == 8


def test_observing_changes_nothing():
    """Each step is seen once, in order, with its outputs; the bits are the same."""
    rows, names = random_rows(3)
    run = runner(rows.graph(["x", "y"], [names[-1]]), [plugin(basic())])
    plain = feed(run, [1.5, -2])
    seen = []
    run.run(lambda choice, outputs, ns: seen.append((choice.index, outputs[0].copy(), ns)))
    np.testing.assert_array_equal(run.value(rows.names[names[-1]]), plain[0])
    assert [s[0] for s in seen] == [n.index for n in rows.nodes if run.explain().rows[n.index].kind == "kernel"]
    assert all(ns >= 0 for *_, ns in seen)


def test_limits_name_the_node():
    rows = Rows()
    rows.tensor("x", (1000,))
    rows.op("NEG", ["x"], ["big"], shape=(1000,))
    graph = rows.graph(["x"], ["big"])
    with pytest.raises(KernelError, match=r'node 0 NEG "big": output "big" \[1000\] float32 takes 4,000 bytes'):
        runner(graph, [plugin(basic())], limits=Limits(memory=3999))
    with pytest.raises(KernelError, match="the plan takes 8,064 bytes"):
        runner(graph, [plugin(basic())], limits=Limits(memory=5000))
    run = runner(graph, [plugin(basic())], limits=Limits(seconds=0))
    with pytest.raises(KernelError, match=r'node 0 NEG "big": over the time limit'):
        run.run()


def test_petabytes_are_refused_at_once():
    rows = Rows()
    rows.tensor("x", (1 << 20, 1 << 30))
    rows.op("NEG", ["x"], ["y"], shape=(1 << 20, 1 << 30))
    with pytest.raises(KernelError, match=r"4,503,599,627,370,496 bytes"):
        runner(rows.graph(["x"], ["y"]), [plugin(basic())])


def one_node(prepare, **settings):
    kernels = KernelSet()
    kernels.register("OP", prepare)
    rows = Rows()
    rows.tensor("x")
    rows.op("OP", ["x"], ["y"])
    return runner(rows.graph(["x"], ["y"]), [plugin(kernels, name="mine")], **settings)


def test_a_kernel_that_raises_is_named_and_the_interpreter_lives():
    fail = [True]

    def prepare(node: NodeSpec) -> Prepared:
        def bind(b: Buffers):
            def step() -> None:
                if fail[0]:
                    raise IndexError("boom")
                b.outputs[0][...] = 7

            return step

        return Prepared(((4,),), bind)

    run = one_node(prepare)
    with pytest.raises(KernelError, match=r"""node 0 OP "y": kernel of 'mine' failed: IndexError: boom""") as caught:
        run.run()
    assert isinstance(caught.value.__cause__, IndexError)
    fail[0] = False
    assert feed(run, [0])[0].tolist() == [7] * 4


@pytest.mark.parametrize("raised", [SystemExit(3), RecursionError("deep")])
def test_even_sys_exit_in_a_plugin_is_an_error(raised):
    def prepare(node: NodeSpec) -> Prepared:
        raise raised

    with pytest.raises(PluginError, match=r'node 0 OP "y": plugin .mine. .*failed to prepare'):
        one_node(prepare)


def test_ctrl_c_passes_through():
    def interrupt() -> None:
        raise KeyboardInterrupt

    run = one_node(lambda node: Prepared(((4,),), lambda b: interrupt))
    with pytest.raises(KeyboardInterrupt):
        run.run()
    with pytest.raises(KeyboardInterrupt):
        run.run(observe=lambda *_: None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "returned NoneType from prepare"),
        (Prepared((), lambda b: print), "prepared 0 outputs, the node has 1"),
        (Prepared(((4.0,),), lambda b: print), "every dimension must be an int"),
        (Prepared(((-1,),), lambda b: print), "every dimension must be an int"),
        (Prepared(((4,),), lambda b: print, writes=frozenset({0})), "not a variable"),
        (Prepared(((4,),), lambda b: print, alias={0: 3}), "no such pair"),
    ],
)
def test_a_wrong_answer_of_prepare_names_the_plugin(answer, said):
    with pytest.raises(PluginError, match=rf"""node 0 OP "y": plugin 'mine' .*{said}"""):
        one_node(lambda node: answer)


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.zeros(4, np.float64), r"delivered float64 \[4\] as output 0, prepared float32"), (np.zeros(5, np.float32), r"delivered float32 \[5\] as output 0, prepared float32 \[4\]")],
)
def test_what_a_step_delivers_is_checked(value, said):
    with pytest.raises(KernelError, match=said):
        one_node(lambda node: Prepared(((4,),), lambda b: lambda: b.emit(0, value))).run()


def test_an_output_never_delivered_is_an_error():
    with pytest.raises(KernelError, match="did not deliver output 0"):
        one_node(lambda node: Prepared((None,), lambda b: lambda: None)).run()
    once = [np.zeros(3, np.float32)]
    run = one_node(lambda node: Prepared((None,), lambda b: lambda: b.emit(0, once.pop()) if once else None))
    run.run()
    with pytest.raises(KernelError, match="did not deliver output 0"):
        run.run()


def test_check_mode_finds_who_wrote_where_it_must_not():
    def arena_of(array):
        """The bytes that hold *array*, and where it starts in them."""
        arena = array
        while arena.base is not None:
            arena = arena.base
        return arena, array.ctypes.data - arena.ctypes.data

    def writes_input(node: NodeSpec) -> Prepared:
        def bind(b: Buffers):
            arena, start = arena_of(b.inputs[0])

            def step() -> None:
                arena[start] ^= 1
                b.outputs[0][...] = 0

            return step

        return Prepared(((4,),), bind)

    def writes_past(node: NodeSpec) -> Prepared:
        def bind(b: Buffers):
            arena, start = arena_of(b.outputs[0])

            def step() -> None:
                b.outputs[0][...] = 0
                arena[start + b.outputs[0].nbytes] ^= 1

            return step

        return Prepared(((4,),), bind)

    with pytest.raises(KernelError, match=r"""'mine' wrote its input 0"""):
        one_node(writes_input, check=True).run()
    with pytest.raises(KernelError, match=r"""'mine' wrote outside its buffers"""):
        one_node(writes_past, check=True).run()


def test_inputs_are_read_only_for_kernels():
    def prepare(node: NodeSpec) -> Prepared:
        return Prepared(((4,),), lambda b: lambda: np.copyto(b.inputs[0], 0))

    with pytest.raises(KernelError, match="read-only"):
        one_node(prepare).run()


def test_only_inputs_can_be_resized():
    run = runner(chain(2).graph(["t0"], ["t2"]), [plugin(basic())])
    with pytest.raises(ShapeError, match='"t1" is not an input'):
        run.resize(1, (3,))
    with pytest.raises(ShapeError, match="rank 300"):
        run.resize(0, (1,) * 300)


def test_running_before_allocating_says_what_to_do():
    with pytest.raises(KernelError, match="allocate_tensors"):
        runner(chain(2).graph(["t0"], ["t2"]), [plugin(basic())], allocate=False).run()


def test_packed_weights_are_made_once_a_model():
    made = []

    def prepare(node: NodeSpec) -> Prepared:
        def bind(b: Buffers):
            w = node.packed("w", lambda: made.append(1) or np.float32(3))
            return lambda: np.multiply(b.inputs[0], w, out=b.outputs[0])

        return Prepared((node.inputs[0].shape,), bind, packed=4)

    run = one_node(prepare)
    assert run.memory().packed == 4
    run.resize(0, (9,))
    run.allocate()
    assert feed(run, [2])[0].tolist() == [6] * 9
    assert len(made) == 1
