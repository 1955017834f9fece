"""RNN, UNIDIRECTIONAL_SEQUENCE_RNN, BIDIRECTIONAL_SEQUENCE_RNN and BIDIRECTIONAL_SEQUENCE_LSTM.

RNN cell: h = act(W x + A a + R h + b), h a variable (b, n); for one step, x (b, k), or over a sequence (t, b, k) or
(b, t, k). Bidirectional kernels run one cell forwards and one backwards, each with a state of its own; outputs are
two, or one with both side by side (merge_outputs). With an auxiliary input, both cells read it besides the input if
they have weights for it; otherwise the backward cell reads it instead. float32, also with 8-bit weights. Source:
kernels/basic_rnn.cc, unidirectional_sequence_rnn.cc, bidirectional_sequence_*.cc and internal/kernel_utils.cc.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import constant, declined, optional, shape_of, tensor, types
from ._engine import weights_once
from ._lstm import Cell, FloatCell, Places, sequence, steps_of
from ._lstm import Step as Run
from ._recurrent import WEIGHTS, Matrix, activation, expect, given, made, state
from .nodes import quiet


class RnnPlaces(NamedTuple):
    """Where a cell's tensors are among the inputs of its node; -1: there is none."""

    input: int
    recurrent: int
    bias: int
    state: int
    aux: int = -1


class RnnCell:
    """One cell with its shapes checked. m: elements of its output."""

    def __init__(self, node: NodeSpec, places: RnnPlaces, batch: int, k: int, a: int) -> None:
        self.node, self.places, self.batch, self.k, self.a = node, places, batch, k, a
        w = tensor(node, places.input, "weights")
        types(w, WEIGHTS, "weights")
        self.m = shape_of(w, 2, "weights")[0]
        recurrent, bias = (
            tensor(node, places.recurrent, "recurrent weights"),
            tensor(node, places.bias, "bias"),
        )
        expect(w, (self.m, k), "weights")
        expect(recurrent, (self.m, self.m), "recurrent weights")
        expect(bias, (self.m,), "bias")
        types(recurrent, (w.dtype,), "recurrent weights")
        types(bias, ("float32",), "bias")
        state(node, places.state, "hidden state", (batch, self.m), "float32")
        both_ends = bool(node.options["asymmetric_quantize_inputs"])
        self._act = activation(node.options["fused_activation_function"])
        self._input, self._recurrent = (
            Matrix(w, both_ends, "weights"),
            Matrix(recurrent, both_ends, "recurrent weights"),
        )
        self._aux: Matrix | None = None
        extra: TensorSpec | None = None
        if a:
            extra = tensor(node, places.aux, "auxiliary weights")
            expect(extra, (self.m, a), "auxiliary weights")
            types(extra, (w.dtype,), "auxiliary weights")
            self._aux = Matrix(extra, both_ends, "auxiliary weights")
        self.known = constant(w, recurrent, extra)
        every = (self._input, self._recurrent, self._aux)
        self.packed = sum(m.nbytes for m in every if m is not None) if self.known else 0

    def bind(self, buffers: Buffers, key: str = "") -> Run:
        """run(x, aux, out): the whole sequence, in the order of its first dimension."""
        p = self.places
        h, bias = given(buffers, p.state).reshape(self.batch, self.m), given(buffers, p.bias)

        def make() -> tuple[Array, Array, Array | None]:
            extra = None if self._aux is None else self._aux.packed(given(buffers, p.aux))
            return (
                self._input.packed(given(buffers, p.input)),
                self._recurrent.packed(given(buffers, p.recurrent)),
                extra,
            )

        weights = weights_once(self.node, self.known, make, key)

        def run(x: Array, aux: Array | None, out: Array) -> None:
            w, r, extra = weights()
            fixed = self._input.times(self._input.rows(x.reshape(-1, self.k)), w) + bias
            if self._aux is not None and aux is not None and extra is not None:
                fixed += self._aux.times(self._aux.rows(aux.reshape(-1, self.a)), extra)
            fixed = fixed.reshape(len(out), self.batch, self.m)
            for t in range(len(out)):
                total = fixed[t]
                total += self._recurrent.times(self._recurrent.rows(h), r)
                self._act(total)
                np.copyto(h, total)
                out[t] = total

        return run


def rnn(node: NodeSpec) -> Prepared:
    """Prepare RNN; see the module."""
    return _one_way(node, time_major=True, rank=2)


def unidirectional_sequence_rnn(node: NodeSpec) -> Prepared:
    """Prepare UNIDIRECTIONAL_SEQUENCE_RNN; see the module."""
    return _one_way(node, bool(node.options["time_major"]), rank=3)


def _one_way(node: NodeSpec, time_major: bool, rank: int) -> Prepared:
    x = tensor(node, 0, "input")
    types(x, ("float32",), "input")
    types(node.outputs[0], ("float32",), "output")
    shape = shape_of(x, rank)
    _, batch, k = steps_of(shape, time_major)
    cell = RnnCell(node, RnnPlaces(1, 2, 3, 4), batch, k, 0)

    def bind(buffers: Buffers) -> Step:
        run = cell.bind(buffers)
        xs, out = sequence(given(buffers, 0), time_major), sequence(made(buffers), time_major)
        return quiet(lambda: run(xs, None, out))

    return Prepared(((*shape[:-1], cell.m),), bind, writes=frozenset({4}), packed=cell.packed)


def bidirectional_sequence_rnn(node: NodeSpec) -> Prepared:
    """Prepare BIDIRECTIONAL_SEQUENCE_RNN; see the module."""
    layout = _Layout(node, 9, 10, bool(node.options["time_major"]))
    size = layout.batch, layout.k, layout.a
    forward = RnnCell(node, RnnPlaces(1, 2, 3, 4, 10), *size)
    backward = RnnCell(node, RnnPlaces(5, 6, 7, 8, 11), *size)
    return layout.prepared(forward, backward, frozenset({4, 8}))


def bidirectional_sequence_lstm(node: NodeSpec) -> Prepared:
    """Prepare BIDIRECTIONAL_SEQUENCE_LSTM; see the module."""
    o = node.options
    layout = _Layout(node, 39, 41, bool(o["time_major"]))

    def cell(at: int, states: int, aux: int) -> FloatCell:
        four = tuple(range(at, at + 4)), tuple(range(at + 4, at + 8))
        peephole, bias = (at + 8, at + 9, -1, at + 10), tuple(range(at + 11, at + 15))
        extra = tuple(range(aux, aux + 4))
        places = Places(*four, peephole, bias, at + 15, at + 16, states, states + 1, aux=extra)
        own = Cell(node, places, layout.batch, layout.k, layout.a, "float32")
        both_ends = bool(o["asymmetric_quantize_inputs"])
        return FloatCell(own, o["fused_activation_function"], o["cell_clip"], o["proj_clip"], both_ends)

    return layout.prepared(cell(1, 35, 40), cell(18, 37, 44), frozenset({35, 36, 37, 38}))


class _Layout:
    """What two cells share. a: elements of the auxiliary input that both read; instead: the backward cell reads it alone."""

    def __init__(self, node: NodeSpec, aux: int, aux_weights: int, time_major: bool) -> None:
        x, other = tensor(node, 0, "input"), optional(node, aux)
        types(x, ("float32",), "input")
        self.shape = shape_of(x, 3)
        self.node, self.time_major, self.aux = node, time_major, aux
        _, self.batch, self.k = steps_of(self.shape, time_major)
        self.merged = bool(node.options["merge_outputs"])
        if len(node.outputs) != (1 if self.merged else 2):
            raise declined(f"{len(node.outputs)} outputs; only {1 if self.merged else 2}", Reason.SHAPE)
        for made_output in node.outputs:
            types(made_output, ("float32",), "output")
        self.a, self.instead = 0, False
        if other is not None:
            types(other, ("float32",), "auxiliary input")
            size = shape_of(other, 3, "auxiliary input")
            self.instead = optional(node, aux_weights) is None
            self.a = 0 if self.instead else size[2]
            if size[:2] != self.shape[:2] or (self.instead and size[2] != self.k):
                raise ShapeError(f"auxiliary input is {size}, input {self.shape}")

    def prepared(
        self, forward: RnnCell | FloatCell, backward: RnnCell | FloatCell, writes: frozenset[int]
    ) -> Prepared:
        first, second = (c.m if isinstance(c, RnnCell) else c.cell.m for c in (forward, backward))
        lead = self.shape[:2]
        outputs = ((*lead, first + second),) if self.merged else ((*lead, first), (*lead, second))

        def bind(buffers: Buffers) -> Step:
            ahead, behind = forward.bind(buffers, "forward"), backward.bind(buffers, "backward")
            xs = sequence(given(buffers, 0), self.time_major)
            others = sequence(given(buffers, self.aux), self.time_major) if self.a or self.instead else None
            out = made(buffers)
            left = out[..., :first] if self.merged else out
            right = out[..., first:] if self.merged else made(buffers, 1)
            left, right = sequence(left, self.time_major), sequence(right, self.time_major)[::-1]
            extra = None if self.instead else others
            reverse = xs if others is None or not self.instead else others

            def step() -> None:
                ahead(xs, extra, left)
                behind(reverse[::-1], None if extra is None else extra[::-1], right)

            return quiet(step)

        return Prepared(outputs, bind, writes=writes, packed=forward.packed + backward.packed)
