# SPDX-License-Identifier: Apache-2.0
"""Kernels with a state: SVDF, LSTM, RNN, one way and both ways. Several runs each, so that the state matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, Tensor, case, const, fed, out, q, variable
from ..tolerance import NEAR, SUMS
from .conv import HYBRID

# exp and tanh of another library, over and over.
STEPS = NEAR(abs=2e-5, rel=1e-4)
# Rows quantised on the fly: a state that differs in its last bit can move a level, which the next step sees.
HYBRID_STEPS = NEAR(abs=2e-3)


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield from _svdf()
    yield from _lstm()
    yield from _rnn()
    yield from _both_ways()


# batch, inputs, units, rank, memory
SVDF = ((1, 1, 1, 1, 1), (2, 3, 4, 1, 5), (2, 5, 3, 2, 4), (1, 17, 16, 2, 10), (3, 8, 5, 3, 2))


def _svdf() -> Iterator[Case]:
    # 2 + 3 · 10 after the second run: the newest memory has weight 10
    operands = [fed(np.float32([[3]])), const(np.float32([[1]])), const(np.float32([[1, 10]])), None]
    yield case(
        "SVDF",
        [*operands, variable("float32", (1, 2))],
        [out("float32")],
        rank=1,
        steps=2,
        note="by_hand",
        expected=[np.float32([[33]])],
    )
    for batch, inputs, units, rank, memory in SVDF:
        filters = units * rank
        x = fed("float32", (batch, inputs))
        bias, held = const("float32", (units,)), variable("float32", (batch, memory * filters))
        shapes = (filters, inputs), (filters, memory)
        weights = [const("float32", shape) for shape in shapes]
        how: dict[str, Any] = {"rank": rank, "steps": memory + 2}
        yield case("SVDF", [x, *weights, bias, held], [out("float32")], tolerance=SUMS, **how)
        for both_ends in (False, True):
            how.update(asymmetric_quantize_inputs=both_ends, version=3)
            levels = [const("int8", shape, q(0.01), low=-127) for shape in shapes]
            yield case("SVDF", [x, *levels, bias, held], [out("float32")], tolerance=HYBRID, **how)
        how.update(asymmetric_quantize_inputs=False, fused_activation_function="RELU")
        operands = [
            fed("int8", (batch, inputs), q(0.05, -7)),
            const("int8", shapes[0], q(0.01)),
            const("int16", shapes[1], q(0.0001), low=-3000, high=3000),
            const("int32", (units,), q(1e-8), low=-5000, high=5000),
            variable("int16", (batch, memory * filters), q(0.001)),
        ]
        yield case("SVDF", operands, [out("int8", q(0.02, -128))], **how)
    x, held = fed("float32", (2, 3)), variable("float32", (2, 20))
    weights = [const("float32", (4, 3)), const("float32", (4, 5))]
    for activation in ("RELU", "RELU6", "RELU_N1_TO_1", "TANH"):
        how = {"rank": 1, "steps": 3, "tolerance": SUMS, "fused_activation_function": activation}
        yield case("SVDF", [x, *weights, None, held], [out("float32")], **how)
    yield case("SVDF", [x, *weights, None, held], [out("float32")], rank=3, raises="ShapeError", note="rank")
    yield case(
        "SVDF", [x, *weights, None, held], [out("float32")], rank=0, raises="ShapeError", note="no_rank"
    )
    short = variable("float32", (2, 19))
    yield case(
        "SVDF", [x, *weights, None, short], [out("float32")], rank=1, raises="ShapeError", note="state"
    )


def _cell(
    batch: int,
    k: int,
    n: int,
    m: int = 0,
    *,
    weights: str = "float32",
    cifg: bool = False,
    peephole: bool = False,
    norm: bool = False,
    projection_bias: bool = False,
    diagonal: bool = False,
) -> list[Tensor | None]:
    """Inputs 1 ... 23 of a cell: m > 0 for a projection to m elements."""
    integer = weights == "int8x8"
    kind = "int8" if integer else weights
    levels = kind != "float32"
    gates = range(1 if cifg else 0, 4)

    def matrix(shape: tuple[int, ...]) -> Tensor:
        if levels:
            return const(kind, shape, q(0.01), low=-127)
        return const("float32", shape, low=-0.6, high=0.6)

    def vector(bits: str, scale: float, size: int, bound: int) -> Tensor:
        if integer:
            return const(bits, (size,), q(scale), low=-bound, high=bound)
        if (
            levels and bits == "int16" and size == n and scale < 1e-3
        ):  # peephole weights have the weights' type
            return const(kind, (size,), q(0.01), low=-127)
        return const("float32", (size,), low=-0.6, high=0.6)

    out_size = m or n
    inputs = [matrix((n, k)) if g in gates else None for g in range(4)]
    recurrent = [matrix((n,) if diagonal else (n, out_size)) if g in gates else None for g in range(4)]
    peepholes = [vector("int16", 0.0001, n, 9000) if peephole and g in gates else None for g in (0, 1, 3)]
    bias = [vector("int32", 0.0001, n, 9000) if g in gates else None for g in range(4)]
    projection = [
        matrix((m, n)) if m else None,
        vector("int32", 0.0001, m, 9000) if m and projection_bias else None,
    ]
    if integer:
        states = [
            variable("int8", (batch, out_size), q(0.008, 3), 3),
            variable("int16", (batch, n), q(2**-11)),
        ]
    else:
        states = [variable("float32", (batch, out_size)), variable("float32", (batch, n))]
    norms = [vector("int16", 0.001, n, 3000) if norm and g in gates else None for g in range(4)]
    return [*inputs, *recurrent, *peepholes, *bias, *projection, *states, *norms]


KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"cifg": True},
    {"peephole": True},
    {"norm": True},
    {"m": 3},
    {"m": 2, "projection_bias": True, "peephole": True},
    {"cifg": True, "peephole": True, "norm": True, "m": 2},
)


def _lstm() -> Iterator[Case]:
    op = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    for kind in KINDS:
        note = "-".join(kind) or "plain"
        for time_major in (True, False):
            x = fed("float32", (3, 2, 7), low=-2, high=2)
            batch = 2 if time_major else 3
            how: dict[str, Any] = {"time_major": time_major, "fused_activation_function": "TANH", "steps": 2}
            cell = _cell(batch, 7, 4, **kind)
            yield case(op, [x, *cell], [out("float32")], tolerance=STEPS, note=note, **how)
            cell = _cell(batch, 7, 4, weights="int8", **kind)
            for both_ends in (False, True):
                more = {"asymmetric_quantize_inputs": both_ends, "version": 3, "note": f"{note}_{batch}"}
                yield case(op, [x, *cell], [out("float32")], tolerance=HYBRID_STEPS, **how, **more)
        x = fed("float32", (2, 7), low=-2, high=2)
        how = {"fused_activation_function": "TANH", "steps": 3, "note": note}
        yield case("LSTM", [x, *_cell(2, 7, 4, **kind)], [out("float32")], tolerance=STEPS, **how)
        cell = _cell(2, 7, 4, weights="int8", **kind)
        yield case("LSTM", [x, *cell], [out("float32")], tolerance=HYBRID_STEPS, version=3, **how)
    yield from _lstm_integers()
    x = fed("float32", (4, 1, 16), low=-2, high=2)
    for clip in ({"cell_clip": 0.3}, {"proj_clip": 0.2}, {"fused_activation_function": "RELU6"}):
        how = {"fused_activation_function": "TANH", "time_major": True, **clip}
        cell = _cell(1, 16, 17, 9)
        yield case(op, [x, *cell], [out("float32")], tolerance=STEPS, **how)
    cell = _cell(1, 16, 17, diagonal=True)
    how = {"fused_activation_function": "TANH", "time_major": True, "diagonal_recurrent_tensors": True}
    yield case(
        op, [x, *cell], [out("float32")], tolerance=STEPS, version=4, oracle="opt", note="diagonal", **how
    )
    for place, bad in (
        (2, const("float32", (17, 15))),
        (6, const("float32", (16, 9))),
        (15, const("float32", (3,))),
    ):
        cell = [*_cell(1, 16, 17, 9)]
        cell[place - 1] = bad
        yield case(
            op, [x, *cell], [out("float32")], raises="ShapeError", note=f"input{place}", time_major=True
        )


def _lstm_integers() -> Iterator[Case]:
    """Every bit of the 8x8_16 form."""
    for kind in KINDS:
        note = "-".join(kind) or "plain"
        projected = kind.get("m", 0)
        between = [out("int16", q(2**-10)) for _ in range(4)] + [
            out("int8", q(0.006, -5 if projected else 3))
        ]
        result = out("int8", q(0.008, 3))
        for time_major in (True, False):
            x = fed("int8", (3, 2, 7), q(0.02, -9))
            cell = _cell(2 if time_major else 3, 7, 4, weights="int8x8", **kind)
            how: dict[str, Any] = {
                "fused_activation_function": "TANH",
                "steps": 2,
                "version": 3,
                "note": note,
            }
            yield case(
                "UNIDIRECTIONAL_SEQUENCE_LSTM",
                [x, *cell],
                [result],
                intermediates=between,
                time_major=time_major,
                **how,
            )
        x = fed("int8", (2, 16), q(0.02, -9))
        cell = _cell(2, 16, 17, weights="int8x8", **kind)
        yield case("LSTM", [x, *cell], [result], intermediates=between, **{**how, "steps": 4})
        how["cell_clip"], how["proj_clip"] = 0.4, 0.3
        yield case("LSTM", [x, *cell], [result], intermediates=between, **how)


def _rnn_cell(batch: int, k: int, n: int, weights: str) -> list[Tensor | None]:
    """Weights, recurrent weights, bias and state."""
    if weights == "float32":
        matrices = [const("float32", (n, size), low=-0.6, high=0.6) for size in (k, n)]
    else:
        matrices = [const("int8", (n, size), q(0.01), low=-127) for size in (k, n)]
    return [*matrices, const("float32", (n,)), variable("float32", (batch, n))]


def _rnn() -> Iterator[Case]:
    # tanh is left out: 1 · 2 + 3 · (1 · 2) after the second run
    one = np.float32([[1]])
    operands = [
        fed(np.float32([[2]])),
        const(one),
        const(3 * one),
        const(np.float32([0])),
        variable("float32", (1, 1)),
    ]
    yield case("RNN", operands, [out("float32")], steps=2, note="by_hand", expected=[[[8.0]]])
    for weights, tolerance in (("float32", STEPS), ("int8", HYBRID_STEPS)):
        for activation in ("TANH", "RELU6"):
            how: dict[str, Any] = {
                "fused_activation_function": activation,
                "tolerance": tolerance,
                "steps": 3,
            }
            cell = _rnn_cell(2, 7, 5, weights)
            yield case("RNN", [fed("float32", (2, 7), low=-1, high=1), *cell], [out("float32")], **how)
            for time_major in (True, False):
                cell = _rnn_cell(2 if time_major else 3, 7, 5, weights)
                x = fed("float32", (3, 2, 7), low=-1, high=1)
                yield case(
                    "UNIDIRECTIONAL_SEQUENCE_RNN", [x, *cell], [out("float32")], time_major=time_major, **how
                )
    cell = _rnn_cell(2, 6, 5, "float32")
    yield case("RNN", [fed("float32", (2, 7)), *cell], [out("float32")], raises="ShapeError", note="inputs")


def _both_ways() -> Iterator[Case]:
    op = "BIDIRECTIONAL_SEQUENCE_RNN"
    x, other = (fed("float32", (3, 2, 7), low=-1, high=1) for _ in range(2))
    for weights, tolerance in (("float32", STEPS), ("int8", HYBRID_STEPS)):
        for time_major in (True, False):
            for merged in (True, False):
                how: dict[str, Any] = {
                    "time_major": time_major,
                    "merge_outputs": merged,
                    "tolerance": tolerance,
                    "fused_activation_function": "TANH",
                    "steps": 2,
                }
                batch = 2 if time_major else 3
                results = [out("float32")] * (1 if merged else 2)
                if weights == "float32" or not time_major:  # LiteRT runs the sequence as often as it is long
                    cells = [*_rnn_cell(batch, 7, 5, weights), *_rnn_cell(batch, 7, 4, weights)]
                    yield case(op, [x, *cells, None, None, None], results, note="plain", **how)
                    if time_major:  # with batches first LiteRT's backward cell reads the input all the same
                        yield case(op, [x, *cells, other, None, None], results, note="instead", **how)
                    extra = [_rnn_cell(batch, 7, size, weights)[0] for size in (5, 4)]
                    yield case(op, [x, *cells, other, *extra], results, note="besides", **how)
                if merged and not time_major:
                    continue  # LiteRT steps through the states by the width of both outputs, beyond their end
                for kind in ({}, {"cifg": True}, {"m": 3, "peephole": True}):
                    yield from _lstm_both_ways(x, other, batch, weights, kind, results, how)


def _lstm_both_ways(
    x: Tensor,
    other: Tensor,
    batch: int,
    weights: str,
    kind: dict[str, Any],
    results: list[Tensor],
    how: dict[str, Any],
) -> Iterator[Case]:
    op, note = "BIDIRECTIONAL_SEQUENCE_LSTM", "-".join(kind) or "lstm"
    first, second = (_cell(batch, 7, 4, weights=weights, **kind) for _ in range(2))
    cells = [*first[:17], *second[:17], *first[17:19], *second[17:19]]
    yield case(op, [x, *cells, *[None] * 9], results, note=note, **how)
    yield case(op, [x, *cells, other, *[None] * 8], results, note=f"{note}_instead", **how)
    extra = [t for _ in range(2) for t in _cell(batch, 7, 4, weights=weights, **kind)[:4]]
    yield case(op, [x, *cells, other, *extra], results, note=f"{note}_besides", **how)
