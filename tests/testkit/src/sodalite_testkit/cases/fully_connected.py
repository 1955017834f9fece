# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED in every type: shapes, weights of 2 to 16 bits, long sums, ties, inputs quantised on the fly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..case import ROWS, Case, Tensor, case, const, fed, out, q
from ..tolerance import SUMS
from .conv import HYBRID, bias_type, channel_scales, output_scale, zero_points

# input shape, o, k, keep_num_dims
SHAPES = (
    ((1, 1), 1, 1, False),
    ((1, 7), 3, 7, False),
    ((3, 16), 17, 16, False),
    ((2, 15), 50, 15, False),
    ((2, 3, 4), 5, 4, False),
    ((2, 3, 4), 5, 4, True),
    ((2, 3, 4), 5, 12, False),
    ((24,), 3, 8, False),
    ((5, 33), 16, 33, True),
    ((1, 1100), 4, 1100, False),
)
OP = "FULLY_CONNECTED"


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case(
        OP,
        [
            fed(np.float32([[1, 2], [3, 4]])),
            const(np.float32([[1, 1], [2, 0], [0, -1]])),
            const(np.float32([0, 1, 0])),
        ],
        [out("float32")],
        note="by_hand",
        expected=[np.float32([[3, 3, -2], [7, 7, -4]])],
    )
    # (7 - 5) · 3 = 6 quarters = 3 halves, above zero point 10
    yield case(
        OP,
        [fed(np.int8([[7]]), quant=q(0.5, 5)), const(np.int8([[3]]), quant=q(0.5)), None],
        [out("int8", q(0.5, 10))],
        note="by_hand",
        expected=[np.int8([[13]])],
    )
    yield from _floats()
    for dtype in ("int8", "uint8", "int16"):
        yield from _integers(dtype)
    yield from _ties()
    yield from _hybrids()
    yield from _bad()


def _fc(x: Tensor, w: Tensor, bias: Tensor | None, result: Tensor, **how: Any) -> Case:
    return case(OP, [x, w, bias], [result], **{"version": 9, **how})


def _floats() -> Iterator[Case]:
    for shape, o, k, keep in SHAPES:
        x, w, bias = fed("float32", shape), const("float32", (o, k)), const("float32", (o,))
        rows = ROWS if keep or len(shape) == 2 else ()
        yield _fc(x, w, bias, out("float32"), tolerance=SUMS, keep_num_dims=keep, tags=rows)
    x, w, bias = fed("float32", (3, 8)), const("float32", (5, 8)), const("float32", (5,))
    yield _fc(x, w, None, out("float32"), tolerance=SUMS, note="no_bias")
    yield _fc(x, fed("float32", (5, 8)), bias, out("float32"), tolerance=SUMS, note="weights_fed")
    for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
        yield _fc(x, w, bias, out("float32"), tolerance=SUMS, fused_activation_function=activation)


def _integer(
    dtype: str, shape: tuple[int, ...], o: int, k: int, w_dtype: str = "", how: str = "tensor", **more: Any
) -> Case:
    w_dtype = w_dtype or ("uint8" if dtype == "uint8" else "int8")
    zx, zo = zero_points(dtype)
    wq = q(channel_scales(o)) if how == "channel" else q(0.015625, 99 if w_dtype == "uint8" else 0)
    bias: Tensor | None = const(bias_type(dtype), (o,), q(0.0625 * 0.015625), low=-5000, high=5000)
    if more.pop("bias", True) is None:
        bias = None
    result = more.pop("result", None) or out(dtype, q(output_scale(dtype, w_dtype, k), zo))
    x = fed(dtype, shape, q(0.0625, zx))
    return _fc(x, const(w_dtype, (o, k), wq), bias, result, **{"note": how, **more})


def _integers(dtype: str) -> Iterator[Case]:
    hows = ("tensor",) if dtype == "uint8" else ("tensor", "channel")
    for how in hows:
        for shape, o, k, keep in SHAPES:
            if o > 1 or how == "tensor":
                rows = ROWS if keep or len(shape) == 2 else ()
                yield _integer(dtype, shape, o, k, how=how, keep_num_dims=keep, tags=rows)
        for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
            yield _integer(dtype, (3, 8), 5, 8, how=how, fused_activation_function=activation)
        yield _integer(dtype, (3, 8), 5, 8, how=how, bias=None, note=f"{how}_no_bias")
        if dtype != "uint8":
            yield _integer(dtype, (3, 8), 5, 8, "int4", how)
            yield _integer(dtype, (3, 9), 5, 9, "int4", how)
            yield _integer(dtype, (3, 9), 5, 9, "int2", how)
    zx, zo = zero_points(dtype)
    w_dtype = "uint8" if dtype == "uint8" else "int8"
    yield _fc(
        fed(dtype, (3, 8), q(0.0625, zx)),
        fed(w_dtype, (5, 8), q(0.015625, 99 if w_dtype == "uint8" else 0)),
        fed(bias_type(dtype), (5,), q(0.0625 * 0.015625), low=-5000, high=5000),
        out(dtype, q(output_scale(dtype, w_dtype, 8), zo)),
        note="weights_fed",
    )
    if dtype == "uint8":
        yield _integer(dtype, (3, 8), 5, 8, result=out("int16", q(0.001)), note="to_int16")
    if dtype == "int8":
        x, w = fed("int8", (3, 8), q(0.0625, zx)), const("int8", (5, 8), q(0.015625, 4))
        bias = const("int32", (5,), q(0.0625 * 0.015625), low=-5000, high=5000)
        yield _fc(x, w, bias, out("int8", q(0.05, zo)), note="weights_zero_point")
    if dtype == "int16":
        x, w = fed("int16", (3, 8), q(1 / 4096)), const("int8", (5, 8), q(0.015625))
        bias = const("int32", (5,), q(1 / 4096 * 0.015625), low=-5000, high=5000)
        yield _fc(x, w, bias, out("int16", q(0.001)), note="bias32", quantized_bias_type="int32", version=11)
    # Beyond 2**31 C's cast of a double to int32 is anything.
    for place, scale in enumerate(
        (1e-6, 3e-4, 0.02) if dtype == "int16" else (1e-6, 3e-4, 0.02, 0.7, 1.0, 30.0)
    ):
        yield _extreme(dtype, w_dtype, scale, place)


def _extreme(dtype: str, w_dtype: str, scale: float, place: int) -> Case:
    """Sums as large as they get."""
    zx, zo = zero_points(dtype)
    info, w_info = np.iinfo(dtype), np.iinfo(w_dtype)
    x = np.full((4, 1040), info.min, np.int64)
    x[1], x[2, ::2], x[3, :7] = info.max, info.max, zx
    w = np.full((4, 1040), w_info.min, np.int64)
    w[1], w[2, ::2], w[3] = w_info.max, w_info.max, 1
    return _fc(
        fed(x.astype(dtype), quant=q(0.01, zx)),
        const(w.astype(w_dtype), quant=q(0.01, 3 if w_dtype == "uint8" else 0)),
        const(np.array([0, 1, -1, 7], bias_type(dtype)), quant=q(0.0001)),
        out(dtype, q(0.0001 / scale, zo)),
        note=f"extremes{place}",
    )


def _ties() -> Iterator[Case]:
    """Small sums around every half."""
    x = np.arange(-120, 120).reshape(-1, 1)
    for place, scale in enumerate((0.5, 0.25, 0.125, 0.75, 0.0078125, 0.3, 1.0, 1.5)):
        yield _fc(
            fed(x.astype(np.int8), quant=q(1.0)),
            const(np.int8([[1], [3]]), quant=q(1.0)),
            const(np.int32([0, 1]), quant=q(1.0)),
            out("int8", q(1 / scale, 3)),
            note=f"ties{place}",
        )


def _hybrids() -> Iterator[Case]:
    for both_ends in (False, True):
        for how in ("tensor", "channel"):
            for shape, o, k, keep in SHAPES:
                if o == 1 and how == "channel":
                    continue
                wq = q(channel_scales(o)) if how == "channel" else q(0.015625)
                # LiteRT's x86 kernel negates weights in 8 bits, and has no use for -128.
                x, w, bias = (
                    fed("float32", shape),
                    const("int8", (o, k), wq, low=-127),
                    const("float32", (o,)),
                )
                yield _fc(
                    x,
                    w,
                    bias,
                    out("float32"),
                    tolerance=HYBRID,
                    note=how,
                    asymmetric_quantize_inputs=both_ends,
                    keep_num_dims=keep,
                    version=12,
                )
    x, bias = fed("float32", (3, 8)), const("float32", (5,))
    zeros = np.zeros((3, 8), np.float32)
    zeros[1, 3] = -2.0
    for both_ends in (False, True):
        how: dict[str, Any] = {"tolerance": HYBRID, "asymmetric_quantize_inputs": both_ends, "version": 12}
        w = const("int8", (5, 8), q(0.5), low=-127)
        yield _fc(fed(zeros), w, bias, out("float32"), note="zero_rows", **how)
        yield _fc(fed(np.zeros((3, 8), np.float32)), w, bias, out("float32"), note="zeros", **how)
        yield _fc(x, w, None, out("float32"), note="no_bias", **how)
        yield _fc(x, w, bias, out("float32"), fused_activation_function="RELU6", **how)
        for bits in ("int4", "int2"):
            w = const(bits, (5, 8), q(channel_scales(5)), low=-1 if bits == "int2" else -7)
            yield _fc(x, w, bias, out("float32"), note="channel", **how)
        w = const("uint8", (5, 8), q(0.5), low=129)
        yield _fc(x, w, bias, out("float32"), note="uint8", **how)


def _bad() -> Iterator[Case]:
    w, bias = const("float32", (5, 8)), const("float32", (5,))
    yield _fc(fed("float32", (3, 7)), w, bias, out("float32"), raises="ShapeError", note="columns")
    yield _fc(
        fed("float32", (3, 4)), w, bias, out("float32"), raises="ShapeError", note="keep", keep_num_dims=True
    )
    yield _fc(
        fed("float32", (3, 8)), w, const("float32", (4,)), out("float32"), raises="ShapeError", note="bias"
    )
    flat = const("float32", (40,))
    yield _fc(fed("float32", (3, 8)), flat, bias, out("float32"), raises="ShapeError", note="rank")
