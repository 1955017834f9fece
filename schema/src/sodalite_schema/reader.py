"""bytes -> `Table`: every offset, length and tag is checked before it is followed.

A table's vtable says where its fields lie. Files use few different ones, so each is checked and compiled once, into a plan;
a table then costs one `unpack_from` and one visit for each offset.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from .format import (
    CODES,
    DTYPES,
    SCALAR,
    STRING,
    TABLE,
    TABLES,
    UNIONS,
    VECTOR,
    Array,
    Field,
    SchemaError,
    Table,
    class_of,
    fields_of,
)

IDENTIFIER = b"TFL3"

# What people hand over by mistake, by the first bytes; the last that fits is meant.
_CONVERT = "convert it to .tflite first"
_LOOKS_LIKE = {
    b"\n": f"a TensorFlow GraphDef: {_CONVERT}",
    b"\x08\x01\x12": f"a TensorFlow SavedModel's saved_model.pb: {_CONVERT}",
    **{bytes([8, version, 18]): f"an ONNX model: {_CONVERT}" for version in range(3, 20)},
    b"{": "JSON",
    b"\x80": "a Python pickle (a PyTorch checkpoint?)",
    b"\0\0\0\0": "zero bytes: was the download cut short?",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PK\x03\x04": "a ZIP archive (a .keras file?)",
    b"\x89HDF": "an HDF5 file (a Keras .h5 model?)",
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself with `git lfs pull`",
    b"<": "an HTML page (or XML)",
}


class ReadLimits(NamedTuple):
    """How much a file may ask for; None takes a bound that honest files stay far below.

    depth: tables inside tables. tables: how many, counted as often as something points at them (None: one for each 8
    bytes of the file, at most 500,000). nbytes: of tables, strings and vectors, counted likewise (None: three times the
    file).
    """

    depth: int = 64
    tables: int | None = None
    nbytes: int | None = None


# A vtable, compiled: bytes of the table; its class; (mask, phase), so that position & mask must be phase; unpack and names
# of all known fields that are present; those of them that are offsets, with their places in the table.
_Plan = tuple[int, type[Table], int, int, Any, tuple[str, ...], tuple[tuple[str, int, Field], ...]]

_MOST_PLANS = 4096  # an honest file has some dozens
_DEFAULT_LIMITS = ReadLimits()
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from


def read(buffer: Any, *, limits: ReadLimits = _DEFAULT_LIMITS) -> Table:
    """The `Model` table of a .tflite file, verified.

    buffer: bytes, mmap, uint8 array or the like, C-contiguous; arrays in the result are read-only views of it. A union tag
    without its table reads as None; what a newer schema appended to a table is skipped, but an unknown union tag is
    refused. Raises SchemaError, and nothing else, for whatever the bytes are.
    """
    try:
        view = memoryview(buffer)
        view = view.cast("B").toreadonly() if view.nbytes else memoryview(b"")
    except (TypeError, ValueError, BufferError) as error:
        raise SchemaError(f"cannot read a model from {type(buffer).__name__}: {error}") from error
    return _Reader(view, limits).model()


class _Reader:
    def __init__(self, view: memoryview, limits: ReadLimits) -> None:
        self.view = view
        self.size = size = view.nbytes
        self.of_file = f"file {size:,} bytes"
        self.file: Array = np.ndarray(size, np.uint8, view)
        self.depth = limits.depth
        self.tables_left = min((size >> 3) + 64, 500_000) if limits.tables is None else limits.tables
        self.bytes_left = 3 * size if limits.nbytes is None else limits.nbytes
        self.plans: dict[tuple[str, int], _Plan] = {}  # by kind and position of the vtable
        self.compiled: dict[tuple[str, int, tuple[int, ...]], _Plan] = {}  # by kind and content

    def model(self) -> Table:
        start = bytes(self.view[:32])
        if start[4:8] != IDENTIFIER:
            what = f"bytes 4 to 7 are {start[4:8]!r}, not {IDENTIFIER!r} ({self.of_file})" if start else "it is empty"
            for magic, name in _LOOKS_LIKE.items():
                if start.startswith(magic) or start.lstrip().startswith(magic):
                    what = f"it looks like {name}"
            raise SchemaError(f"not a .tflite file: {what}")
        (root,) = _U32(start)
        if root & 3 or root < 8 or root > self.size - 4:
            raise SchemaError(f"root table at offset {root:,} is outside the file or misaligned ({self.of_file})")
        return self.table(root, "Model", 1)

    def plan(self, kind: str, position: int, vtable: int) -> _Plan:
        size = self.size
        if vtable < 0 or vtable > size - 4 or vtable & 1:
            raise SchemaError(f"vtable at offset {vtable:,} is outside the file or misaligned (table at {position:,})")
        length, inline = struct.unpack_from("<HH", self.view, vtable)
        if length < 4 or length & 1 or length > size - vtable or inline < 4:
            raise SchemaError(f"vtable of {length} bytes for a table of {inline} (offset {vtable:,}, {self.of_file})")
        known = min(length // 2 - 2, len(fields_of(kind)))
        key = kind, inline, struct.unpack_from(f"<{known}H", self.view, vtable + 4)
        if key not in self.compiled:
            if len(self.compiled) >= _MOST_PLANS:
                raise SchemaError(f"more than {_MOST_PLANS:,} different vtables")
            self.compiled[key] = _compile(*key)
        plan = self.plans[kind, vtable] = self.compiled[key]
        return plan

    def table(self, position: int, kind: str, depth: int) -> Table:
        """The table of *kind* at *position*, which is a multiple of 4 and at least 4 bytes from the end."""
        view, size = self.view, self.size
        vtable = position - _I32(view, position)[0]
        plan = self.plans.get((kind, vtable)) or self.plan(kind, position, vtable)
        inline, cls, mask, phase, unpack, names, offsets = plan
        if inline > size - position:
            raise SchemaError(
                f"table of {inline} bytes runs past the end of the file (offset {position:,}, {self.of_file})"
            )
        if position & mask != phase:
            raise SchemaError(f"table is misaligned (offset {position:,})")
        if depth > self.depth:
            raise SchemaError(f"tables are nested more than {self.depth} deep")
        self.tables_left -= 1
        self.bytes_left -= inline
        if self.tables_left < 0 or self.bytes_left < 0:
            raise SchemaError(self.too_much("nbytes" if self.bytes_left < 0 else "tables"))
        table: Table = object.__new__(cls)
        values = table.__dict__
        values["position"], values["_file"] = position, self.file
        values.update(zip(names, unpack(view, position), strict=True))
        name = ""
        try:
            for name, place, field in offsets:
                start = position + place + values[name]
                if start > size - 4 or start & 3 or not values[name]:
                    raise SchemaError(self.astray(start))
                sort = field.sort
                if sort == VECTOR:
                    values[name] = self.vector(start, field.base)
                elif sort == TABLES:
                    values[name] = self.tables(start, field.target, depth + 1)
                elif sort == STRING:
                    values[name] = self.string(start)
                else:
                    kind = field.target if sort == TABLE else _member(field, getattr(table, name + "_type"))
                    values[name] = self.table(start, kind, depth + 1)
        except SchemaError as error:
            raise error.under("." + name) from None
        return table

    def astray(self, start: int) -> str:
        return f"offset leads to byte {start:,}, outside the file, to itself or misaligned ({self.of_file})"

    def too_much(self, what: str) -> str:
        return f"the file of {self.size:,} bytes passes the limit on {what} (see ReadLimits)"

    def length(self, start: int, width: int) -> int:
        """The length of the vector at *start*, all of whose elements lie in the file."""
        (length,) = _U32(self.view, start)
        if length * width > self.size - start - 4:
            raise SchemaError(f"length {length:,} runs past the end of the file (offset {start:,}, {self.of_file})")
        self.bytes_left -= length * width + 4
        return int(length)

    def vector(self, start: int, base: str) -> Array:
        dtype = DTYPES[base]
        length = self.length(start, dtype.itemsize)
        if dtype.itemsize == 8 and start + 4 & 7:
            raise SchemaError(f"elements of 8 bytes are misaligned (offset {start:,})")
        array: Array = np.ndarray((length,), dtype, self.view, start + 4)
        if base == "bool" and length and array.view(np.uint8).max() > 1:
            array = array.view(np.uint8) != 0  # numpy wants 0 and 1; FlatBuffers calls anything else true
            array.flags.writeable = False
        return array

    def string(self, start: int) -> str:
        length = self.length(start, 1)
        end = start + 4 + length
        if end >= self.size or self.view[end]:
            raise SchemaError(f"string of {length:,} bytes does not end in a zero byte (offset {start:,})")
        try:
            return str(self.view[start + 4 : end], "utf-8")
        except UnicodeDecodeError as error:
            raise SchemaError(
                f"string is not UTF-8: {error.reason} at byte {error.start} (offset {start:,})"
            ) from None

    def tables(self, start: int, kind: str, depth: int) -> tuple[Table, ...]:
        length = self.length(start, 4)
        if length > self.tables_left:
            raise SchemaError(self.too_much("tables"))
        out: list[Table] = []
        read_one, last, at = self.table, self.size - 4, start + 4
        try:
            for offset in struct.unpack_from(f"<{length}I", self.view, at):
                position = at + offset
                if position > last or position & 3 or not offset:
                    raise SchemaError(self.astray(position))
                out.append(read_one(position, kind, depth))
                at += 4
        except SchemaError as error:
            raise error.under(f"[{len(out)}]") from None
        return tuple(out)


def _member(field: Field, tag: int) -> str:
    members = UNIONS[field.target]
    if not 1 <= tag <= len(members):
        raise SchemaError(f"{tag} is no member of {field.target} (1 to {len(members)})", "_type")
    return members[tag - 1]


def _compile(kind: str, inline: int, places: tuple[int, ...]) -> _Plan:
    """The plan of a vtable: *places* of the fields in a table of *inline* bytes, 0 for absent ones."""
    present = sorted((place, field) for place, field in zip(places, fields_of(kind), strict=False) if place)
    layout, end, mask, phase = "<4x", 4, 3, 0
    for place, field in present:
        code, what = CODES[field.base if field.sort == SCALAR else "uint"], f"lies at byte {place} of its table"
        width = struct.calcsize("<" + code)
        if place < end:
            raise SchemaError(f"{what}, over another field or the table's start", "." + field.name)
        if width == 8 and mask == 3:
            mask, phase = 7, -place & 7
        if (place + phase) % width or phase & 3:
            raise SchemaError(f"{what}, misaligned", "." + field.name)
        layout += f"{place - end}x{code}"
        end = place + width
    inline = max(inline, end)  # FlatBuffers 2.0 for Python shares vtables between tables of different sizes
    names = tuple(field.name for _, field in present)
    offsets = tuple((field.name, place, field) for place, field in present if field.sort != SCALAR)
    return inline, class_of(kind), mask, phase, struct.Struct(layout).unpack_from, names, offsets
