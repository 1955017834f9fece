"""One LSTM cell: its weights, checked, and the steps over a sequence in float32, also with 8-bit weights.

    i, f, o = sigmoid(W x + A a + R h + p · c + b)     with layer norm: sigmoid(norm(W x + A a + R h + p · c) · l + b)
    g = act(W x + A a + R h + b)
    c = clip(f · c + i · g)                            without an input gate (CIFG) i = 1 - f
    h = o · act(c), or clip(P (o · act(c)) + q)

Gates are stacked in the order input, forget, cell, output. h and c are variables. Source: kernels/lstm_eval.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import Buffers, NodeSpec

from ._checks import constant, optional, shape_of, tensor, types
from ._engine import weights_once
from ._recurrent import WEIGHTS, Matrix, activation, expect, given, sigmoid, state

GATES = ("input", "forget", "cell", "output")


class Places(NamedTuple):
    """Where a cell's tensors are among the inputs of its node; -1: there is none. Four each in the order of GATES."""

    input: tuple[int, ...]
    recurrent: tuple[int, ...]
    peephole: tuple[int, ...]
    bias: tuple[int, ...]
    projection: int
    projection_bias: int
    output_state: int
    cell_state: int
    norm: tuple[int, ...] = (-1, -1, -1, -1)
    aux: tuple[int, ...] = (-1, -1, -1, -1)


UNIDIRECTIONAL = Places(
    (1, 2, 3, 4), (5, 6, 7, 8), (9, 10, -1, 11), (12, 13, 14, 15), 16, 17, 18, 19, (20, 21, 22, 23)
)


class Cell:
    """The tensors of one cell, with their shapes checked.

    k, a: elements of an input and of an auxiliary input; n: of the cell; m: of the output; gates: which of GATES there
    are, by number; diagonal: recurrent weights are vectors.
    """

    def __init__(self, node: NodeSpec, places: Places, batch: int, k: int, a: int, kind: str) -> None:
        self.node, self.places, self.batch, self.k, self.a = node, places, batch, k, a
        output = tensor(node, places.input[3], "weights of the output gate")
        self.n = shape_of(output, 2, "weights of the output gate")[0]
        last = tensor(node, places.recurrent[3], "recurrent weights of the output gate")
        self.diagonal = len(shape_of(last)) == 1
        self.m = shape_of(last)[-1]
        with_input = self._spec(places.input[0]) is not None
        self.gates = tuple(range(0 if with_input else 1, 4))
        self.w_types = (output.dtype,)
        sums = "int32" if kind == "int8" else "float32"
        self._every(places.input, "weights", (self.n, k), self.w_types)
        recurrent = (self.m,) if self.diagonal else (self.n, self.m)
        self._every(places.recurrent, "recurrent weights", recurrent, self.w_types)
        self._every(places.bias, "bias", (self.n,), (sums,))
        self.aux = a > 0 and self._group(
            tuple(places.aux[g] for g in self.gates), "auxiliary weights", (self.n, a), self.w_types
        )
        small = "int16" if kind == "int8" else output.dtype
        gates = tuple(places.peephole[g] for g in self.gates if g != 2)
        self.peephole = self._group(gates, "peephole weights", (self.n,), (small,))
        coefficients = "int16" if kind == "int8" else "float32"
        norms = tuple(places.norm[g] for g in self.gates)
        self.norm = self._group(norms, "layer norm coefficients", (self.n,), (coefficients,))
        self.projection = self._spec(places.projection)
        if self.projection is not None:
            expect(self.projection, (self.m, self.n), "projection weights")
            types(self.projection, self.w_types, "projection weights")
        elif self.m != self.n:
            raise ShapeError(f"output has {self.m} elements, cell has {self.n}, and there is no projection")
        self.projection_bias = self._spec(places.projection_bias)
        if self.projection_bias is not None:
            expect(self.projection_bias, (self.m,), "projection bias")
            types(self.projection_bias, (sums,), "projection bias")
        self.h = state(node, places.output_state, "output state", (batch, self.m), kind)
        self.c = state(
            node, places.cell_state, "cell state", (batch, self.n), "int16" if kind == "int8" else kind
        )

    def _spec(self, place: int) -> TensorSpec | None:
        return None if place < 0 else optional(self.node, place)

    def _every(
        self, places: tuple[int, ...], what: str, shape: tuple[int, ...], kinds: tuple[str, ...]
    ) -> None:
        for gate in self.gates:
            spec = tensor(self.node, places[gate], f"{what} of the {GATES[gate]} gate")
            expect(spec, shape, f"{what} of the {GATES[gate]} gate")
            types(spec, kinds, f"{what} of the {GATES[gate]} gate")

    def _group(
        self, places: tuple[int, ...], what: str, shape: tuple[int, ...], kinds: tuple[str, ...]
    ) -> bool:
        """Whether the tensors at *places* are there: all of them, or none."""
        present = [spec for spec in map(self._spec, places) if spec is not None]
        if present and len(present) != len([p for p in places if p >= 0]):
            raise ShapeError(f"{what}: {len(present)} of {len(places)} are there; all or none")
        for spec in present:
            expect(spec, shape, what)
            types(spec, kinds, what)
        return bool(present)

    def specs(self, places: tuple[int, ...]) -> list[TensorSpec]:
        """The tensors of the gates there are."""
        return [spec for spec in (self._spec(places[g]) for g in self.gates) if spec is not None]

    def arrays(self, buffers: Buffers, places: tuple[int, ...]) -> list[Array]:
        """Their values."""
        return [given(buffers, places[g]) for g in self.gates]

    @property
    def known(self) -> bool:
        """Whether all weights are constants."""
        p = self.places
        every = (
            *p.input,
            *p.recurrent,
            *p.peephole,
            *p.bias,
            *p.norm,
            *p.aux,
            p.projection,
            p.projection_bias,
        )
        return constant(*(self._spec(place) for place in every))


class Packed(NamedTuple):
    """What the steps read: matrices of the gates there are, vectors (gates, n)."""

    input: list[Array]
    recurrent: list[Array]
    aux: list[Array]
    peephole: dict[int, Array]
    bias: list[Array]
    norm: list[Array]
    projection: Array | None


Step = Callable[
    [Array, "Array | None", Array], None
]  # input (t, b, k), auxiliary input or None, output (t, b, m)


class FloatCell:
    """The cell in float32; weights of 8 bits multiply rows that are quantised on the fly.

    both_ends: asymmetrically; cell_clip, projection_clip: 0 for none; packed: bytes kept.
    """

    def __init__(
        self, cell: Cell, act: str, cell_clip: float, projection_clip: float, both_ends: bool
    ) -> None:
        self.cell, self.act = cell, activation(act)
        self.cell_clip, self.projection_clip = np.float32(cell_clip), np.float32(projection_clip)
        node, p = cell.node, cell.places
        types(tensor(node, p.input[3], "weights"), WEIGHTS, "weights of the output gate")
        self._input = [Matrix(s, both_ends, "weights") for s in cell.specs(p.input)]
        self._recurrent = [Matrix(s, both_ends, "recurrent weights") for s in cell.specs(p.recurrent)]
        self._aux = [Matrix(s, both_ends, "auxiliary weights") for s in cell.specs(p.aux)] if cell.aux else []
        self._peephole = {
            g: Matrix(tensor(node, p.peephole[g], "peephole weights"), both_ends, "peephole weights")
            for g in cell.gates
            if cell.peephole and g != 2
        }
        self._projection = (
            None if cell.projection is None else Matrix(cell.projection, both_ends, "projection weights")
        )
        every = [*self._input, *self._recurrent, *self._aux, self._projection]
        self.packed = sum(m.nbytes for m in every if m is not None) if cell.known else 0

    def bind(self, buffers: Buffers, key: str = "") -> Step:
        """run(x, aux, out): the whole sequence, in the order of its first dimension."""
        cell, p = self.cell, self.cell.places
        weights = weights_once(cell.node, cell.known, lambda: self._pack(buffers), key)
        h = given(buffers, p.output_state).reshape(cell.batch, cell.m)
        c = given(buffers, p.cell_state).reshape(cell.batch, cell.n)
        projection_bias = None if cell.projection_bias is None else given(buffers, p.projection_bias)

        def run(x: Array, aux: Array | None, out: Array) -> None:
            packed = weights()
            fixed = self._from_input(packed, x, aux)
            for t in range(len(out)):
                self._step(packed, [part[t] for part in fixed], h, c, projection_bias)
                out[t] = h

        return run

    def _pack(self, buffers: Buffers) -> Packed:
        cell, p = self.cell, self.cell.places
        arrays = cell.arrays

        def levels(matrix: Matrix, values: Array) -> Array:
            own = matrix.packed(values)
            return (own.astype(np.float32) * matrix.scale) if matrix.quantised else own

        recurrent = [
            levels(m, a) if cell.diagonal else m.packed(a)
            for m, a in zip(self._recurrent, arrays(buffers, p.recurrent), strict=True)
        ]
        return Packed(
            [m.packed(a) for m, a in zip(self._input, arrays(buffers, p.input), strict=True)],
            recurrent,
            [m.packed(a) for m, a in zip(self._aux, arrays(buffers, p.aux), strict=True)]
            if self._aux
            else [],
            {g: levels(m, given(buffers, p.peephole[g])) for g, m in self._peephole.items()},
            arrays(buffers, p.bias),
            arrays(buffers, p.norm) if cell.norm else [],
            None if self._projection is None else self._projection.packed(given(buffers, p.projection)),
        )

    def _from_input(self, packed: Packed, x: Array, aux: Array | None) -> list[Array]:
        """(t, b, n) for each gate: bias and the inputs' part, for all steps at once."""
        cell = self.cell
        steps, batch = x.shape[:2]
        rows = self._input[0].rows(x.reshape(-1, cell.k))
        others = self._aux[0].rows(aux.reshape(-1, cell.a)) if self._aux and aux is not None else None
        made = []
        for place, matrix in enumerate(self._input):
            part = matrix.times(rows, packed.input[place])
            if not cell.norm:
                part += packed.bias[place]
            if others is not None:
                part += self._aux[place].times(others, packed.aux[place])
            made.append(part.reshape(steps, batch, cell.n))
        return made

    def _step(
        self, packed: Packed, fixed: list[Array], h: Array, c: Array, projection_bias: Array | None
    ) -> None:
        cell = self.cell
        rows = None if cell.diagonal else self._recurrent[0].rows(h)

        def gate(number: int) -> Array:
            place = cell.gates.index(number)
            total = fixed[place]
            if cell.diagonal:
                total += h * packed.recurrent[place]
            else:
                total += self._recurrent[place].times(rows, packed.recurrent[place])
            if number in packed.peephole:
                total += c * packed.peephole[number]
            if cell.norm:
                _normalise(total)
                total *= packed.norm[place]
                total += packed.bias[place]
            (self.act if number == 2 else sigmoid)(total)
            return total

        forget = gate(1)
        share = gate(0) if 0 in cell.gates else 1 - forget
        update = gate(2)
        np.multiply(c, forget, out=c)
        np.add(c, share * update, out=c)
        if self.cell_clip > 0:
            np.clip(c, -self.cell_clip, self.cell_clip, out=c)
        result = gate(3)
        shown = c.copy()
        self.act(shown)
        np.multiply(result, shown, out=result)
        if self._projection is None or packed.projection is None:
            np.copyto(h, result)
            return
        np.copyto(h, self._projection.times(self._projection.rows(result), packed.projection))
        if projection_bias is not None:
            np.add(h, projection_bias, out=h)
        if self.projection_clip > 0:
            np.clip(h, -self.projection_clip, self.projection_clip, out=h)


def _normalise(x: Array) -> None:
    """Each row less its mean, over its deviation: MeanStddevNormalization."""
    x -= x.mean(axis=1, keepdims=True)
    variance = np.mean(x * x, axis=1, keepdims=True)
    x *= np.float32(1) / np.sqrt(variance + np.float32(1e-8))


def sequence(x: Array, time_major: bool) -> Array:
    """*x* as (t, b, n): a sequence of one step has no first dimension."""
    if x.ndim == 2:
        return x[None]
    return x if time_major else x.swapaxes(0, 1)


def steps_of(shape: tuple[int, ...], time_major: bool) -> tuple[int, int, int]:
    """(t, b, n) of a shape (b, n), (t, b, n) or (b, t, n)."""
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) != 3:
        raise ShapeError(f"input has {len(shape)} dimensions {shape}, wanted 2 or 3")
    return shape if time_major else (shape[1], shape[0], shape[2])
