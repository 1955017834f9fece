"""What recurrent kernels share: their checks, fused activations of whole vectors, products with quantised rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Reason, Unsupported

from ._checks import affine, declined, shape_of
from ._hybrid import asymmetric, symmetric
from .quant import float_activation_range

FLOAT32 = np.float32
WEIGHTS = ("float32", "int8", "uint8")

Vector = Callable[[Array], None]


def state(node: NodeSpec, place: int, what: str, shape: Shape, dtype: str) -> TensorSpec:
    """The variable at input *place*. Unsupported if it is none, ShapeError if it does not have *shape*'s elements."""
    found = node.inputs[place] if place < len(node.inputs) else None
    if found is None:
        raise ShapeError(f"input {place}, the {what}, is missing")
    if not found.variable:
        raise Unsupported(f"the {what} is no variable tensor", code=Reason.STATE)
    if found.dtype != dtype:
        raise Unsupported(f"the {what} is {found.dtype}; only {dtype}", code=Reason.TYPE)
    expect(found, shape, what)
    return found


def expect(spec: TensorSpec, shape: Shape, what: str) -> None:
    """ShapeError unless *spec* has *shape*."""
    if shape_of(spec) != shape:
        raise ShapeError(f"{what} has shape {spec.shape}, wanted {shape}")


def activation(name: str) -> Vector:
    """The fused activation as a function on vectors, in place; Unsupported for those no kernel has.

    Source: ApplyActivationToVector in kernels/internal/tensor_utils.h.
    """
    if name == "TANH":
        return _tanh
    if name == "SIGN_BIT":
        return lambda x: np.copyto(x, np.signbit(x))
    try:
        low, high = float_activation_range(name)
    except ValueError as error:
        raise Unsupported(str(error), code=Reason.OPTION) from error
    if name == "NONE":
        return lambda x: None
    return lambda x: _clip(x, low, high)


def _tanh(x: Array) -> None:
    np.tanh(x, out=x)


def _clip(x: Array, low: float, high: float) -> None:
    np.clip(x, low, high, out=x)


def sigmoid(x: Array) -> None:
    """x = 1 / (1 + exp(-x)), in place."""
    np.negative(x, out=x)
    np.exp(x, out=x)
    np.add(x, 1, out=x)
    np.reciprocal(x, out=x)


def given(buffers: Buffers, place: int) -> Array:
    """Input *place*, which prepare saw."""
    found = buffers.inputs[place]
    assert found is not None  # noqa: S101  core gives what prepare saw
    return found


def made(buffers: Buffers, place: int = 0) -> Array:
    """Output *place*, whose shape is known."""
    found = buffers.outputs[place]
    assert found is not None  # noqa: S101  core gives what prepare said
    return found


class Matrix:
    """A weight matrix (o, k): float32, or levels with one scale, by which rows quantised on the fly are multiplied.

    both_ends: these rows are quantised asymmetrically. uint8 is what early converters called int8.
    """

    def __init__(self, spec: TensorSpec, both_ends: bool, what: str) -> None:
        self.quantised = spec.dtype != "float32"
        self.scale = FLOAT32(1)
        if self.quantised:
            quant = affine(spec, what)
            if quant.per_channel:
                raise declined(f"{what} has {quant.scales.size} scales; only one", Reason.QUANT)
            self.scale = quant.scales[0]
        self._levels = asymmetric if both_ends else symmetric
        self.nbytes = 8 * int(np.prod(shape_of(spec))) if self.quantised else 0

    def packed(self, weights: Array) -> Array:
        """Weights as ``times`` wants them: levels as float64, whose sums are exact."""
        if not self.quantised:
            return weights
        return (weights.view(np.int8) if weights.dtype == np.uint8 else weights).astype(np.float64)

    def rows(self, x: Array) -> Any:
        """*x* (m, k) as ``times`` wants it, once for all matrices it meets."""
        if not self.quantised:
            return x
        levels, scales = np.empty(x.shape, np.float32), np.empty(len(x), np.float32)
        if x.size:
            self._levels(np.ascontiguousarray(x), levels, scales)
        return levels.astype(np.float64), scales

    def times(self, rows: Any, weights: Array) -> Array:
        """rows @ weights.T as float32 (m, o); what was quantised is scaled by the product of both scales."""
        if not self.quantised:
            made: Array = rows @ weights.T
            return made
        levels, scales = rows
        sums: Array = (levels @ weights.T).astype(np.float32)
        sums *= (scales * self.scale)[:, None]
        return sums
