"""Where each tensor lies: lifetimes in, 64-byte-aligned offsets out.

Two blocks that are alive at one step never share a byte; blocks that are not may. Largest first, each at the lowest
offset that is free for its whole life (greedy by size: Pisarchyk & Lee, "Efficient Memory Management for Deep
Neural Net Inference", 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ALIGNMENT = 64


class Block(NamedTuple):
    """nbytes wanted, alive from step *first* to step *last*, both included."""

    nbytes: int
    first: int
    last: int


def aligned(nbytes: int) -> int:
    """*nbytes* rounded up to the alignment."""
    return (nbytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def place(blocks: Sequence[Block], *, gap: int = 0, share: bool = True) -> tuple[list[int], int]:
    """Offsets of *blocks* and the size of the arena, in bytes.

    gap: free bytes kept after each block (and before the first), for guards; share: False gives every block
    memory of its own.
    """
    gap = aligned(gap)
    offsets = [0] * len(blocks)
    sizes = [aligned(b.nbytes) + gap for b in blocks]
    if not share:
        position = gap
        for i, size in enumerate(sizes):
            offsets[i], position = position, position + size
        return offsets, position
    order = sorted((i for i, b in enumerate(blocks) if b.nbytes), key=lambda i: (-sizes[i], blocks[i].first, i))
    # One row a placed block, in the order of placing: first, last, start, end (Python ints may be huge: object
    # arithmetic is not needed, since an arena over 2**62 bytes is refused by the caller).
    placed = np.zeros((len(order), 4), np.int64)
    end = 0
    for count, i in enumerate(order):
        block, size = blocks[i], sizes[i]
        rows = placed[:count]
        busy = rows[(rows[:, 0] <= block.last) & (rows[:, 1] >= block.first)]
        position = gap
        if len(busy):
            busy = busy[np.argsort(busy[:, 2], kind="stable")]
            # the end of everything that starts before each row; a hole lies where a row starts beyond it
            reach = np.maximum.accumulate(np.concatenate(([gap], busy[:, 3])))
            holes = np.flatnonzero(busy[:, 2] - reach[:-1] >= size)
            position = int(reach[holes[0]] if len(holes) else reach[-1])
        offsets[i] = position
        placed[count] = (block.first, block.last, position, position + size)
        end = max(end, position + size)
    return offsets, end


def blank(nbytes: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """*nbytes* of memory that start on the alignment, uint8; not cleared."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]
