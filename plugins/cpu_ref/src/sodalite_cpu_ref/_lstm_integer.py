"""The LSTM cell with 8-bit inputs, weights and outputs and a 16-bit cell state ("8x8_16"), bit by bit.

Gates are Q3.12, their activations Q0.15 by gemmlowp's fixed point; the cell state has a power of two for its scale.
Five intermediate tensors bring scales: of the four gates before layer norm, and of the hidden state before projection.
Source: PopulateQuantizedLstmParams8x8_16 in kernels/unidirectional_sequence_lstm.cc, LstmStepInteger8x8_16 in
kernels/lstm_eval.cc and reference/portable_tensor_utils.cc.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sodalite.graph import Array, Quant, TensorSpec
from sodalite.kernel import Buffers, Reason

from . import _fixed
from ._checks import declined, per_tensor, tensor, types
from ._engine import weights_once
from ._lstm import GATES, Cell, Step
from ._recurrent import given
from .quant import multiplier_and_shift, rescale

Int64s = npt.NDArray[np.int64]
Scale = tuple[int, int]
Q12 = np.float32(2.0**-12)


@functools.cache
def _table(name: str, integer_bits: int) -> Int64s:
    """A function of every int16 with *integer_bits*, as Q0.15, by the bits of its argument."""
    levels = np.arange(1 << 16).astype(np.uint16).view(np.int16)
    function = _fixed.logistic if name == "logistic" else _fixed.tanh
    made: Int64s = function(levels, integer_bits, 16)
    made.flags.writeable = False
    return made


def _looked_up(name: str, integer_bits: int, x: Any) -> Int64s:
    return _table(name, integer_bits).take(np.asarray(x) & 0xFFFF)  # the bits of an int16


def _saturated(x: Any, bits: int = 16) -> Int64s:
    half = 1 << (bits - 1)
    return np.asarray(np.clip(x, -half, half - 1), np.int64)


def _wrapped(x: Any) -> Int64s:
    """As an int32 holds it."""
    return np.asarray(x).astype(np.int32).astype(np.int64)


def _quotient(x: Any, divisor: int) -> Int64s:
    """C's integer division."""
    x = np.asarray(x, np.int64)
    return np.asarray(np.sign(x) * (np.abs(x) // divisor), np.int64)


class Gate(NamedTuple):
    """Scales of one gate: of W x, R h and p · c on the way to its sums, and of layer norm, with its variance guard."""

    input: Scale
    recurrent: Scale
    peephole: Scale | None
    norm: Scale | None
    guard: int


class Packed(NamedTuple):
    """Transposed weights as float64, whose sums are exact; biases with zero points in them."""

    input: list[Array]
    input_bias: list[Array]
    recurrent: list[Array]
    recurrent_bias: list[Array]
    projection: Array | None
    projection_bias: Array | None


class IntegerCell:
    """The cell; Unsupported if a scale is not one that it can have."""

    def __init__(self, cell: Cell, cell_clip: float, projection_clip: float, time_major: bool) -> None:
        self.cell, self._time_major = cell, time_major
        node, p = cell.node, cell.places
        types(tensor(node, p.input[3], "weights"), ("int8",), "weights of the output gate")
        self.x = per_tensor(tensor(node, 0, "input"), "input")
        self.h, out = per_tensor(cell.h, "output state"), per_tensor(node.outputs[0], "output")
        cell_quant = per_tensor(cell.c, "cell state")
        power = math.log2(cell_quant.scale)
        self.power = round(power)
        if abs(power - self.power) > 1e-3 or not -15 <= self.power <= -9:
            raise declined(f"cell state has scale {cell_quant.scale:g}; only 2**-15 ... 2**-9", Reason.QUANT)
        between = node.intermediates
        if len(between) != 5 or between[4] is None:
            raise declined(f"{len(between)} intermediate tensors; only 5", Reason.QUANT)
        hidden = per_tensor(between[4], "hidden state")
        self.hidden_zero = hidden.zero_point
        self.gates = {g: self._gate(g, between[g]) for g in cell.gates}
        # 2**-15 / scale · 2**-15, rounded to float32
        self.hidden = _scale(np.float32(2.0**-30 / hidden.scale))
        self.projection: Scale | None = None
        if cell.projection is not None:
            weights = per_tensor(cell.projection, "projection weights")
            self.projection = _scale(weights.scales[0] * hidden.scales[0] / self.h.scales[0])
        self.cell_clip = _clip(cell_clip, cell_quant, 32767.0)
        self.projection_clip = _clip(projection_clip, out, 127.0)
        self.packed = (
            8 * (len(cell.gates) * cell.n * (cell.k + cell.m) + cell.n * cell.m) if cell.known else 0
        )

    def _gate(self, gate: int, between: TensorSpec | None) -> Gate:
        cell, p = self.cell, self.cell.places
        what = f"of the {GATES[gate]} gate"
        scale = Q12
        if cell.norm:
            if between is None:
                raise declined(f"the intermediate tensor {what} is missing", Reason.QUANT)
            scale = per_tensor(between, f"intermediate tensor {what}").scales[0]

        def own(places: tuple[int, ...]) -> Any:
            return per_tensor(tensor(cell.node, places[gate], f"weights {what}"), f"weights {what}").scales[0]

        peephole = None
        if cell.peephole and gate != 2:
            peephole = _scale(np.float32(2.0**self.power * float(own(p.peephole)) / float(scale)))
        norm = own(p.norm) if cell.norm else np.float32(1)
        return Gate(
            _scale(own(p.input) * self.x.scales[0] / scale),
            _scale(own(p.recurrent) * self.h.scales[0] / scale),
            peephole,
            _scale(norm) if cell.norm else None,
            max(1, int(np.float32(10000) * norm)),
        )

    def bind(self, buffers: Buffers, key: str = "") -> Step:
        """run(x, None, out): the whole sequence, in the order of its first dimension."""
        cell, p = self.cell, self.cell.places
        weights = weights_once(cell.node, cell.known, lambda: self._pack(buffers), key)
        h = given(buffers, p.output_state).reshape(cell.batch, cell.m)
        c = given(buffers, p.cell_state).reshape(cell.batch, cell.n)
        peepholes = {
            g: self._spread(given(buffers, p.peephole[g])) for g in cell.gates if self.gates[g].peephole
        }
        norms = {
            g: (given(buffers, p.norm[g]).astype(np.int64), given(buffers, p.bias[g]).astype(np.int64))
            for g in cell.gates
            if cell.norm
        }

        def run(x: Array, aux: Array | None, out: Array) -> None:
            packed = weights()
            rows = x.reshape(-1, cell.k).astype(np.float64)
            fixed = []
            for place, g in enumerate(cell.gates):
                sums = _wrapped(rows @ packed.input[place] + packed.input_bias[place])
                fixed.append(_saturated(rescale(sums, *self.gates[g].input)).reshape(*x.shape[:2], cell.n))
            for t in range(len(out)):
                self._step(packed, [part[t] for part in fixed], h, c, peepholes, norms)
                out[t] = h

        return run

    def _spread(self, weights: Array) -> Int64s:
        """Peephole weights (n,) for each element of the cell state (b, n).

        LiteRT takes the output's size for the cell's here: with a projection to fewer elements, the weights of the first
        m repeat over the first b · m elements of all batches, or over the first m of each where batches come first.
        """
        batch, n, m = self.cell.batch, self.cell.n, self.cell.m
        spread = np.zeros((batch, n), np.int64)
        if m >= n:
            spread[:] = weights
        elif self._time_major:
            spread.reshape(-1)[: batch * m] = np.tile(weights[:m], batch)
        else:
            spread[:, :m] = weights[:m]
        return spread

    def _pack(self, buffers: Buffers) -> Packed:
        cell, p = self.cell, self.cell.places
        nothing = np.zeros(cell.n, np.int64)

        def ready(values: Array, zero: int, bias: Array) -> tuple[Array, Array]:
            sums = values.astype(np.int64).sum(axis=1)
            return values.T.astype(np.float64), _wrapped(bias + zero * sums).astype(np.float64)

        bias = [nothing] * len(cell.gates) if cell.norm else cell.arrays(buffers, p.bias)
        inputs = cell.arrays(buffers, p.input)
        first = [ready(w, -self.x.zero_point, b) for w, b in zip(inputs, bias, strict=True)]
        second = [ready(w, -self.h.zero_point, nothing) for w in cell.arrays(buffers, p.recurrent)]
        last: tuple[Array | None, Array | None] = (None, None)
        if cell.projection is not None:
            own = (
                np.zeros(cell.m, np.int64)
                if cell.projection_bias is None
                else given(buffers, p.projection_bias)
            )
            last = ready(given(buffers, p.projection), self.hidden_zero, own)
        return Packed(
            [w for w, _ in first],
            [b for _, b in first],
            [w for w, _ in second],
            [b for _, b in second],
            *last,
        )

    def _step(
        self,
        packed: Packed,
        fixed: list[Int64s],
        h: Array,
        c: Array,
        peepholes: dict[int, Int64s],
        norms: dict[int, tuple[Int64s, Int64s]],
    ) -> None:
        cell = self.cell
        rows = h.astype(np.float64)
        held = c.astype(np.int64)

        def gate(number: int) -> Int64s:
            place, scales = cell.gates.index(number), self.gates[number]
            sums = _wrapped(rows @ packed.recurrent[place] + packed.recurrent_bias[place])
            total = _saturated(rescale(sums, *scales.recurrent).astype(np.int64) + fixed[place])
            if scales.peephole is not None:
                total = _saturated(
                    rescale(peepholes[number] * held, *scales.peephole).astype(np.int64) + total
                )
            if scales.norm is not None:
                total = _normalised(total, *norms[number], scales.norm, scales.guard)
            return _looked_up("tanh" if number == 2 else "logistic", 3, total)

        forget = gate(1)
        share = gate(0) if 0 in cell.gates else 32767 - forget
        update = gate(2)
        kept = _fixed.rounding_shift(forget * held, 15)
        added = _fixed.rounding_shift(share * update, 30 + self.power).astype(np.int16)
        held = _saturated(kept + added)
        if self.cell_clip > 0:
            held = np.clip(held, -self.cell_clip, self.cell_clip)
        np.copyto(c, held, casting="unsafe")
        products = gate(3) * _looked_up("tanh", 15 + self.power, held)
        hidden = rescale(products, *self.hidden).astype(np.int64)
        if self.projection is None or packed.projection is None or packed.projection_bias is None:
            np.copyto(h, _saturated(hidden + self.hidden_zero, 8), casting="unsafe")
            return
        seen = _saturated(hidden - self.hidden_zero, 8)
        sums = _wrapped(seen @ packed.projection + packed.projection_bias)
        levels = _saturated(rescale(sums, *self.projection).astype(np.int64) + self.h.zero_point, 8)
        if self.projection_clip > 0:
            levels = np.clip(levels, -self.projection_clip, self.projection_clip)
        np.copyto(h, levels, casting="unsafe")


def _scale(real: Any) -> Scale:
    return multiplier_and_shift(float(real))


def _clip(bound: float, quant: Quant, most: float) -> int:
    """A clip as a level, cut to the type; 0 for none."""
    return int(min(float(np.float32(bound) / quant.scales[0]), most)) if bound > 0 else 0


def _normalised(x: Int64s, weights: Int64s, bias: Int64s, scale: Scale, guard: int) -> Int64s:
    """Rows of (b, n) less their mean, over their deviation, times *weights*, plus *bias*: ApplyLayerNorm."""
    n = x.shape[1]
    mean = _wrapped(_quotient(x.sum(axis=1) * 1024, n))
    variance = (x * x).sum(axis=1) * ((1 << 20) // n) - mean * mean
    small = _wrapped(_quotient(variance, 1 << 20))
    multiplier, shift = _fixed.inverse_sqrt(np.where(small < 1, guard, small))
    apart = _wrapped(1024 * x - mean[:, None])
    rescaled = rescale(apart, multiplier[:, None], shift[:, None]).astype(np.int64)
    scaled = _wrapped(rescaled * weights + bias)
    rounded = _quotient(scaled + np.where(scaled > 0, 512, -512), 1024)
    return _saturated(rescale(rounded, scale[0], scale[1] + 12))
