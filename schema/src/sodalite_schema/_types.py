# SPDX-License-Identifier: Apache-2.0
"""Field descriptions of every table kind, unpacked from `_tables.py` when a kind is first asked for."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import _tables

# base type -> (struct code, numpy dtype); both little-endian, as files are
SCALARS = {
    "bool": ("?", "?"),
    "byte": ("b", "i1"),
    "ubyte": ("B", "u1"),
    "short": ("h", "<i2"),
    "ushort": ("H", "<u2"),
    "int": ("i", "<i4"),
    "uint": ("I", "<u4"),
    "long": ("q", "<i8"),
    "ulong": ("Q", "<u8"),
    "float": ("f", "<f4"),
    "double": ("d", "<f8"),
}

SCALAR, STRING, VECTOR, TABLE, TABLES, UNION = range(6)


class Field(NamedTuple):
    """One slot of a table. A union has two: `x_type`, a scalar whose `target` is the union, then `x`."""

    name: str
    slot: int
    sort: int  # SCALAR ... UNION
    base: str  # SCALAR, VECTOR: the base type, a key of SCALARS; otherwise ""
    dtype: np.dtype[Any]  # SCALAR, VECTOR: of an element; otherwise uint32
    width: int  # bytes inside the table: of the number, or 4, an offset
    default: Any  # what an absent field reads as
    align: int  # VECTOR: alignment of the first element in a written file
    target: str  # TABLE, TABLES: the kind; UNION: the union; enum fields: the enum


def _lines(text: str) -> dict[str, str]:
    """Declarations by name; each value is the rest of its line."""
    return dict(line.partition(" ")[::2] for line in text.splitlines())


_FIRST, _SECOND = _lines(_tables.BUILTIN_OPTIONS), _lines(_tables.BUILTIN_OPTIONS_2)
TABLE_LINES = _lines(_tables.TABLES) | _FIRST | _SECOND
ENUM_LINES = _lines(_tables.ENUMS)
UNIONS = {name: tuple(line.split()) for name, line in _lines(_tables.UNIONS).items()}
UNIONS |= {"BuiltinOptions": tuple(_FIRST), "BuiltinOptions2": tuple(_SECOND)}


def operator_tags() -> dict[str, str]:
    """Operator -> the tag of its options table, negative in BuiltinOptions2; "" if it has none."""
    return dict(word.partition(":")[::2] for word in ENUM_LINES["BuiltinOperator"].split()[1:])


def _parse(value: str, base: str) -> Any:
    """The default written as *value* ("" if none) for a scalar of type *base*."""
    if base == "bool":
        return value == "true"
    return float(value or 0) if base in ("float", "double") else int(value or 0)


@cache
def _empty(dtype: str) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.empty(0, dtype)
    array.flags.writeable = False
    return array


_OFFSET = np.dtype("<u4")


@cache
def fields_of(kind: str) -> tuple[Field, ...]:
    """The fields of table *kind* in slot order; KeyError for an unknown kind."""
    out: list[Field] = []
    for word in TABLE_LINES[kind].split():
        name, _, rest = word.partition(":")
        rest, _, align = rest.partition("@")
        spelled, _, default = rest.partition("=")
        bare = spelled.strip("[]")
        base = ENUM_LINES[bare].split(" ", 1)[0] if bare in ENUM_LINES else bare
        target = "" if base == bare and base in SCALARS else bare
        slot = len(out)
        dtype = np.dtype(SCALARS[base][1]) if base in SCALARS else _OFFSET
        if bare == "string":
            out.append(Field(name, slot, STRING, "", _OFFSET, 4, None, 4, ""))
        elif bare in UNIONS:
            out.append(Field(name + "_type", slot, SCALAR, "ubyte", np.dtype("u1"), 1, 0, 1, bare))
            out.append(Field(name, slot + 1, UNION, "", _OFFSET, 4, None, 4, bare))
        elif base not in SCALARS:
            many = spelled != bare
            out.append(
                Field(name, slot, TABLES if many else TABLE, "", _OFFSET, 4, () if many else None, 4, bare)
            )
        elif spelled != bare:
            alignment = int(align or max(4, dtype.itemsize))
            out.append(Field(name, slot, VECTOR, base, dtype, 4, _empty(SCALARS[base][1]), alignment, target))
        else:
            value = _parse(default, base)
            out.append(Field(name, slot, SCALAR, base, dtype, dtype.itemsize, value, 1, target))
    return tuple(out)
