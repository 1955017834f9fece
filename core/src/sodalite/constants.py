"""The constants of a model: from a file's bytes to arrays in memory form, with everything checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from sodalite_schema import Table, enum_name, vector_offset

from .dtypes import PACKED, DType
from .errors import CorruptModelError, UnsupportedModelError
from .graph import Array, Shape, Source, Sparsity
from .packing import unpack, unpack_strings

# Bytes of one tensor; no machine addresses more, and an honest file does not ask for it.
_MOST_BYTES = 1 << 47


class Constants:
    """The buffers of a model.

    raw: for each buffer its bytes, uint8 (n,), and where they lie in the file; None for one without data.
    Buffers may share bytes, and views of them cost nothing; what has to be unpacked or copied is made once, and
    may in all read the file four times over. (Otherwise a small file could ask for all memory.)
    """

    def __init__(self, model: Table, file: memoryview, path: str | None) -> None:
        self._path = path
        self._file = np.frombuffer(file, np.uint8)
        self._made: dict[tuple[int, int, str], Array] = {}
        self._left = 4 * file.nbytes
        self.raw = [self._raw(i, buffer) for i, buffer in enumerate(model.buffers)]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, those that are the same bytes of the file counted once."""
        return sum(size for _, size in {(at, raw.size) for raw, at in filter(None, self.raw)})

    def _raw(self, index: int, buffer: Table) -> tuple[Array, int] | None:
        if buffer.data.size:
            return buffer.data, vector_offset(buffer, "data")
        data = self.outside(f"buffer {index}", buffer.offset, buffer.size)
        return (data, buffer.offset) if data.size else None

    def outside(self, where: str, offset: int, nbytes: int) -> Array:
        """The *nbytes* at *offset* of the file; none for offset 0, and 1, which stands for "not yet written"."""
        if offset <= 1:
            return self._file[:0]
        total = self._file.size
        if offset > total or nbytes > total - offset:
            raise CorruptModelError(
                f"{where}: {nbytes:,} bytes at offset {offset:,} run past the end of the file ({total:,} bytes)"
            )
        return self._file[offset : offset + nbytes]

    def array(
        self, where: str, buffer: int, dtype: DType, shape: Shape, sparsity: Sparsity | None
    ) -> tuple[Array, Source]:
        """The elements of a constant, read-only, in memory form, and where they come from."""
        raw, at = self.raw[buffer] or (self._file[:0], 0)
        count = prod(shape) if sparsity is None else stored(sparsity)
        nbytes = -(-count * dtype.bits // 8)
        if dtype.memory.kind == "O":
            if dtype.name != "string":
                raise CorruptModelError(
                    f"{where}: {dtype.name} tensors hold no data in a file, this one does"
                )
            nbytes = raw.size
        elif raw.size < nbytes:
            what = f"{list(shape)} {dtype.name}" if sparsity is None else f"{count:,} stored {dtype.name}"
            raise CorruptModelError(
                f"{where}: buffer {buffer} has {raw.size:,} bytes, {what} takes {nbytes:,}"
            )
        if dtype.name == "string":
            data = self._once(where, raw, at, dtype, _strings) if raw.size else np.empty(0, object)
            if data.size != count:
                raise CorruptModelError(
                    f"{where}: {data.size:,} strings are stored, {list(shape)} holds {count:,}"
                )
        elif dtype.name in PACKED:
            data = self._once(where, raw, at, dtype, _unpacked)[:count]
        else:
            data = raw[:nbytes]
            if dtype.memory.kind == "b" and nbytes and data.max() > 1:
                data = self._once(where, raw, at, dtype, _truths)[:count]
            elif dtype.memory.itemsize > 1 and at % dtype.memory.itemsize:
                data = self._once(where, raw, at, dtype, np.copy)[:nbytes]
            data = data.view(dtype.memory)
        if sparsity is None:
            data = data.reshape(shape)
        data.flags.writeable = False
        return data, Source(self._path, at, nbytes)

    def _once(self, where: str, raw: Array, at: int, dtype: DType, make: Any) -> Array:
        """make(raw, dtype), made once for these bytes and this type."""
        key = at, raw.size, dtype.name
        if key not in self._made:
            self._left -= raw.size
            if self._left < 0:
                raise CorruptModelError(
                    f"{where}: constants overlap; unpacked, they would be far larger than the file"
                )
            try:
                self._made[key] = make(raw) if make is np.copy else make(raw, dtype)
            except ValueError as error:
                raise CorruptModelError(f"{where}: {error}") from None
        return self._made[key]


def _strings(raw: Array, _: DType) -> Array:
    return unpack_strings(raw)


def _unpacked(raw: Array, dtype: DType) -> Array:
    return unpack(raw, dtype.bits, raw.size * (8 // dtype.bits), dtype.memory)


def _truths(raw: Array, _: DType) -> Array:
    truths: Array = raw != 0  # numpy wants 0 and 1, C++ calls anything else true
    return truths.view(np.uint8)


def few(items: Sequence[object]) -> str:
    """*items* for a message, the first twelve of them."""
    text = ", ".join(map(str, items[:12]))
    return f"[{text}]" if len(items) <= 12 else f"[{text}, ... {len(items):,} in all]"


def shape_of(where: str, sizes: list[int], dtype: DType) -> Shape:
    """*sizes* as a shape, unknown ones as 1. UnsupportedModelError for more than numpy or an address can do."""
    shape = tuple(1 if size == -1 else size for size in sizes)
    if len(shape) > 32:
        raise UnsupportedModelError(f"{where}: {len(shape)} dimensions; at most 32 are supported")
    if min(shape, default=0) < 0:
        raise CorruptModelError(f"{where}: shape {sizes} has a negative dimension")
    # numpy counts past a 0, too: (0, 2**31 - 1, 2**31 - 1, 2**31 - 1) is no shape there
    if prod(size or 1 for size in shape) * dtype.bits > 8 * _MOST_BYTES:
        raise UnsupportedModelError(f"{where}: {list(shape)} {dtype.name} is more than a machine can address")
    return shape


def stored(sparsity: Sparsity) -> int:
    """How many elements a sparse constant stores."""
    count = 1
    for level in sparsity.dims:
        count = count * level[1] if level[0] == "dense" else len(level[2])
    return count


def sparsity_of(where: str, table: Table, shape: Shape) -> Sparsity:
    """The storage of a sparse constant, checked: every index it holds leads into the tensor.

    Levels lie in traversal order: the tensor's n dimensions, each in blocks if the block map names it, and the
    blocks' own dimensions, counted from n. Source: SparsityParameters in TFLite's schema.
    """

    def wrong(what: str) -> CorruptModelError:
        return CorruptModelError(f"{where}: sparse storage: {what}")

    order, blocks = tuple(table.traversal_order.tolist()), tuple(table.block_map.tolist())
    rank, levels = len(shape), table.dim_metadata
    if sorted(order) != list(range(rank + len(blocks))) or len(levels) != len(order):
        raise wrong(
            f"traversal order {few(order)} and {len(levels)} levels for {rank} dimensions, {len(blocks)} in blocks"
        )
    if len(set(blocks)) != len(blocks) or not all(0 <= b < rank for b in blocks):
        raise wrong(f"block map {few(blocks)} for {rank} dimensions")
    sizes = dict(enumerate(shape))
    for dimension, level in zip(order, levels, strict=True):
        if dimension >= rank:
            size, blocked = int(level.dense_size), blocks[dimension - rank]
            if level.format != 0 or size < 1 or shape[blocked] % size:
                raise wrong(f"blocks of {size} do not divide dimension {blocked}, {shape[blocked]} long")
            sizes[dimension], sizes[blocked] = size, shape[blocked] // size
    dims: list[tuple[Any, ...]] = []
    count = 1
    for number, (dimension, level) in enumerate(zip(order, levels, strict=True)):
        size, form = sizes[dimension], enum_name("DimensionType", level.format)
        if form == "DENSE":
            if level.dense_size != size:
                raise wrong(
                    f"level {number} has dense size {level.dense_size}, dimension {dimension} has {size}"
                )
            dims.append(("dense", size))
            count *= size
        elif form == "SPARSE_CSR" and level.array_segments is not None and level.array_indices is not None:
            segments = level.array_segments.values.astype(np.int64)
            indices = level.array_indices.values.astype(np.int64)
            if (
                segments.size != count + 1
                or segments[0] != 0
                or segments[-1] != indices.size
                or (np.diff(segments) < 0).any()
            ):
                raise wrong(
                    f"level {number} has segments that do not fit its {count:,} rows and {indices.size:,} indices"
                )
            if indices.size and (indices.min() < 0 or indices.max() >= size):
                raise wrong(f"level {number} has an index outside dimension {dimension}, {size} long")
            for array in (segments, indices):
                array.flags.writeable = False
            dims.append(("csr", segments, indices))
            count = indices.size
        else:
            raise wrong(f"level {number} has format {form}, or lacks its segments or indices")
    return Sparsity(order, blocks, tuple(dims))
