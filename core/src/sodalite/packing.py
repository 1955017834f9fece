"""Elements as a file stores them, and as memory holds them: packed 4- and 2-bit integers, string tables.

Packed: 8 / bits elements a byte, the first in the lowest bits; the last byte is padded with zeros.
String table: int32 count n, n + 1 int32 byte positions counted from its start (the last: its length), the bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import Array


def unpack(packed: Array, bits: int, count: int, memory: np.dtype[Any]) -> Array:
    """The first *count* elements of *packed*, uint8 (n,), one a byte: signed for int8, unsigned for uint8."""
    per = 8 // bits
    rows: Array = np.empty((packed.size, per), memory)
    for place in range(per):  # to the top of the byte, then down: an arithmetic shift for int8
        np.left_shift(packed, 8 - bits * (place + 1), out=rows[:, place].view(np.uint8))
    rows >>= 8 - bits
    return rows.reshape(-1)[:count]


def unpack_strings(table: Array) -> Array:
    """The string table *table*, uint8 (n,), as an object array (count,) of ``bytes``. ValueError if it is none."""
    nbytes = table.size
    raw = table.tobytes()
    count = int.from_bytes(raw[:4], "little", signed=True)
    if nbytes < 4 or count < 0 or count > nbytes // 4 - 2:
        raise ValueError(f"string table of {nbytes} bytes cannot hold {count} strings")
    places = np.frombuffer(raw, "<i4", count + 1, 4).astype(np.int64)
    if places[0] < 4 * (count + 2) or places[-1] > nbytes or (np.diff(places) < 0).any():
        raise ValueError(
            f"string table of {nbytes} bytes has positions that are out of range or not ascending"
        )
    texts: Array = np.empty(count, object)
    ends = places.tolist()
    for i in range(count):
        texts[i] = raw[ends[i] : ends[i + 1]]
    return texts
