"""Read .tflite files, trusting no byte; with sodalite-build, write them."""

from .format import (
    ENUMS,
    SchemaError,
    Table,
    enum_name,
    enum_value,
    field_defaults,
    field_enum,
    field_names,
    options_field,
    options_kind,
    table_kinds,
    union_members,
    vector_offset,
)
from .reader import ReadLimits, read

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
    """The .tflite file of a `Model` table; see `sodalite_build.write`."""
    try:
        from sodalite_build import write as write_model  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise ImportError("writing models is in another package: pip install sodalite-build") from error
    return write_model(model, external_data=external_data)
