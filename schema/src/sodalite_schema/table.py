# SPDX-License-Identifier: Apache-2.0
"""`Table`: one FlatBuffers table as a Python value, whether read from a file or made to be written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from ._types import TABLE_LINES, TABLES, UNION, UNIONS, VECTOR, fields_of
from .errors import SchemaError


class Table:
    """A table of the format; fields are attributes by their names in schema.fbs.

    `Table("Tensor", shape=[1, 2], type=9)` makes one for writing. A field that is absent reads as the schema's
    default: a number, None (string, table, union), () (tables) or an empty array (numbers). Fields of enum type are
    plain ints. Setting a union field sets its `_type` too. Raises SchemaError for an unknown kind or field.

    kind: the table's type, such as "Tensor".
    position: byte position in the file it was read from; -1 if it was not read from a file.
    """

    __slots__ = ("__dict__", "_file", "position")
    kind: str
    position: int
    _file: (
        np.ndarray[Any, Any] | None
    )  # the whole file as uint8, so that `vector_offset` can find a view in it
    _names: tuple[str, ...] = ()
    _unions: dict[str, tuple[str, ...]]

    def __new__(cls, kind: str, /, **fields: Any) -> Table:  # noqa: PYI034  __init__ takes the fields
        """An empty table of the class that belongs to *kind*."""
        self: Table = object.__new__(class_of(kind))
        object.__setattr__(self, "position", -1)
        object.__setattr__(self, "_file", None)
        return self

    def __init__(self, kind: str, /, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)
        for name, value in fields.items():  # a tag that was given beats the one that its union field implied
            if name.endswith("_type"):
                setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names:
            raise SchemaError(self._unknown(name))
        self.__dict__[name] = value
        members = self._unions.get(name)
        if members is not None:
            tag = members.index(value.kind) + 1 if isinstance(value, Table) and value.kind in members else 0
            self.__dict__[name + "_type"] = tag

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
        return self is other or (self.kind == other.kind and _same_fields(self, other))

    __hash__ = None  # type: ignore[assignment]  # equal by value and open to change

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={_short(value)}" for name, value in self.fields())
        return f"{self.kind}({inside})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.kind, dict(self.__dict__))


def _rebuild(kind: str, values: dict[str, Any]) -> Table:
    """Unpickle: the table without its file."""
    table = Table(kind)
    table.__dict__.update(values)
    return table


@cache
def class_of(kind: str) -> type[Table]:
    """The class of *kind*: a `Table` whose class attributes are the schema's defaults."""
    if kind not in TABLE_LINES:
        raise SchemaError(f"no table {str(kind)!r} in the schema; `table_kinds()` lists them")
    fields = fields_of(kind)
    body: dict[str, Any] = {field.name: field.default for field in fields}
    unions = {field.name: UNIONS[field.target] for field in fields if field.sort == UNION}
    body.update(__slots__=(), kind=kind, _names=tuple(body), _unions=unions, __doc__=None)
    return type(kind, (Table,), body)


def _short(value: Any) -> str:
    """*value* on a part of a line."""
    if isinstance(value, Table):
        return f"{value.kind}(...)" if value.__dict__ else f"{value.kind}()"
    if isinstance(value, (tuple, list)) and any(isinstance(item, Table) for item in value):
        return f"<{len(value)} {value[0].kind}>"
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= 8 else f"<{value.size} {value.dtype}>"
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) > 32:
        return f"<{len(value)} bytes>"
    return repr(value)


def _same_fields(a: Table, b: Table) -> bool:
    for field in fields_of(a.kind):
        x, y = getattr(a, field.name), getattr(b, field.name)
        x, y = field.default if x is None else x, field.default if y is None else y
        if x is y:
            continue
        if field.sort == VECTOR:
            same = _same_vector(x, y, field.dtype)
        elif field.sort == TABLES:
            same = len(x) == len(y) and all(p == q for p, q in zip(x, y, strict=True))
        else:
            same = bool(x == y or (x != x and y != y))
        if not same:
            return False
    return True


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """A vector field's value as an array, bytes as uint8; no copy where none is needed."""
    return np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)


def _same_vector(x: Any, y: Any, dtype: np.dtype[Any]) -> bool:
    x, y = as_array(x), as_array(y)
    return x.size == y.size == 0 or bool(np.array_equal(x, y, equal_nan=dtype.kind == "f"))


def vector_offset(table: Table, field: str) -> int:
    """Byte position in its file of the first element of a vector field; -1 if it is not a view of that file."""
    value, file = getattr(table, field), table._file  # noqa: SLF001  this module's own class
    if not isinstance(value, np.ndarray) or file is None or not table.has(field):
        return -1
    distance = int(value.__array_interface__["data"][0] - file.__array_interface__["data"][0])
    return distance if 0 <= distance <= file.nbytes - value.nbytes else -1
