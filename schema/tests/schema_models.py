# SPDX-License-Identifier: Apache-2.0
"""Models to test with: a small one, and one with every table of the schema."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sodalite_schema import ENUMS, Table, field_enum, union_members
from sodalite_schema.format import SCALAR, STRING, TABLE, TABLES, UNIONS, VECTOR, fields_of


def small_model() -> Table:
    """y = x + c."""
    tensors = [
        Table(
            "Tensor",
            name="x",
            shape=[1, 2],
            type=9,
            shape_signature=[-1, 2],
            quantization=per_tensor(0.5, -3),
        ),
        Table("Tensor", name="c", shape=[1, 2], type=9, buffer=1, quantization=per_tensor(0.25, 4)),
        Table("Tensor", name="y", shape=[1, 2], type=9, quantization=per_tensor(1.0, 0)),
    ]
    add = Table(
        "Operator", inputs=[0, 1], outputs=[2], builtin_options=Table("AddOptions", pot_scale_int16=False)
    )
    return Table(
        "Model",
        version=3,
        description="x + c",
        operator_codes=[Table("OperatorCode", builtin_code=0, version=2)],
        subgraphs=[Table("SubGraph", name="main", tensors=tensors, inputs=[0], outputs=[2], operators=[add])],
        buffers=[Table("Buffer"), Table("Buffer", data=b"\x01\xfe")],
    )


def per_tensor(scale: float, zero_point: int) -> Table:
    """Quantisation with one pair for the tensor."""
    return Table("QuantizationParameters", scale=[scale], zero_point=[zero_point])


def full_model() -> Table:
    """Every table of the schema and every member of every union, each field with a value that is not its default."""
    counter = itertools.count(1)

    def number(kind: str, field: Any) -> Any:
        n = next(counter)
        if field.base == "bool":
            return not field.default if field.sort == SCALAR else [n % 2 == 0, n % 3 == 0, True]
        if field.base == "float":
            return n / 8 if field.sort == SCALAR else [n / 8, -0.5]
        names = ENUMS.get(field_enum(kind, field.name) or "", ())
        most = min(len(names) or 100, 100)
        first = n % most or 1
        if field.sort == VECTOR:
            return [first, 0, (n + 1) % most]
        return first if first != field.default else first + 1

    def make(kind: str, **given: Any) -> Table:
        table = Table(kind)
        for field in fields_of(kind):
            if field.name in given:
                value = given[field.name]
            elif field.sort == STRING:
                value = f"{kind}.{field.name} é {next(counter)}"
            elif field.sort == TABLE:
                value = make(field.target)
            elif field.sort == TABLES:
                value = [make(field.target), make(field.target)]
            elif field.sort in (SCALAR, VECTOR):
                if field.target in UNIONS:
                    continue
                value = number(kind, field)
            else:
                members = UNIONS[field.target]
                value = make(members[next(counter) % len(members)])
            setattr(table, field.name, value)
        return table

    operators = [
        make("Operator", builtin_options=make(a), builtin_options_2=make(b))
        for a, b in itertools.zip_longest(
            union_members("BuiltinOptions"), union_members("BuiltinOptions2"), fillvalue="DilateOptions"
        )
    ]
    tensors = [
        make("Tensor", quantization=make("QuantizationParameters", details=make(kind)))
        for kind in union_members("QuantizationDetails")
    ]
    dims = [
        make("DimensionMetadata", array_segments=make(a), array_indices=make(b))
        for a, b in itertools.product(union_members("SparseIndexVector"), repeat=2)
    ]
    tensors.append(make("Tensor", sparsity=make("SparsityParameters", dim_metadata=dims)))
    graph = make("SubGraph", tensors=tensors, operators=operators)
    buffers = [
        Table("Buffer"),
        make("Buffer", data=np.arange(100, dtype=np.uint8), offset=0, size=0),
        Table("Buffer"),
    ]
    return make("Model", version=3, subgraphs=[graph, make("SubGraph", operators=[])], buffers=buffers)
