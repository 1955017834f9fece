"""L2_NORMALIZATION: out = x / max(|x|, 1e-6), |x| the root of the sum of squares over the last dimension; float32, and
int8 and uint8 by an integer inverse root. Source: kernels/l2norm.cc, reference/l2normalization.h.

LOCAL_RESPONSE_NORMALIZATION: out[c] = x[c] · (bias + alpha · sum x[c - r ... c + r]²) ** -beta, float32. Source:
optimized/optimized_ops.h; the reference kernel leaves out the upper end of the window.
"""

from __future__ import annotations

import numpy as np
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported

from ._fixed import inverse_sqrt
from ._rows import by_rows, row_shape
from .nodes import alike, inputs, only, output, quant_of, rank_is
from .quant import rescale


def l2_normalization(node: NodeSpec) -> Prepared:
    """Prepare L2_NORMALIZATION; see the module."""
    (x,), out = inputs(node, 1), output(node)
    only(("float32", "int8", "uint8"), x)
    alike(x, out)
    activation = node.options["fused_activation_function"]
    if activation != "NONE":
        raise Unsupported(f"fused activation {activation}; only NONE", code=Reason.OPTION)
    shape = row_shape(x)
    zero = _levels(x, out) if x.dtype != "float32" else 0

    def rows(a: Array, b: Array) -> None:
        if a.dtype == np.float32:
            norm = np.sqrt(np.einsum("ij,ij->i", a, a))
            np.divide(a, np.maximum(norm, np.float32(1e-6))[:, None], out=b)
            return
        centred = a.astype(np.int64) - zero
        multiplier, shift = (part[:, None] for part in inverse_sqrt((centred * centred).sum(axis=1)))
        if b.dtype == np.int8:
            np.copyto(b, np.clip(rescale(centred, multiplier, shift + 7), -128, 127), casting="unsafe")
        else:
            np.copyto(b, np.clip(rescale(128 * centred, multiplier, shift) + 128, 0, 255), casting="unsafe")

    return by_rows(node, shape, rows)


def _levels(x: TensorSpec, out: TensorSpec) -> int:
    """The zero point of *x*; Unsupported unless the output has the one quantisation that the kernel makes."""
    quant, zero = quant_of(out), 0 if out.dtype == "int8" else 128
    if (quant.scale, quant.zero_point) != (1 / 128, zero):
        raise Unsupported(
            f"output has scale {quant.scale:g}, zero point {quant.zero_point}; only 1/128, {zero}",
            code=Reason.QUANT,
        )
    return quant_of(x).zero_point


def local_response_normalization(node: NodeSpec) -> Prepared:
    """Prepare LOCAL_RESPONSE_NORMALIZATION; see the module."""
    (x,), out, o = inputs(node, 1), output(node), node.options
    only(("float32",), x, out)
    shape = rank_is(x, 4)
    reach = min(max(o["radius"], 0), max(shape[3] - 1, 0))
    bias, alpha, beta = (np.float32(o[name]) for name in ("bias", "alpha", "beta"))

    def rows(a: Array, b: Array) -> None:
        squares = a * a
        np.copyto(b, squares)
        for step in range(1, reach + 1):
            b[:, step:] += squares[:, :-step]
            b[:, :-step] += squares[:, step:]
        np.multiply(b, alpha, out=b)
        np.add(b, bias, out=b)
        np.power(b, -beta, out=b)
        np.multiply(b, a, out=b)

    return by_rows(node, shape, rows)
