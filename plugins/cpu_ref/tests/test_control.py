# SPDX-License-Identifier: Apache-2.0
"""Subgraphs, variables and hash tables: whole models, run several times, compared with LiteRT run as often."""

import numpy as np
import pytest
import sodalite
from sodalite.build import Builder
from sodalite.errors import KernelError, ShapeError, SodaliteError
from sodalite_testkit.oracle import missing, oracle


def runs(content, *feeds, resolver="opt"):
    """Outputs of each run of one interpreter; LiteRT's, run by run, are the same."""
    run = sodalite.Interpreter(model_content=content)
    ours = []
    for arrays in feeds:
        for detail, array in zip(run.get_input_details(), arrays, strict=True):
            if tuple(detail["shape"]) != np.shape(array):
                run.resize_tensor_input(detail["index"], np.shape(array))
                run.allocate_tensors()
        if not ours:
            run.allocate_tensors()
        for detail, array in zip(run.get_input_details(), arrays, strict=True):
            run.set_tensor(detail["index"], array)
        run.invoke()
        ours.append([run.get_tensor(d["index"]) for d in run.get_output_details()])
    if missing() is None and resolver:
        answer = oracle().ask_runs(content, feeds, resolver)
        assert answer.kind == "ok", answer.text
        for got, want in zip(ours, answer.runs, strict=True):
            for a, b in zip(got, want, strict=True):
                np.testing.assert_array_equal(a, b)
    return ours


def f32(*values):
    return np.array(values, np.float32)


def branches(g, shapes=((2,), (2,))):
    """Two subgraphs of one input: x + 1, and x tiled or doubled, of these output shapes."""
    made = []
    for name, shape in zip(("then", "else"), shapes, strict=True):
        sub = g.subgraph(name)
        x = sub.input("x", (2,), "float32")
        if shape == (2,):
            one = sub.constant("one", f32(1.0 if name == "then" else 10.0))
            y = sub.op("ADD", [x, one], [("y", shape, "float32")])
        else:
            y = sub.op("TILE", [x, sub.constant("n", np.int32([2]))], [("y", shape, "float32")])
        sub.output(y)
        made.append(sub)
    return made


def if_model(shapes=((2,), (2,))):
    g = Builder("if")
    c, x = g.input("c", (1,), "bool"), g.input("x", (2,), "float32")
    then, other = branches(g, shapes)
    y = g.op("IF", [c, x], [("y", (2,), "float32")], then_subgraph_index=then, else_subgraph_index=other)
    g.output(g.op("MUL", [y, g.constant("two", f32(2))], [("z", (2,), "float32")]))
    return g.finish()


@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2,), (4,))])
def test_if_runs_one_of_two(shapes):
    """What follows is prepared while running if the shapes differ."""
    yes, no = np.array([True]), np.array([False])
    first, second, third = runs(if_model(shapes), *[[c, f32(1, 2)] for c in (yes, no, yes)])
    assert first[0].tolist() == third[0].tolist() == [4, 6]
    assert second[0].tolist() == ([22, 24] if shapes[1] == (2,) else [2, 4, 2, 4])


def while_model(*, grow=False, op="WHILE"):
    g = Builder("while")
    n, x = g.input("n", (1,), "int32"), g.input("x", (2,), "float32")
    cond = g.subgraph("cond")
    i, _ = cond.input("n", (1,), "int32"), cond.input("x", (2,), "float32")
    cond.output(cond.op("GREATER", [i, cond.constant("zero", np.int32([0]))], [("go", (1,), "bool")]))
    body = g.subgraph("body")
    i, v = body.input("n", (1,), "int32"), body.input("x", (2,), "float32")
    less = body.op("SUB", [i, body.constant("one", np.int32([1]))], [("less", (1,), "int32")])
    if grow:
        more = body.op("CONCATENATION", [v, body.constant("tail", f32(7))], [("more", (3,), "float32")], axis=0)
    else:
        more = body.op("ADD", [v, v], [("more", (2,), "float32")])
    body.output(less, more)
    outs = g.op(op, [n, x], [("m", (1,), "int32"), ("y", (2,), "float32")], cond_subgraph_index=cond, body_subgraph_index=body)
    g.output(*outs)
    return g.finish()


def test_while_runs_as_often_as_its_condition_says():
    """Not at all, once, five times."""
    none, one, five = runs(while_model(), *[[np.int32([n]), f32(1, -3)] for n in (0, 1, 5)])
    assert none[1].tolist() == [1, -3]
    assert one[1].tolist() == [2, -6]
    assert five[0].tolist() == [0]
    assert five[1].tolist() == [32, -96]


def test_stablehlo_while_is_the_same_loop():
    """LiteRT registers no kernel for it: compared with WHILE."""
    feeds = [[np.int32([n]), f32(1, -3)] for n in (0, 5)]
    for got, want in zip(runs(while_model(op="STABLEHLO_WHILE"), *feeds, resolver=""), runs(while_model(), *feeds), strict=True):
        assert [a.tolist() for a in got] == [a.tolist() for a in want]


@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2,), (4,))])
def test_call_is_its_subgraph(shapes):
    """LiteRT registers no kernel for it: worked out by hand."""
    g = Builder("call")
    x = g.input("x", (2,), "float32")
    sub = branches(g, shapes)[1]
    g.output(g.op("CALL", [x], [("y", shapes[1], "float32")], subgraph=sub))
    first, second = runs(g.finish(), [f32(1, 2)], [f32(-1, 5)], resolver="")
    assert first[0].tolist() == ([11, 12] if shapes[1] == (2,) else [1, 2, 1, 2])
    assert second[0].tolist() == ([9, 15] if shapes[1] == (2,) else [-1, 5, -1, 5])


def test_while_may_grow_its_values():
    """Each turn has another shape."""
    none, three = runs(while_model(grow=True), *[[np.int32([n]), f32(1, 2)] for n in (0, 3)])
    assert none[1].tolist() == [1, 2]
    assert three[1].tolist() == [1, 2, 7, 7, 7]


def test_while_may_swap_its_values():
    """Outputs of the body that are its inputs, in another order."""
    g = Builder("swap")
    n, a, b = g.input("n", (1,), "int32"), g.input("a", (2,), "float32"), g.input("b", (2,), "float32")
    cond, body = g.subgraph("cond"), g.subgraph("body")
    i = cond.input("n", (1,), "int32")
    for name in "ab":
        cond.input(name, (2,), "float32")
    cond.output(cond.op("GREATER", [i, cond.constant("zero", np.int32([0]))], [("go", (1,), "bool")]))
    i, p, q = body.input("n", (1,), "int32"), body.input("a", (2,), "float32"), body.input("b", (2,), "float32")
    less = body.op("SUB", [i, body.constant("one", np.int32([1]))], [("less", (1,), "int32")])
    body.output(less, q, p)
    outs = [("m", (1,), "int32"), ("c", (2,), "float32"), ("d", (2,), "float32")]
    g.output(*g.op("WHILE", [n, a, b], outs, cond_subgraph_index=cond, body_subgraph_index=body))
    odd, even = runs(g.finish(), *[[np.int32([k]), f32(1, 2), f32(3, 4)] for k in (3, 2)], resolver="")
    assert [o.tolist() for o in odd[1:]] == [[3, 4], [1, 2]]
    assert [o.tolist() for o in even[1:]] == [[1, 2], [3, 4]]


def test_loops_inside_loops():
    """sum of i for i = n ... 1, the inner sum by another loop."""
    g = Builder("nested")
    n = g.input("n", (1,), "int32")
    s = g.constant("s", np.int32([0]))

    def positive(name):
        sub = g.subgraph(name)
        i, _ = sub.input("i", (1,), "int32"), sub.input("t", (1,), "int32")
        sub.output(sub.op("GREATER", [i, sub.constant("zero", np.int32([0]))], [("go", (1,), "bool")]))
        return sub

    def stepping(name, inner=None):
        sub = g.subgraph(name)
        i, t = sub.input("i", (1,), "int32"), sub.input("t", (1,), "int32")
        one = sub.constant("one", np.int32([1]))
        if inner is None:
            total = sub.op("ADD", [t, one], [("total", (1,), "int32")])
        else:
            named = [("rest", (1,), "int32"), ("total", (1,), "int32")]
            _, total = sub.op("WHILE", [i, t], named, cond_subgraph_index=inner[0], body_subgraph_index=inner[1])
        sub.output(sub.op("SUB", [i, one], [("less", (1,), "int32")]), total)
        return sub

    inner = positive("inner cond"), stepping("inner body")
    outer = positive("outer cond"), stepping("outer body", inner)
    named = [("rest", (1,), "int32"), ("total", (1,), "int32")]
    _, total = g.op("WHILE", [n, s], named, cond_subgraph_index=outer[0], body_subgraph_index=outer[1])
    g.output(total)
    ten, none = runs(g.finish(), [np.int32([4])], [np.int32([0])])
    assert ten[0].tolist() == [10]
    assert none[0].tolist() == [0]


def test_composite_and_case_run_their_subgraphs():
    g = Builder("composite")
    c, x = g.input("c", (), "int32"), g.input("x", (2,), "float32")
    then, other = branches(g)
    y = g.op("STABLEHLO_COMPOSITE", [x], [("y", (2,), "float32")], name="my.add", decomposition_subgraph_index=then, composite_attributes={"n": 1})
    z = g.op("STABLEHLO_CASE", [c, x], [("z", (2,), "float32")], branch_subgraph_indices=[then, other])
    g.output(y, z)
    for index, want in ((0, [2, 3]), (1, [11, 12]), (7, [11, 12]), (-1, [11, 12])):
        (made,) = runs(g.finish(), [np.int32(index), f32(1, 2)], resolver="opt" if 0 <= index < 2 else "")
        assert made[0].tolist() == [2, 3]
        assert made[1].tolist() == want


def variables_model(*, static):
    """y = v, then v = v + x; v starts as 5, set by CALL_ONCE."""
    g = Builder("variables")
    x = g.input("x", (2,), "float32")
    init = g.subgraph("init")
    h = init.op("VAR_HANDLE", [], [("h", (), "resource")], container="c", shared_name="v")
    init.op("ASSIGN_VARIABLE", [h, init.constant("five", f32(5, 5))], [])
    g.op("CALL_ONCE", [], [], init_subgraph_index=init)
    h = g.op("VAR_HANDLE", [], [("h", (), "resource")], container="c", shared_name="v")
    v = g.op("READ_VARIABLE", [h], [("v", (2,) if static else (), "float32")])
    total = g.op("ADD", [v, x], [("total", (2,), "float32")])
    g.op("ASSIGN_VARIABLE", [h, total], [])
    g.output(g.op("MUL", [v, g.constant("one", f32(1))], [("y", (2,), "float32")]))
    return g.finish()


@pytest.mark.parametrize("static", [True, False])
def test_variables_keep_their_values_between_runs(static):
    made = runs(variables_model(static=static), *[[f32(1, 10)] for _ in range(3)])
    assert [m[0].tolist() for m in made] == [[5, 5], [6, 15], [7, 25]]


def test_a_variable_that_was_never_assigned():
    g = Builder("unset")
    h = g.op("VAR_HANDLE", [], [("h", (), "resource")], shared_name="v")
    g.output(g.op("READ_VARIABLE", [h], [("v", (2,), "float32")]))
    with pytest.raises(KernelError, match='"h" is read before anything was assigned to it'):
        runs(g.finish(), [], resolver="")


@pytest.mark.parametrize(("value", "words"), [(np.int32([1, 2]), "holds int32"), (f32(1, 2, 3), r"holds shape \(3,\)")])
def test_a_variable_of_another_type_or_shape(value, words):
    g = Builder("other")
    h = g.op("VAR_HANDLE", [], [("h", (), "resource")], shared_name="v")
    g.op("ASSIGN_VARIABLE", [h, g.constant("value", value)], [])
    g.output(g.op("READ_VARIABLE", [h], [("v", (2,), "float32")]))
    with pytest.raises(KernelError, match=words):
        runs(g.finish(), [], resolver="")


def table_model(keys, values, default, *, fill=True):
    g = Builder("table")
    kinds = ("int64", "string") if isinstance(keys[0], int) else ("string", "int64")
    x = g.input("x", (3,), kinds[0])
    if fill:
        init = g.subgraph("init")
        h = init.op("HASHTABLE", [], [("h", (1,), "resource")], table_id=3, key_dtype=kinds[0], value_dtype=kinds[1])
        given = [init.constant(n, v, d) for n, v, d in (("k", keys, kinds[0]), ("v", values, kinds[1]))]
        init.op("HASHTABLE_IMPORT", [h, *given], [])
        g.op("CALL_ONCE", [], [], init_subgraph_index=init)
    h = g.op("HASHTABLE", [], [("h", (1,), "resource")], table_id=3, key_dtype=kinds[0], value_dtype=kinds[1])
    y = g.op("HASHTABLE_FIND", [h, x, g.constant("default", default, kinds[1])], [("y", (3,), kinds[1])])
    g.output(y, g.op("HASHTABLE_SIZE", [h], [("n", (1,), "int64")]))
    return g.finish()


def test_tables_find_what_was_imported():
    """Both kinds; a key that comes twice keeps its first value."""
    model = table_model([1, 2, 1], [b"one", b"two", b"uno"], [b"?"])
    (made,) = runs(model, [np.int64([2, 1, 9])])
    assert made[0].tolist() == [b"two", b"one", b"?"]
    assert made[1].tolist() == [2]
    model = table_model([b"a", b"bb"], [10, 20], [-1])
    first, second = runs(model, [np.array([b"bb", b"a", b""], object)], [np.array([b"a", b"x", b"bb"], object)])
    assert first[0].tolist() == [20, 10, -1]
    assert second[0].tolist() == [10, -1, 20]


def test_a_table_that_was_never_filled():
    with pytest.raises(KernelError, match="used before it was filled"):
        runs(table_model([1], [b"one"], [b"?"], fill=False), [np.int64([2, 1, 9])], resolver="")


def test_subgraphs_that_do_not_fit():
    """Number of inputs, types, a condition that is not bool: errors that say which."""
    g = Builder("bad")
    x = g.input("x", (2,), "float32")
    then, _ = branches(g)
    y = g.op("WHILE", [x], [("y", (2,), "float32")], cond_subgraph_index=then, body_subgraph_index=then)
    g.output(y)
    with pytest.raises(ShapeError, match="condition must have one output, bool"):
        runs(g.finish(), [f32(1, 2)], resolver="")
    g = Builder("bad")
    x = g.input("x", (2,), "int32")
    then, _ = branches(g)
    g.output(g.op("STABLEHLO_COMPOSITE", [x], [("y", (2,), "int32")], decomposition_subgraph_index=then))
    with pytest.raises(SodaliteError, match="is int32"):
        runs(g.finish(), [np.int32([1, 2])], resolver="")
