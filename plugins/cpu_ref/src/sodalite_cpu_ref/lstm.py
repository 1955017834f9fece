"""UNIDIRECTIONAL_SEQUENCE_LSTM and LSTM: a cell (_lstm) over a sequence, or over one step.

inputs: 20, or 24 with layer norm; see _lstm.UNIDIRECTIONAL. x (t, b, k) or with batches first (b, t, k), or (b, k);
output of the same form with the cell's output size. float32; float32 with 8-bit weights; int8 with an int16 cell
state (_lstm_integer). Source: kernels/unidirectional_sequence_lstm.cc, kernels/lstm.cc.
"""

from __future__ import annotations

from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import declined, shape_of, tensor, types
from ._lstm import UNIDIRECTIONAL, Cell, FloatCell, sequence, steps_of
from ._lstm_integer import IntegerCell
from ._recurrent import given, made
from .nodes import quiet


def unidirectional_sequence_lstm(node: NodeSpec) -> Prepared:
    """Prepare UNIDIRECTIONAL_SEQUENCE_LSTM; see the module."""
    return _prepare(node, bool(node.options["time_major"]))


def lstm(node: NodeSpec) -> Prepared:
    """Prepare LSTM; see the module."""
    kind = node.options["kernel_type"]
    if kind != "FULL":
        raise declined(f"kernel_type {kind}; only FULL", Reason.OPTION)
    return _prepare(node, time_major=True)


def _prepare(node: NodeSpec, time_major: bool) -> Prepared:
    x, o = tensor(node, 0, "input"), node.options
    kind = types(x, ("float32", "int8"), "input")
    types(node.outputs[0], (kind,), "output")
    if len(node.inputs) not in (20, 24):
        raise declined(f"{len(node.inputs)} inputs; only 20 or 24", Reason.SHAPE)
    shape = shape_of(x)
    _, batch, k = steps_of(shape, time_major)
    cell = Cell(node, UNIDIRECTIONAL, batch, k, 0, kind)
    job: FloatCell | IntegerCell
    if kind == "int8":
        job = IntegerCell(cell, o["cell_clip"], o["proj_clip"], time_major)
    else:
        both_ends = bool(o["asymmetric_quantize_inputs"])
        job = FloatCell(cell, o["fused_activation_function"], o["cell_clip"], o["proj_clip"], both_ends)

    def bind(buffers: Buffers) -> Step:
        run = job.bind(buffers)
        given_x, out = sequence(given(buffers, 0), time_major), sequence(made(buffers), time_major)
        return quiet(lambda: run(given_x, None, out))

    writes = frozenset({UNIDIRECTIONAL.output_state, UNIDIRECTIONAL.cell_state})
    return Prepared(((*shape[:-1], cell.m),), bind, writes=writes, packed=job.packed)
