# SPDX-License-Identifier: Apache-2.0
"""A case as a model file of one operator."""

from __future__ import annotations

from typing import Any

from sodalite.build import Builder

from .case import CONSTANT, FED, OUTPUT, Case, Tensor


def model_of(case: Case) -> bytes:
    """The .tflite file whose inputs are the case's fed operands, in order, and whose outputs are the case's."""
    return build(case).finish()


def build(case: Case) -> Builder:
    """As model_of, before it is written."""
    g = Builder(case.id)
    operands = [_declare(g, t, f"in{i}") for i, t in enumerate(case.inputs)]
    results = [_declare(g, t, f"out{i}") for i, t in enumerate(case.outputs)]
    between = [_declare(g, t, f"mid{i}") for i, t in enumerate(case.intermediates)]
    g.op(
        case.op,
        operands,
        results,
        version=case.version,
        custom_options=case.custom_options or None,
        intermediates=[-1 if t is None else t for t in between],
        writes=[o for o, t in zip(operands, case.inputs, strict=True) if t is not None and t.variable],
        options=case.options,
    )
    g.output(*(_bits(g, r, f"out{i}_bits") if t.dtype == "bfloat16" else r for i, (r, t) in enumerate(zip(results, case.outputs, strict=True))))
    return g


def _bits(g: Builder, tensor: Any, name: str) -> Any:
    """*tensor* as uint16: LiteRT's Python interface neither takes nor gives bfloat16."""
    return g.op("BITCAST", [tensor], [g.tensor(name, (1,), "uint16")])


def _declare(g: Builder, tensor: Tensor | None, name: str) -> Any:
    if tensor is None:
        return None
    how: dict[str, Any] = {}
    if tensor.quant is not None:
        how = {"scale": tensor.quant.scales, "zero_point": tensor.quant.zero_points, "axis": tensor.quant.axis}
    if tensor.role == CONSTANT:
        return g.constant(name, tensor.values, tensor.dtype, **how)
    if tensor.role == FED:
        if tensor.dtype == "bfloat16":
            bits = g.input(f"{name}_bits", tensor.shape, "uint16")
            return g.op("BITCAST", [bits], [g.tensor(name, tensor.shape, "bfloat16")])
        return g.input(name, tensor.shape, tensor.dtype, **how)
    shape = (1,) if tensor.role == OUTPUT and tensor.shape is None else tensor.shape
    return g.tensor(name, shape, tensor.dtype, variable=tensor.variable, **how)
