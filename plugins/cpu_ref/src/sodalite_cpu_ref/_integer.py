"""The quantised schemes of sums of products: int8, uint8 and int16 activations with integer weights.

sum (w - w_zero) · (x - x_zero) + bias = sum (w - w_zero) · x + (bias - x_zero · sum (w - w_zero)): the right form runs
on the raw levels of x, the last term is one number a column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Reason
from sodalite.quant import activation_range

from ._checks import affine, constant, declined, option, per_tensor, types
from ._products import Cuts, cuts
from ._requant import DOUBLE, WIDE, Float64s, Requant

X_MOST = {"int8": 128, "uint8": 255, "int16": 32768}
W_MOST = {"int2": 2, "int4": 8, "int8": 128}


class Weights(NamedTuple):
    """matrix: (o, k), zero point taken off, in the dtype of the products; bias: (o,) with the input's zero point in it."""

    matrix: Array
    bias: Float64s


class Scheme(NamedTuple):
    """What a quantised node does with its sums.

    x_zero: level of the input that means 0; cut: of the sums; requant: of the result; weights: asked each run;
    packed: bytes that ``weights`` keeps.
    """

    x_zero: int
    cut: Cuts
    requant: Requant
    weights: Callable[[Array, Array | None], Weights]
    packed: int
    constant: bool


def multipliers(x: TensorSpec, w: TensorSpec, out: TensorSpec, channels: int, axis: int) -> Array:
    """s_x · s_w / s_out in float64, one or one a channel: PopulateConvolutionQuantizationParams in kernel_util.cc."""
    wq = affine(w, "filter")
    if wq.per_channel and (wq.scales.size != channels or wq.axis != axis):
        raise declined(
            f"filter has {wq.scales.size} scales along dimension {wq.axis}; only {channels} along dimension {axis}",
            Reason.QUANT,
        )
    xs, outs = per_tensor(x, "input").scale, per_tensor(out, "output").scale
    if not (outs > 0 and xs >= 0 and np.all(wq.scales >= 0)):
        raise declined("scales must be positive", Reason.QUANT)
    if x.dtype == "uint8":
        return (np.float32(xs) * wq.scales).astype(np.float64) / outs
    return np.float64(xs) * wq.scales.astype(np.float64) / outs


def scheme(
    node: NodeSpec,
    x: TensorSpec,
    w: TensorSpec,
    bias: TensorSpec | None,
    rows: Callable[[Array], Array],
    k: int,
    channels: int,
    axis: int,
    rounding: str | None = None,
) -> Scheme:
    """The scheme of *node*, or Unsupported. rows: a filter -> (channels, k); axis: of its channels.

    rounding: of the result, None for what convolutions do.
    """
    out = node.outputs[0]
    types(out, (x.dtype,), "output")
    types(w, ("uint8",) if x.dtype == "uint8" else tuple(W_MOST), "filter")
    xq, wq, outq = per_tensor(x, "input"), affine(w, "filter"), per_tensor(out, "output")
    reals = multipliers(x, w, out, channels, axis)
    wide = _check_bias(node, x, w, bias)
    if x.dtype == "uint8":
        per_tensor(w, "filter")
        w_zero = wq.zero_point
        w_most = max(w_zero, 255 - w_zero)
    else:
        w_zero, w_most = 0, W_MOST[w.dtype]
        if np.any(wq.zero_points):
            raise declined(
                f"filter has zero point {wq.zero_points[wq.zero_points != 0][0]}; only 0", Reason.QUANT
            )
    if x.dtype == "int16" and (xq.zero_point or outq.zero_point):
        raise declined("int16 tensors with a zero point; only 0", Reason.QUANT)
    low, high = option(
        lambda: activation_range(
            node.options["fused_activation_function"], out.dtype, outq.scale, outq.zero_point
        )
    )
    known = constant(w, bias)
    cut = cuts(k, X_MOST[x.dtype], w_most, rows(w.data) if w.data is not None else None, w_zero)
    bound = None
    if known:
        most = 0 if bias is None or bias.data is None else np.abs(bias.data.astype(np.float64)).max(initial=0)
        bound = cut.bound * (1 + abs(xq.zero_point) / X_MOST[x.dtype]) + float(most)
    how = rounding or (WIDE if wide else DOUBLE)
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
    return Scheme(xq.zero_point, cut, requant, weights, packed, known)


def _check_bias(node: NodeSpec, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None) -> bool:
    """Whether sums are 64 bits wide. Unsupported if the bias is not of a type that goes with the input's."""
    said = node.options.get("quantized_bias_type", "float32")
    if x.dtype != "int16":
        if bias is not None:
            types(bias, ("int32",), "bias")
    elif bias is not None:
        allowed = ("int32", "int64") if said == "float32" else (said,)
        types(bias, allowed, "bias")
        said = bias.dtype
    if bias is not None and bias.quant is not None and np.any(bias.quant.zero_points):
        raise declined("bias has a zero point; only 0", Reason.QUANT)
    if x.dtype == "uint8" and bias is not None and bias.quant is not None and bias.quant.scales.size:
        # The kernel takes the bias to have the scale s_x · s_w.
        own = per_tensor(x, "input").scale * per_tensor(w, "filter").scale
        if abs(own - bias.quant.scale) > 0.02 * per_tensor(node.outputs[0], "output").scale:
            raise declined(f"bias has scale {bias.quant.scale:g}; only {own:g}", Reason.QUANT)
    return x.dtype == "int16" and said != "int32"
