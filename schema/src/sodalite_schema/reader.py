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

from ._types import SCALAR, SCALARS, STRING, TABLE, TABLES, UNIONS, VECTOR, Field, fields_of
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
    """How much a file may ask for; None takes a bound that honest files stay far below.

    depth: tables inside tables. tables: how many, each counted as often as something points at it (None: one for each
    8 bytes of the file, which is what one costs, at most 500,000). nbytes: bytes of tables, strings and vectors, counted
    likewise (None: three times the file). Sharing one table between a million offsets is legal FlatBuffers; these two
    make it cost no more than the file's size.
    """

    depth: int = 64
    tables: int | None = None
    nbytes: int | None = None


# A vtable, compiled: inline bytes of a table; the class of its kind; the bits of a position that must equal the phase
# (3 and 0, or 7 and whatever an 8-byte field asks for); Struct.unpack_from for the known fields that are present and
# their names in that order; those among them that are offsets, as (name, place in the table, field).
_Plan = tuple[int, type[Table], int, int, Any, tuple[str, ...], tuple[tuple[str, int, Field], ...]]

_MOST_PLANS = 4096  # an honest file has some dozens
_DEFAULT_LIMITS = ReadLimits()
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U16X2 = struct.Struct("<HH").unpack_from


def read(buffer: Any, *, limits: ReadLimits = _DEFAULT_LIMITS) -> Table:
    """The `Model` table of a .tflite file, verified.

    buffer: bytes, bytearray, memoryview, mmap or uint8 array, C-contiguous; arrays in the result are read-only views of
    it. Everything is decoded at once. A union tag without its table reads as None; what a newer schema appended to a
    table is skipped, but an unknown union tag is refused. Raises SchemaError, and nothing else, for whatever the bytes are.
    """
    try:
        view = memoryview(buffer)
        view = view.cast("B").toreadonly() if view.nbytes else memoryview(b"")
    except (TypeError, ValueError, BufferError) as error:
        raise SchemaError(f"cannot read a model from {type(buffer).__name__}: {error}") from error
    try:
        return _Reader(view, limits).model()
    except Fault as fault:
        raise fault.as_error() from None


class _Reader:
    def __init__(self, view: memoryview, limits: ReadLimits) -> None:
        self.view = view
        self.size = size = view.nbytes
        self.file: np.ndarray[Any, Any] = np.frombuffer(view, np.uint8) if size else np.empty(0, np.uint8)
        self.depth = limits.depth
        self.tables_left = min((size >> 3) + 64, 500_000) if limits.tables is None else limits.tables
        self.bytes_left = 3 * size if limits.nbytes is None else limits.nbytes
        self.plans: dict[tuple[str, int], _Plan] = {}  # by kind and position of the vtable
        self.compiled: dict[tuple[str, int, tuple[int, ...]], _Plan] = {}  # by kind and content

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
        size, fields = self.size, fields_of(kind)
        if vtable < 0 or vtable > size - 4 or vtable & 1:
            raise Fault(
                f"vtable at offset {vtable:,} is outside the file or misaligned (table at {position:,})"
            )
        length, inline = _U16X2(self.view, vtable)
        if length < 4 or length & 1 or length > size - vtable or inline < 4:
            raise Fault(
                f"vtable of {length} bytes for a table of {inline} (offset {vtable:,}, file {size:,} bytes)"
            )
        slots = struct.unpack_from(f"<{min(length // 2 - 2, len(fields))}H", self.view, vtable + 4)
        key = (kind, inline, slots)
        plan = self.compiled.get(key)
        if plan is None:
            if len(self.compiled) >= _MOST_PLANS:
                raise Fault(f"more than {_MOST_PLANS:,} different vtables")
            plan = self.compiled[key] = _compile(kind, inline, slots)
        self.plans[kind, vtable] = plan
        return plan

    def table(self, position: int, kind: str, depth: int) -> Table:
        """The table of *kind* at *position*, which is a multiple of 4 and at least 4 bytes from the end."""
        view, size = self.view, self.size
        vtable = position - _I32(view, position)[0]
        plan = self.plans.get((kind, vtable)) or self.plan(kind, position, vtable)
        inline, cls, mask, phase, unpack, names, refs = plan
        if inline > size - position:
            raise Fault(
                f"table of {inline} bytes runs past the end of the file (offset {position:,}, file {size:,} bytes)"
            )
        if position & mask != phase:
            raise Fault(f"table is misaligned (offset {position:,})")
        self.bytes_left -= inline
        if depth > self.depth or self.bytes_left < 0:
            raise Fault(self._too_much(depth))
        table: Table = object.__new__(cls)
        values = table.__dict__
        values.update(zip(names, unpack(view, position), strict=True))
        _set_position(table, position)
        _set_file(table, self.file)
        for name, place, field in refs:
            start = position + place + values[name]
            if start > size - 4 or start & 3 or not values[name]:
                raise Fault(self._astray(start), name)
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
                    raise fault.under(name) from None
        return table

    def _astray(self, start: int) -> str:
        return f"offset leads to byte {start:,}, outside the file, to itself or misaligned (file {self.size:,} bytes)"

    def _too_much(self, depth: int) -> str:
        if depth > self.depth:
            return f"tables are nested more than {self.depth} deep"
        what = "tables" if self.tables_left < 0 else "nbytes"
        return f"the file of {self.size:,} bytes passes the limit on {what} (see ReadLimits), which honest files do not"

    def member(self, table: Table, field: Field) -> str:
        """The kind that a union's tag names."""
        tag, members = int(getattr(table, field.name + "_type")), UNIONS[field.target]
        if not 1 <= tag <= len(members):
            raise Fault(f"{tag} is no member of {field.target} (1 to {len(members)})", field.name + "_type")
        return members[tag - 1]

    def length(self, start: int, width: int, name: str) -> int:
        """The length of the vector at *start*, all of whose elements lie in the file."""
        (length,) = _U32(self.view, start)
        if length * width > self.size - start - 4:
            raise Fault(
                f"length {length:,} runs past the end of the file (offset {start:,}, file {self.size:,} bytes)",
                name,
            )
        return int(length)

    def vector(self, start: int, field: Field) -> np.ndarray[Any, Any]:
        width = field.dtype.itemsize
        length = self.length(start, width, field.name)
        if width == 8 and start + 4 & 7:
            raise Fault(f"elements of 8 bytes are misaligned (offset {start:,})", field.name)
        self.bytes_left -= length * width + 4
        array: np.ndarray[Any, Any] = np.ndarray((length,), field.dtype, self.view, start + 4)
        if field.base == "bool" and length and array.view(np.uint8).max() > 1:
            array = array.view(np.uint8) != 0  # numpy wants 0 and 1; FlatBuffers calls anything else true
            array.flags.writeable = False
        return array

    def string(self, start: int, name: str) -> str:
        length = self.length(start, 1, name)
        end = start + 4 + length
        self.bytes_left -= length + 4
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
        self.bytes_left -= 4 * length + 4
        if self.tables_left < 0:
            raise Fault(self._too_much(depth), name)
        out = []
        read_one, last, at = self.table, self.size - 4, start + 4
        for offset in struct.unpack_from(f"<{length}I", self.view, at):
            position = at + offset
            try:
                if position > last or position & 3 or not offset:
                    raise Fault(self._astray(position))
                out.append(read_one(position, kind, depth + 1))
            except Fault as fault:
                raise fault.under(f"[{len(out)}]").under(name) from None
            at += 4
        return tuple(out)


def _compile(kind: str, inline: int, slots: tuple[int, ...]) -> _Plan:
    """The plan of a vtable: *slots* are the places of the fields in a table of *inline* bytes, 0 for absent ones."""
    present = sorted((place, field) for place, field in zip(slots, fields_of(kind), strict=False) if place)
    layout, end, mask, phase = "<4x", 4, 3, 0
    for place, field in present:
        width = field.width
        if place < end:
            raise Fault(
                f"lies at byte {place} of its table, over another field or the table's start", field.name
            )
        if width == 8 and mask == 3:
            mask, phase = 7, -place & 7
        if (place + phase) % width or phase & 3:
            raise Fault(f"lies at byte {place} of its table, misaligned", field.name)
        layout += f"{place - end}x{SCALARS[field.base][0] if field.sort == SCALAR else 'I'}"
        end = place + width
    return (
        max(inline, end),  # FlatBuffers 2.0 for Python shares vtables between tables of different sizes
        class_of(kind),
        mask,
        phase,
        struct.Struct(layout).unpack_from,
        tuple(field.name for _, field in present),
        tuple((field.name, place, field) for place, field in present if field.sort != SCALAR),
    )


_set_position = Table.position.__set__  # type: ignore[attr-defined]  # past Table's own __setattr__
_set_file = Table._file.__set__  # type: ignore[union-attr]  # noqa: SLF001  past Table's own __setattr__
