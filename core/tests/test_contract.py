"""Fused kernels, delegates and joined steps on random graphs: the same numbers, whatever fails and whoever runs."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from contract_plugins import Flaky, Fused, Joined, on_run
from core_graphs import Rows, feed, plugin, runner
from core_kernels import basic
from sodalite.errors import DelegateError, DelegateWarning
from sodalite.kernel import Quality, Reason
from test_plan import by_hand, random_rows

X, Y = np.float32([1, -2, 0.5, 3]), np.float32([0.25, 1, -1, 2])
C = np.arange(4, dtype=np.float32)


def wanted_of(rows: Rows, outputs: list[str]) -> list[np.ndarray]:
    found = by_hand(rows, {"x": X, "y": Y, "c": C})
    return [found[o] for o in outputs]


def stateful(seed: int) -> tuple[Rows, list[str]]:
    """A random graph with a counter and effects in the middle of it."""
    rows, names = random_rows(seed, 10)
    rows.tensor("state", variable=True)
    rows.op("LOG_EFFECT", [names[-2]], ["logged"])
    rows.op("COUNT", ["state", "x"], ["count"], writes=frozenset({0}))
    rows.op("NEG", ["count"], ["negated"])
    rows.op("LOG_EFFECT", ["negated"], ["logged2"])
    rng = random.Random(seed)
    names = ["x", "y", "logged", "count", "logged2", names[-1]]
    for k in range(10):
        rows.op(op := rng.choice(["ADD", "MUL", "NEG"]), [rng.choice(names[-5:]) for _ in range(1 if op == "NEG" else 2)], [f"u{k}"])
        names.append(f"u{k}")
    return rows, names


def counted(rows: Rows, outputs: list[str], count: int) -> list[np.ndarray]:
    """The outputs on the count-th run."""
    values = {"x": X, "y": Y, "c": C}
    name_of = {v: k for k, v in rows.names.items()}
    with np.errstate(all="ignore"):
        for node in rows.nodes:
            args = [values.get(name_of[i]) for i in node.inputs]
            out = name_of[node.outputs[0]]
            if node.op == "COUNT":
                values[out] = np.float32(X * count)
            elif node.op == "LOG_EFFECT":
                values[out] = args[0]
            else:
                values[out] = {
                    "ADD": lambda a, b: a + b, "MUL": lambda a, b: a * b, "NEG": lambda a: -a, "VIEW": lambda a: a,
                    "INPLACE_NEG": lambda a: -a, "SCRATCHED": lambda a: a * 2,
                }[node.op](*args).astype(np.float32)  # fmt: skip
    return [values[o] for o in outputs]


@pytest.mark.parametrize("seed", range(60))
def test_a_delegate_on_random_graphs_computes_the_same(seed):
    rows, names = random_rows(seed)
    rng = random.Random(seed)
    outputs = [names[-1], names[-4]]
    flaky = Flaky(refused={n for n in range(25) if rng.random() < 0.4}, max_partitions=rng.choice([0, 2]), min_nodes=rng.choice([1, 2]))
    second = Flaky("second", refused={n for n in range(25) if rng.random() < 0.4})
    run = runner(rows.graph(["x", "y"], outputs), [plugin(basic())], delegates=(flaky, second), check=seed % 2 == 0)
    for _ in range(2):
        for got, want in zip(feed(run, [X, Y]), wanted_of(rows, outputs), strict=True):
            np.testing.assert_array_equal(got, want)
    owned = run.explain().owners
    assert sum(owned.values()) == 25
    if flaky.max_partitions:
        assert len(flaky.compiled) <= flaky.max_partitions
    assert all(len(g) >= flaky.min_nodes for g in flaky.compiled)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_a_delegate_that_fails_on_its_nth_run_loses_nothing(seed, lost):
    """Outputs complete, the variable advanced once a run, effects once and in order, one warning a partition."""
    rows, names = stateful(seed)
    outputs = [names[-1], "logged2", "count"]
    rng = random.Random(seed)
    fails_at = rng.randint(0, 6)
    flaky = Flaky(fails=on_run(fails_at, device_lost=lost), refused={n for n in range(25) if rng.random() < 0.3})
    run = runner(rows.graph(["x", "y"], outputs), [plugin(basic())], delegates=(flaky,), check=seed % 3 == 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(1, 5):
            for got, want in zip(feed(run, [X, Y]), counted(rows, outputs, k), strict=True):
                np.testing.assert_array_equal(got, want)
    failed = [str(w.message) for w in caught]
    assert all(w.category is DelegateWarning for w in caught)
    if flaky.runs > fails_at:
        assert failed
        assert "delegate 'flaky' failed while running: lost the plot on run" in failed[0]
        assert len(failed) == 1 if lost else len(failed) <= len(flaky.compiled)
    assert run._state["log"] == ["logged", "logged2"] * 4


@pytest.mark.parametrize("seed", range(10))
def test_nodes_with_state_are_not_even_offered_to_a_delegate(seed):
    """A delegate that takes all it is asked about gets neither the counter nor the effects."""
    rows, names = stateful(seed)
    greedy = Flaky(greedy=True)
    run = runner(rows.graph(["x", "y"], [names[-1], "logged2"]), [plugin(basic())], delegates=(greedy,))
    for k in range(1, 3):
        for got, want in zip(feed(run, [X, Y]), counted(rows, [names[-1], "logged2"], k), strict=True):
            np.testing.assert_array_equal(got, want)
    assert {r.op for r in run.explain().rows if r.kind == "kernel"} == {"COUNT", "LOG_EFFECT"}


def test_a_demoted_partition_stays_on_the_cpu_after_a_resize():
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["y"])
    flaky = Flaky(fails=on_run(1))
    run = runner(rows.graph(["x"], ["y"]), [plugin(basic())], delegates=(flaky,))
    feed(run, [X])
    with pytest.warns(DelegateWarning, match=r"""node 0 NEG "y": delegate 'flaky' failed while running: lost the plot on run 1; from now on these nodes run on kernels"""):
        np.testing.assert_array_equal(feed(run, [X])[0], -X)
    run.resize(0, (2,))
    run.allocate()
    np.testing.assert_array_equal(feed(run, [X[:2]])[0], -X[:2])
    row = run.explain().rows[0]
    assert (row.owner, row.declined[0].code) == ("kernels", Reason.DEVICE)
    assert "failed while running: lost the plot" in row.declined[0].why
    assert flaky.runs == 2


def test_any_exception_of_a_delegate_is_survived():
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["y"])
    flaky = Flaky(fails=lambda n: OSError("cable pulled"))
    run = runner(rows.graph(["x"], ["y"]), [plugin(basic())], delegates=(flaky,))
    with pytest.warns(DelegateWarning, match="OSError: cable pulled"):
        np.testing.assert_array_equal(feed(run, [X])[0], -X)


def test_on_delegate_error_raise():
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["y"])
    run = runner(rows.graph(["x"], ["y"]), [plugin(basic())], delegates=(Flaky(fails=on_run(0)),), on_delegate_error="raise")
    with pytest.raises(DelegateError, match="lost the plot"):
        feed(run, [X])


def test_strict_refuses_to_fall_back_and_says_why():
    rows, names = random_rows(1, 5)
    graph = rows.graph(["x", "y"], [names[-1]])
    runner(graph, [plugin(basic())], delegates=(Flaky(),), strict=True)
    with pytest.raises(DelegateError, match=r"strict: 1 nodes would run on kernels\n  node 2 .*flaky declined \(OPTION\): told to refuse it"):
        runner(graph, [plugin(basic())], delegates=(Flaky(refused={2}),), strict=True)


def test_a_partition_given_back_at_compile_runs_on_kernels():
    rows, names = random_rows(1, 5)
    run = runner(rows.graph(["x", "y"], [names[-1]]), [plugin(basic())], delegates=(Flaky(gives_back=True),))
    np.testing.assert_array_equal(feed(run, [X, Y])[0], wanted_of(rows, [names[-1]])[0])
    assert all("compile: changed its mind" in r.declined[0].why for r in run.explain().rows)


def test_a_delegate_may_run_what_no_kernel_does():
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["y"])
    run = runner(rows.graph(["x"], ["y"]), [plugin(name="empty")], delegates=(Flaky(),))
    np.testing.assert_array_equal(feed(run, [X])[0], -X)


def test_a_writer_of_a_variable_waits_for_its_readers():
    """Also when they wait for a partition that ends after the writer."""
    rows = Rows()
    rows.tensor("x")
    rows.tensor("state", variable=True)
    rows.op("NEG", ["x"], ["a"])
    rows.op("ADD", ["state", "a"], ["read"])
    rows.op("COUNT", ["state", "x"], ["count"], writes=frozenset({0}))
    rows.op("NEG", ["a"], ["b"])
    run = runner(rows.graph(["x"], ["read", "count", "b"]), [plugin(basic())], delegates=(Flaky(),))
    assert run.explain().owners == {"flaky": 2, "kernels": 2}
    for got, want in zip(feed(run, [X]), [-X, X, X], strict=True):
        np.testing.assert_array_equal(got, want)


def test_explain_is_text_and_data():
    rows, names = random_rows(1, 5)
    run = runner(rows.graph(["x", "y"], [names[-1]]), [plugin(basic())], delegates=(Flaky(refused={2}),))
    text = str(run.explain())
    assert "flaky (delegate)" in text
    assert "flaky declined (OPTION): told to refuse it" in text
    assert "5 nodes (" in text.splitlines()[-1]


# fused kernels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_fused_kernels_on_random_graphs_compute_the_same(seed):
    rows, names = random_rows(seed)
    outputs = [names[-1], names[-3]]
    fused = Fused()
    run = runner(rows.graph(["x", "y"], outputs), [plugin(basic()), fused], check=seed % 2 == 0)
    for got, want in zip(feed(run, [X, Y]), wanted_of(rows, outputs), strict=True):
        np.testing.assert_array_equal(got, want)
    groups = [r.step for r in run.explain().rows if r.kind == "fused"]
    assert len(fused.runs) == len(set(groups))


def fusable() -> Rows:
    rows = Rows()
    rows.tensor("x")
    rows.tensor("y")
    rows.op("MUL", ["x", "y"], ["m"])
    rows.op("ADD", ["y", "m"], ["a"])
    rows.op("NEG", ["a"], ["n"])
    return rows


def ran(rows: Rows, outputs: list[str], fused: Fused, **settings) -> list[str]:
    run = runner(rows.graph(["x", "y"], outputs), [plugin(basic()), fused], **settings)
    for got, want in zip(feed(run, [X, Y]), wanted_of(rows, outputs), strict=True):
        np.testing.assert_array_equal(got, want)
    return fused.runs


def test_the_longer_match_wins():
    assert ran(fusable(), ["n"], Fused()) == ["mul_add_neg"]


@pytest.mark.parametrize(
    "settings", [{"pin": {"ADD": "kernels"}}, {"pin": {0: "kernels"}}, {"keep_all": True}, {"kernels": ("kernels",)}]
)
def test_a_pin_or_kept_tensors_keep_nodes_single(settings):
    assert ran(fusable(), ["n"], Fused(), **settings) == []


def test_an_inner_tensor_that_is_an_output_or_read_twice_is_not_fused():
    assert ran(fusable(), ["n", "a"], Fused()) == []
    rows = fusable()
    rows.op("NEG", ["m"], ["again"])
    assert ran(rows, ["n", "again"], Fused()) == []


def test_a_fused_kernel_never_replaces_better_ones():
    assert ran(fusable(), ["n"], Fused(Quality.REFERENCE)) == []


def test_a_fused_kernel_may_decline():
    rows, fused = fusable(), Fused(declines=True)
    run = runner(rows.graph(["x", "y"], ["n"]), [plugin(basic()), fused])
    feed(run, [X, Y])
    assert fused.runs == []
    assert any("not today" in str(d) for d in run.explain().rows[2].declined)


# joined steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_neighbours_that_join_are_one_call(seed):
    rows, names = random_rows(seed)
    joined = Joined()
    run = runner(rows.graph(["x", "y"], [names[-1]]), [plugin(basic()), joined])
    joined.calls = 0  # what hangs on constants alone was computed once already
    np.testing.assert_array_equal(feed(run, [X, Y])[0], wanted_of(rows, [names[-1]])[0])
    steps = [r.owner == "joined" for r in run.explain().rows if r.kind == "kernel"]
    runs = sum(mine and not (k and steps[k - 1]) for k, mine in enumerate(steps))
    assert joined.calls == runs
    seen = []
    run.run(lambda choice, outputs, ns: seen.append(choice.index))
    assert len(seen) == len(steps)
    np.testing.assert_array_equal(run.value(rows.names[names[-1]]), wanted_of(rows, [names[-1]])[0])
