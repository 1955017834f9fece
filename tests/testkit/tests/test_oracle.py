# SPDX-License-Identifier: Apache-2.0
"""The oracle answers, and outlives what kills its child."""

from __future__ import annotations

import numpy as np
import pytest
from sodalite.build import Builder
from sodalite_testkit import oracle as oracles
from sodalite_testkit.case import around, case, every, fed, out, q
from sodalite_testkit.model import model_of
from sodalite_testkit.oracle import Oracle

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(oracles.missing() is not None, reason=str(oracles.missing())),
]

X = np.array([-1.5, 0.0, 2.5], np.float32)
RELU = model_of(case("RELU", [fed(X)], [out("float32")]))


@pytest.fixture
def oracle():
    """An oracle of this test's own."""
    made = Oracle(patience_s=20)
    yield made
    made.close()


@pytest.mark.parametrize("resolver", oracles.RESOLVERS)
def test_it_runs_a_model(oracle: Oracle, resolver: str) -> None:
    answer = oracle.ask(RELU, [X], resolver)
    assert answer.kind == "ok"
    assert np.array_equal(answer.outputs[0], np.maximum(X, 0))


def test_an_answer_is_remembered(oracle: Oracle) -> None:
    first = oracle.ask(RELU, [X])
    oracle.close()
    assert oracle.ask(RELU, [X]) is first
    assert oracle.ask(RELU, [X + 1]) is not first


def test_what_litert_refuses_is_an_error(oracle: Oracle) -> None:
    answer = oracle.ask(b"not a model", [X])
    assert answer.kind == "error"
    assert "ValueError" in answer.text


def test_a_crash_is_an_answer_and_the_next_question_is_answered(oracle: Oracle) -> None:
    """An int8 ADD without quantisation parameters aborts the process (an old defect of LiteRT)."""
    g = Builder()
    x = g.input("x", (4,), "int8")
    g.output(g.op("ADD", [x, x], [("y", (4,), "int8")]))
    answer = oracle.ask(g.finish(), [np.zeros(4, np.int8)])
    assert (answer.kind, answer.runs) == ("crash", ())
    assert oracle.ask(RELU, [X]).kind == "ok"


def test_a_hang_is_an_answer() -> None:
    """WHILE true: nothing ends it but the oracle's patience."""
    g = Builder()
    x = g.input("x", (1,), "int32")
    cond, body = g.subgraph("cond"), g.subgraph("body")
    i = cond.input("i", (1,), "int32")
    zero = cond.constant("zero", np.zeros(1, np.int32))
    cond.output(cond.op("GREATER_EQUAL", [i, zero], [("go_on", (1,), "bool")]))
    j = body.input("j", (1,), "int32")
    body.output(body.op("MUL", [j, body.constant("one", np.ones(1, np.int32))], [("same", (1,), "int32")]))
    g.output(g.op("WHILE", [x], [("y", (1,), "int32")], cond_subgraph_index=cond, body_subgraph_index=body))
    impatient = Oracle(patience_s=1.5)
    try:
        assert impatient.ask(g.finish(), [np.ones(1, np.int32)]).kind == "hang"
    finally:
        impatient.close()


def test_state_lives_from_run_to_run(oracle: Oracle) -> None:
    """Runs of one question share an interpreter."""
    g = Builder()
    x = g.input("x", (1, 2), "float32")
    state = g.tensor("state", (1, 4), "float32", variable=True)
    feature = g.constant("feature", np.ones((2, 2), np.float32))
    time = g.constant("time", np.ones((2, 2), np.float32))
    y = g.op("SVDF", [x, feature, time, None, state], [("y", (1, 2), "float32")], rank=1, writes=[state])
    g.output(y)
    answer = oracle.ask(g.finish(), [np.ones((1, 2), np.float32)], steps=3)
    assert [float(run[0][0, 0]) for run in answer.runs] == [2.0, 4.0, 4.0]


def test_a_case_becomes_a_model(oracle: Oracle) -> None:
    """Types, quantisation, sizes (none, too) and values arrive as the case has them."""
    for n in around(4):
        x = fed("float32", (n,))
        assert oracle.ask(model_of(case("RELU", [x], [out("float32")])), [x_ := np.ones(n, np.float32)]).outputs[0].shape == x_.shape
    levels = fed(every("int8"), quant=q(0.5, 3))
    made = case("RELU", [levels], [out("int8", q(0.5, 3))])
    assert np.array_equal(oracle.ask(model_of(made), made.fed).outputs[0], np.maximum(every("int8"), 3))
