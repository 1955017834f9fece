# SPDX-License-Identifier: Apache-2.0
"""CONV_2D and DEPTHWISE_CONV_2D in every type: geometry, groups, dilation, activations, long sums, extremes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..case import ROWS, Case, Tensor, case, const, fed, generator, limits, out, q
from ..tolerance import NEAR, SUMS

# Levels of the input may fall on the other side of a half when its scale is rounded otherwise: one step of one product.
HYBRID = NEAR(abs=1e-5, rel=1e-5, peak=1e-5)


class Geometry(NamedTuple):
    """n, h, w, c of the input; kh, kw of the filter; o output channels (of DEPTHWISE: the multiplier)."""

    x: tuple[int, int, int, int]
    kernel: tuple[int, int]
    o: int
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    groups: int = 1

    @property
    def options(self) -> dict[str, Any]:
        return {
            "padding": self.padding,
            "stride_h": self.stride[0],
            "stride_w": self.stride[1],
            "dilation_h_factor": self.dilation[0],
            "dilation_w_factor": self.dilation[1],
        }

    @property
    def filter(self) -> tuple[int, int, int, int]:
        return (self.o, *self.kernel, self.x[3] // self.groups)

    @property
    def k(self) -> int:
        return self.kernel[0] * self.kernel[1] * self.x[3] // self.groups


G = Geometry
GEOMETRIES = (
    G((1, 1, 1, 1), (1, 1), 1),
    G((1, 5, 5, 3), (3, 3), 4),
    G((2, 6, 7, 3), (3, 2), 5, stride=(2, 2)),
    G((1, 7, 8, 2), (3, 3), 3, stride=(2, 3), padding="VALID"),
    G((1, 9, 9, 2), (3, 3), 3, dilation=(2, 2)),
    G((1, 9, 11, 2), (3, 3), 3, dilation=(2, 3), padding="VALID"),
    G((1, 2, 2, 2), (5, 5), 2),
    G((3, 1, 1, 5), (1, 1), 3, stride=(2, 2)),
    G((2, 5, 3, 17), (1, 1), 33, padding="VALID"),
    G((1, 8, 5, 4), (1, 1), 3, stride=(2, 2)),
    G((1, 21, 37, 16), (3, 3), 24, stride=(2, 1)),
)
GROUPED = (
    G((1, 5, 6, 4), (3, 3), 6, groups=2),
    G((2, 4, 4, 6), (1, 1), 3, groups=3),
    G((1, 6, 6, 4), (3, 2), 8, stride=(2, 1), padding="VALID", groups=4),
)
LONG = G((1, 2, 2, 1100), (1, 1), 3)
LONGER = G((1, 3, 3, 260), (3, 3), 4)


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield from _by_hand()
    yield from _floats()
    for dtype in ("int8", "uint8", "int16"):
        yield from _integers(dtype)
    yield from _hybrids()
    yield from _bad()
    yield from _depthwise()
    yield from _empty()


def _by_hand() -> Iterator[Case]:
    x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    w = np.ones((1, 2, 2, 1), np.float32)
    yield case(
        "CONV_2D",
        [fed(x), const(w), const(np.float32([1]))],
        [out("float32")],
        padding="VALID",
        stride_h=1,
        stride_w=1,
        note="by_hand",
        expected=[np.float32([9, 13, 21, 25]).reshape(1, 2, 2, 1)],
    )
    # 2 · 3 = 6 and bias 1: 7 levels of 1/4, to the nearest of 1/2 with halves away from zero: 4, above zero point 10
    yield case(
        "CONV_2D",
        [
            fed(np.int8([7]).reshape(1, 1, 1, 1), quant=q(0.5, 5)),
            const(np.int8([3]).reshape(1, 1, 1, 1), quant=q(0.5)),
            const(np.int32([1]), quant=q(0.25)),
        ],
        [out("int8", q(0.5, 10))],
        padding="VALID",
        stride_h=1,
        stride_w=1,
        note="by_hand",
        expected=[np.int8([14]).reshape(1, 1, 1, 1)],
    )


def _conv(g: Geometry, x: Tensor, w: Tensor, bias: Tensor | None, result: Tensor, **how: Any) -> Case:
    return case("CONV_2D", [x, w, bias], [result], version=8, **{**g.options, **how})


def _floats() -> Iterator[Case]:
    for g in (*GEOMETRIES, *GROUPED, LONGER):
        x, w, bias = fed("float32", g.x), const("float32", g.filter), const("float32", (g.o,))
        yield _conv(g, x, w, bias, out("float32"), tolerance=SUMS, tags=ROWS)
    g = GEOMETRIES[1]
    x, w, bias = fed("float32", g.x), fed("float32", g.filter), fed("float32", (g.o,))
    yield _conv(g, x, w, bias, out("float32"), tolerance=SUMS, note="filter_fed")
    for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
        yield _conv(
            g,
            x,
            const("float32", g.filter),
            const("float32", (g.o,)),
            out("float32"),
            tolerance=SUMS,
            fused_activation_function=activation,
        )


def bias_type(dtype: str) -> str:
    return "int64" if dtype == "int16" else "int32"


def zero_points(dtype: str) -> tuple[int, int]:
    """Of an input and an output."""
    return {"int8": (-7, 11), "uint8": (121, 140), "int16": (0, 0)}[dtype]


def output_scale(dtype: str, w_dtype: str, k: int) -> float:
    """A scale that spreads sums of *k* products over the output's range, for input scale 1/16 and filter scale 1/64."""
    spread = (limits(dtype)[1] - limits(dtype)[0]) ** 2 * (limits(w_dtype)[1] - limits(w_dtype)[0])
    return float(np.float32(spread / 12 * np.sqrt(k) / 1024 / (limits(dtype)[1] - limits(dtype)[0]) / 40))


def channel_scales(o: int) -> list[float]:
    """Around 1/64, no two alike."""
    return [float(np.float32(0.015625 * (1 + 0.37 * np.sin(1.0 + i)))) for i in range(o)]


def _integer(g: Geometry, dtype: str, *, w_dtype: str = "", how: str = "tensor", **options: Any) -> Case:
    w_dtype = w_dtype or ("uint8" if dtype == "uint8" else "int8")
    zx, zo = zero_points(dtype)
    wq = q(channel_scales(g.o)) if how == "channel" else q(0.015625, 99 if w_dtype == "uint8" else 0)
    return _conv(
        g,
        fed(dtype, g.x, q(0.0625, zx)),
        const(w_dtype, g.filter, wq),
        const(bias_type(dtype), (g.o,), q(0.0625 * 0.015625), low=-5000, high=5000),
        out(dtype, q(output_scale(dtype, w_dtype, g.k), zo)),
        **{"tags": ROWS, "note": how, **options},
    )


def _integers(dtype: str) -> Iterator[Case]:
    hows = ("tensor",) if dtype == "uint8" else ("tensor", "channel")
    for how in hows:
        for g in (*GEOMETRIES, *(() if dtype == "uint8" else GROUPED)):
            yield _integer(g, dtype, how=how)
        for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
            yield _integer(GEOMETRIES[1], dtype, how=how, fused_activation_function=activation)
        for g in (LONG, LONGER):
            yield _integer(g, dtype, how=how)
    if dtype != "uint8":
        for how in hows:
            yield _integer(GEOMETRIES[2], dtype, w_dtype="int4", how=how, note=f"int4_{how}")
    yield from _extremes(dtype)
    g = GEOMETRIES[2]
    zx, zo = zero_points(dtype)
    w_dtype = "uint8" if dtype == "uint8" else "int8"
    yield _conv(
        g,
        fed(dtype, g.x, q(0.0625, zx)),
        fed(w_dtype, g.filter, q(0.015625, 99 if w_dtype == "uint8" else 0)),
        fed(bias_type(dtype), (g.o,), q(0.0625 * 0.015625), low=-5000, high=5000),
        out(dtype, q(output_scale(dtype, w_dtype, g.k), zo)),
        note="filter_fed",
    )
    if dtype == "int16":
        yield _conv(
            g,
            fed(dtype, g.x, q(1 / 4096), low=-2000, high=2000),
            const("int8", g.filter, q(channel_scales(g.o))),
            const("int32", (g.o,), q(1 / 4096 * 0.015625), low=-5000, high=5000),
            out(dtype, q(0.001)),
            note="bias32",
            quantized_bias_type="int32",
        )


def _extremes(dtype: str) -> Iterator[Case]:
    """Sums as large as they get, and multipliers from tiny to larger than one."""
    low, high = limits(dtype)
    zx, zo = zero_points(dtype)
    w_dtype = "uint8" if dtype == "uint8" else "int8"
    w_low, w_high = limits(w_dtype)
    g = G((1, 1, 4, 1040), (1, 1), 4)
    for place, scale in enumerate((1e-6, 3e-4, 0.02, 0.7, 1.0, 30.0)):
        x = np.full(g.x, low, np.int64)
        x[0, 0, 1], x[0, 0, 2, ::2], x[0, 0, 3, :7] = high, high, zx
        w = np.full(g.filter, w_low, np.int64)
        w[1], w[2, ..., ::2], w[3] = w_high, w_high, 1
        yield _conv(
            g,
            fed(x.astype(dtype), quant=q(0.01, zx)),
            const(w.astype(w_dtype), quant=q(0.01, 3 if w_dtype == "uint8" else 0)),
            const(np.array([0, 1, -1, 7], bias_type(dtype)), quant=q(0.0001)),
            out(dtype, q(0.0001 / scale, zo)),
            note=f"extremes{place}",
        )
    if dtype == "uint8":
        # s_x · s_w is rounded up in float32, and the output's scale fits that: ties, which float64 would not see
        scale = np.float32(0.373) * np.float32(0.021)
        yield _conv(
            G((1, 1, 1, 1), (1, 1), 4),
            fed(np.full((1, 1, 1, 1), 3, np.uint8), quant=q(0.373, 3)),
            const(np.full((4, 1, 1, 1), 9, np.uint8), quant=q(0.021, 7)),
            const(np.array([100, 150, 200, 240], np.int32) * 2**17 + 2**16, quant=q(float(scale))),
            out("uint8", q(float(scale) * 2**17)),
            note="float32_product",
            expected=[np.array([101, 151, 201, 241], np.uint8).reshape(1, 1, 1, 4)],
        )
    if dtype == "int8":
        # sums that cancel, after any partial sum of a matrix product has gone beyond what float32 holds exactly
        rng = generator("conv_cancels")
        half = rng.integers(120, 128, (4, 20000))
        w = np.concatenate([half, -rng.permuted(half, axis=1)], axis=1)
        yield _conv(
            G((1, 1, 4, 40000), (1, 1), 4),
            fed(np.full((1, 1, 4, 40000), 127, np.int8), quant=q(1.0)),
            const(w.astype(np.int8).reshape(4, 1, 1, -1), quant=q(1.0)),
            const(np.array([0, 1, -1, 7], np.int32), quant=q(1.0)),
            out("int8", q(1.0)),
            note="cancels",
        )
    # small sums around every tie of both roundings
    x = np.arange(-120, 120).reshape(1, 1, -1, 1) if low < 0 else np.arange(0, 240).reshape(1, 1, -1, 1)
    for place, scale in enumerate((0.5, 0.25, 0.125, 0.75, 0.0078125, 0.3, 1.0, 1.5)):
        yield _conv(
            G((1, 1, 240, 1), (1, 1), 2),
            fed(x.astype(dtype), quant=q(1.0, 0 if low < 0 else 120)),
            const(np.array([1, 3], w_dtype).reshape(2, 1, 1, 1), quant=q(1.0)),
            const(np.array([0, 1], bias_type(dtype)), quant=q(1.0)),
            out(dtype, q(1 / scale, 0 if low < 0 else 120)),
            note=f"ties{place}",
        )


def _hybrids() -> Iterator[Case]:
    for how in ("tensor", "channel"):
        for g in (*GEOMETRIES, *(GROUPED if how == "channel" else ()), LONG):
            if g.o == 1 and how == "channel":
                continue
            wq = q(channel_scales(g.o)) if how == "channel" else q(0.015625)
            # LiteRT's x86 kernel negates weights in 8 bits, and has no use for -128.
            x, w, bias = fed("float32", g.x), const("int8", g.filter, wq, low=-127), const("float32", (g.o,))
            yield _conv(g, x, w, bias, out("float32"), tolerance=HYBRID, note=how)
    g = GEOMETRIES[2]
    zeros = np.zeros(g.x, np.float32)
    zeros[1] = 3.0
    for how, wq in (("tensor", q(0.5)), ("channel", q(channel_scales(g.o)))):
        x, bias = fed("float32", g.x), const("float32", (g.o,))
        w, w4 = const("int8", g.filter, wq, low=-127), const("int4", g.filter, wq)
        yield _conv(g, fed(zeros), w, bias, out("float32"), tolerance=HYBRID, note=f"{how}_zeros")
        yield _conv(
            g, x, w, bias, out("float32"), tolerance=HYBRID, note=how, fused_activation_function="RELU6"
        )
        if how == "channel":
            yield _conv(g, x, w4, bias, out("float32"), tolerance=HYBRID, note=how)


def _bad() -> Iterator[Case]:
    good = GEOMETRIES[1]
    w, bias = const("float32", good.filter), const("float32", (good.o,))
    yield _conv(
        good, fed("float32", (1, 5, 5, 4)), w, bias, out("float32"), raises="ShapeError", note="channels"
    )
    yield _conv(good, fed("float32", (5, 5, 3)), w, bias, out("float32"), raises="ShapeError", note="rank")
    x = fed("float32", good.x)
    yield _conv(good, x, w, const("float32", (3,)), out("float32"), raises="ShapeError", note="bias")
    for name in ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor"):
        yield _conv(good, x, w, bias, out("float32"), raises="ShapeError", note=f"no_{name}", **{name: 0})
    empty = const("float32", (4, 3, 3, 0))
    yield _conv(good, x, empty, bias, out("float32"), raises="ShapeError", note="empty")
    huge = const("float32", (4, 9, 9, 3))
    yield _conv(good, x, huge, bias, out("float32"), raises="ShapeError", note="too_large", padding="VALID")


DEPTHWISE = (
    G((1, 1, 1, 1), (1, 1), 1),
    G((1, 5, 5, 3), (3, 3), 1),
    G((2, 6, 7, 3), (3, 2), 2, stride=(2, 2)),
    G((1, 7, 8, 2), (3, 3), 4, stride=(2, 3), padding="VALID"),
    G((1, 9, 9, 2), (3, 3), 1, dilation=(2, 2)),
    G((1, 9, 11, 2), (3, 3), 1, dilation=(2, 3), padding="VALID"),
    G((1, 8, 9, 3), (3, 3), 2, stride=(2, 3), dilation=(3, 2)),
    G((1, 2, 2, 2), (5, 5), 1),
    G((1, 6, 6, 1), (3, 3), 8),
    G((3, 1, 1, 5), (1, 1), 1, stride=(2, 2)),
    G((2, 5, 4, 17), (3, 3), 1, padding="VALID"),
    G((1, 8, 5, 4), (1, 1), 3, stride=(2, 2)),
    G((1, 30, 24, 48), (3, 3), 1),
    G((1, 31, 33, 40), (5, 5), 1, stride=(2, 2)),
    G((2, 4, 4, 600), (2, 2), 1),
)


def _depth(g: Geometry, x: Tensor, w: Tensor, bias: Tensor | None, result: Tensor, **how: Any) -> Case:
    options = {**g.options, "depth_multiplier": g.o, **how}
    return case("DEPTHWISE_CONV_2D", [x, w, bias], [result], **{"version": 6, **options})


def _depthwise() -> Iterator[Case]:
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    yield case(
        "DEPTHWISE_CONV_2D",
        [fed(x), const(np.float32([1, 10, 2, 20]).reshape(1, 1, 2, 2)), const(np.float32([0.5, 0]))],
        [out("float32")],
        padding="VALID",
        stride_h=1,
        stride_w=1,
        depth_multiplier=1,
        note="by_hand",
        expected=[np.float32([1 + 6 + 0.5, 20 + 80]).reshape(1, 1, 1, 2)],
    )
    for g in DEPTHWISE:
        o = g.x[3] * g.o
        filters, taps = (1, *g.kernel, o), g.kernel[0] * g.kernel[1]
        x, w, bias = fed("float32", g.x), const("float32", filters), const("float32", (o,))
        yield _depth(g, x, w, bias, out("float32"), tolerance=SUMS, tags=ROWS)
        for dtype in ("int8", "uint8", "int16"):
            zx, zo = zero_points(dtype)
            w_dtype = "uint8" if dtype == "uint8" else "int8"
            bias = const(bias_type(dtype), (o,), q(0.0625 * 0.015625), low=-5000, high=5000)
            for how in ("tensor", "channel", "int4") if dtype == "int8" else ("tensor", "channel"):
                if dtype == "uint8" and how == "channel":
                    continue
                wq = q(0.015625, 99 if dtype == "uint8" else 0)
                kind = "int4" if how == "int4" else w_dtype
                yield _depth(
                    g,
                    fed(dtype, g.x, q(0.0625, zx)),
                    const(kind, filters, q(channel_scales(o), axis=3) if how == "channel" and o > 1 else wq),
                    bias,
                    out(dtype, q(output_scale(dtype, kind, taps), zo)),
                    tags=ROWS,
                    note=how,
                )
        if o > 1:
            w = const("int8", filters, q(channel_scales(o), axis=3))
            bias = const("float32", (o,))
            yield _depth(g, fed("float32", g.x), w, bias, out("float32"), tolerance=HYBRID, note="channel")
    g = DEPTHWISE[2]
    x, w, bias = fed("float32", g.x), fed("float32", (1, 3, 2, 6)), fed("float32", (6,))
    yield _depth(g, x, w, bias, out("float32"), tolerance=SUMS, note="filter_fed")
    for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
        w = const("float32", (1, 3, 2, 6))
        yield _depth(g, x, w, bias, out("float32"), tolerance=SUMS, fused_activation_function=activation)
        yield _depth(
            g,
            fed("int8", g.x, q(0.0625, -7)),
            const("int8", (1, 3, 2, 6), q(channel_scales(6), axis=3)),
            const("int32", (6,), q(0.0625 * 0.015625), low=-5000, high=5000),
            out("int8", q(0.02, -30)),
            fused_activation_function=activation,
        )
    yield _depth(
        g,
        fed("int8", g.x, q(0.0625, -7)),
        fed("int8", (1, 3, 2, 6), q(0.01)),
        fed("int32", (6,), q(0.0625 * 0.01), low=-5000, high=5000),
        out("int8", q(0.02, -30)),
        note="filter_fed",
    )
    for note, filters, bad in (
        ("channels", (1, 3, 2, 7), {}),
        ("first", (2, 3, 2, 6), {}),
        ("no_stride", (1, 3, 2, 6), {"stride_w": 0}),
        ("no_dilation", (1, 3, 2, 6), {"dilation_h_factor": 0}),
        ("empty", (1, 0, 2, 6), {}),
    ):
        w, bias = const("float32", filters), const("float32", (filters[3],))
        yield _depth(g, x, w, bias, out("float32"), raises="ShapeError", note=note, **bad)
    yield _depth(
        g, x, const("float32", (1, 3, 2, 6)), const("float32", (5,)), out("float32"), raises="ShapeError"
    )


def _empty() -> Iterator[Case]:
    """No images, or no place for the filter: an output without elements."""
    for n, h, w in ((0, 3, 3), (1, 3, 2), (1, 2, 3)):
        o = (n, 1 if h == 3 else 0, 1 if w == 3 else 0, 4)
        how: dict[str, Any] = {"padding": "VALID", "stride_h": 1, "stride_w": 1, "oracle": "expected"}
        for dtype, w_dtype in (("float32", "float32"), ("int8", "int8"), ("float32", "int8")):
            quantised = dtype == "int8"
            x = fed(dtype, (n, h, w, 4), q(0.1, 3) if quantised else None)
            wq = q(0.1) if w_dtype == "int8" else None
            bias = const("int32" if quantised else "float32", (4,), q(0.01) if quantised else None)
            made = out(dtype, q(0.5) if quantised else None)
            wanted = [np.zeros(o, dtype)]
            filters = const(w_dtype, (4, 3, 3, 4), wq)
            yield case("CONV_2D", [x, filters, bias], [made], note="empty", expected=wanted, **how)
            filters = const(w_dtype, (1, 3, 3, 4), wq)
            yield case(
                "DEPTHWISE_CONV_2D",
                [x, filters, bias],
                [made],
                note="empty",
                expected=wanted,
                depth_multiplier=1,
                **how,
            )
