"""Scratch memory of one step: parts are taken at prepare, and become arrays at bind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.graph import Array, Shape

from .shapes import element_count

ALIGNMENT = 64

Part = Callable[[Array], Array]  # scratch memory -> the part's array


class Scratch:
    """Lays parts one behind the other; ``nbytes`` is what Prepared.scratch asks for."""

    def __init__(self) -> None:
        self.nbytes = 0

    def take(self, shape: Shape, dtype: Any = np.float32) -> Part:
        """A part of *shape*: call it with Buffers.scratch. Its contents are unknown when a step starts."""
        kind = np.dtype(dtype)
        start, size = self.nbytes, element_count(shape) * kind.itemsize
        self.nbytes += -(-size // ALIGNMENT) * ALIGNMENT
        return lambda scratch: scratch[start : start + size].view(kind).reshape(shape)


def rows_per_tile(rows: int, row_nbytes: int, budget: int, least: int = 1) -> int:
    """How many of *rows* to take at once: about *budget* bytes, not fewer than *least*, in tiles of like size."""
    most = max(budget // max(row_nbytes, 1), least, 1)
    tiles = max(-(-rows // most), 1)
    return max(-(-rows // tiles), 1)
