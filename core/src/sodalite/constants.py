"""The constants of a model: from a file's bytes to arrays in memory form, with everything checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from sodalite_schema import Table, vector_offset

from .dtypes import PACKED, DType
from .errors import CorruptModelError, UnsupportedModelError
from .graph import Array, Shape, Source, Sparsity
from .packing import unpack, unpack_strings

# Bytes of one tensor: no machine addresses more.
_MOST_BYTES = 1 << 47


class Constants:
    """The buffers of a model.

    raw: for each its bytes, uint8 (n,), and where they lie in the file; None for one without data. Buffers may
    share bytes, and views cost nothing; what has to be unpacked or copied is made once, and may in all take the file
    four times over: a small file that asks for all memory is refused.
    """

    def __init__(self, model: Table, file: memoryview, path: str | None) -> None:
        self._path = path
        self._file = np.frombuffer(file, np.uint8)
        self._made: dict[tuple[int, int, str], Array] = {}
        self._left = 4 * file.nbytes
        self.raw = [self._raw(i, buffer) for i, buffer in enumerate(model.buffers)]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, shared ones counted once."""
        return sum(size for _, size in {(at, raw.size) for raw, at in filter(None, self.raw)})

    def _raw(self, index: int, buffer: Table) -> tuple[Array, int] | None:
        if buffer.data.size:
            return buffer.data, vector_offset(buffer, "data")
        data = self.outside(f"buffer {index}", buffer.offset, buffer.size)
        return (data, buffer.offset) if data.size else None

    def outside(self, what: str, offset: int, nbytes: int) -> Array:
        """The *nbytes* at *offset* of the file; none at offset 0, and 1, which stands for "not yet written"."""
        total = self._file.size
        if offset > 1 and (offset > total or nbytes > total - offset):
            raise CorruptModelError(
                f"{what}: {nbytes:,} bytes at {offset:,} run past the end of the file ({total:,} bytes)"
            )
        return self._file[offset : offset + nbytes] if offset > 1 else self._file[:0]

    def buffer(self, index: int) -> tuple[Array, int] | None:
        """The data of a buffer; number 0 stands for none."""
        if index and index >= len(self.raw):
            raise CorruptModelError(f"buffer {index}; the model has {len(self.raw)}")
        return self.raw[index] if index else None

    def array(
        self, buffer: int, dtype: DType, shape: Shape, sparsity: Sparsity | None
    ) -> tuple[Array, Source]:
        """The elements of a constant, read-only, in memory form, and where they come from.

        A buffer may be longer than its shape needs, as LiteRT allows: the rest is not read.
        """
        raw, at = self.buffer(buffer) or (self._file[:0], 0)
        count = prod(shape) if sparsity is None else stored(sparsity)
        nbytes, memory = -(-count * dtype.bits // 8), dtype.memory
        if memory.kind == "O":
            if dtype.name != "string":
                raise CorruptModelError(f"a {dtype.name} with constant data (buffer {buffer})")
            nbytes = raw.size
            data = self._once(raw, at, dtype, unpack_strings)
            if data.size != count:
                raise CorruptModelError(f"{data.size:,} strings are stored, {few(shape)} holds {count:,}")
        elif raw.size < nbytes:
            raise CorruptModelError(
                f"buffer {buffer} has {raw.size:,} bytes, {count:,} elements of {dtype.name} take {nbytes:,}"
            )
        elif dtype.name in PACKED:
            data = self._once(
                raw, at, dtype, lambda r: unpack(r, dtype.bits, r.size * (8 // dtype.bits), memory)
            )
        else:
            data = raw[:nbytes]
            if (
                memory.kind == "b" and nbytes and data.max() > 1
            ):  # numpy wants 0 and 1, C++ calls the rest true
                data = self._once(raw, at, dtype, lambda r: r.astype(bool).view(np.uint8))
            elif memory.itemsize > 1 and at % memory.itemsize:
                data = self._once(raw, at, dtype, np.copy)
            data = data[:nbytes].view(memory)
        data = data[:count].reshape(shape) if sparsity is None else data[:count]
        data.flags.writeable = False
        return data, Source(self._path, at, nbytes)

    def _once(self, raw: Array, at: int, dtype: DType, make: Any) -> Array:
        """make(raw), made once for these bytes and this type."""
        key = at, raw.size, dtype.name
        if key not in self._made:
            self._left -= raw.size
            if self._left < 0:
                raise CorruptModelError("constants overlap: unpacked, they would be far larger than the file")
            try:
                self._made[key] = make(raw)
            except ValueError as error:
                raise CorruptModelError(str(error)) from None
        return self._made[key]


def few(items: Sequence[object]) -> str:
    """*items* for a message, the first twelve of them."""
    text = ", ".join(map(str, items[:12]))
    return f"[{text}]" if len(items) <= 12 else f"[{text}, ... {len(items):,} in all]"


def shape_of(sizes: list[int], dtype: DType) -> Shape:
    """*sizes* as a shape, unknown ones as 1."""
    shape = tuple(1 if size == -1 else size for size in sizes)
    if len(shape) > 32:
        raise UnsupportedModelError(f"{len(shape)} dimensions; at most 32 are supported")
    if min(shape, default=0) < 0:
        raise CorruptModelError(f"shape {sizes} has a negative dimension")
    # numpy counts past a 0, too: (0, 2**31 - 1, 2**31 - 1, 2**31 - 1) is no shape there
    if prod(size or 1 for size in shape) * dtype.bits > 8 * _MOST_BYTES:
        raise UnsupportedModelError(f"shape {sizes} is more than a machine can address")
    return shape


def stored(sparsity: Sparsity) -> int:
    """How many elements a sparse constant stores."""
    count = 1
    for level in sparsity.dims:
        count = count * level[1] if level[0] == "dense" else len(level[2])
    return count


def sparsity_of(table: Table, shape: Shape) -> Sparsity:
    """The storage of a sparse constant; every index it holds leads into the tensor.

    Levels lie in traversal order: the tensor's n dimensions, in blocks where the block map names them, and the
    blocks' own dimensions, counted from n. Source: SparsityParameters in TFLite's schema.
    """

    def check(right: object, what: str) -> None:
        if not right:
            raise CorruptModelError(f"sparse storage: {what}")

    order, blocks, levels = (
        tuple(table.traversal_order.tolist()),
        tuple(table.block_map.tolist()),
        table.dim_metadata,
    )
    rank = len(shape)
    check(
        sorted(order) == list(range(rank + len(blocks))) and len(levels) == len(order),
        f"traversal order {few(order)} over {len(levels)} levels, for {rank} dimensions and {len(blocks)} of blocks",
    )
    check(len(set(blocks)) == len(blocks) and all(0 <= b < rank for b in blocks), f"block map {few(blocks)}")
    sizes = dict(enumerate(shape))
    for dim, level in zip(order, levels, strict=True):
        if dim >= rank:
            size, whole = int(level.dense_size), blocks[dim - rank]
            check(
                level.format == 0 and size > 0 and shape[whole] % size == 0,
                f"blocks of {size} do not divide dimension {whole}, {shape[whole]} long",
            )
            sizes[dim], sizes[whole] = size, shape[whole] // size
    dims: list[tuple[Any, ...]] = []
    count = 1
    for number, (dim, level) in enumerate(zip(order, levels, strict=True)):
        size = sizes[dim]
        if level.format == 0:
            check(
                level.dense_size == size,
                f"level {number} is {level.dense_size} long, dimension {dim} is {size}",
            )
            dims.append(("dense", size))
            count *= size
            continue
        parts = level.array_segments, level.array_indices
        check(
            level.format == 1 and None not in parts,
            f"level {number} has format {level.format}, or lacks its indices",
        )
        segments, indices = (part.values.astype(np.int64) for part in parts)
        check(
            segments.size == count + 1
            and segments[0] == 0
            and segments[-1] == indices.size
            and (np.diff(segments) >= 0).all(),
            f"level {number} has segments that do not fit {count:,} rows and {indices.size:,} indices",
        )
        check(
            not indices.size or 0 <= indices.min() <= indices.max() < size,
            f"level {number} has an index outside dimension {dim}, {size} long",
        )
        segments.flags.writeable = indices.flags.writeable = False
        dims.append(("csr", segments, indices))
        count = indices.size
    return Sparsity(order, blocks, tuple(dims))
