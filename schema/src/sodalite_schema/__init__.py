# SPDX-License-Identifier: Apache-2.0
"""The .tflite file format: verify, read and write it.

model = read(Path("model.tflite").read_bytes())
model.subgraphs[0].tensors[0].shape
Path("copy.tflite").write_bytes(write(model))
"""

from .enums import (
    ENUMS,
    enum_name,
    enum_value,
    field_defaults,
    field_enum,
    field_names,
    options_field,
    options_kind,
    table_kinds,
    union_members,
)
from .errors import SchemaError
from .reader import ReadLimits, read
from .table import Table, vector_offset
from .writer import write

__all__ = [
    "ENUMS",
    "ReadLimits",
    "SchemaError",
    "Table",
    "enum_name",
    "enum_value",
    "field_defaults",
    "field_enum",
    "field_names",
    "options_field",
    "options_kind",
    "read",
    "table_kinds",
    "union_members",
    "vector_offset",
    "write",
]
