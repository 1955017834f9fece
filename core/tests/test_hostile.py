"""Malformed models: each is refused by name, quickly, and with nothing but a ModelError."""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sodalite_schema as schema
from sodalite.build import Builder
from sodalite.dtypes import memory_dtype
from sodalite.errors import CorruptModelError, ModelError, UnsupportedModelError
from sodalite.model import Model, open_model
from sodalite_schema import Table


def _csr(**changes: Any) -> Table:
    """The storage of a 2 x 4 matrix with 3 stored elements: rows dense, columns compressed."""
    columns = Table(
        "DimensionMetadata",
        format=1,
        array_segments=Table("Uint8Vector", values=[0, 1, 3]),
        array_indices=Table("Int32Vector", values=[3, 0, 2]),
    )
    for name, value in changes.items():
        setattr(columns, name, value)
    return Table(
        "SparsityParameters",
        traversal_order=[0, 1],
        dim_metadata=[Table("DimensionMetadata", format=0, dense_size=2), columns],
    )


# Tensors of the main subgraph.
X, W, B, Y, STATE, S, I4, SP, COND, Z, OUT, BETWEEN = range(12)


def _rich() -> Builder:
    """A small valid model with one of everything."""
    g = Builder("rich")
    then, other = g.subgraph("then"), g.subgraph("else")
    for sub in (then, other):
        a = sub.input("a", (1, 8, 8, 4), "int8")
        sub.output(sub.op("LOGISTIC", [a], [("b", (1, 8, 8, 4), "int8")]))
    x = g.input("x", (1, None, 8, 3), "int8", scale=0.5, zero_point=3)
    w = g.constant("w", np.ones((4, 3, 3, 3), np.int8), scale=[0.1, 0.2, 0.3, 0.4], axis=0)
    b = g.constant("b", np.arange(4, dtype=np.int32), scale=[1, 2, 3, 4], axis=0)
    y = g.tensor("y", (1, 8, 8, 4), "int8", scale=1.0)
    state = g.tensor("state", (1, 4), "float32", variable=True)
    s = g.constant("s", ["ab", "c"])
    i4 = g.constant("i4", [[1, 2, 3], [-1, -2, -3]], "int4")
    sp = g.constant("sp", [5, 6, 7], "int8", shape=(2, 4), sparsity=_csr())
    cond = g.constant("cond", True)
    z = g.tensor("z", (1, 8, 8, 4), "int8")
    out = g.tensor("out", (1,), "float32")
    between = g.tensor("between", (0,), "int8", scale=1.0)
    g.op("CONV_2D", [x, w, b], [y], padding="SAME", stride_w=1, stride_h=1)
    g.op("IF", [cond, y], [z], then_subgraph_index=then, else_subgraph_index=other)
    g.op(
        "custom:Thing",
        [y, state, s, i4, sp],
        [out],
        writes=[state],
        intermediates=[between],
        custom_options=b"opt",
    )
    g.output(z, out)
    g.signature("serve", {"x": x}, {"z": z, "out": out})
    g.metadata("note", b"hello")
    return g


RICH = _rich().finish()


def test_the_model_that_all_others_are_made_of_is_fine() -> None:
    """Unedited, it opens, and its tensors are where the edits expect them."""
    model = open_model(RICH)
    names = [t.name for t in model.graphs[0].tensors]
    assert names == ["x", "w", "b", "y", "state", "s", "i4", "sp", "cond", "z", "out", "between"]
    _check(model)


# name, edit, expected class, expected words
CASES: list[tuple[str, Callable[[Any], Any], type[ModelError], str]] = []


def case(kind: type[ModelError], text: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Enter an edit of the rich model's tables: what it makes is refused with *kind* and *text*."""

    def enter(edit: Callable[[Any], Any]) -> Callable[[Any], Any]:
        CASES.append((edit.__name__, edit, kind, text))
        return edit

    return enter


def _short(name: str, kind: type[ModelError], text: str, edit: Callable[[Any], Any]) -> None:
    CASES.append((name, edit, kind, text))


def _set(table: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(table, name, value)


def _tensor(m: Any, i: int, **fields: Any) -> None:
    _set(m.subgraphs[0].tensors[i], **fields)


def _node(m: Any, i: int, **fields: Any) -> None:
    _set(m.subgraphs[0].operators[i], **fields)


def _quant(m: Any, i: int, **fields: Any) -> None:
    _set(m.subgraphs[0].tensors[i].quantization, **fields)


def _sparse(m: Any, **fields: Any) -> None:
    _set(m.subgraphs[0].tensors[SP].sparsity, **fields)


C, U = CorruptModelError, UnsupportedModelError

# The model as a whole
_short("schema version 0", U, "schema version 0; only version 3", lambda m: _set(m, version=0))
_short("no subgraphs", C, "no subgraphs", lambda m: _set(m, subgraphs=[]))
_short("data in buffer 0", C, "buffer 0 has data", lambda m: _set(m.buffers[0], data=b"x"))
_short("no buffers at all", C, "buffer 1; the model has 0", lambda m: _set(m, buffers=[]))
_short("metadata without a buffer", C, 'metadata "note": buffer 99', lambda m: _set(m.metadata[0], buffer=99))
_short("no operator codes", C, "operator code 1; the model has 0", lambda m: _set(m, operator_codes=[]))
_short(
    "negative operator code",
    C,
    "operator code 0: -1 without a name",
    lambda m: _set(m.operator_codes[0], builtin_code=-1, deprecated_builtin_code=-1),
)
_short(
    "custom operator code without a name",
    C,
    "operator code 3: CUSTOM without a name",
    lambda m: _set(m.operator_codes[3], custom_code=""),
)

# Indices
_short(
    "graph input out of range",
    C,
    "subgraph 0: input 0 is tensor 12; the subgraph has 12",
    lambda m: _set(m.subgraphs[0], inputs=[12]),
)
_short("graph input negative", C, "input 0 is tensor -1", lambda m: _set(m.subgraphs[0], inputs=[-1]))
_short(
    "graph output out of range",
    C,
    "output 0 is tensor 2147483647",
    lambda m: _set(m.subgraphs[0], outputs=[2**31 - 1]),
)
_short("graph output negative", C, "output 0 is tensor -5", lambda m: _set(m.subgraphs[0], outputs=[-5]))
_short(
    "graph output that nothing makes",
    C,
    'output 0 is tensor 11 "between", which nothing makes',
    lambda m: _tensor(m, BETWEEN, shape=[3]) or _set(m.subgraphs[0], outputs=[BETWEEN]),
)
_short(
    "node input out of range",
    C,
    'subgraph 0: node 0 CONV_2D "y": input 1 is tensor 12',
    lambda m: _node(m, 0, inputs=[0, 12, 2]),
)
_short("node input below -1", C, "input 2 is tensor -2", lambda m: _node(m, 0, inputs=[0, 1, -2]))
_short("node output out of range", C, "output 0 is tensor 99", lambda m: _node(m, 0, outputs=[99]))
_short("node output omitted", C, "output 0 is tensor -1", lambda m: _node(m, 0, outputs=[-1]))
_short(
    "intermediate out of range",
    C,
    'node 2 custom:Thing "out": intermediate 0 is tensor 77',
    lambda m: _node(m, 2, intermediates=[77]),
)
_short(
    "operator code out of range",
    C,
    'node 1 operator "z": operator code 9; the model has 4',
    lambda m: _node(m, 1, opcode_index=9),
)
_short(
    "buffer out of range",
    C,
    'tensor 1 "w": buffer 4294967295; the model has',
    lambda m: _tensor(m, W, buffer=2**32 - 1),
)
_short(
    "subgraph index out of range",
    C,
    'node 1 IF "z": runs subgraph 3; the model has 3',
    lambda m: _set(m.subgraphs[0].operators[1].builtin_options, then_subgraph_index=3),
)
_short(
    "subgraph index negative",
    C,
    "runs subgraph -1; the model has 3",
    lambda m: _set(m.subgraphs[0].operators[1].builtin_options, else_subgraph_index=-1),
)

# Order and producers
_short(
    "two producers",
    C,
    'node 1 IF "y": output 0 is tensor 3 "y", which has a value before',
    lambda m: _node(m, 1, outputs=[Y]),
)
_short("one node makes a tensor twice", C, "which has a value before", lambda m: _node(m, 0, outputs=[Y, Y]))
_short(
    "reader before producer",
    C,
    'input 1 is tensor 3 "y", which only node 1 makes: nodes must be in order',
    lambda m: m.subgraphs[0].operators.insert(0, m.subgraphs[0].operators.pop(1)),
)
_short(
    "a node reads what it makes",
    C,
    'input 0 is tensor 3 "y", which only node 0 makes',
    lambda m: _node(m, 0, inputs=[Y, W, B]),
)
_short(
    "reads what nothing makes",
    C,
    'input 0 is tensor 11 "between", which nothing makes',
    lambda m: _tensor(m, BETWEEN, shape=[3]) or _node(m, 0, inputs=[BETWEEN, W, B]),
)
_short(
    "weights moved to buffer 0",
    C,
    'input 1 is tensor 1 "w", which nothing makes',
    lambda m: _tensor(m, W, buffer=0),
)
_short(
    "writes a constant",
    C,
    'output 0 is tensor 1 "w", which has a value before',
    lambda m: _node(m, 0, inputs=[0, -1, -1], outputs=[W]),
)
_short(
    "writes an input",
    C,
    'output 0 is tensor 0 "x", which has a value before',
    lambda m: _node(m, 0, inputs=[W, B], outputs=[X]),
)
_short(
    "writes a variable",
    C,
    'output 0 is tensor 4 "state", which has a value before',
    lambda m: _node(m, 0, outputs=[STATE]),
)
_short(
    "a variable with data",
    C,
    'tensor 1 "w": a variable with constant data',
    lambda m: _tensor(m, W, is_variable=True),
)

# Types, shapes, sizes
_short(
    "unknown element type",
    U,
    'tensor 0 "x": element type is 23; known are 0 to 22',
    lambda m: _tensor(m, X, type=23),
)
_short("negative element type", U, "element type is -1; known", lambda m: _tensor(m, X, type=-1))
_short(
    "negative dimension",
    C,
    "shape [1, -2, 8, 3] has a negative dimension",
    lambda m: _tensor(m, X, shape=[1, -2, 8, 3], shape_signature=[]),
)
_short(
    "most negative dimension",
    C,
    "has a negative dimension",
    lambda m: _tensor(m, X, shape=[-(2**31), 1, 1, 1]),
)
_short(
    "product wraps in 32 bits",
    C,
    "take 4,294,967,296",
    lambda m: _tensor(m, W, shape=[65536, 65536], quantization=None),
)
_short(
    "product wraps in 64 bits",
    U,
    "at most 32 dimensions and 2**47 bytes",
    lambda m: _tensor(m, X, shape=[2**31 - 1] * 4, shape_signature=[]),
)
_short(
    "a hundred dimensions",
    U,
    "1, ... 100 in all]; at most 32 dimensions",
    lambda m: _tensor(m, X, shape=[1] * 100, shape_signature=[]),
)
_short(
    "signature of another rank",
    C,
    "shape signature [-1, 8] for shape [1, 1, 8, 3]",
    lambda m: _tensor(m, X, shape_signature=[-1, 8]),
)
_short(
    "signature below -1",
    C,
    "shape signature [1, -7, 8, 3]",
    lambda m: _tensor(m, X, shape_signature=[1, -7, 8, 3]),
)
_short(
    "constant too short",
    C,
    'tensor 2 "b": buffer 2 has 16 bytes, 5 elements of int32 take 20',
    lambda m: _tensor(m, B, shape=[5], quantization=None),
)
_short(
    "packed constant too short",
    C,
    'tensor 6 "i4": buffer 4 has 3 bytes, 7 elements of int4 take 4',
    lambda m: _tensor(m, I4, shape=[7]),
)
_short(
    "constant resource",
    C,
    "a resource with constant data",
    lambda m: _tensor(m, B, type=13, quantization=None),
)
_short(
    "weights in another file",
    U,
    "external_buffer is not supported",
    lambda m: _tensor(m, W, external_buffer=1),
)
_short(
    "variant of an unknown type",
    U,
    "element type is 99",
    lambda m: _tensor(m, Z, variant_tensors=[Table("VariantSubType", type=99)]),
)
_short(
    "data behind the end",
    C,
    "buffer 1: 4 bytes at 1,000,000 run past the end",
    lambda m: m.buffers.__setitem__(1, Table("Buffer", offset=10**6, size=4)),
)
_short(
    "offset and size that wrap",
    C,
    "run past the end of the file",
    lambda m: m.buffers.__setitem__(1, Table("Buffer", offset=2**64 - 8, size=16)),
)
_short(
    "size that wraps",
    C,
    "run past the end of the file",
    lambda m: m.buffers.__setitem__(1, Table("Buffer", offset=64, size=2**64 - 32)),
)
_short(
    "large custom options behind the end",
    C,
    'node 2 custom:Thing "out": custom options: 7 bytes at',
    lambda m: _node(m, 2, custom_options=b"", large_custom_options_offset=10**7, large_custom_options_size=7),
)

# Strings
_short(
    "string count negative",
    C,
    'tensor 5 "s": string table',
    lambda m: _set(m.buffers[3], data=struct.pack("<4i", -1, 8, 8, 8)),
)
_short(
    "string count huge",
    C,
    "cannot hold 2147483647 strings",
    lambda m: _set(m.buffers[3], data=struct.pack("<4i", 2**31 - 1, 8, 8, 8)),
)
_short("string table of one byte", C, "string table of 1 bytes", lambda m: _set(m.buffers[3], data=b"\0"))
_short(
    "string positions not ascending",
    C,
    "cannot hold 2 strings in ascending positions",
    lambda m: _set(m.buffers[3], data=struct.pack("<4i", 2, 16, 19, 17) + b"abc"),
)
_short(
    "string position past the end",
    C,
    "cannot hold 2 strings in ascending positions",
    lambda m: _set(m.buffers[3], data=struct.pack("<4i", 2, 16, 17, 99) + b"abc"),
)
_short(
    "string position before the text",
    C,
    "cannot hold 2 strings in ascending positions",
    lambda m: _set(m.buffers[3], data=struct.pack("<4i", 2, 0, 17, 18) + b"abc"),
)
_short(
    "string count against shape", C, "2 strings are stored, [3] holds 3", lambda m: _tensor(m, S, shape=[3])
)

# Quantisation
_short(
    "scales against dimension",
    C,
    "4 scales and 4 zero points for dimension 1 of [4, 3, 3, 3]",
    lambda m: _quant(m, W, quantized_dimension=1),
)
_short(
    "quantised dimension out of range",
    C,
    "4 scales and 4 zero points for dimension 9 of [4, 3, 3, 3]",
    lambda m: _quant(m, W, quantized_dimension=9),
)
_short(
    "quantised dimension negative",
    C,
    "4 scales and 4 zero points for dimension -1",
    lambda m: _quant(m, W, quantized_dimension=-1),
)
_short(
    "quantised dimension counted from the end",
    C,
    "for dimension -4",
    lambda m: _quant(m, W, quantized_dimension=-4),
)
_short(
    "scales without as many zero points",
    C,
    "4 scales and 2 zero points",
    lambda m: _quant(m, W, zero_point=[0, 0]),
)
_short(
    "scale that is no number", C, "scales nan to nan are not finite and positive", lambda m: _quant(m, X, scale=[float("nan")])
)
_short("infinite scale", C, "scales inf to inf are not finite and positive", lambda m: _quant(m, X, scale=[float("inf")]))
_short("negative scale", C, "scales -0.5 to -0.5 are not finite and positive", lambda m: _quant(m, X, scale=[-0.5]))
_short(
    "zero point outside int8",
    C,
    "zero points 128 to 128 are not -128 to 127",
    lambda m: _quant(m, X, zero_point=[128]),
)
_short(
    "zero point outside int4",
    C,
    "zero points 8 to 8 are not -8 to 7",
    lambda m: _tensor(m, I4, quantization=Table("QuantizationParameters", scale=[1.0], zero_point=[8])),
)
_short("zero point of 64 bits", C, "are not -128 to 127", lambda m: _quant(m, X, zero_point=[2**62]))
_short(
    "scales in a tensor that is not there",
    C,
    "scales 0 is tensor 50",
    lambda m: _quant(m, W, details=Table("BlockwiseQuantization", scales=50, zero_points=-1, block_size=32)),
)
_short(
    "zero points in a tensor that is not there",
    C,
    "zero points 0 is tensor -2",
    lambda m: _quant(m, W, details=Table("BlockwiseQuantization", scales=1, zero_points=-2, block_size=32)),
)
_short(
    "blocks of negative size",
    C,
    "blocks of -1",
    lambda m: _quant(m, W, details=Table("BlockwiseQuantization", scales=1, zero_points=-1, block_size=-1)),
)
_short(
    "negative quantised dimensions",
    C,
    "along dimensions [-1]",
    lambda m: _quant(
        m, W, details=Table("MultiAxisQuantization", scales=1, zero_points=-1, quantized_dimensions=[-1])
    ),
)
_short(
    "blocks of a shape",
    U,
    'tensor 1 "w": blocks of shape [1, 32]; only block_size is supported',
    lambda m: _quant(
        m, W, details=Table("BlockwiseQuantization", scales=1, zero_points=-1, block_shape=[1, 32])
    ),
)

# Sparse storage
_short(
    "traversal order with a gap",
    C,
    'tensor 7 "sp": sparse storage: order [0, 2] and blocks of []',
    lambda m: _sparse(m, traversal_order=[0, 2]),
)
_short(
    "traversal order too long",
    C,
    "sparse storage: order",
    lambda m: _sparse(m, traversal_order=[0, 1, 2]),
)
_short(
    "fewer levels than dimensions",
    C,
    "for 2 dimensions, 0 levels",
    lambda m: _sparse(m, dim_metadata=[]),
)
_short(
    "block map out of range",
    C,
    "blocks of [5]",
    lambda m: _sparse(
        m,
        traversal_order=[0, 1, 2],
        block_map=[5],
        dim_metadata=[*_csr().dim_metadata, Table("DimensionMetadata", dense_size=2)],
    ),
)
_short(
    "blocks of size 0",
    C,
    "blocks of 0 in dimension 1",
    lambda m: _sparse(
        m,
        traversal_order=[0, 1, 2],
        block_map=[1],
        dim_metadata=[*_csr().dim_metadata, Table("DimensionMetadata", dense_size=0)],
    ),
)
_short(
    "blocks that do not divide",
    C,
    "blocks of 3 in dimension 1 of [2, 4]",
    lambda m: _sparse(
        m,
        traversal_order=[0, 1, 2],
        block_map=[1],
        dim_metadata=[*_csr().dim_metadata, Table("DimensionMetadata", dense_size=3)],
    ),
)
_short(
    "dense size against shape",
    C,
    "level 0 of format 0, 3 long, for 1 rows of 2",
    lambda m: _set(m.subgraphs[0].tensors[SP].sparsity.dim_metadata[0], dense_size=3),
)
_short(
    "unknown level format",
    C,
    "level 1 of format 7",
    lambda m: _sparse(m, dim_metadata=_csr(format=7).dim_metadata),
)
_short(
    "compressed level without indices",
    C,
    "level 1 of format 1, 0 long, for 2 rows of 4",
    lambda m: _tensor(m, SP, sparsity=_bare_csr()),
)
_short(
    "too few segments",
    C,
    "level 1 of format 1, 0 long, for 2 rows of 4",
    lambda m: _sparse(m, dim_metadata=_csr(array_segments=Table("Uint8Vector", values=[0, 3])).dim_metadata),
)
_short(
    "segments not ascending",
    C,
    "for 2 rows of 4",
    lambda m: _sparse(
        m, dim_metadata=_csr(array_segments=Table("Uint8Vector", values=[0, 4, 3])).dim_metadata
    ),
)
_short(
    "segments that do not start at 0",
    C,
    "for 2 rows of 4",
    lambda m: _sparse(
        m, dim_metadata=_csr(array_segments=Table("Uint8Vector", values=[1, 1, 3])).dim_metadata
    ),
)
_short(
    "negative segment",
    C,
    "for 2 rows of 4",
    lambda m: _sparse(
        m, dim_metadata=_csr(array_segments=Table("Int32Vector", values=[0, -1, 3])).dim_metadata
    ),
)
_short(
    "column index out of range",
    C,
    "level 1 of format 1, 0 long, for 2 rows of 4",
    lambda m: _sparse(
        m, dim_metadata=_csr(array_indices=Table("Int32Vector", values=[3, 0, 4])).dim_metadata
    ),
)
_short(
    "negative column index",
    C,
    "for 2 rows of 4",
    lambda m: _sparse(
        m, dim_metadata=_csr(array_indices=Table("Int32Vector", values=[3, -1, 2])).dim_metadata
    ),
)
_short(
    "fewer stored elements than indices",
    C,
    "3 elements of int8 take 3",
    lambda m: _set(m.buffers[5], data=b"ab"),
)

# Options
_short(
    "padding of the future",
    U,
    'node 0 CONV_2D "y": option padding is 2; known are 0 to 1 (SAME, VALID)',
    lambda m: _set(m.subgraphs[0].operators[0].builtin_options, padding=2),
)
_short(
    "negative activation",
    U,
    "option fused_activation_function is -1",
    lambda m: _set(m.subgraphs[0].operators[0].builtin_options, fused_activation_function=-1),
)
_short(
    "bias type of the future",
    U,
    "option quantized_bias_type is 77",
    lambda m: _set(m.subgraphs[0].operators[0].builtin_options, quantized_bias_type=77),
)
_short(
    "options of another operator",
    C,
    'node 0 CONV_2D "y": has Pool2DOptions; CONV_2D takes Conv2DOptions',
    lambda m: _node(m, 0, builtin_options=Table("Pool2DOptions")),
)
_short(
    "options in the other union",
    C,
    "has StablehloCaseOptions; IF takes IfOptions",
    lambda m: m.subgraphs[0].operators.__setitem__(1, _other_union(m.subgraphs[0].operators[1])),
)

# Signatures
_short(
    "signature of a missing subgraph",
    C,
    'signature "serve": subgraph 3; the model has 3',
    lambda m: _set(m.signature_defs[0], subgraph_index=3),
)
_short(
    "signature input that is none",
    C,
    'signature "serve": input "x" is tensor 1; the subgraph\'s inputs are [0]',
    lambda m: _set(m.signature_defs[0].inputs[0], tensor_index=1),
)
_short(
    "signature output out of range",
    C,
    'output "z" is tensor 4294967295; the subgraph',
    lambda m: _set(m.signature_defs[0].outputs[0], tensor_index=2**32 - 1),
)
_short(
    "signature name twice",
    C,
    'output "out" is there twice',
    lambda m: _set(m.signature_defs[0].outputs[0], name="out"),
)
_short(
    "signature key twice",
    C,
    "two signatures have the same key",
    lambda m: m.signature_defs.append(m.signature_defs[0]),
)


def _bare_csr() -> Table:
    sparsity = _csr()
    sparsity.dim_metadata[1] = Table("DimensionMetadata", format=1)
    return sparsity


def _other_union(operator: Any) -> Table:
    fields = {n: v for n, v in operator.fields() if not n.startswith("builtin_options")}
    return Table("Operator", **fields, builtin_options_2=Table("StablehloCaseOptions"))


@case(C, "subgraph 0 runs itself: [0, 1, 0]")
def call_on_itself(m: Any) -> None:
    """Subgraph 1 calls subgraph 0 back."""
    m.operator_codes.append(Table("OperatorCode", builtin_code=31, deprecated_builtin_code=31))
    _set(m.subgraphs[1].operators[0], opcode_index=4, builtin_options=Table("CallOptions", subgraph=0))


def _chain(m: Any, length: int, calls: int) -> None:
    """Subgraph i calls subgraph i + 1 so many times, *length* subgraphs deep."""
    m.operator_codes.append(Table("OperatorCode", builtin_code=31, deprecated_builtin_code=31))
    m.subgraphs += [
        Table(
            "SubGraph",
            operators=[
                Table(
                    "Operator",
                    opcode_index=len(m.operator_codes) - 1,
                    builtin_options=Table("CallOptions", subgraph=i + 1),
                )
                for _ in range(calls if i < length + 2 else 0)
            ],
        )
        for i in range(3, length + 3)
    ]


@case(U, "at most 64 deep, 65,536 in all")
def a_hundred_calls_deep(m: Any) -> None:
    """A chain of calls that would run out of stack."""
    _chain(m, 100, 1)


@case(U, "runs inside others: at most 64 deep")
def calls_that_double_forty_times(m: Any) -> None:
    """Each level calls the next one twice: a terabyte of plans from a few kilobytes."""
    _chain(m, 40, 2)


@case(C, "constants overlap: they would be far larger than the file")
def constants_that_overlap(m: Any) -> None:
    """A thousand packed constants, each a window on the whole file, shifted by a byte."""
    m.buffers += [Table("Buffer", offset=2 + i, size=4000) for i in range(1000)]
    kind = schema.enum_value("TensorType", "INT2")
    first = len(m.buffers) - 1000
    m.subgraphs[0].tensors += [
        Table("Tensor", shape=[16000], type=kind, buffer=first + i) for i in range(1000)
    ]


@pytest.mark.parametrize(("name", "edit", "kind", "text"), CASES, ids=[c[0].replace(" ", "_") for c in CASES])
def test_a_malformed_model(name: str, edit: Callable[[Any], Any], kind: type[ModelError], text: str) -> None:
    """It is refused with the right class, in words that say where and what, in under a second."""
    tables = _rich().tables()
    edit(tables)
    blob = schema.write(tables)
    start = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        open_model(blob)
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert str(caught.value).startswith("model: ")
    assert time.perf_counter() - start < 1


def test_there_are_many_cases() -> None:
    """At least sixty, each under its own name."""
    assert len({name for name, *_ in CASES}) == len(CASES) >= 60


# What is odd but harmless opens.
FINE: list[tuple[str, Callable[[Any], Any]]] = [
    ("signature without a key", lambda m: _set(m.signature_defs[0], signature_key="")),
    ("tensors without names", lambda m: [_set(t, name="") for t in m.subgraphs[0].tensors]),
    (
        "an unused operator code of the future",
        lambda m: m.operator_codes.append(Table("OperatorCode", builtin_code=9999)),
    ),
    ("a mutating flag on a constant", lambda m: _node(m, 0, mutating_variable_inputs=[True, True, True])),
    ("more mutating flags than inputs", lambda m: _node(m, 0, mutating_variable_inputs=[True] * 50)),
    ("an omitted intermediate", lambda m: _node(m, 2, intermediates=[-1])),
    ("a channel with scale 0", lambda m: _quant(m, W, scale=[0.0, 1.0, 1.0, 1.0])),
    ("scales without zero points", lambda m: _quant(m, W, zero_point=[])),
    (
        "a scale on strings",
        lambda m: _tensor(m, S, quantization=Table("QuantizationParameters", scale=[-1.0], zero_point=[0])),
    ),
    ("a quantised dimension that nobody reads", lambda m: _quant(m, X, quantized_dimension=99)),
    ("an output named twice", lambda m: _set(m.subgraphs[0], outputs=[Z, Z, OUT])),
    ("an input that is a constant", lambda m: _set(m.subgraphs[0], inputs=[X, W])),
    (
        "options where none belong",
        lambda m: _set(m.subgraphs[1].operators[0], builtin_options=Table("Pool2DOptions")),
    ),
    ("a tensor nobody uses, of unknown size", lambda m: _tensor(m, BETWEEN, shape=[-1])),
    ("a buffer that is longer than needed", lambda m: _set(m.buffers[1], data=bytes(1000))),
]


@pytest.mark.parametrize(("name", "edit"), FINE, ids=[name.replace(" ", "_") for name, _ in FINE])
def test_an_odd_model_opens(name: str, edit: Callable[[Any], Any]) -> None:
    """What is odd where nobody reads it is no reason to refuse a model."""
    tables = _rich().tables()
    edit(tables)
    _check(open_model(schema.write(tables)))


def _check(model: Model) -> None:
    """What Graph promises to all later stages holds."""
    for graph in model.graphs:
        count = len(graph.tensors)
        made = {t.index for t in graph.tensors if t.data is not None or t.variable} | set(graph.inputs)
        for tensor in graph.tensors:
            assert tensor.shape is not None
            assert all(size >= 0 for size in tensor.shape)
            if tensor.data is not None:
                assert tensor.data.dtype == memory_dtype(tensor.dtype)
                assert tensor.data.flags.aligned
                assert not tensor.data.flags.writeable
                assert tensor.sparsity is not None or tensor.data.shape == tensor.shape
            if tensor.quant is not None and tensor.quant.kind == "affine":
                assert tensor.quant.scales.size == tensor.quant.zero_points.size
                assert tensor.quant.scales.size in (1, *tensor.shape)
        for node in graph.nodes:
            assert all(i == -1 or i in made for i in node.inputs)
            assert not made.intersection(node.outputs)
            assert all(graph.producer[i] == node.index for i in node.outputs)
            assert all(-1 <= i < count for i in node.intermediates)
            assert all(0 <= i < len(model.graphs) for i in node.subgraphs)
            assert all(graph.tensors[node.inputs[i]].variable for i in node.writes)
            made.update(node.outputs)
        assert made.issuperset(graph.outputs)
    for signature in model.signatures:
        ends = model.graphs[signature.graph]
        assert set(ends.inputs) >= set(signature.inputs.values())
        assert set(ends.outputs) >= set(signature.outputs.values())


SECONDS = float(os.environ.get("SODALITE_FUZZ_SECONDS", "2"))


def _opens_or_refuses(blob: bytes) -> bool:
    """Whether *blob* opened; anything but a ModelError, and a model that breaks Graph's promises, fails the test."""
    try:
        model = open_model(blob)
    except ModelError as error:
        assert 0 < len(str(error)) < 2000
        return False
    _check(model)
    return True


def test_every_truncation() -> None:
    """A model cut at any byte is refused."""
    assert not any(_opens_or_refuses(RICH[:cut]) for cut in range(len(RICH) - 16))


@pytest.mark.slow
def test_every_bit_flipped() -> None:
    """A model with any one byte changed opens or is refused."""
    opened = 0
    for place in range(len(RICH)):
        blob = bytearray(RICH)
        blob[place] ^= 1 << place % 8
        opened += _opens_or_refuses(bytes(blob))
    assert 0 < opened < len(RICH)


WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def test_fuzz() -> None:
    """Words of the file replaced by extreme values, bytes changed, pieces moved: open or refuse, never anything else."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    draw = random.Random(seed)  # a test's dice
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        blob = bytearray(RICH)
        for _ in range(draw.choice((1, 1, 2, 3, 8))):
            place = draw.randrange(len(blob))
            match draw.randrange(4):
                case 0:
                    blob[place] = draw.randrange(256)
                case 1:
                    place &= ~3
                    blob[place : place + 4] = struct.pack("<I", draw.choice(WORDS))
                case 2:
                    place &= ~3
                    word = struct.unpack_from("<I", blob.ljust(place + 4, b"\0"), place)[0]
                    blob[place : place + 4] = struct.pack(
                        "<I", (word + draw.choice((-8, -4, -1, 1, 4, 8))) & 0xFFFFFFFF
                    )
                case _:
                    other = draw.randrange(len(blob))
                    length = draw.randrange(1, 32)
                    blob[place : place + length] = blob[other : other + length]
        _opens_or_refuses(bytes(blob))


def test_fuzzed_tables() -> None:
    """Well-formed files with nonsense in them: numbers of the tables replaced at random."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    draw = random.Random(seed)  # a test's dice
    end = time.monotonic() + SECONDS
    base = schema.read(RICH)
    places = list(_numbers(base, ()))
    opened = tried = 0
    while time.monotonic() < end:
        tables = _unfrozen(base)
        for _ in range(draw.choice((1, 1, 2, 4))):
            _change(tables, draw.choice(places), draw)
        try:
            blob = schema.write(tables)
        except schema.SchemaError:  # a number that its field cannot hold
            continue
        tried += 1
        opened += _opens_or_refuses(blob)
    assert 0 < opened < tried


def _numbers(table: Table, path: tuple[Any, ...]) -> Any:
    """Paths of all numbers and vectors of numbers below *table*."""
    for name, value in table.fields():
        here = (*path, name)
        if isinstance(value, Table):
            yield from _numbers(value, here)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                yield from _numbers(item, (*here, i))
        elif isinstance(value, (bool, int, float, np.ndarray)):
            yield here


def _unfrozen(value: Any) -> Any:
    if isinstance(value, Table):
        return Table(value.kind, **{name: _unfrozen(item) for name, item in value.fields()})
    return [_unfrozen(item) for item in value] if isinstance(value, tuple) else value


def _change(table: Any, path: tuple[Any, ...], draw: random.Random) -> None:
    for step in path[:-1]:
        table = table[step] if isinstance(step, int) else getattr(table, step)
    old = getattr(table, path[-1])
    if isinstance(old, np.ndarray):
        new = old.copy()
        what = draw.randrange(3)
        if what == 0 and new.size:
            info = None if new.dtype.kind in "fb" else np.iinfo(new.dtype)
            choices = (np.nan, np.inf, -1.0, 0.0) if info is None else (0, 1, info.max, info.min, 12)
            new[draw.randrange(new.size)] = draw.choice(choices)
        elif what == 1:
            new = new[: draw.randrange(new.size + 1)]
        else:
            new = np.concatenate([new, new])
    else:
        new = draw.choice((0, 1, -1, 2, 127, 255, 2**31 - 1, -(2**31), 2**32 - 1, old + 1, old - 1))
    setattr(table, path[-1], new)
