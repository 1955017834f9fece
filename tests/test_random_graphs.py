# SPDX-License-Identifier: Apache-2.0
"""Random graphs through sodalite.Interpreter and LiteRT's reference kernels: the same outputs, however memory is used."""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pytest
import sodalite
from sodalite.plugins import Registry
from sodalite_testkit import oracle as oracles
from sodalite_testkit.graphs import OPERATORS, RandomGraph, random_graph
from sodalite_testkit.oracle import oracle
from sodalite_testkit.tolerance import EXACT, NEAR

DTYPES = ("float32", "int8", "uint8")
SEEDS = range(40)
# A dozen float operators, one after the other, each within a few roundings.
FLOAT_GRAPH = NEAR(abs=1e-5, rel=1e-4, peak=1e-5)


@functools.cache
def graph(seed: int, dtype: str) -> RandomGraph:
    """The graph of a seed, over what installed plugins offer."""
    return random_graph(seed, dtype, operators=Registry.load().operators & set(OPERATORS))


def outputs(interpreter: sodalite.Interpreter, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """One run."""
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def allocated(model: bytes, **how: object) -> sodalite.Interpreter:
    made = sodalite.Interpreter(model_content=model, **how)
    made.allocate_tensors()
    return made


@pytest.mark.oracle
@pytest.mark.skipif(oracles.missing() is not None, reason=str(oracles.missing()))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_as_litert(seed: int, dtype: str) -> None:
    """Integers bit for bit, through all nodes; floats within a dozen roundings."""
    made = graph(seed, dtype)
    answer = oracle().ask(made.model, made.inputs)
    assert answer.kind == "ok", f"{answer.text}; {made.operators}"
    with allocated(made.model) as interpreter:
        got = outputs(interpreter, made.inputs)
    tolerance = FLOAT_GRAPH if dtype == "float32" else EXACT
    for i, (a, b) in enumerate(zip(got, answer.outputs, strict=True)):
        assert tolerance.complaint(a, b) is None, f"output {i} of {made.operators}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_sharing_memory_changes_nothing(seed: int, dtype: str) -> None:
    """The same bits whether tensors share an arena or each has memory of its own, and after other inputs ran."""
    made = graph(seed, dtype)
    other = tuple(np.ascontiguousarray(a.reshape(-1)[::-1].reshape(a.shape)) for a in made.inputs)
    with allocated(made.model) as one, allocated(made.model, experimental_preserve_all_tensors=True) as all_kept:
        first = outputs(one, made.inputs)
        outputs(one, other)
        for again in (outputs(one, made.inputs), outputs(all_kept, made.inputs)):
            assert [a.tobytes() for a in again] == [a.tobytes() for a in first], made.operators
        for index in made.tensors:
            assert all_kept.get_tensor(index).shape is not None


def test_graphs_hold_all_kinds_of_operators() -> None:
    """Every operator that graphs are made of, and that somebody offers, comes up several times."""
    offered = Registry.load().operators & set(OPERATORS)
    counts = Counter(op for dtype in DTYPES for seed in SEEDS for op in graph(seed, dtype).operators)
    assert {op for op, n in counts.items() if n >= 5} == offered
    assert "CONV_2D" in offered


def test_a_seed_gives_one_graph() -> None:
    """The same model bytes and inputs each time; another for another seed."""
    a, b, c = (random_graph(seed, "int8") for seed in (1, 1, 2))
    assert a.model == b.model
    assert all(np.array_equal(x, y) for x, y in zip(a.inputs, b.inputs, strict=True))
    assert a.model != c.model


def test_what_a_graph_cannot_be_made_of_is_said() -> None:
    with pytest.raises(ValueError, match="float32, int8 or uint8, not int4"):
        random_graph(0, "int4")
    with pytest.raises(ValueError, match="none of ADD, "):
        random_graph(0, "int8", operators=["IF"])
