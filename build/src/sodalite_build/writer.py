# SPDX-License-Identifier: Apache-2.0
"""`Table` -> bytes, through `flatbuffers.Builder`.

Children are written before their parents, as FlatBuffers demands. Numeric vectors are copied whole. Only vtables are
shared (by the builder), so that no file asks its reader for more than its size. The result depends on the values alone.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from sodalite_schema.format import (
    CODES,
    DTYPES,
    SCALAR,
    STRING,
    TABLE,
    TABLES,
    UNIONS,
    VECTOR,
    Field,
    SchemaError,
    Table,
    as_array,
    fields_of,
)
from sodalite_schema.reader import IDENTIFIER

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAYLOAD_ALIGN = 16
_RAW = {("Buffer", "data"), ("CustomQuantization", "custom")}  # forced to that alignment by schema.fbs
_MOST_INSIDE = 2**31 - 2**24  # leave 16 MiB of a FlatBuffer's 2 GiB for the tables
_BASE_ROOM, _TABLE_ROOM = 1 << 14, 200  # bytes to begin with, so that the builder seldom has to grow and copy

# base type -> the builder's name for it
_FLAGS = {
    "bool": "Bool",
    "byte": "Int8",
    "ubyte": "Uint8",
    "short": "Int16",
    "ushort": "Uint16",
    "int": "Int32",
    "uint": "Uint32",
    "long": "Int64",
    "ulong": "Uint64",
    "float": "Float32",
    "double": "Float64",
}


def write(model: Table, *, external_data: bool | None = None) -> bytes:
    """The .tflite file of a `Model` table.

    external_data: True puts the data of buffers after the FlatBuffer, at 16-byte-aligned `Buffer.offset`; False puts
    all inside; None leaves what was read from outside there and moves the rest out only if it does not fit in a
    FlatBuffer's 2 GiB. Scalars equal to their default are left out; empty vectors and strings that are present are kept.
    What a file has after its FlatBuffer that no field points at, such as a ZIP of labels, is not part of the model.
    Raises SchemaError, naming the field's path, for a value that the format cannot hold.
    """
    if not isinstance(model, Table) or model.kind != "Model":
        what = model.kind if isinstance(model, Table) else type(model).__name__
        raise SchemaError(f"write() takes a Model table, got {what}")
    payload = sum(_nbytes(buffer) for buffer in _items(model.buffers))
    if external_data is None and payload > _MOST_INSIDE:
        external_data = True
    room = _BASE_ROOM + (0 if external_data else payload) + _TABLE_ROOM * _count(model)
    writer = _Writer(room, external_data, _PAYLOAD_ALIGN)
    inside = writer.file(model)
    if not writer.tail:
        return inside
    # Payload positions follow the FlatBuffer, whose length does not depend on them: write it once more.
    base = -(-len(inside) // _PAYLOAD_ALIGN) * _PAYLOAD_ALIGN
    writer = _Writer(room, external_data, base)
    return b"".join([writer.file(model), bytes(base - len(inside)), *writer.tail])


def _items(value: Any) -> list[Table]:
    """The tables in a list, whatever else it may be; complaints come later, with a path."""
    return [item for item in value if isinstance(item, Table)] if isinstance(value, (list, tuple)) else []


def _nbytes(buffer: Table) -> int:
    data = getattr(buffer, "data", None)
    return int(data.nbytes) if isinstance(data, np.ndarray) else len(data) if isinstance(data, Sized) else 0


def _count(model: Table) -> int:
    """About how many tables will be written."""
    graphs = _items(model.subgraphs)
    inner = sum(
        len(_items(getattr(graph, part, ()))) for graph in graphs for part in ("tensors", "operators")
    )
    return len(_items(model.buffers)) + inner


def _outside(table: Table, offset: str, size: str) -> np.ndarray[Any, Any] | None:
    """The bytes that *table* keeps outside the FlatBuffer of the file it was read from; None if there are none."""
    file, start, nbytes = table._file, getattr(table, offset), getattr(table, size)  # noqa: SLF001  same package
    if file is None or start <= 1 or not nbytes or start > file.nbytes or nbytes > file.nbytes - start:
        return None
    return file[start : start + nbytes]


class _Writer:
    """One pass over a model. *tail* collects what follows the FlatBuffer, if that is to begin at byte *base*."""

    def __init__(self, room: int, external: bool | None, base: int) -> None:
        import flatbuffers  # noqa: PLC0415  reading does not need it
        from flatbuffers import number_types  # noqa: PLC0415
        from flatbuffers.builder import BuilderSizeError  # noqa: PLC0415

        self.too_big: type[Exception] = BuilderSizeError
        self.builder: Any = flatbuffers.Builder(min(room, flatbuffers.Builder.MAX_BUFFER_SIZE))
        self.flags = {base: getattr(number_types, name + "Flags") for base, name in _FLAGS.items()}
        self.external = external
        self.tail: list[Any] = []
        self.placed: dict[tuple[int, int], tuple[int, int]] = {}  # (address, nbytes) -> (offset, size)
        self.end = base

    def file(self, model: Table) -> bytes:
        """The FlatBuffer; *tail* is filled on the way."""
        try:
            self.builder.Finish(self.table(model), file_identifier=IDENTIFIER)
        except self.too_big:
            raise SchemaError(
                "the model does not fit in the 2 GiB of a FlatBuffer; try external_data=True"
            ) from None
        return bytes(memoryview(self.builder.Bytes)[self.builder.Head() :])

    def append(self, payload: np.ndarray[Any, Any]) -> tuple[int, int]:
        """Put *payload* after the FlatBuffer, once: its (offset, size)."""
        start, nbytes = self.end, payload.nbytes
        place = (payload.__array_interface__["data"][0], nbytes)
        if place in self.placed:
            return self.placed[place]
        padding = -nbytes % _PAYLOAD_ALIGN
        self.tail += [payload.data, bytes(padding)]  # `data` keeps the bytes, and so their address, alive
        self.end += nbytes + padding
        self.placed[place] = start, nbytes
        return start, nbytes

    def values(self, table: Table) -> dict[str, Any]:
        """The present fields of *table*, with payloads moved to where they belong."""
        values = dict(table.fields())
        if table.kind == "Buffer":
            self.place(values, table, "data", "offset", "size")
        elif table.kind == "Operator":
            self.place(
                values, table, "custom_options", "large_custom_options_offset", "large_custom_options_size"
            )
        return values

    def place(self, values: dict[str, Any], table: Table, data: str, offset: str, size: str) -> None:
        """Move the payload of *table* in or out; data that is inside wins over data outside, as for readers."""
        inside = None
        if values.get(data) is not None:
            field = next(field for field in fields_of(table.kind) if field.name == data)
            try:
                inside = values[data] = _numbers(values[data], field, raw=(table.kind, data) in _RAW)
            except SchemaError as error:
                raise error.under("." + data) from None
        if inside is not None and inside.size:
            if self.external and table.kind == "Buffer":
                values[offset], values[size] = self.append(values.pop(data))
            return
        outside = _outside(table, offset, size)
        if outside is None:
            return
        if self.external is False:
            del values[offset], values[size]
            values[data] = outside
        else:
            values[offset], values[size] = self.append(outside)

    def table(self, table: Table) -> int:
        """Write *table* and what it holds; its offset."""
        builder, fields = self.builder, fields_of(table.kind)
        values = self.values(table)
        inline: list[tuple[int, Field, Any]] = []
        step = ""
        try:
            for slot, field in enumerate(fields):
                step = field.name
                value = values.get(step)
                if value is None:
                    continue
                ready = self.scalar(field, value) if field.sort == SCALAR else self.child(table, field, value)
                if ready is not None:
                    inline.append((slot, field, ready))
        except SchemaError as error:
            raise error.under("." + step) from None
        builder.StartObject(len(fields))
        for slot, field, ready in sorted(inline, key=lambda item: -_width(item[1])):  # wide ones first: less padding
            if field.sort == SCALAR:
                builder.Prepend(self.flags[field.base], ready)
            else:
                builder.PrependUOffsetTRelative(ready)
            builder.Slot(slot)
        return int(builder.EndObject())

    def scalar(self, field: Field, value: Any) -> Any:
        """*value* as a number of the field's type; None if it is the default."""
        real = DTYPES[field.base].kind == "f"
        try:
            if real:
                number: Any = float(value)
                struct.pack("<" + CODES[field.base], number)
            else:
                number = int(value) if isinstance(value, np.bool_) else operator.index(value)
        except (TypeError, ValueError):
            raise SchemaError(f"{field.base} wanted, got {type(value).__name__}") from None
        except OverflowError:
            raise SchemaError(f"{value} does not fit {field.base}") from None
        if not real:
            low, high = _range(field)
            if not low <= number <= high:
                raise SchemaError(f"{number} does not fit {field.base} ({low} to {high})")
        return None if number == field.default else number

    def child(self, table: Table, field: Field, value: Any) -> int:
        """Write what an offset field points at; its offset."""
        if field.sort == VECTOR:
            raw = (table.kind, field.name) in _RAW
            return self.vector(_numbers(value, field, raw=raw), _PAYLOAD_ALIGN if raw else 4)
        if field.sort == STRING:
            return self.string(value)
        if field.sort == TABLES:
            return self.tables(value, field.target)
        if field.sort == TABLE:
            return self.table(_expect(value, (field.target,)))
        members = UNIONS[field.target]
        _expect(value, members)
        tag = table.__dict__.get(field.name + "_type")
        if tag != 1 + members.index(value.kind):
            raise SchemaError(
                f"{value.kind} has the tag {1 + members.index(value.kind)}, but {field.name}_type is {tag}"
            )
        return self.table(value)

    def vector(self, array: np.ndarray[Any, Any], align: int) -> int:
        builder = self.builder
        builder.Prep(max(align, array.itemsize), array.nbytes)  # then the vector's own alignment adds nothing
        return int(builder.CreateNumpyVector(array))

    def string(self, value: Any) -> int:
        if not isinstance(value, (str, bytes)):
            raise SchemaError(f"string wanted, got {type(value).__name__}")
        try:
            data = value.encode() if isinstance(value, str) else value
            data.decode()
        except UnicodeError as error:
            raise SchemaError(f"string is not UTF-8: {error}") from None
        return int(self.builder.CreateString(data))

    def tables(self, value: Any, kind: str) -> int:
        if not isinstance(value, (tuple, list)):
            raise SchemaError(f"list of {kind} wanted, got {type(value).__name__}")
        offsets = []
        for item in value:
            try:
                offsets.append(self.table(_expect(item, (kind,))))
            except SchemaError as error:
                raise error.under(f"[{len(offsets)}]") from None
        count = len(offsets)
        self.builder.Prep(4, 4 * count)
        # Offsets count back from the end of the file; element i will end up (count - i) words past this point.
        places = self.builder.Offset() + 4 * np.arange(count, 0, -1)
        return self.vector((places - np.array(offsets, np.int64)).astype("<u4"), 4)


def _expect(value: Any, kinds: Sequence[str]) -> Table:
    if not isinstance(value, Table) or value.kind not in kinds:
        got = value.kind if isinstance(value, Table) else type(value).__name__
        wanted = " or ".join(kinds) if len(kinds) < 4 else "one of the union's tables"
        raise SchemaError(f"{wanted} wanted, got {got}")
    return value


def _width(field: Field) -> int:
    """Bytes of *field* inside its table: of the number, or of an offset."""
    return DTYPES[field.base].itemsize if field.sort == SCALAR else 4


def _range(field: Field) -> tuple[int, int]:
    """The least and the greatest integer of the field's type."""
    if field.base == "bool":
        return 0, 1
    info = np.iinfo(DTYPES[field.base])
    return int(info.min), int(info.max)


def _numbers(value: Any, field: Field, *, raw: bool) -> np.ndarray[Any, Any]:
    """*value* as a one-dimensional array of the field's type; SchemaError if that would change a number.

    raw: the bytes of any array of bytes are meant.
    """
    dtype = DTYPES[field.base]
    try:
        array = as_array(value)
    except ValueError:  # ragged lists
        raise SchemaError(
            f"vector of {field.base} wanted, got {type(value).__name__} of {field.base} and others"
        ) from None
    if raw and isinstance(value, np.ndarray):
        if array.itemsize != 1:
            raise SchemaError(f"{array.dtype} array where raw bytes belong; pass array.tobytes(), little-endian")
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if array.ndim != 1 or (isinstance(value, bytes) and dtype != np.uint8):
        got = f"{array.ndim} dimensions" if array.ndim > 1 else type(value).__name__
        raise SchemaError(f"vector of {field.base} wanted, got {got}")
    if not array.size:
        return np.empty(0, dtype)
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if dtype.kind == "f":
        return _floats(array, field)
    if (
        not isinstance(value, np.ndarray) and array.dtype.kind in "fO"
    ):  # numpy's answer to integers beyond int64
        array = np.array([_index(item, i, field) for i, item in enumerate(value)], object)
    elif array.dtype.kind not in "iub":
        raise SchemaError(f"vector of {field.base} wanted, got {array.dtype}")
    low, high = _range(field)
    if array.dtype.kind != "b":
        bad = np.flatnonzero((array < low) | (array > high))
        if bad.size:
            raise SchemaError(f"{array[bad[0]]} does not fit {field.base} ({low} to {high})", f"[{bad[0]}]")
    return array.astype(dtype)


def _index(item: Any, i: int, field: Field) -> int:
    try:
        return operator.index(item)
    except TypeError:
        raise SchemaError(f"{field.base} wanted, got {type(item).__name__}", f"[{i}]") from None


def _floats(array: np.ndarray[Any, Any], field: Field) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "fiu":
        raise SchemaError(f"vector of {field.base} wanted, got {array.dtype}")
    with np.errstate(over="ignore"):
        out = array.astype(DTYPES[field.base])
    bad = np.flatnonzero(np.isinf(out) & np.isfinite(array))
    if bad.size:
        raise SchemaError(f"{array[bad[0]]} does not fit {field.base}", f"[{bad[0]}]")
    return out
