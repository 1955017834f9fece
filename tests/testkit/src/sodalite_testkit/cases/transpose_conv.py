# SPDX-License-Identifier: Apache-2.0
"""TRANSPOSE_CONV in every type: overlapping and separate windows, padding, output shapes that run over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import Case, Tensor, case, const, fed, out, q
from ..tolerance import SUMS
from .conv import HYBRID, bias_type, channel_scales, output_scale, zero_points

# input, filter (o, kh, kw), strides, padding, output height and width
SHAPES = (
    ((1, 1, 1, 1), (1, 1, 1), (1, 1), "VALID", (1, 1)),
    ((1, 3, 4, 2), (3, 3, 3), (1, 1), "SAME", (3, 4)),
    ((2, 3, 2, 3), (2, 2, 2), (2, 2), "VALID", (6, 4)),
    ((1, 3, 3, 2), (3, 3, 3), (2, 2), "SAME", (6, 5)),
    ((1, 3, 3, 2), (3, 3, 3), (2, 2), "VALID", (8, 7)),
    ((1, 4, 3, 3), (2, 2, 3), (3, 2), "SAME", (11, 6)),
    ((1, 2, 3, 2), (2, 1, 2), (3, 3), "SAME", (5, 8)),
    ((1, 3, 4, 2), (3, 5, 4), (1, 1), "VALID", (7, 7)),
    ((2, 17, 20, 24), (9, 3, 3), (2, 2), "SAME", (34, 40)),
    ((1, 2, 2, 1100), (2, 2, 2), (1, 1), "SAME", (2, 2)),
)
OP = "TRANSPOSE_CONV"


def cases() -> Iterator[Case]:
    """Worked examples first."""
    x = np.float32([1, 2]).reshape(1, 1, 2, 1)
    w = np.float32([1, 10, 100]).reshape(1, 1, 3, 1)
    wanted = np.float32([1, 10, 102, 20, 200]).reshape(1, 1, 5, 1)
    yield case(
        OP,
        [const(np.int32([1, 1, 5, 1])), const(w), fed(x)],
        [out("float32")],
        padding="VALID",
        stride_h=1,
        stride_w=2,
        note="by_hand",
        expected=[wanted],
    )
    for shape, kernel, stride, padding, size in SHAPES:
        o = kernel[0]
        filters, taps = (*kernel, shape[3]), kernel[1] * kernel[2] * shape[3]
        to = const(np.int32([shape[0], *size, o]))
        how: dict[str, Any] = {"stride": stride, "padding": padding}
        x, w, bias = fed("float32", shape), const("float32", filters), const("float32", (o,))
        yield _spread([to, w, x, bias], out("float32"), tolerance=SUMS, **how)
        if o > 1:
            w = const("int8", filters, q(channel_scales(o)))
            yield _spread([to, w, x, bias], out("float32"), tolerance=HYBRID, note="channel", **how)
        for dtype in ("int8", "uint8", "int16"):
            zx, zo = zero_points(dtype)
            w_dtype = "uint8" if dtype == "uint8" else "int8"
            for kind in ("tensor", "channel"):
                if kind == "channel" and (o == 1 or dtype == "uint8"):
                    continue
                wq = (
                    q(channel_scales(o))
                    if kind == "channel"
                    else q(0.015625, 99 if w_dtype == "uint8" else 0)
                )
                operands = [
                    to,
                    const(w_dtype, filters, wq),
                    fed(dtype, shape, q(0.0625, zx)),
                    const(bias_type(dtype), (o,), q(0.0625 * 0.015625), low=-5000, high=5000),
                ]
                yield _spread(
                    operands, out(dtype, q(output_scale(dtype, w_dtype, taps), zo)), note=kind, **how
                )
    yield from _more()


def _spread(operands: list[Tensor | None], result: Tensor, **how: Any) -> Case:
    stride = how.pop("stride", (2, 2))
    options = {"padding": "SAME", "stride_h": stride[0], "stride_w": stride[1], **how}
    return case(OP, operands, [result], **{"version": 4 if len(operands) > 3 else 3, **options})


def _more() -> Iterator[Case]:
    to, w = const(np.int32([1, 6, 6, 3])), const("float32", (3, 3, 3, 2))
    x, bias = fed("float32", (1, 3, 3, 2)), const("float32", (3,))
    yield _spread([to, w, x], out("float32"), tolerance=SUMS, note="no_bias")
    for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
        yield _spread([to, w, x, bias], out("float32"), tolerance=SUMS, fused_activation_function=activation)
        x8 = fed("int8", (1, 3, 3, 2), q(0.0625, -7))
        w8, bias8 = (
            const("int8", (3, 3, 3, 2), q(0.01)),
            const("int32", (3,), q(0.000625), low=-999, high=999),
        )
        yield _spread([to, w8, x8, bias8], out("int8", q(0.02, -30)), fused_activation_function=activation)
    yield _spread(
        [to, fed("float32", (3, 3, 3, 2)), x, bias], out("float32"), tolerance=SUMS, note="filter_fed"
    )
    yield _spread([fed(np.int32([1, 6, 6, 3])), w, x, bias], out("float32"), tolerance=SUMS, note="shape_fed")
    x16, w8 = fed("int16", (1, 3, 3, 2), q(1 / 4096)), const("int8", (3, 3, 3, 2), q(channel_scales(3)))
    bias32 = const("int32", (3,), q(1 / 4096 * 0.015625), low=-5000, high=5000)
    yield _spread(
        [to, w8, x16, bias32], out("int16", q(0.001)), note="bias32", quantized_bias_type="int32", version=5
    )
    how: dict[str, Any] = {"raises": "ShapeError"}
    for note, bad in (
        ("size", [1, 9, 6, 3]),
        ("channels", [1, 6, 6, 4]),
        ("images", [2, 6, 6, 3]),
        ("rank", [6, 6, 3]),
    ):
        yield _spread([const(np.int32(bad)), w, x, bias], out("float32"), note=note, **how)
    yield _spread([fed(np.int32([1, -6, 6, 3])), w, x, bias], out("float32"), note="shape_fed_bad", **how)
    yield _spread([to, w, fed("float32", (1, 3, 3, 4)), bias], out("float32"), note="depth", **how)
    yield _spread([to, w, x, const("float32", (2,))], out("float32"), note="bias", **how)
    yield _spread([to, w, x, bias], out("float32"), note="stride", stride=(0, 2), **how)
