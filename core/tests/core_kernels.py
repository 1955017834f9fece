"""A handful of plain kernels: enough operators to make graphs of."""

from __future__ import annotations

import numpy as np
from sodalite.kernel import Buffers, KernelSet, NodeSpec, Prepared, Step


def count(node: NodeSpec) -> Prepared:
    """state += x; out = state."""

    def bind(buffers: Buffers) -> Step:
        state, x = buffers.inputs
        out = buffers.outputs[0]

        def step() -> None:
            state[...] += x
            out[...] = state

        return step

    return Prepared((node.inputs[0].shape,), bind, writes=frozenset({0}))


def basic() -> KernelSet:
    """ADD, MUL, NEG, VIEW (may alias), COUNT (a variable), LOG_EFFECT, NONZERO (dynamic), SIZE (known value)."""
    kernels = KernelSet()

    @kernels.add("ADD", types="float32")
    def add(a, b, out):
        np.add(a, b, out=out)

    @kernels.add("MUL", types="float32")
    def mul(a, b, out):
        np.multiply(a, b, out=out)

    @kernels.add("NEG", types="float32")
    def neg(a, out):
        np.negative(a, out=out)

    @kernels.prepare("VIEW")
    def view(node: NodeSpec) -> Prepared:
        def bind(buffers: Buffers) -> Step:
            source, out = buffers.inputs[0], buffers.outputs[0]
            if source.ctypes.data == out.ctypes.data:
                return lambda: None
            return lambda: np.copyto(out, source)

        return Prepared((node.inputs[0].shape,), bind, alias={0: 0})

    @kernels.prepare("INPLACE_NEG")
    def inplace(node: NodeSpec) -> Prepared:
        return Prepared((node.inputs[0].shape,), lambda b: lambda: np.negative(b.inputs[0], out=b.outputs[0]), alias={0: 0})

    kernels.register("COUNT", count)

    @kernels.prepare("LOG_EFFECT")
    def log_effect(node: NodeSpec) -> Prepared:
        def bind(buffers: Buffers) -> Step:
            def step() -> None:
                node.state.setdefault("log", []).append(node.name)
                buffers.outputs[0][...] = buffers.inputs[0]

            return step

        return Prepared((node.inputs[0].shape,), bind, effects=True)

    @kernels.prepare("NONZERO")
    def nonzero(node: NodeSpec) -> Prepared:
        return Prepared((None,), lambda b: lambda: b.emit(0, b.inputs[0][b.inputs[0] != 0]))

    @kernels.prepare("SIZE")
    def size(node: NodeSpec) -> Prepared:
        return Prepared(
            ((1,),),
            lambda b: lambda: b.outputs[0].fill(b.inputs[0].size),
            values={0: np.array([np.prod(node.inputs[0].shape)], np.float32)},
        )

    @kernels.prepare("SCRATCHED")
    def scratched(node: NodeSpec) -> Prepared:
        def bind(buffers: Buffers) -> Step:
            scratch = buffers.scratch.view(np.float32)

            def step() -> None:
                scratch[...] = buffers.inputs[0]
                buffers.outputs[0][...] = scratch * 2

            return step

        return Prepared((node.inputs[0].shape,), bind, scratch=4 * int(np.prod(node.inputs[0].shape)))

    return kernels
