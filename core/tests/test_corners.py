"""Corners of the contract that random graphs do not reach: each was once a fault that nothing noticed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from contract_plugins import Flaky, on_run
from core_graphs import Rows, feed, plugin, runner
from core_kernels import basic
from sodalite.errors import DelegateWarning, KernelError
from sodalite.kernel import Buffers, GroupSpec, KernelSet, NodeSpec, Prepared, Step, Unsupported

X = np.float32([1, -2, 0.5, 3])


def with_kernel(op: str, body: Callable[[Buffers], Step], **said) -> KernelSet:
    """The basic kernels and one more."""
    kernels = basic()

    @kernels.prepare(op)
    def prepare(node: NodeSpec) -> Prepared:
        return Prepared(said.pop("outputs", None) or (node.inputs[0].shape,), body, **said)

    return kernels


def test_no_alias_for_a_tensor_that_its_step_reads_twice():
    """In place means: over the input it was said of. The same tensor as the other operand must stay."""

    def minus_then_plus(b: Buffers) -> Step:
        def step() -> None:
            np.negative(b.inputs[0], out=b.outputs[0])
            np.add(b.outputs[0], b.inputs[1], out=b.outputs[0])

        return step

    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["a"])
    rows.op("DIFFERENCE", ["a", "a"], ["y"])
    run = runner(rows.graph(["x"], ["y"]), [plugin(with_kernel("DIFFERENCE", minus_then_plus, alias={0: 0}))])
    np.testing.assert_array_equal(feed(run, [X])[0], 0 * X)


def test_what_the_last_run_delivered_does_not_count_in_this_one():
    """A kernel that delivers an output once, and then forgets it."""

    def once(b: Buffers) -> Step:
        left = [0]
        return lambda: b.emit(0, np.array(b.inputs[0])) if left and left.pop() == 0 else None

    rows = Rows()
    rows.tensor("x")
    rows.op("ONCE", ["x"], ["y"], shape=None)
    run = runner(rows.graph(["x"], ["y"]), [plugin(with_kernel("ONCE", once, outputs=(None,)))])
    np.testing.assert_array_equal(feed(run, [X])[0], X)
    with pytest.raises(KernelError, match="did not deliver output 0"):
        feed(run, [X])


class InPlace(Flaky):
    """Says that its outputs may lie over its inputs."""

    def compile(self, group: GroupSpec) -> Prepared:
        return super().compile(group)._replace(alias={0: 0})


def test_a_delegate_cannot_work_over_its_inputs():
    """They are needed when it fails."""
    rows = Rows()
    rows.tensor("x")
    rows.op("SCRATCHED", ["x"], ["a"])
    rows.op("NEG", ["a"], ["y"])
    rows.op("SCRATCHED", ["y"], ["z"])
    run = runner(rows.graph(["x"], ["z"]), [plugin(basic())], delegates=(InPlace(refused={0, 2}, fails=on_run(1)),))
    np.testing.assert_array_equal(feed(run, [X])[0], -4 * X)
    with pytest.warns(DelegateWarning):
        np.testing.assert_array_equal(feed(run, [X])[0], -4 * X)


class Greedy(Flaky):
    """Refuses nothing."""

    def refuses(self, node: NodeSpec) -> Unsupported | None:
        return None


def test_what_touches_state_is_never_delegated():
    """However much a delegate wants it: a partition may have to run twice."""
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["a"])
    rows.op("LOG_EFFECT", ["a"], ["b"])
    rows.op("NEG", ["b"], ["y"])
    greedy = Greedy()
    run = runner(rows.graph(["x"], ["y"]), [plugin(basic())], delegates=(greedy,))
    np.testing.assert_array_equal(feed(run, [X])[0], X)
    assert sorted(greedy.compiled) == [(0,), (2,)]
    assert run._state["log"] == ["b"]


def test_a_writer_of_a_variable_waits_for_those_who_read_it_before():
    """Though they wait for a partition that ends after the writer's place in the file."""
    rows = Rows()
    rows.tensor("x")
    rows.tensor("state", variable=True)
    rows.op("NEG", ["x"], ["a"])
    rows.op("ADD", ["state", "a"], ["before"])
    rows.op("COUNT", ["state", "x"], ["count"], writes=frozenset({0}))
    rows.op("NEG", ["x"], ["b"])
    delegate = Flaky()
    run = runner(rows.graph(["x"], ["before", "count", "b"]), [plugin(basic())], delegates=(delegate,))
    assert delegate.compiled == [(0, 3)]
    for turn in range(3):
        before, count, _ = feed(run, [X])
        np.testing.assert_array_equal(before, turn * X - X)
        np.testing.assert_array_equal(count, (turn + 1) * X)


def test_an_output_never_lies_over_an_input_uninvited():
    """Though that dies at this step: a kernel that did not offer it may write before it has read all."""

    def backwards(b: Buffers) -> Step:
        source, out = b.inputs[0], b.outputs[0]

        def step() -> None:
            for i in range(source.size):
                out[i] = source[-1 - i]

        return step

    rows = Rows()
    rows.tensor("x")
    for before, after in zip("xabcd", "abcde", strict=True):
        rows.op("BACKWARDS", [before], [after])
    run = runner(rows.graph(["x"], ["e"]), [plugin(with_kernel("BACKWARDS", backwards))])
    np.testing.assert_array_equal(feed(run, [X])[0], X[::-1])
