"""The quantised schemes of sums of products: int8, uint8 and int16 activations with integer weights.

sum (w - w_zero) · (x - x_zero) + bias = sum (w - w_zero) · x + (bias - x_zero · sum (w - w_zero)): the right form runs
on the raw levels of x, the last term is one number a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Reason

from ._checks import affine, constant, declined, option, per_tensor, types
from ._products import Cuts, cuts
from ._requant import DOUBLE, REAL, REAL_WIDE, WIDE, Float64s, Requant
from .quant import activation_range

X_MOST = {"int8": 128, "uint8": 255, "int16": 32768}
W_MOST = {"int2": 2, "int4": 8, "int8": 128, "int16": 32768}
W_TYPES = {"int8": ("int8", "int4"), "uint8": ("uint8",), "int16": ("int8", "int4")}
OUT_TYPES = {"int8": ("int8",), "uint8": ("uint8",), "int16": ("int16",)}


class Rules(NamedTuple):
    """In what an operator's kernels differ from those of CONV_2D.

    axis: of the filter's output channels; w_types, out_types: for each type of the input; w_zero: int8 filters with
    one scale may have a zero point; real: the multiplier is applied in float64; checks_bias: its scale is looked at
    whenever the filter has one scale, not only for uint8.
    """

    axis: int = 0
    w_types: Mapping[str, tuple[str, ...]] = W_TYPES
    out_types: Mapping[str, tuple[str, ...]] = OUT_TYPES
    w_zero: bool = False
    real: bool = False
    checks_bias: bool = False


class Weights(NamedTuple):
    """matrix: (o, k), zero point taken off, in the dtype of the products; bias: (o,) with the input's zero point in it."""

    matrix: Array
    bias: Float64s


class Scheme(NamedTuple):
    """What a quantised node does with its sums.

    x_zero: level of the input that means 0; cut: of the sums; requant: of the result; weights: (filter, bias) ->
    Weights; packed: bytes that these take; constant: whether they may be kept; w_zero, w_most: of the filter, and the
    largest |w - w_zero|.
    """

    x_zero: int
    cut: Cuts
    requant: Requant
    weights: Callable[[Array, Array | None], Weights]
    packed: int
    constant: bool
    w_zero: int
    w_most: int


def scheme(
    node: NodeSpec,
    x: TensorSpec,
    w: TensorSpec,
    bias: TensorSpec | None,
    rows: Callable[[Array], Array],
    k: int,
    channels: int,
    rules: Rules,
) -> Scheme:
    """The scheme of *node*, or Unsupported. rows: a filter -> (channels, k)."""
    out = node.outputs[0]
    types(w, rules.w_types[x.dtype], "filter")
    types(out, rules.out_types[x.dtype], "output")
    xq, wq, outq = per_tensor(x, "input"), affine(w, "filter"), per_tensor(out, "output")
    if x.dtype == "int16" and (xq.zero_point or outq.zero_point):
        raise declined("int16 tensors with a zero point; only 0", Reason.QUANT)
    w_zero = _w_zero(x, w, channels, rules)
    wide = _check_bias(node, x, w, bias, rules)
    how = (REAL_WIDE if wide else REAL) if rules.real and w.dtype != "int16" else WIDE if wide else DOUBLE
    # With one scale for the filter, TFLite forms s_x · s_w in float32, except where it does all in float64.
    single = x.dtype == "uint8" or (rules.checks_bias and not wq.per_channel)
    if single and how in (DOUBLE, WIDE):
        reals = (np.float32(xq.scale) * wq.scales).astype(np.float64) / outq.scale
    else:
        reals = xq.scale * wq.scales.astype(np.float64) / outq.scale
    low, high = option(
        lambda: activation_range(
            node.options["fused_activation_function"], out.dtype, outq.scale, outq.zero_point
        )
    )
    known = constant(w, bias)
    w_most = max(w_zero, 255 - w_zero) if w.dtype == "uint8" else W_MOST[w.dtype] + abs(w_zero)
    cut = cuts(k, X_MOST[x.dtype], w_most, rows(w.data) if w.data is not None else None, w_zero)
    bound = None
    if known:
        most = 0 if bias is None or bias.data is None else np.abs(bias.data.astype(np.float64)).max(initial=0)
        bound = cut.bound * (1 + abs(xq.zero_point) / X_MOST[x.dtype]) + float(most)
    requant = Requant(reals, outq.zero_point, low, high, out.dtype, rounding=how, bound=bound)

    def weights(filters: Array, biases: Array | None) -> Weights:
        matrix = rows(filters).astype(cut.dtype)
        if w_zero:
            matrix -= w_zero
        own = np.zeros(channels) if biases is None else biases.astype(np.float64).reshape(channels)
        if xq.zero_point:
            own -= xq.zero_point * matrix.sum(axis=1, dtype=np.float64)
        return Weights(matrix, own)

    packed = channels * (k * cut.dtype.itemsize + 8) if known else 0
    return Scheme(xq.zero_point, cut, requant, weights, packed, known, w_zero, w_most)


def _w_zero(x: TensorSpec, w: TensorSpec, channels: int, rules: Rules) -> int:
    """The filter's zero point; Unsupported for scales and zero points that no kernel has."""
    wq = affine(w, "filter")
    if wq.per_channel and x.dtype == "uint8":
        raise declined(f"filter of uint8 has {wq.scales.size} scales; only one", Reason.QUANT)
    if wq.per_channel and (wq.scales.size, wq.axis) != (channels, rules.axis):
        raise declined(
            f"filter has {wq.scales.size} scales along dimension {wq.axis}; "
            f"only {channels} along dimension {rules.axis}",
            Reason.QUANT,
        )
    if w.dtype == "uint8" or (rules.w_zero and w.dtype == "int8" and not wq.per_channel):
        return wq.zero_point
    if np.any(wq.zero_points):
        raise declined("filter has a zero point; only 0", Reason.QUANT)
    return 0


def _check_bias(node: NodeSpec, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None, rules: Rules) -> bool:
    """Whether sums are 64 bits wide. Unsupported if the bias is not of a type that goes with the input's."""
    said = node.options.get("quantized_bias_type", "float32")
    if x.dtype != "int16":
        if bias is not None:
            types(bias, ("int32",), "bias")
    elif bias is not None:
        types(bias, ("int32", "int64") if said == "float32" else (said,), "bias")
        said = bias.dtype
    if bias is not None and bias.quant is not None and bias.quant.scales.size:
        if np.any(bias.quant.zero_points):
            raise declined("bias has a zero point; only 0", Reason.QUANT)
        wq = affine(w, "filter")
        if x.dtype == "uint8" or (rules.checks_bias and not wq.per_channel):
            # The kernel takes the bias to have the scale s_x · s_w.
            own = per_tensor(x, "input").scale * wq.scale
            if abs(own - bias.quant.scale) > 0.02 * per_tensor(node.outputs[0], "output").scale:
                raise declined(f"bias has scale {bias.quant.scale:g}; only {own:g}", Reason.QUANT)
    return x.dtype == "int16" and (said != "int32" or w.dtype == "int16")
