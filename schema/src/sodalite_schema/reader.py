# SPDX-License-Identifier: Apache-2.0
"""bytes -> `Table`: a reader that checks every offset, length and tag before it follows it.

A table's vtable says where its fields lie. Files use few different vtables, so each is checked and compiled once, into a
plan with one `struct` for all inline fields; a table then costs one unpack and one visit for each offset. Comparisons
are in subtraction form (`length > end - start`); with Python's integers that is habit rather than need.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from ._types import SCALAR, SCALARS, STRING, TABLE, TABLES, UNION, UNIONS, VECTOR, Field, fields_of
from .errors import Fault, SchemaError
from .table import Table, class_of

IDENTIFIER = b"TFL3"

# What people hand over by mistake, by the first bytes.
_LOOKS_LIKE = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"PK\x03\x04", "a ZIP archive (a .keras file, or a model packed with its labels?)"),
    (b"\x89HDF", "an HDF5 file (a Keras .h5 model?)"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"<!", "an HTML or XML page"),
    (b"<h", "an HTML page"),
    (b"<?", "an XML page"),
)


class ReadLimits(NamedTuple):
    """How much a file may ask for; None takes the bound that an honest file of its size cannot pass.

    depth: tables inside tables. tables: how many, each counted as often as something points at it (None: one for
    each 8 bytes of the file, at most 4 million). nbytes: bytes of tables, strings and vectors, counted likewise, but
    for tensor data, which is only viewed (None: twice the file). Sharing one table between a million offsets is
    legal FlatBuffers; these two make it cost the file's size.
    """

    depth: int = 64
    tables: int | None = None
    nbytes: int | None = None


class _Plan(NamedTuple):
    """A vtable, compiled."""

    size: int  # inline bytes of a table
    lacks: int  # what position & 7 must not have set: 3, or 7 if ...
    phase: int  # ... an 8-byte field asks for position % 8 == phase
    unpack: Any  # Struct.unpack_from for all known fields that are present
    names: tuple[str, ...]  # their names, in that order
    refs: tuple[tuple[Field, int], ...]  # those that are offsets, with their place in the table


_EMPTY_LIMITS = ReadLimits()
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U16X2 = struct.Struct("<HH").unpack_from


def read(buffer: Any, *, limits: ReadLimits = _EMPTY_LIMITS) -> Table:
    """The `Model` table of a .tflite file, verified.

    buffer: bytes, bytearray, memoryview, mmap or uint8 array, C-contiguous; arrays in the result are read-only views of
    it. Everything is decoded at once. Raises SchemaError, and nothing else, for whatever the bytes are.
    """
    try:
        view = memoryview(buffer).cast("B").toreadonly()
    except TypeError as error:
        raise SchemaError(f"cannot read a model from {type(buffer).__name__}: {error}") from error
    try:
        return _Reader(view, limits).model()
    except Fault as fault:
        raise fault.as_error() from None


class _Reader:
    def __init__(self, view: memoryview, limits: ReadLimits) -> None:
        self.view = view
        self.size = size = view.nbytes
        self.file = np.frombuffer(view, np.uint8) if size else np.empty(0, np.uint8)
        self.depth = limits.depth
        self.tables_left = min(size >> 3, 4_000_000) if limits.tables is None else limits.tables
        self.bytes_left = 2 * size if limits.nbytes is None else limits.nbytes
        self.plans: dict[tuple[str, int], _Plan] = {}

    def model(self) -> Table:
        view, size = self.view, self.size
        if size < 8 or view[4:8] != IDENTIFIER:
            raise Fault(self._not_a_model())
        (root,) = _U32(view, 0)
        if root & 3 or root < 8 or root > size - 4:
            raise Fault(
                f"root table at offset {root:,} is outside the file or misaligned (file {size:,} bytes)"
            )
        self.tables_left -= 1
        return self.table(root, "Model", 1)

    def _not_a_model(self) -> str:
        start = bytes(self.view[:32])
        if not start:
            return "not a .tflite file: it is empty"
        for magic, what in _LOOKS_LIKE:
            if start.lstrip().startswith(magic):
                return f"not a .tflite file: it looks like {what}"
        return f"not a .tflite file: bytes 4 to 7 are {start[4:8]!r}, not {IDENTIFIER!r} (file {self.size:,} bytes)"

    def plan(self, kind: str, position: int, vtable: int) -> _Plan:
        """Check the vtable at *vtable* for tables of *kind* and compile it."""
        size = self.size
        if vtable < 0 or vtable > size - 4 or vtable & 1:
            raise Fault(
                f"vtable at offset {vtable:,} is outside the file or misaligned "
                f"(table at offset {position:,}, file {size:,} bytes)"
            )
        length, inline = _U16X2(self.view, vtable)
        if length < 4 or length & 1 or length > size - vtable or inline < 4:
            raise Fault(
                f"vtable has length {length} for a table of {inline} bytes (offset {vtable:,}, file {size:,} bytes)"
            )
        slots = struct.unpack_from(f"<{length // 2 - 2}H", self.view, vtable + 4)
        present = sorted((place, field) for place, field in zip(slots, fields_of(kind)) if place)
        layout, end, phase, lacks = ["<"], 0, 0, 3
        end = 4
        layout.append("4x")
        for place, field in present:
            width = field.width
            if place < end or width > inline - place:
                raise Fault(
                    f"lies at byte {place} of a table of {inline} bytes, over another field or past its end",
                    field.name,
                )
            if width == 8:
                if lacks == 7 and (-place) & 7 != phase:
                    raise Fault(f"lies at byte {place} of its table, which is misaligned", field.name)
                lacks, phase = 7, (-place) & 7
            elif place % width:
                raise Fault(f"lies at byte {place} of its table, which is misaligned", field.name)
            layout.append(f"{place - end}x{SCALARS[field.base][0] if field.sort == SCALAR else 'I'}")
            end = place + width
        plan = _Plan(
            inline,
            lacks,
            phase,
            struct.Struct("".join(layout)).unpack_from,
            tuple(field.name for _, field in present),
            tuple((field, place) for place, field in present if field.sort != SCALAR),
        )
        if phase & 3:
            raise Fault(f"an 8-byte field is misaligned in every table (vtable at offset {vtable:,})")
        self.plans[kind, vtable] = plan
        return plan

    def table(self, position: int, kind: str, depth: int) -> Table:
        """The table of *kind* at *position*, which is a multiple of 4 and at least 4 bytes from the end."""
        view, size = self.view, self.size
        vtable = position - _I32(view, position)[0]
        plan = self.plans.get((kind, vtable)) or self.plan(kind, position, vtable)
        self.bytes_left -= plan.size
        if plan.size > size - position:
            raise Fault(
                f"table of {plan.size} bytes runs past the end of the file (offset {position:,}, file {size:,} bytes)"
            )
        if position & plan.lacks != plan.phase:
            raise Fault(f"table is misaligned (offset {position:,})")
        if depth > self.depth or self.bytes_left < 0:
            raise Fault(self._too_much(depth))
        table: Table = object.__new__(class_of(kind))
        values = table.__dict__
        values.update(zip(plan.names, plan.unpack(view, position)))
        _set_position(table, position)
        _set_file(table, self.file)
        for field, place in plan.refs:
            name = field.name
            start = position + place + values[name]
            if start > size - 4 or start & 3 or not values[name]:
                raise Fault(
                    f"offset leads to byte {start:,}, outside the file or misaligned (file {size:,} bytes)",
                    name,
                )
            sort = field.sort
            if sort == VECTOR:
                values[name] = self.vector(start, field)
            elif sort == TABLES:
                values[name] = self.tables(start, name, field.target, depth)
            elif sort == STRING:
                values[name] = self.string(start, name)
            else:
                target = field.target if sort == TABLE else self.member(table, field)
                self.tables_left -= 1
                if self.tables_left < 0:
                    raise Fault(self._too_much(depth), name)
                try:
                    values[name] = self.table(start, target, depth + 1)
                except Fault as fault:
                    raise fault.under(name)
        return table

    def _too_much(self, depth: int) -> str:
        if depth > self.depth:
            return f"tables are nested more than {self.depth} deep"
        what = "tables" if self.tables_left < 0 else "bytes"
        return f"more {what} than a file of {self.size:,} bytes can hold without sharing them"

    def member(self, table: Table, field: Field) -> str:
        """The kind that a union's tag names."""
        tag, members = getattr(table, field.name + "_type"), UNIONS[field.target]
        if not 1 <= tag <= len(members):
            raise Fault(f"{tag} is no member of {field.target} (1 to {len(members)})", field.name + "_type")
        return members[tag - 1]

    def length(self, start: int, width: int, name: str) -> int:
        """The length of the vector at *start*, all of whose elements lie in the file."""
        (length,) = _U32(self.view, start)
        if length * width > self.size - start - 4:
            raise Fault(
                f"length {length} runs past the end of the file (offset {start}, file {self.size:,} bytes)",
                name,
            )
        return int(length)

    def vector(self, start: int, field: Field) -> np.ndarray[Any, Any]:
        width = field.dtype.itemsize
        length = self.length(start, width, field.name)
        if width == 8 and start + 4 & 7:
            raise Fault(f"elements of 8 bytes are misaligned (offset {start:,})", field.name)
        if field.align < 16:  # tensor data is viewed, whoever shares it
            self.bytes_left -= length * width
        array: np.ndarray[Any, Any] = np.ndarray((length,), field.dtype, self.view, start + 4)
        if field.base == "bool" and length and array.view(np.uint8).max() > 1:
            array = array.view(np.uint8) != 0  # numpy wants 0 and 1; FlatBuffers calls anything else true
            array.flags.writeable = False
        return array

    def string(self, start: int, name: str) -> str:
        length = self.length(start, 1, name)
        end = start + 4 + length
        self.bytes_left -= length
        if end >= self.size or self.view[end]:
            raise Fault(f"string of {length:,} bytes does not end in a zero byte (offset {start:,})", name)
        try:
            return str(self.view[start + 4 : end], "utf-8")
        except UnicodeDecodeError as error:
            raise Fault(
                f"string is not UTF-8: {error.reason} at byte {error.start} (offset {start:,})", name
            ) from None

    def tables(self, start: int, name: str, kind: str, depth: int) -> tuple[Table, ...]:
        length = self.length(start, 4, name)
        self.tables_left -= length
        self.bytes_left -= 4 * length
        if self.tables_left < 0:
            raise Fault(self._too_much(depth), name)
        out = []
        read_one, last, at = self.table, self.size - 4, start + 4
        for offset in struct.unpack_from(f"<{length}I", self.view, at):
            position = at + offset
            try:
                if position > last or position & 3 or not offset:
                    raise Fault(
                        f"offset leads to byte {position:,}, outside the file or misaligned (file {self.size:,} bytes)"
                    )
                out.append(read_one(position, kind, depth + 1))
            except Fault as fault:
                raise fault.under(f"[{len(out)}]").under(name)
            at += 4
        return tuple(out)


_set_position = Table.position.__set__  # type: ignore[attr-defined]  # past Table's own __setattr__
_set_file = Table._file.__set__  # type: ignore[union-attr]  # noqa: SLF001  past Table's own __setattr__
