# SPDX-License-Identifier: Apache-2.0
"""Random graphs: a DAG of real operators, from a seed, as a model that LiteRT runs too.

    made = random_graph(7, "int8")
    made.model, made.inputs, made.operators

Every tensor is (n, h, w, c) of one type: float32, or int8 or uint8 with a quantisation of its own. Scales follow the
data, so that results neither saturate nor vanish. What no operator reads becomes an output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from sodalite.build import Builder, Tensor
from sodalite.graph import Array, Shape

from .case import draw, generator

LARGEST = 3000  # elements of one tensor
ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass(frozen=True, slots=True, eq=False)
class RandomGraph:
    """A model, inputs to run it on, and the operators in it, in order."""

    model: bytes
    inputs: tuple[Array, ...]
    operators: tuple[str, ...]
    tensors: tuple[int, ...]  # indices of all that operators make


def random_graph(
    seed: int, dtype: str, *, nodes: int = 12, operators: Collection[str] | None = None
) -> RandomGraph:
    """A graph of about *nodes* operators. operators: only these are used; None for all known here.

    ValueError if dtype is not float32, int8 or uint8, or no operator is left.
    """
    if dtype not in ("float32", "int8", "uint8"):
        raise ValueError(f"random graphs are float32, int8 or uint8, not {dtype}")
    maker = _Maker(generator(f"graph-{dtype}", seed), dtype)
    usable = [m for op, m in _MAKERS.items() if operators is None or op in operators]
    if not usable:
        raise ValueError(f"none of {', '.join(_MAKERS)} may be used")
    for _ in range(maker.pick((1, 2, 3))):
        maker.input()
    for _ in range(50 * nodes):
        if len(maker.made) >= nodes:
            break
        usable[int(maker.rng.integers(len(usable)))](maker)
    return maker.finish()


OPERATORS: tuple[str, ...]  # what graphs are made of; set below, after the makers


@dataclass(slots=True, eq=False)
class _Wire:
    tensor: Tensor
    shape: Shape
    scale: float
    zero_point: int
    read: bool = False


class _Maker:
    def __init__(self, rng: np.random.Generator, dtype: str) -> None:
        self.rng = rng
        self.dtype = dtype
        self.floats = dtype == "float32"
        self.g = Builder("a random graph")
        self.wires: list[_Wire] = []
        self.fed: list[Array] = []
        self.made: list[str] = []
        self.indices: list[int] = []

    # -- drawing

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def wire(self, fits: Callable[[_Wire], bool] = lambda _: True) -> _Wire | None:
        """A wire that fits, a late one more likely than an early one."""
        found = [w for w in self.wires if fits(w)]
        if not found:
            return None
        back = min(int(self.rng.geometric(0.3)), len(found))
        return found[-back]

    def zero_point(self) -> int:
        return int(self.rng.integers(-20, 21)) + (128 if self.dtype == "uint8" else 0)

    def quant(self, scale: float, zero_point: int) -> dict[str, Any]:
        return {} if self.floats else {"scale": np.float32(scale), "zero_point": zero_point}

    def levels(self, shape: Shape, dtype: str | None = None) -> Array:
        kind = dtype or self.dtype
        bound = 3.0 if kind == "float32" else None
        return draw(self.rng, kind, shape, low=None if bound is None else -bound, high=bound)

    # -- building

    def input(self) -> None:
        shape = (1, *(int(n) for n in self.rng.integers(2, 9, 3)))
        scale, zero_point = float(self.rng.uniform(0.02, 0.06)), self.zero_point()
        name = f"x{len(self.fed)}"
        tensor = self.g.input(name, shape, self.dtype, **self.quant(scale, zero_point))
        self.fed.append(self.levels(shape))
        self.wires.append(_Wire(tensor, shape, scale, zero_point))

    def constant(self, shape: Shape, scale: float, zero_point: int) -> Tensor:
        return self.g.constant(self.name("c"), self.levels(shape), self.dtype, **self.quant(scale, zero_point))

    def indices_of(self, values: Any) -> Tensor:
        return self.g.constant(self.name("i"), np.array(values, np.int32), "int32")

    def name(self, letter: str) -> str:
        return f"{letter}{len(self.g._tensors)}"

    def op(
        self,
        op: str,
        read: list[_Wire],
        inputs: list[Any],
        outputs: list[tuple[Shape, float, int]],
        **options: Any,
    ) -> None:
        """Add an operator that reads the wires *read*; outputs: shape, scale, zero point of each."""
        if any(int(np.prod(shape)) > LARGEST or min(shape) < 1 for shape, _, _ in outputs):
            return
        tensors = [
            self.g.tensor(self.name("t"), shape, self.dtype, **self.quant(scale, zero)) for shape, scale, zero in outputs
        ]
        self.g.op(op, inputs, tensors, options=options)
        for w in read:
            w.read = True
        self.wires += [_Wire(t, *o) for t, o in zip(tensors, outputs, strict=True)]
        self.indices += [int(t) for t in tensors]
        self.made.append(op)

    def finish(self) -> RandomGraph:
        loose = [w for w in self.wires if not w.read and int(w.tensor) in set(self.indices)]
        self.g.output(*(w.tensor for w in loose))
        return RandomGraph(self.g.finish(), tuple(self.fed), tuple(self.made), tuple(self.indices))


def _binary(op: str) -> Callable[[_Maker], None]:
    def make(m: _Maker) -> None:
        a = m.wire()
        assert a is not None
        n, h, w, c = a.shape
        b = m.wire(lambda o: o.shape == a.shape) if m.rng.random() < 0.6 else None
        compares = op in ("MAXIMUM", "MINIMUM")
        if b is not None and compares and not m.floats and (b.scale, b.zero_point) != (a.scale, a.zero_point):
            b = None
        shape = m.pick(((1, 1, 1, c), (c,), (1, 1, w, c), (n, h, w, c), ()))
        scale = a.scale if compares else a.scale * float(m.rng.uniform(0.5, 2))
        zero = a.zero_point if compares else m.zero_point()
        second = m.constant(shape, scale, zero) if b is None else b.tensor
        other = scale if b is None else b.scale
        top = a.scale * other * 60 if op == "MUL" else max(a.scale, other) * 1.5
        out = (a.shape, a.scale, a.zero_point) if compares else (a.shape, top, m.zero_point())
        activation = {} if compares else {"fused_activation_function": m.pick(ACTIVATIONS)}
        inputs = [a.tensor, second]
        if b is None and m.rng.random() < 0.3:
            inputs.reverse()
        m.op(op, [a] if b is None else [a, b], inputs, [out], **activation)

    return make


def _unary(op: str, scale: float | None = None, zero: int | None = None, **options: float) -> Callable[[_Maker], None]:
    """scale, zero: of the output where the operator fixes them (zero as for int8)."""

    def make(m: _Maker) -> None:
        a = m.wire()
        assert a is not None
        point = m.zero_point() if zero is None else zero + (128 if m.dtype == "uint8" else 0)
        out = (a.shape, a.scale * float(m.rng.uniform(0.8, 1.3)) if scale is None else scale, point)
        m.op(op, [a], [a.tensor], [out], **options)

    return make


def _window(m: _Maker, a: _Wire, *, dilate: bool) -> tuple[dict[str, Any], tuple[int, int], Shape] | None:
    """Options of a window that slides over *a*, its size, and the output's height and width."""
    _, h, w, _ = a.shape
    kh, kw = (int(k) for k in m.rng.integers(1, 4, 2))
    sh, sw = (int(s) for s in m.rng.integers(1, 3, 2))
    dh, dw = (int(d) for d in m.rng.integers(1, 3, 2)) if dilate and sh == sw == 1 else (1, 1)
    padding = m.pick(("SAME", "VALID"))
    spans = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
    if padding == "VALID" and (spans[0] > h or spans[1] > w):
        return None
    out = tuple(
        -(-size // s) if padding == "SAME" else -(-(size - span + 1) // s)
        for size, span, s in ((h, spans[0], sh), (w, spans[1], sw))
    )
    options = {"padding": padding, "stride_h": sh, "stride_w": sw}
    options["fused_activation_function"] = m.pick(ACTIVATIONS)
    if dilate:
        options |= {"dilation_h_factor": dh, "dilation_w_factor": dw}
    return options, (kh, kw), out


def _weights(m: _Maker, a: _Wire, shape: Shape, axis: int, depth: int) -> tuple[Tensor, Tensor, float]:
    """Weights, a bias, and a scale for the output. Per channel along *axis* for int8."""
    channels = shape[axis]
    if m.floats:
        w = m.g.constant(m.name("w"), (m.rng.standard_normal(shape) / np.sqrt(depth)).astype(np.float32))
        bias = m.g.constant(m.name("b"), m.rng.standard_normal(channels).astype(np.float32))
        return w, bias, 0.0
    size = 0.01
    if m.dtype == "int8":
        scales = m.rng.uniform(0.5 * size, 1.5 * size, channels).astype(np.float32)
        values = draw(m.rng, "int8", shape, low=-127)
        w = m.g.constant(m.name("w"), values, "int8", scale=scales, zero_point=[0] * channels, axis=axis)
    else:
        scales = np.array([size], np.float32)
        values = draw(m.rng, "uint8", shape, low=1)
        w = m.g.constant(m.name("w"), values, "uint8", scale=scales, zero_point=[int(m.rng.integers(118, 139))])
    bias_scales = np.float32(a.scale) * scales
    levels = m.rng.integers(-(1 << 13), 1 << 13, channels).astype(np.int32)
    b = m.g.constant(m.name("b"), levels, "int32", scale=bias_scales, zero_point=[0] * scales.size)
    return w, b, a.scale * size * 75.0 * float(np.sqrt(depth))


def _conv(m: _Maker) -> None:
    a = m.wire()
    assert a is not None
    window = _window(m, a, dilate=True)
    if window is not None:
        options, (kh, kw), out = window
        channels, o = a.shape[3], int(m.rng.integers(1, 10))
        w, b, scale = _weights(m, a, (o, kh, kw, channels), 0, kh * kw * channels)
        m.op("CONV_2D", [a], [a.tensor, w, b], [((a.shape[0], *out, o), scale, m.zero_point())], **options)


def _depthwise(m: _Maker) -> None:
    a = m.wire()
    assert a is not None
    window = _window(m, a, dilate=True)
    if window is not None:
        options, (kh, kw), out = window
        times = int(m.rng.integers(1, 3))
        o = a.shape[3] * times
        w, b, scale = _weights(m, a, (1, kh, kw, o), 3, kh * kw)
        options["depth_multiplier"] = times
        inputs = [a.tensor, w] if m.rng.random() < 0.2 else [a.tensor, w, b]
        made = ((a.shape[0], *out, o), scale, m.zero_point())
        m.op("DEPTHWISE_CONV_2D", [a], inputs, [made], **options)


def _pool(op: str) -> Callable[[_Maker], None]:
    def make(m: _Maker) -> None:
        a = m.wire()
        assert a is not None
        window = _window(m, a, dilate=False)
        if window is not None:
            options, (kh, kw), out = window
            options |= {"filter_height": kh, "filter_width": kw}
            m.op(op, [a], [a.tensor], [((a.shape[0], *out, a.shape[3]), a.scale, a.zero_point)], **options)

    return make


def _dense(m: _Maker) -> None:
    a = m.wire()
    assert a is not None
    depth, o = a.shape[3], int(m.rng.integers(1, 10))
    if m.floats or m.dtype == "uint8":
        w, b, scale = _weights(m, a, (o, depth), 0, depth)
    else:  # per tensor
        values = draw(m.rng, "int8", (o, depth), low=-127)
        w = m.g.constant(m.name("w"), values, "int8", scale=0.01, zero_point=0)
        levels = m.rng.integers(-(1 << 13), 1 << 13, o).astype(np.int32)
        b = m.g.constant(m.name("b"), levels, "int32", scale=np.float32(a.scale) * np.float32(0.01), zero_point=0)
        scale = a.scale * 0.01 * 75.0 * float(np.sqrt(depth))
    how = {"keep_num_dims": True, "fused_activation_function": m.pick(ACTIVATIONS)}
    bias = None if m.rng.random() < 0.2 else b
    m.op("FULLY_CONNECTED", [a], [a.tensor, w, bias], [((*a.shape[:3], o), scale, m.zero_point())], **how)


def _concatenation(m: _Maker) -> None:
    a = m.wire()
    assert a is not None
    axis = int(m.rng.integers(1, 4))

    def beside(o: _Wire) -> bool:
        same = m.floats or (o.scale, o.zero_point) == (a.scale, a.zero_point)
        return same and all(x == y for i, (x, y) in enumerate(zip(o.shape, a.shape, strict=True)) if i != axis)

    b = m.wire(beside)
    parts, read = [a.tensor], [a]
    length = a.shape[axis]
    if b is not None:
        parts.append(b.tensor)
        read.append(b)
        length += b.shape[axis]
    if m.rng.random() < 0.5:
        extra = list(a.shape)
        extra[axis] = int(m.rng.integers(1, 4))
        parts.insert(int(m.rng.integers(len(parts) + 1)), m.constant(tuple(extra), a.scale, a.zero_point))
        length += extra[axis]
    shape = (*a.shape[:axis], length, *a.shape[axis + 1 :])
    m.op("CONCATENATION", read, parts, [(shape, a.scale, a.zero_point)], axis=m.pick((axis, axis - 4)))


def _moving(op: str, plan: Callable[[_Maker, Shape], tuple[Shape, list[Any], dict[str, Any]] | None]) -> Callable[[_Maker], None]:
    """An operator that copies elements: plan(maker, shape) -> output shape, index constants, options."""

    def make(m: _Maker) -> None:
        a = m.wire()
        assert a is not None
        planned = plan(m, a.shape)
        if planned is not None:
            shape, constants, options = planned
            m.op(op, [a], [a.tensor, *constants], [(shape, a.scale, a.zero_point)], **options)

    return make


def _reshape(m: _Maker, shape: Shape) -> tuple[Shape, list[Any], dict[str, Any]]:
    n, h, w, c = shape
    new = m.pick(((n, w, h, c), (n, 1, h * w, c), (n, h, c, w), (n, h, w * c, 1)))
    said = list(new)
    if m.rng.random() < 0.5:
        said[int(m.rng.integers(4))] = -1
    return new, [m.indices_of(said)], {"new_shape": said}


def _pad(m: _Maker, shape: Shape) -> tuple[Shape, list[Any], dict[str, Any]]:
    pads = [[0, 0], *m.rng.integers(0, 3, (3, 2)).tolist()]
    return tuple(n + sum(p) for n, p in zip(shape, pads, strict=True)), [m.indices_of(pads)], {}


def _transpose(m: _Maker, shape: Shape) -> tuple[Shape, list[Any], dict[str, Any]]:
    order = [0, *(1 + m.rng.permutation(3)).tolist()]
    return tuple(shape[i] for i in order), [m.indices_of(order)], {}


def _strided_slice(m: _Maker, shape: Shape) -> tuple[Shape, list[Any], dict[str, Any]]:
    begin = [0, *(int(m.rng.integers(0, n)) for n in shape[1:])]
    end = [n if m.rng.random() < 0.4 else int(m.rng.integers(b + 1, n + 1)) for b, n in zip(begin, shape, strict=True)]
    step = [1, *m.rng.integers(1, 3, 3).tolist()]
    sizes = tuple(len(range(b, e, s)) for b, e, s in zip(begin, end, step, strict=True))
    mask = sum(1 << i for i, (e, n) in enumerate(zip(end, shape, strict=True)) if e == n and m.rng.random() < 0.5)
    said = [-7 if mask >> i & 1 else e for i, e in enumerate(end)]
    return sizes, [m.indices_of(begin), m.indices_of(said), m.indices_of(step)], {"end_mask": mask}


def _nearest(m: _Maker, shape: Shape) -> tuple[Shape, list[Any], dict[str, Any]]:
    size = m.rng.integers(1, 12, 2).tolist()
    corners = {"align_corners": True} if m.rng.random() < 0.3 else {}
    return (shape[0], *size, shape[3]), [m.indices_of(size)], corners


def _split(m: _Maker) -> None:
    a = m.wire(lambda o: o.shape[3] % 2 == 0)
    if a is not None:
        half = (*a.shape[:3], a.shape[3] // 2)
        outs = [(half, a.scale, a.zero_point)] * 2
        m.op("SPLIT", [a], [m.indices_of(3), a.tensor], outs, num_splits=2)


def _mean(m: _Maker) -> None:
    a = m.wire()
    assert a is not None
    axes = m.pick(([1, 2], [1], [-1], [2, 3]))
    shape = tuple(1 if i in {x % 4 for x in axes} else n for i, n in enumerate(a.shape))
    m.op("MEAN", [a], [a.tensor, m.indices_of(axes)], [(shape, a.scale * 0.7, m.zero_point())], keep_dims=True)


def _requantize(m: _Maker) -> None:
    a = m.wire()
    if a is not None and not m.floats:
        m.op("QUANTIZE", [a], [a.tensor], [(a.shape, a.scale * float(m.rng.uniform(0.5, 2)), m.zero_point())])


_MAKERS: dict[str, Callable[[_Maker], None]] = {
    "ADD": _binary("ADD"),
    "SUB": _binary("SUB"),
    "MUL": _binary("MUL"),
    "MAXIMUM": _binary("MAXIMUM"),
    "MINIMUM": _binary("MINIMUM"),
    "RELU": _unary("RELU"),
    "RELU6": _unary("RELU6"),
    "LEAKY_RELU": _unary("LEAKY_RELU", alpha=0.2),
    "HARD_SWISH": _unary("HARD_SWISH"),
    "LOGISTIC": _unary("LOGISTIC", 1 / 256, -128),
    "TANH": _unary("TANH", 1 / 128, 0),
    "SOFTMAX": _unary("SOFTMAX", 1 / 256, -128, beta=1.0),
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "AVERAGE_POOL_2D": _pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": _pool("MAX_POOL_2D"),
    "MEAN": _mean,
    "CONCATENATION": _concatenation,
    "SPLIT": _split,
    "RESHAPE": _moving("RESHAPE", _reshape),
    "PAD": _moving("PAD", _pad),
    "TRANSPOSE": _moving("TRANSPOSE", _transpose),
    "STRIDED_SLICE": _moving("STRIDED_SLICE", _strided_slice),
    "RESIZE_NEAREST_NEIGHBOR": _moving("RESIZE_NEAREST_NEIGHBOR", _nearest),
    "QUANTIZE": _requantize,
}
OPERATORS = tuple(_MAKERS)
