# SPDX-License-Identifier: Apache-2.0
"""Random numbers: with seeds those of LiteRT, run after run; without, others each time."""

import numpy as np
import pytest
import sodalite
from sodalite.build import Builder
from sodalite.errors import ShapeError
from sodalite_testkit.oracle import missing, oracle


def ran(content, feeds, ulps=0):
    """Outputs of each run of one interpreter; with ulps >= 0 also LiteRT's."""
    run = sodalite.Interpreter(model_content=content)
    run.allocate_tensors()
    ours = []
    for arrays in feeds:
        for detail, array in zip(run.get_input_details(), arrays, strict=True):
            run.set_tensor(detail["index"], array)
        run.invoke()
        ours.append([run.get_tensor(d["index"]) for d in run.get_output_details()])
    if missing() is None and ulps >= 0:
        answer = oracle().ask_runs(content, feeds, "ref")
        assert answer.kind == "ok", answer.text
        for got, want in zip(ours, answer.runs, strict=True):
            for a, b in zip(got, want, strict=True):
                if ulps:
                    np.testing.assert_allclose(a, b, rtol=ulps * 1.2e-7, atol=0)
                else:
                    np.testing.assert_array_equal(a, b)
    return ours


def filled(op, shape, known=True, **seeds):
    g = Builder("random")
    size = np.array(shape, np.int32)
    wanted = g.constant("n", size) if known else g.input("n", size.shape, "int32")
    g.output(g.op(op, [wanted], [("y", shape if known else None, "float32")], **seeds))
    return g.finish(), [[]] * 3 if known else [[size]] * 3


SEEDS = [{"seed": 1}, {"seed2": 7}, {"seed": 2**40 + 5, "seed2": 2**33 + 1}, {"seed": -3, "seed2": -4}]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(("op", "ulps"), [("RANDOM_UNIFORM", 0), ("RANDOM_STANDARD_NORMAL", 3)])
def test_seeded_numbers_are_litert_s(op, ulps, seeds, known):
    """Run after run; what is left of four numbers is not used."""
    for shape in ((6,), (3, 4, 2), (2,)):
        first, second, _ = ran(*filled(op, shape, known, **seeds), ulps)
        assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("op", ["RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL"])
def test_unseeded_numbers_differ(op):
    """Between runs and between interpreters; odd counts too."""
    content, feeds = filled(op, (1001,))
    drawn = [y.tobytes() for _ in range(2) for (y,) in ran(content, feeds, -1)]
    assert len(set(drawn)) == len(drawn)


def test_numbers_are_spread_as_they_should_be():
    """Mean and deviation of many."""
    uniform = ran(*filled("RANDOM_UNIFORM", (100_000,)), -1)[0][0]
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    normal = ran(*filled("RANDOM_STANDARD_NORMAL", (100_000,)), -1)[0][0]
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03


@pytest.mark.parametrize("known", [True, False])
def test_no_shape_is_an_error(known):
    """A negative size."""
    with pytest.raises(ShapeError):
        ran(*filled("RANDOM_UNIFORM", (2, -1), known), -1)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("known", [True, False])
def test_columns_are_drawn(seeds, dtype, known):
    """By rows; infinities and NaN are never drawn."""
    logits = np.array([[0, 1, 2, -1], [-np.inf, 3, np.nan, 3], [50, -50, 0, 49]], np.float32)
    for count in (1, 2, 7):
        g = Builder("multinomial")
        x = g.input("x", logits.shape, "float32")
        number = g.constant("n", np.array(count, np.int32)) if known else g.input("n", (), "int32")
        g.output(g.op("MULTINOMIAL", [x, number], [("y", (3, count) if known else None, dtype)], **seeds))
        ran(g.finish(), [[logits] if known else [logits, np.array(count, np.int32)]] * 3)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("algorithm", ["DEFAULT", "PHILOX", "THREEFRY"])
def test_bits_and_the_next_state(algorithm, dtype):
    """The counter carries into its upper half."""
    for state in ([1, 2], [2**63 + 5, 2**32 - 2], [7, 2**64 - 1], [1, 2, 3], [2**64 - 1, 2**32 - 1, 2**64 - 3]):
        if algorithm == "THREEFRY" and len(state) > 2:
            continue
        for shape in ((1,), (3, 5), (8,)):
            g = Builder("bits")
            x = g.input("state", (len(state),), "uint64")
            outs = [("after", (len(state),), "uint64"), ("bits", shape, dtype)]
            g.output(*g.op("STABLEHLO_RNG_BIT_GENERATOR", [x], outs, algorithm=algorithm))
            ran(g.finish(), [[np.array(state, np.uint64)]])


def test_a_state_of_another_length_is_an_error():
    """Threefry has no third word."""
    g = Builder("bits")
    x = g.input("state", (3,), "uint64")
    g.output(*g.op("STABLEHLO_RNG_BIT_GENERATOR", [x], [("a", (3,), "uint64"), ("b", (2,), "int32")], algorithm="THREEFRY"))
    with pytest.raises(ShapeError):
        ran(g.finish(), [[np.zeros(3, np.uint64)]], -1)
