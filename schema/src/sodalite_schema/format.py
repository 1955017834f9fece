"""What `_tables.py` declares: enums, unions and the fields of tables; and `Table`, a table as a Python value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from . import _tables

Array = np.ndarray[Any, Any]


class SchemaError(ValueError):
    """A file, or a table to be written, breaks the format; the text names the field's path."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path.lstrip('.')}: {message}" if path else message)
        self.message, self.path = message, path

    def under(self, step: str) -> SchemaError:
        """This error, seen from what has it in its `.field` or `[item]` *step*."""
        return SchemaError(self.message, step + self.path)


#: base type -> its code in `struct`
CODES = {
    "bool": "?", "byte": "b", "ubyte": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I",
    "long": "q", "ulong": "Q", "float": "f", "double": "d",
}  # fmt: skip
# Little-endian; by way of `str`, which has one spelling for types of one layout.
DTYPES = {base: np.dtype(np.dtype("<" + code).str) for base, code in CODES.items()}

SCALAR, STRING, VECTOR, TABLE, TABLES, UNION = range(6)


class Field(NamedTuple):
    """One slot of a table. A union has two: `x_type`, a scalar whose `target` is the union, then `x`."""

    name: str
    sort: int  # SCALAR ... UNION
    base: str  # SCALAR, VECTOR: a key of CODES
    default: Any  # what an absent field reads as
    target: str  # kind of table, union or enum


def _lines(text: str) -> dict[str, str]:
    return dict(line.partition(" ")[::2] for line in text.splitlines())


_KINDS, _ENUMS = _lines(_tables.TABLES), _lines(_tables.ENUMS)
UNIONS = {name: tuple(line.split()) for name, line in _lines(_tables.UNIONS).items()}
_OPTIONS: dict[str, str] = {}  # operator -> its options table or ""


def _read_operators() -> None:
    number = 0  # of the table in both unions
    tables: dict[int, tuple[str, str]] = {}
    for declared, fields in _lines(_tables.OPERATORS).items():
        head, _, kind = declared.partition("=")
        op, has_options, given = head.partition(":")
        if has_options:
            number = int(given or number + 1)
            tables.setdefault(number, ((kind or op.title().replace("_", "")) + "Options", fields))
        _OPTIONS[op] = tables[number][0] if has_options else ""
    _ENUMS["BuiltinOperator"] = " ".join(["int", *_OPTIONS])
    options = dict(tables[number] for number in sorted(tables))
    _KINDS.update(options)
    UNIONS["BuiltinOptions"] = tuple(options)[: _tables.FIRST_UNION]
    UNIONS["BuiltinOptions2"] = tuple(options)[_tables.FIRST_UNION :]


_read_operators()

#: enum -> {member: value}, all enums of the schema
ENUMS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        enum: MappingProxyType({name: value for value, name in enumerate(line.split()[1:])})
        for enum, line in _ENUMS.items()
    }
)


def _find(mapping: Mapping[str, Any], name: str, what: str) -> Any:
    if name in mapping:
        return mapping[name]
    from difflib import get_close_matches  # noqa: PLC0415  only on the way to an error

    near = ", ".join(get_close_matches(str(name), mapping, cutoff=0.5))
    raise SchemaError(f"no {what} {name!r} in the schema{near and f'; near it: {near}'}")


@cache
def fields_of(kind: str) -> tuple[Field, ...]:
    """The fields of table *kind* in slot order."""
    out = []
    for word in _find(_KINDS, kind, "table").split():
        declared, _, default = word.partition("=")
        name, _, spelled = declared.partition(":")
        target = spelled.strip("[]") or "int"
        base, many = _ENUMS.get(target, target).partition(" ")[0], spelled[:1] == "["
        if target in UNIONS:
            out.append(Field(name + "_type", SCALAR, "ubyte", 0, target))
            out.append(Field(name, UNION, "", None, target))
        elif base not in CODES:
            sort = TABLES if many else STRING if target == "string" else TABLE
            out.append(Field(name, sort, "", () if many else None, target))
        elif many:
            out.append(Field(name, VECTOR, base, np.ndarray(0, DTYPES[base], b""), target))
        else:
            out.append(Field(name, SCALAR, base, DTYPES[base].type(int(default or 0)).item(), target))
    return tuple(out)


def enum_name(enum: str, value: int) -> str:
    """`enum_name("BuiltinOperator", 3)` -> "CONV_2D"; the digits of an unknown value."""
    names = tuple(_find(ENUMS, enum, "enum"))
    return names[value] if 0 <= value < len(names) else str(value)


def enum_value(enum: str, name: str) -> int:
    """`enum_value("BuiltinOperator", "CONV_2D")` -> 3; SchemaError for an unknown name."""
    return int(_find(_find(ENUMS, enum, "enum"), name, f"{enum} member"))


def union_members(union: str) -> tuple[str, ...]:
    """The table kinds of *union*; the one at index i has the tag i + 1."""
    return tuple(_find(UNIONS, union, "union"))


def options_kind(op: str) -> str | None:
    """The options table of a builtin operator, if it has one: "CONV_2D" -> "Conv2DOptions"."""
    return _find(_OPTIONS, op, "BuiltinOperator member") or None


def options_field(op: str) -> str | None:
    """The field of Operator that holds them: "builtin_options", "builtin_options_2" or None."""
    kind = options_kind(op)
    return kind and ("builtin_options" if kind in UNIONS["BuiltinOptions"] else "builtin_options_2")


def table_kinds() -> tuple[str, ...]:
    """All table kinds."""
    return tuple(_KINDS)


def field_names(kind: str) -> tuple[str, ...]:
    """The fields of table *kind* in slot order."""
    return tuple(field.name for field in fields_of(kind))


def field_defaults(kind: str) -> dict[str, Any]:
    """What absent fields of *kind* read as."""
    return {field.name: field.default for field in fields_of(kind)}


def field_enum(kind: str, field: str) -> str | None:
    """The enum whose values *field* holds, or None: ("Tensor", "type") -> "TensorType"."""
    targets = {item.name: item.target for item in fields_of(kind)}
    target = str(_find(targets, field, f"field of {kind}"))
    return target if target in ENUMS else None


class Table:
    """A table of the format; fields are attributes by their names in schema.fbs.

    `Table("Tensor", shape=[1, 2], type=9)` makes one. An absent field reads as the schema's default: a number, None
    (string, table, union), () (tables) or an empty array. Enum values are ints. Setting a union field sets its `_type`
    too. Raises SchemaError for an unknown kind or field.

    kind: the table's type, such as "Tensor". position: in the file that it was read from, or -1.
    """

    kind: str
    position: int = -1
    _file: Array | None = None  # all of the file it was read from, uint8
    _names: tuple[str, ...]
    _unions: dict[str, tuple[str, ...]]

    def __new__(cls, kind: str, /, **fields: Any) -> Table:  # noqa: PYI034  __init__ takes the fields
        return object.__new__(class_of(kind))

    def __init__(self, kind: str, /, **fields: Any) -> None:
        for name in sorted(fields, key=lambda name: name.endswith("_type")):  # a tag that was given stays
            setattr(self, name, fields[name])

    def __setattr__(self, name: str, value: Any) -> None:
        self.has(name)
        self.__dict__[name] = value
        members = self._unions.get(name)
        if members is not None:
            known = isinstance(value, Table) and value.kind in members
            self.__dict__[name + "_type"] = members.index(value.kind) + 1 if known else 0

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(self._unknown(name))

    def _unknown(self, name: str) -> str:
        return f"{self.kind} has no field {name!r}; it has {', '.join(self._names) or 'none'}"

    def has(self, field: str) -> bool:
        """Whether *field* is present: stored in the file, or set."""
        if field not in self._names:
            raise SchemaError(self._unknown(field))
        return field in self.__dict__

    def fields(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of the fields that are present, in the schema's order."""
        values = self.__dict__
        return ((name, values[name]) for name in self._names if name in values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self.kind == other.kind and all(_same(f, self, other) for f in fields_of(self.kind))

    __hash__ = None  # type: ignore[assignment]  # equal by value, open to change

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(f'{name}={_short(value)}' for name, value in self.fields())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.kind,), dict(self.fields())


@cache
def class_of(kind: str) -> type[Table]:
    """The class of *kind*: a `Table` whose class attributes are the schema's defaults."""
    body = field_defaults(kind)
    unions = {field.name: UNIONS[field.target] for field in fields_of(kind) if field.sort == UNION}
    return type(kind, (Table,), body | {"kind": kind, "_names": tuple(body), "_unions": unions})


def _short(value: Any) -> str:
    """*value* on a part of a line."""
    if isinstance(value, Table):
        return f"{value.kind}({'...' if any(value.fields()) else ''})"
    if isinstance(value, (tuple, list)) and any(isinstance(item, Table) for item in value):
        return f"<{len(value)} {value[0].kind}>"
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= 8 else f"<{value.size} {value.dtype}>"
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) > 32:
        return f"<{len(value)} bytes>"
    return repr(value)


def _same(field: Field, a: Table, b: Table) -> bool:
    x, y = (field.default if v is None else v for v in (getattr(a, field.name), getattr(b, field.name)))
    if field.sort == VECTOR:
        return np.array_equal(as_array(x), as_array(y), equal_nan=DTYPES[field.base].kind == "f")
    if field.sort == TABLES:
        return list(x) == list(y)
    return bool(x == y or (x != x and y != y))


def as_array(value: Any) -> Array:
    """A vector field's value as an array, bytes as uint8."""
    return np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)


def vector_offset(table: Table, field: str) -> int:
    """Byte position in its file of a vector field's first element; -1 if it is no view of the file."""
    value, file = getattr(table, field), table._file  # noqa: SLF001  this module's own class
    if not isinstance(value, np.ndarray) or file is None or not table.has(field):
        return -1
    distance = int(value.__array_interface__["data"][0] - file.__array_interface__["data"][0])
    return distance if 0 <= distance <= file.nbytes - value.nbytes else -1
