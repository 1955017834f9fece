# SPDX-License-Identifier: Apache-2.0
"""Each rule of the kernel contract is broken once, by a kernel made for it, and the testkit must say which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sodalite.build import Builder
from sodalite.errors import KernelError
from sodalite.kernel import Buffers, KernelSet, NodeSpec, Prepared, Reason, Step, Unsupported
from sodalite.model import open_model
from sodalite_schema import ENUMS, options_kind
from sodalite_testkit.case import ELEMENTWISE, ROWS, case, const, fed, out, variable
from sodalite_testkit.direct import Broken, evaluate, growth, options_of, run
from sodalite_testkit.suite import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from sodalite_testkit.case import Case

X = np.arange(12, dtype=np.float32) - 6
NEG = case("NEG", [fed(X)], [out("float32")], tags=ELEMENTWISE, oracle="expected", expected=[-X])


def kernels(
    body: Callable[[Buffers], Step], *, op: str = "NEG", shapes: Any = None, **said: Any
) -> KernelSet:
    """A set with one kernel for *op*: outputs of the first input's shape, and *body* as its bind."""
    made = KernelSet()

    @made.prepare(op)
    def prepare(node: NodeSpec) -> Prepared:
        first = node.inputs[0]
        assert first is not None
        return Prepared((first.shape,) if shapes is None else shapes, body, **said)

    return made


def stepping(action: Callable[[Buffers], None]) -> Callable[[Buffers], Step]:
    """A bind whose step does *action* on the buffers."""
    return lambda buffers: lambda: action(buffers)


def negative(b: Buffers) -> None:
    """What NEG should do."""
    np.negative(b.inputs[0], out=b.outputs[0])


def raw(array: Any, before: int = 0, after: int = 0) -> Any:
    """The bytes of *array* and some around it, as C code would reach them."""
    import ctypes

    address = array.ctypes.data - before
    return np.ctypeslib.as_array((ctypes.c_uint8 * (array.nbytes + before + after)).from_address(address))


def past_the_end(b: Buffers) -> None:
    """Write one byte too many."""
    negative(b)
    raw(b.outputs[0], after=1)[-1] = 7


def before_the_start(b: Buffers) -> None:
    """Write one byte too early."""
    negative(b)
    raw(b.outputs[0], before=1)[0] = 7


def past_the_scratch(b: Buffers) -> None:
    """Write behind the scratch memory."""
    negative(b)
    raw(b.scratch, after=4)[-1] = 7


def forgotten_tail(b: Buffers) -> None:
    """Whole vectors of 8 only."""
    out_, in_ = b.outputs[0], b.inputs[0]
    assert out_ is not None
    assert in_ is not None
    out_[:8] = -in_[:8]


def writes_input(b: Buffers) -> None:
    """Work in place, uninvited."""
    negative(b)
    raw(b.inputs[0])[:4] = 0


def reads_old_output(b: Buffers) -> None:
    """Add to what the output holds."""
    out_, in_ = b.outputs[0], b.inputs[0]
    assert out_ is not None
    assert in_ is not None
    out_[...] = np.where(np.isnan(out_), raw(out_)[0], out_) - in_


def reads_past_the_end(b: Buffers) -> None:
    """Let a byte behind the input decide."""
    negative(b)
    assert b.outputs[0] is not None
    b.outputs[0][0] += raw(b.inputs[0], after=1)[-1]


def remembers(buffers: Buffers) -> Step:
    """Count the runs in the output."""
    runs = []

    def step() -> None:
        negative(buffers)
        assert buffers.outputs[0] is not None
        buffers.outputs[0][0] += len(runs)
        runs.append(1)

    return step


def bound_to_the_first_inputs(buffers: Buffers) -> Step:
    """Keep what was there on the first run."""
    kept: list[Any] = []

    def step() -> None:
        if not kept:
            kept.append(np.array(buffers.inputs[0]))
        np.negative(kept[0], out=buffers.outputs[0])

    return step


def hoards(buffers: Buffers) -> Step:
    """Keep a copy of every output."""
    kept = []

    def step() -> None:
        negative(buffers)
        kept.append(np.zeros(1000) if buffers.outputs[0] is None else np.array(buffers.outputs[0]).repeat(50))

    return step


def first_element_off(b: Buffers) -> None:
    """Right but for the place it is computed at."""
    negative(b)
    assert b.outputs[0] is not None
    b.outputs[0][0] = np.nextafter(b.outputs[0][0], np.float32(9))


CAUGHT = {
    "past the end": (kernels(stepping(past_the_end)), "nothing outside the buffers is written"),
    "before the start": (kernels(stepping(before_the_start)), "nothing outside the buffers is written"),
    "past the scratch": (kernels(stepping(past_the_scratch), scratch=100), "nothing outside the buffers is written"),
    "tail": (kernels(stepping(forgotten_tail)), "outputs are written in full"),
    "input": (kernels(stepping(writes_input)), "inputs and constants are never written"),
    "old output": (kernels(stepping(reads_old_output)), "nothing outside the buffers is read"),
    "outside": (kernels(stepping(reads_past_the_end)), "nothing outside the buffers is read"),
    "second run": (kernels(remembers), "the second run gives the same bits"),
    "other inputs": (kernels(bound_to_the_first_inputs), "a step follows its inputs"),
    "no callable": (kernels(lambda _: None), "bind returns a step"),  # type: ignore[arg-type, return-value]
    "shape": (kernels(stepping(negative), shapes=((3, 4),)), "a step runs to its end"),
    "form of shape": (kernels(stepping(negative), shapes=([12],)), "prepare answers in the agreed form"),
    "number of outputs": (kernels(stepping(negative), shapes=()), "prepare answers in the agreed form"),
    "scratch": (kernels(stepping(negative), scratch=-1), "prepare answers in the agreed form"),
    "writes": (kernels(stepping(negative), writes=frozenset({0})), "writes names variable tensors only"),
    "not emitted": (kernels(stepping(lambda _: None), shapes=(None,)), "outputs of unknown shape are emitted"),
    "emitted dtype": (
        kernels(stepping(lambda b: b.emit(0, -X.astype(np.float64))), shapes=(None,)),
        "emitted arrays have the output's dtype",
    ),
    "emitted input": (
        kernels(stepping(lambda b: b.emit(0, b.inputs[0])), shapes=(None,)),  # type: ignore[arg-type]
        "emitted arrays are the kernel's own",
    ),
    "emitted known": (kernels(stepping(lambda b: b.emit(0, -X))), "only outputs of unknown shape are emitted"),
    "value": (kernels(stepping(lambda b: b.emit(0, X)), shapes=(None,)), "values are right"),
    "known values": (kernels(stepping(negative), values={0: X.astype(np.int32)}), "prepare answers in the agreed form"),
    "alias of nothing": (kernels(stepping(negative), alias={0: 3}), "an alias names an input that has room"),
    "position": (kernels(stepping(first_element_off)), "a result does not depend on its position"),
    "hoards": (kernels(hoards), "a step allocates nothing that grows"),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_broken_rule_is_named(name: str) -> None:
    """Every rule's breach is found, and called by its name."""
    wrong, rule = CAUGHT[name]
    lenient = NEG if name != "position" else _near(NEG)
    verdict = judge(lenient, wrong)
    assert verdict.kind == "wrong", verdict
    assert rule in verdict.why


def _near(case_: Case) -> Case:
    from dataclasses import replace

    from sodalite_testkit.tolerance import ULPS

    return replace(case_, tolerance=ULPS(2))


def test_a_right_kernel_agrees() -> None:
    """The same case passes with a kernel that keeps all rules, in place too."""
    assert str(judge(NEG, kernels(stepping(negative), alias={0: 0}, scratch=64))) == "agrees"


def test_an_alias_must_be_honoured() -> None:
    """A kernel that says it works in place, and reads an input after writing over it."""

    def backwards_in_place(b: Buffers) -> None:
        in_, out_ = b.inputs[0], b.outputs[0]
        assert in_ is not None
        assert out_ is not None
        for i in range(in_.size):
            out_[i] = in_[in_.size - 1 - i]

    reverse = case("NEG", [fed(X)], [out("float32")], oracle="expected", expected=[X[::-1]])
    assert judge(reverse, kernels(stepping(backwards_in_place))).kind == "agrees"
    assert "alias {0: 0} is honoured" in judge(reverse, kernels(stepping(backwards_in_place), alias={0: 0})).why


def test_packed_weights_are_shared_safely() -> None:
    """A second interpreter gets the same bits from weights that the first one packed, or the kernel is wrong."""
    made = KernelSet()

    @made.prepare("NEG")
    def prepare(node: NodeSpec) -> Prepared:
        fresh: list[int] = []
        node.packed("once", lambda: fresh.append(1))

        def step(b: Buffers) -> None:
            negative(b)
            assert b.outputs[0] is not None
            b.outputs[0][0] += len(fresh)

        assert node.inputs[0] is not None
        return Prepared((node.inputs[0].shape,), stepping(step))

    with pytest.raises(Broken, match="shares packed weights"):
        run(NEG, made)


def test_declines_are_unsupported_only() -> None:
    """Unsupported is an answer; any other exception out of prepare is a breach."""
    declining, failing = KernelSet(), KernelSet()

    @declining.prepare("NEG")
    def decline(_: NodeSpec) -> Prepared:
        raise Unsupported("not today", code=Reason.CPU)

    @failing.prepare("NEG")
    def fail(node: NodeSpec) -> Prepared:
        raise KeyError(node.name)

    assert str(judge(NEG, declining)) == "declined: not today (CPU)"
    assert "declines are Unsupported" in judge(NEG, failing).why


def test_variables_start_anew_and_may_be_written() -> None:
    """A variable named in writes is reset before each run; one that is not named must stay as it was."""

    def count(b: Buffers) -> None:
        x, state, out_ = b.inputs[0], b.inputs[1], b.outputs[0]
        assert x is not None
        assert state is not None
        assert out_ is not None
        state_ = state if state.flags.writeable else raw(state).view(np.float32)
        state_ += x
        out_[...] = state

    adds = case("ADD", [fed(X), variable("float32", (12,))], [out("float32")], steps=3, oracle="expected", expected=[3 * X])
    assert str(judge(adds, kernels(stepping(count), op="ADD", writes=frozenset({1})))) == "agrees"
    assert "never written" in judge(adds, kernels(stepping(count), op="ADD")).why


def test_constants_are_never_written() -> None:
    """As inputs: by pointer, which a read-only flag does not stop."""

    def spoil(b: Buffers) -> None:
        assert b.outputs[0] is not None
        b.outputs[0][...] = 0
        raw(b.inputs[1])[0] ^= 1

    constant = case("ADD", [fed(X), const(X)], [out("float32")], oracle="expected", expected=[0 * X])
    assert "input 1 (constant) changed" in judge(constant, kernels(stepping(spoil), op="ADD")).why


def test_rows_do_not_depend_on_their_position() -> None:
    """A kernel that treats the first row apart is caught by feeding rows in another order."""

    def first_row_twice(b: Buffers) -> None:
        negative(b)
        assert b.outputs[0] is not None
        b.outputs[0][0] *= 2

    x = np.arange(6, dtype=np.int8).reshape(3, 2) + 1
    wrong = np.array([[-2, -4], [-3, -4], [-5, -6]], np.int8)
    rows = case("NEG", [fed(x)], [out("int8")], tags=ROWS, oracle="expected", expected=[wrong])
    assert "does not depend on its position" in judge(rows, kernels(stepping(first_row_twice))).why


def test_an_error_has_the_class_that_the_case_wants() -> None:
    """raises= is held to the class, and a kernel that runs instead is wrong."""

    def refuse(b: Buffers) -> None:
        raise KernelError("index 9 of 3")

    def wrong_class(b: Buffers) -> None:
        raise IndexError("index 9 of 3")

    bad = case("NEG", [fed(X)], [out("float32")], raises="KernelError")
    assert judge(bad, kernels(stepping(refuse))).kind == "agrees"
    assert "errors are raised" in judge(bad, kernels(stepping(negative))).why
    assert "errors have their class" in judge(bad, kernels(stepping(wrong_class))).why
    assert "it raised KernelError" in judge(NEG, kernels(stepping(refuse))).why


def test_options_have_the_schemas_defaults() -> None:
    """Enums by name, types by dtype name, vectors as tuples; an unknown option is an error of the case."""
    assert options_of("CONV_2D", {"stride_h": 2})["padding"] == "SAME"
    assert options_of("CONV_2D", {"stride_h": 2})["fused_activation_function"] == "NONE"
    assert options_of("CAST", {})["in_data_type"] == "float32"
    assert options_of("RESHAPE", {"new_shape": [1, 2]})["new_shape"] == (1, 2)
    with pytest.raises(ValueError, match="has no option strides; it has padding"):
        options_of("CONV_2D", {"strides": 2})


def test_strings_are_emitted() -> None:
    """Object arrays go through emit, and are compared by value."""
    x = np.array([b"a", b""], object)
    upper = case("custom:Upper", [fed(x)], [out("string")], oracle="expected", expected=[np.array([b"A", b""], object)])

    def shout(b: Buffers) -> None:
        assert b.inputs[0] is not None
        made = np.empty(2, object)
        made[:] = [s.upper() for s in b.inputs[0]]
        b.emit(0, made)

    assert str(judge(upper, kernels(stepping(shout), op="custom:Upper", shapes=(None,)))) == "agrees"


def test_growth_is_measured_in_bytes() -> None:
    """A step that keeps nothing grows by next to nothing."""
    assert growth(NEG, kernels(stepping(negative))) < 2000
    assert growth(NEG, kernels(hoards)) > 50 * 12 * 4 * 50


def test_evaluate_runs_once() -> None:
    """The short way gives the outputs alone."""
    (got,) = evaluate(NEG, kernels(stepping(negative)))
    assert np.array_equal(got, -X)


@pytest.mark.parametrize("op", [op for op in ENUMS["BuiltinOperator"] if options_kind(op)])
def test_options_are_those_that_core_reads_from_a_file(op: str) -> None:
    """For every operator with options, left at their defaults (which for those that name subgraphs is no model)."""
    if any("subgraph" in name for name in options_of(op, {})):
        return
    g = Builder()
    x = g.input("x", (1,), "float32")
    g.output(g.op(op, [x], [("y", (1,), "float32")]))
    read = open_model(g.finish()).graphs[0].nodes[0].options
    assert options_of(op, {}) == dict(read)
    assert {k: type(v) for k, v in options_of(op, {}).items()} == {k: type(v) for k, v in read.items()}
