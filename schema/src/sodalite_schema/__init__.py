# SPDX-License-Identifier: Apache-2.0
"""The .tflite file format: verify and read it; with sodalite-build, write it.

model = read(Path("model.tflite").read_bytes())
model.subgraphs[0].tensors[0].shape
Path("copy.tflite").write_bytes(write(model))
"""

from __future__ import annotations

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


def write(model: Table, *, external_data: bool | None = None) -> bytes:
    """The .tflite file of a `Model` table; `sodalite_build.write`, which the package sodalite-build holds."""
    try:
        from sodalite_build import write  # noqa: PLC0415  an optional package
    except ModuleNotFoundError as error:
        if error.name != "sodalite_build":
            raise
        raise ImportError("writing models is in another package: pip install sodalite-build") from None
    return write(model, external_data=external_data)
