# SPDX-License-Identifier: Apache-2.0
"""`Table` -> bytes, through `flatbuffers.Builder`.

Children are written before their parents, as FlatBuffers demands. Numeric vectors are copied whole; equal vtables are
shared by the builder, equal strings and repeated `Table` objects by this module. The result depends on the values alone.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ._types import SCALAR, SCALARS, STRING, TABLE, TABLES, UNIONS, VECTOR, Field, fields_of
from .errors import Fault, SchemaError
from .reader import IDENTIFIER
from .table import Table, as_array

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAYLOAD_ALIGN = 16
_MOST_INSIDE = 2**31 - 2**24  # leave 16 MiB of a FlatBuffer's 2 GiB for the tables
_ROOM = 1 << 16


def write(model: Table, *, external_data: bool | None = None) -> bytes:
    """The .tflite file of a `Model` table.

    external_data: put the data of buffers after the FlatBuffer, at 16-byte-aligned `Buffer.offset`, instead of in
    `Buffer.data`; None does so only where they do not fit in a FlatBuffer's 2 GiB. Data that *model* has outside
    its own FlatBuffer, because it was read from such a file, stays outside. Scalars equal to their default are left out.
    Raises SchemaError, naming the field's path, for a value that the format cannot hold.
    """
    try:
        if not isinstance(model, Table) or model.kind != "Model":
            what = model.kind if isinstance(model, Table) else type(model).__name__
            raise Fault(f"write() takes a Model table, got {what}")
        inside, outside = _sizes(model)
        if external_data is None:
            external_data = inside > _MOST_INSIDE
        if not external_data and not outside:
            return _Writer(inside, external=False, base=0).file(model)
        # Payload positions follow the FlatBuffer, whose length does not depend on them: write it twice.
        length = len(_Writer(0 if external_data else inside, external=external_data, base=16).file(model))
        base = -(-length // _PAYLOAD_ALIGN) * _PAYLOAD_ALIGN
        writer = _Writer(0 if external_data else inside, external=external_data, base=base)
        return b"".join([writer.file(model), bytes(base - length), *writer.tail])
    except Fault as fault:
        raise fault.as_error() from None


def _sizes(model: Table) -> tuple[int, bool]:
    """(bytes of all `Buffer.data`, whether anything lies outside the FlatBuffer)."""
    buffers = [item for item in model.buffers if isinstance(item, Table) and item.kind == "Buffer"]
    operators = [node for graph in model.subgraphs for node in getattr(graph, "operators", ())]
    inside = sum(as_array(item.data).nbytes for item in buffers if item.has("data"))
    outside = any(_outside(item, "offset", "size") is not None for item in buffers)
    return inside, outside or any(
        _outside(node, "large_custom_options_offset", "large_custom_options_size") is not None
        for node in operators
    )


def _outside(table: Table, offset: str, size: str) -> np.ndarray[Any, Any] | None:
    """The bytes that *table* keeps outside the FlatBuffer of the file it was read from; None if there are none."""
    file, start, nbytes = table._file, getattr(table, offset, 0), getattr(table, size, 0)  # noqa: SLF001  same package
    if file is None or start <= 1 or start > file.nbytes or nbytes > file.nbytes - start:
        return None
    return file[start : start + nbytes]


class _Writer:
    def __init__(self, payload: int, *, external: bool, base: int) -> None:
        import flatbuffers  # noqa: PLC0415  reading does not need it
        from flatbuffers import number_types  # noqa: PLC0415

        self.builder = flatbuffers.Builder(min(payload + _ROOM, flatbuffers.Builder.MAX_BUFFER_SIZE))
        names = dict(byte="Int8", ubyte="Uint8", short="Int16", ushort="Uint16", int="Int32", uint="Uint32",
                     long="Int64", ulong="Uint64", float="Float32", double="Float64", bool="Bool")  # fmt: skip
        self.flags = {base: getattr(number_types, name + "Flags") for base, name in names.items()}
        self.external = external
        self.tail: list[Any] = []  # payloads and padding that follow the FlatBuffer
        self.end = base  # position in the file after them
        self.done: dict[int, int] = {}  # id of a table -> its offset
        self.strings: dict[bytes, int] = {}

    def file(self, model: Table) -> bytes:
        self.builder.Finish(self.table(model), file_identifier=IDENTIFIER)
        return bytes(self.builder.Output())

    def append(self, payload: np.ndarray[Any, Any]) -> tuple[int, int]:
        """Put *payload* after the FlatBuffer: its (offset, size)."""
        start, nbytes = self.end, payload.nbytes
        padding = -nbytes % _PAYLOAD_ALIGN
        self.tail += [memoryview(payload).cast("B") if nbytes else b"", bytes(padding)]
        self.end += nbytes + padding
        return start, nbytes

    def values(self, table: Table) -> dict[str, Any]:
        """The present fields of *table*, with payloads moved outside where they belong there."""
        values = dict(table.fields())
        if table.kind == "Buffer":
            self.move(values, "data", "offset", "size", table)
        elif table.kind == "Operator":
            self.move(values, "", "large_custom_options_offset", "large_custom_options_size", table)
        return values

    def move(self, values: dict[str, Any], data: str, offset: str, size: str, table: Table) -> None:
        payload = _outside(table, offset, size)
        if data in values and values[data] is not None:
            if not self.external:
                return
            field = next(field for field in fields_of(table.kind) if field.name == data)
            payload = _numbers(values[data], field)
            if not payload.size:
                return
            del values[data]
        if payload is not None:
            values[offset], values[size] = self.append(payload)

    def table(self, table: Table) -> int:
        """Write *table* and what it holds; its offset."""
        if id(table) in self.done:
            return self.done[id(table)]
        builder, values = self.builder, self.values(table)
        fields = fields_of(table.kind)
        inline: list[tuple[Field, Any]] = []
        for field in fields:
            value = values.get(field.name)
            if value is None:
                continue
            try:
                ready = self.scalar(field, value) if field.sort == SCALAR else self.child(table, field, value)
            except Fault as fault:
                raise fault.under(field.name) from None
            if ready is not None:
                inline.append((field, ready))
        builder.StartObject(len(fields))
        for field, ready in sorted(inline, key=lambda item: -item[0].width):  # wide ones first: less padding
            if field.sort == SCALAR:
                builder.Prepend(self.flags[field.base], ready)
            else:
                builder.PrependUOffsetTRelative(ready)
            builder.Slot(field.slot)
        offset = self.done[id(table)] = int(builder.EndObject())
        return offset

    def scalar(self, field: Field, value: Any) -> Any:
        """*value* as a number of the field's type; None if it is the default."""
        kind = field.dtype.kind
        try:
            if kind == "f":
                number: Any = float(value)
                field.dtype.type(number).item()
            elif kind == "b":
                number = bool(operator.index(value)) if not isinstance(value, np.bool_) else bool(value)
            else:
                number = operator.index(value)
        except TypeError:
            raise Fault(f"{field.base} wanted, got {type(value).__name__}") from None
        if kind in "iu":
            info = np.iinfo(field.dtype)
            if not info.min <= number <= info.max:
                raise Fault(f"{number} does not fit {field.base} ({info.min} to {info.max})")
        return None if number == field.default else number

    def child(self, table: Table, field: Field, value: Any) -> int:
        """Write what an offset field points at; its offset."""
        if field.sort == VECTOR:
            return self.vector(_numbers(value, field), field.align)
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
            raise Fault(
                f"{value.kind} has the tag {1 + members.index(value.kind)}, but {field.name}_type is {tag}"
            )
        return self.table(value)

    def vector(self, array: np.ndarray[Any, Any], align: int) -> int:
        builder = self.builder
        builder.Prep(max(align, 4), array.nbytes)  # then the vector's own alignment adds nothing
        return int(builder.CreateNumpyVector(array))

    def string(self, value: Any) -> int:
        if not isinstance(value, (str, bytes)):
            raise Fault(f"string wanted, got {type(value).__name__}")
        try:
            data = value.encode("utf-8") if isinstance(value, str) else value
            data.decode("utf-8")
        except UnicodeError as error:
            raise Fault(f"string is not UTF-8: {error}") from None
        if data not in self.strings:
            self.strings[data] = int(self.builder.CreateString(data))
        return self.strings[data]

    def tables(self, value: Any, kind: str) -> int:
        if not isinstance(value, (tuple, list)):
            raise Fault(f"list of {kind} wanted, got {type(value).__name__}")
        offsets = []
        for item in value:
            try:
                offsets.append(self.table(_expect(item, (kind,))))
            except Fault as fault:
                raise fault.under(f"[{len(offsets)}]") from None
        count = len(offsets)
        self.builder.Prep(4, 4 * count)
        # Offsets count back from the end of the file; element i will end up (count - i) words past this point.
        places = self.builder.Offset() + 4 * np.arange(count, 0, -1)
        return self.vector((places - np.array(offsets, np.int64)).astype("<u4"), 4)


def _expect(value: Any, kinds: Sequence[str]) -> Table:
    if not isinstance(value, Table) or value.kind not in kinds:
        got = value.kind if isinstance(value, Table) else type(value).__name__
        wanted = " or ".join(kinds) if len(kinds) < 4 else "one of the union's tables"
        raise Fault(f"{wanted} wanted, got {got}")
    return value


def _numbers(value: Any, field: Field) -> np.ndarray[Any, Any]:
    """*value* as a one-dimensional array of the field's type; Fault if that would change a number."""
    array, dtype = as_array(value), field.dtype
    if field.align >= _PAYLOAD_ALIGN and isinstance(value, np.ndarray):
        if array.itemsize != 1:
            raise Fault(f"{array.dtype} array where raw bytes belong; pass array.tobytes(), little-endian")
        array = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if array.ndim != 1:
        raise Fault(f"array of {array.ndim} dimensions; a vector has one")
    if not array.size:
        return np.empty(0, dtype)
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if dtype.kind == "f":
        fits = array.dtype.kind in "fiu"
    elif dtype.kind == "b":
        fits = array.dtype.kind == "b" or bool(
            array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 1
        )
    else:
        fits = array.dtype.kind in "iub"
        if fits and array.dtype.kind != "b":
            info = np.iinfo(dtype)
            bad = np.flatnonzero((array < info.min) | (array > info.max))
            if bad.size:
                where = int(bad[0])
                raise Fault(
                    f"{array[where]} does not fit {field.base} ({info.min} to {info.max})", f"[{where}]"
                )
    if not fits:
        raise Fault(f"vector of {field.base} wanted, got {array.dtype}")
    return array.astype(dtype)


__all__ = ["SchemaError", "write"]
