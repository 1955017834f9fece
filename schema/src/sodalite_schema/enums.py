# SPDX-License-Identifier: Apache-2.0
"""Names and numbers of the format: enums, unions, and which options table an operator has."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._types import ENUM_LINES, TABLE_LINES, UNIONS, fields_of, operator_tags
from .errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TAGS = operator_tags()
_OPTIONS = [int(tag or 0) for tag in _TAGS.values()]  # by operator code

#: enum -> {member: value}, all enums of the schema.
ENUMS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        enum: MappingProxyType(
            {name: i for i, name in enumerate(_TAGS if enum == "BuiltinOperator" else line.split()[1:])}
        )
        for enum, line in ENUM_LINES.items()
    }
)
_NAMES = {enum: tuple(members) for enum, members in ENUMS.items()}


def _find(mapping: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in mapping:
        raise SchemaError(f"no {what} {name!r} in the schema{_near(name, mapping)}")
    return mapping[name]


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only on the way to an error

    close = get_close_matches(str(name), list(names), cutoff=0.5)
    return f"; near it: {', '.join(close)}" if close else ""


def enum_name(enum: str, value: int) -> str:
    """`enum_name("BuiltinOperator", 3)` -> "CONV_2D"; a value that the schema does not know gives its digits."""
    names = _find(_NAMES, enum, "enum")
    return str(names[value]) if 0 <= value < len(names) else str(value)


def enum_value(enum: str, name: str) -> int:
    """`enum_value("BuiltinOperator", "CONV_2D")` -> 3. Raises SchemaError for an unknown enum or name."""
    return int(_find(_find(ENUMS, enum, "enum"), name, f"{enum} member"))


def union_members(union: str) -> tuple[str, ...]:
    """The table kinds of *union* in order: the kind at index i has the tag i + 1."""
    return tuple(_find(UNIONS, union, "union"))


def options_kind(op: str) -> str | None:
    """The options table of a builtin operator, or None if it has none: "CONV_2D" -> "Conv2DOptions"."""
    tag = _OPTIONS[enum_value("BuiltinOperator", op)]
    return None if tag == 0 else UNIONS["BuiltinOptions" if tag > 0 else "BuiltinOptions2"][abs(tag) - 1]


def options_field(op: str) -> str | None:
    """The field of Operator that holds the options: "builtin_options", "builtin_options_2" or None."""
    tag = _OPTIONS[enum_value("BuiltinOperator", op)]
    return None if tag == 0 else "builtin_options" if tag > 0 else "builtin_options_2"


def table_kinds() -> tuple[str, ...]:
    """All table kinds, in the order of schema.fbs."""
    return tuple(TABLE_LINES)


def _fields(kind: str) -> Any:
    _find(TABLE_LINES, kind, "table")
    return fields_of(kind)


def field_names(kind: str) -> tuple[str, ...]:
    """The fields of table *kind* in slot order."""
    return tuple(field.name for field in _fields(kind))


def field_defaults(kind: str) -> dict[str, Any]:
    """What each field of *kind* reads as when it is absent."""
    return {field.name: field.default for field in _fields(kind)}


def field_enum(kind: str, field: str) -> str | None:
    """The enum whose values *field* holds, or None: ("Tensor", "type") -> "TensorType"."""
    by_name = {item.name: item for item in _fields(kind)}
    target = _find(by_name, field, f"field of {kind}").target
    return target if target in ENUMS else None
