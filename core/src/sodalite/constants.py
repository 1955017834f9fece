"""The constants of a model: a file's bytes -> arrays in memory form.

Packed integers: 8 / bits elements a byte, the first in the lowest bits; the last byte is padded with zeros.
String table: int32 count n, n + 1 int32 byte positions counted from its start (the last: its length), the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from sodalite_schema import Table, vector_offset

from .dtypes import PACKED, DType
from .errors import CorruptModelError, UnsupportedModelError
from .graph import Array, Shape, Source, Sparsity


class Constants:
    """The buffers of a model.

    They may share bytes. What has to be unpacked or copied is made once; in all it may read the file four times over.
    """

    def __init__(self, model: Table, file: memoryview, path: str | None) -> None:
        self._path, self._file = path, np.frombuffer(file, np.uint8)
        self._made: dict[tuple[int, int, str], Array] = {}
        self._left = 4 * file.nbytes
        self._buffers = [
            (b.data, vector_offset(b, "data"))
            if b.data.size
            else (self.outside(f"buffer {i}", b.offset, b.size), b.offset)
            for i, b in enumerate(model.buffers)
        ]
        if self._buffers and self._buffers[0][0].size:
            raise CorruptModelError("buffer 0 has data; it stands for 'no data' and must be empty")

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, shared ones counted once."""
        return sum(size for _, size in {(at, raw.size) for raw, at in self._buffers})

    def outside(self, what: str, offset: int, nbytes: int) -> Array:
        """The *nbytes* at *offset* of the file; none at offset 0 or 1 ("not yet written")."""
        total = self._file.size
        if offset < 2:
            return self._file[:0]
        if nbytes > total - offset:
            raise CorruptModelError(
                f"{what}: {nbytes:,} bytes at {offset:,} run past the end of the file ({total:,} bytes)"
            )
        return self._file[offset : offset + nbytes]

    def buffer(self, index: int, what: str = "") -> tuple[Array, int]:
        """The bytes of a buffer, uint8 (n,), and where they lie in the file; number 0 stands for no data."""
        if not index:
            return self._file[:0], 0
        inside(f"{what}buffer", index, len(self._buffers))
        return self._buffers[index]

    def array(self, buffer: int, dtype: DType, shape: Shape) -> tuple[Array, Source]:
        """The elements of a constant, read-only, in memory form; the rest of a longer buffer is not read, as in LiteRT."""
        raw, at = self.buffer(buffer)
        memory, count = dtype.memory, prod(shape)
        nbytes = -(-count * dtype.bits // 8)
        if memory.kind == "O":
            if dtype.name != "string":
                raise CorruptModelError(f"a {dtype.name} with constant data (buffer {buffer})")
            data, nbytes = self._unpacked(raw, at, dtype), raw.size
            if data.size != count:
                raise CorruptModelError(f"{data.size:,} strings are stored, {few(shape)} holds {count:,}")
        elif raw.size < nbytes:
            raise CorruptModelError(
                f"buffer {buffer} has {raw.size:,} bytes, {count:,} elements of {dtype.name} take {nbytes:,}"
            )
        elif (
            dtype.name in PACKED
            or at % memory.itemsize
            or (memory.kind == "b" and raw[:nbytes].max(initial=0) > 1)
        ):
            data = self._unpacked(raw, at, dtype)[:count]
        else:
            data = raw[:nbytes].view(memory)
        data = data.reshape(shape)
        data.flags.writeable = False
        return data, Source(self._path, at, nbytes)

    def _unpacked(self, raw: Array, at: int, dtype: DType) -> Array:
        key = at, raw.size, dtype.name
        if key not in self._made:
            self._left -= raw.size
            if self._left < 0:
                raise CorruptModelError("constants overlap: unpacked, they would be far larger than the file")
            self._made[key] = unpack(raw, dtype)
        return self._made[key]


def unpack(raw: Array, dtype: DType) -> Array:
    """All elements in *raw*, uint8 (n,), in memory form: strings as ``bytes``, packed integers one a byte."""
    memory, bits = dtype.memory, dtype.bits
    if memory.kind == "O":
        return _unpack_strings(raw)
    if memory.kind == "b":
        return raw.astype(bool)  # numpy wants 0 and 1, C++ calls the rest true
    if bits >= 8:
        return raw[: raw.size // memory.itemsize * memory.itemsize].copy().view(memory)
    rows: Array = np.empty((raw.size, 8 // bits), memory)
    for place in range(8 // bits):  # to the top of the byte, then down: an arithmetic shift for int8
        np.left_shift(raw, 8 - bits * (place + 1), out=rows[:, place].view(np.uint8))
    rows >>= 8 - bits
    return rows.reshape(-1)


def _unpack_strings(table: Array) -> Array:
    raw = table.tobytes()
    what = f"string table of {len(raw)} bytes"
    count = int.from_bytes(raw[:4], "little", signed=True)
    if not 0 <= count <= len(raw) // 4 - 2:
        raise CorruptModelError(f"{what} cannot hold {count} strings")
    ends = np.frombuffer(raw, "<i4", count + 1, 4).tolist()
    if ends[0] < 4 * (count + 2) or ends[-1] > len(raw) or ends != sorted(ends):
        raise CorruptModelError(f"{what} has positions that are out of range or not ascending")
    texts: Array = np.empty(count, object)
    for i in range(count):
        texts[i] = raw[ends[i] : ends[i + 1]]
    return texts


def inside(what: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise CorruptModelError(f"{what} {number}; the model has {count}")


def few(items: Sequence[object]) -> str:
    """*items* for a message."""
    return f"[{', '.join(map(str, items[:12]))}{f', ... {len(items):,} in all' if len(items) > 12 else ''}]"


def shape_of(sizes: list[int], dtype: DType) -> Shape:
    """*sizes* as a shape, unknown ones as 1."""
    if min(sizes, default=0) < -1:
        raise CorruptModelError(f"shape {few(sizes)} has a negative dimension")
    # numpy counts past a 0, too: (0, 2**31 - 1, 2**31 - 1, 2**31 - 1) is no shape there
    if len(sizes) > 32 or abs(prod(size or 1 for size in sizes)) * dtype.bits > 1 << 50:
        raise UnsupportedModelError(f"shape {few(sizes)}; at most 32 dimensions and 2**47 bytes are supported")
    return tuple(1 if size == -1 else size for size in sizes)


def sparsity_of(table: Table, shape: Shape) -> tuple[Sparsity, int]:
    """The storage of a sparse constant, and how many elements it stores.

    Levels lie in traversal order: the tensor's n dimensions, in blocks where the block map names them, and the
    blocks' own dimensions, counted from n. Source: SparsityParameters in TFLite's schema.
    """

    def check(right: object, what: str) -> None:
        if not right:
            raise CorruptModelError(f"sparse storage: {what}")

    order, blocks = tuple(table.traversal_order.tolist()), tuple(table.block_map.tolist())
    levels, rank = table.dim_metadata, len(shape)
    check(
        sorted(order) == [*range(rank + len(blocks))]
        and len(levels) == len(order)
        and len({*blocks} & {*range(rank)}) == len(blocks),
        f"traversal order {few(order)} over {len(levels)} levels, for {rank} dimensions and block map {few(blocks)}",
    )
    sizes = [*shape, *(levels[order.index(rank + i)].dense_size for i in range(len(blocks)))]
    for whole, size in zip(blocks, sizes[rank:], strict=True):
        check(
            size > 0 and shape[whole] % size == 0,
            f"blocks of {size} do not divide dimension {whole}, {shape[whole]} long",
        )
        sizes[whole] //= size
    dims: list[tuple[Any, ...]] = []
    count = 1
    for dim, level in zip(order, levels, strict=True):
        size, parts = sizes[dim], (level.array_segments, level.array_indices)
        misfit = f"level {len(dims)} of format {level.format}, {level.dense_size} long, does not fit {count:,} rows of {size}"
        if level.format == 0:
            check(level.dense_size == size, misfit)
            dims.append(("dense", size))
            count *= size
            continue
        check(level.format == 1 and dim < rank and None not in parts, misfit)
        segments, indices = (part.values.astype(np.int64) for part in parts)
        check(
            segments.size == count + 1
            and (segments[0], segments[-1]) == (0, indices.size)
            and (np.diff(segments) >= 0).all()
            and (indices >= 0).all()
            and (indices < size).all(),
            misfit,
        )
        segments.flags.writeable = indices.flags.writeable = False
        dims.append(("csr", segments, indices))
        count = indices.size
    return Sparsity(order, blocks, tuple(dims)), count
