# SPDX-License-Identifier: Apache-2.0
"""Elements as memory holds them -> as a file stores them; `sodalite.model.unpack` is the way back.

Packed integers: 8 / bits elements a byte, the first in the lowest bits; the last byte is padded with zeros. String
table: int32 count n, n + 1 int32 byte positions counted from its start (the last: its length), the bytes.
"""

from __future__ import annotations

import numpy as np
from sodalite.graph import Array


def pack(values: Array, bits: int) -> Array:
    """One element a byte -> 8 / bits elements a byte; values: int8 or uint8, any shape; uint8 (n,) comes back."""
    per = 8 // bits
    flat = values.reshape(-1).view(np.uint8) & (1 << bits) - 1
    rows = np.concatenate([flat, np.zeros(-flat.size % per, np.uint8)]).reshape(-1, per)
    packed: Array = np.bitwise_or.reduce(rows << (np.arange(per, dtype=np.uint8) * np.uint8(bits)), axis=1)
    return packed.astype(np.uint8)


def pack_strings(values: Array) -> Array:
    """An object array of ``bytes`` -> the string table, uint8 (n,)."""
    texts = values.reshape(-1).tolist()
    start = 4 * (len(texts) + 2)
    head = np.empty(len(texts) + 2, "<i4")
    head[0], head[1] = len(texts), start
    head[2:] = start + np.cumsum([len(text) for text in texts], dtype=np.int64)
    return np.frombuffer(head.tobytes() + b"".join(texts), np.uint8)
