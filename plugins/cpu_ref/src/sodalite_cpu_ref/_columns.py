"""Work on (rows, columns) matrices with one parameter a column, in pieces that stay in the cache.

A broadcast operand makes numpy's inner loops as long as a row. Rows shorter than LONG are therefore taken several at
a time, with the parameters repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sodalite.graph import Array, Shape

LONG = 256


def repeats(columns: int) -> int:
    """How many rows are taken as one."""
    return max(LONG // columns, 1) if columns else 1


def pieces(rows: int, columns: int, most: int) -> Iterator[tuple[slice, Shape]]:
    """Slices of rows, of about *most* elements, and the shape to view each in: (n, repeats · columns), or (1, rest)."""
    together = repeats(columns)
    step = max(most // max(together * columns, 1), 1) * together
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        whole = (stop - start) // together * together
        if whole:
            yield slice(start, start + whole), (whole // together, together * columns)
        if stop - start > whole:
            yield slice(start + whole, stop), (1, (stop - start - whole) * columns)


def largest_piece(columns: int, most: int) -> int:
    """Elements in the largest piece that ``pieces`` makes."""
    together = repeats(columns) * columns
    return max(most // max(together, 1), 1) * together


def repeated(values: Any, columns: int) -> Any:
    """One parameter a column, repeated for the rows taken together; a Python float if all columns share one."""
    array = np.asarray(values)
    if array.size == 1:
        return float(array.flat[0])
    return np.tile(array, repeats(columns))


def upto(values: Any, length: int) -> Any:
    """The first *length* of ``repeated`` values."""
    return values[:length] if isinstance(values, np.ndarray) else values


class Row:
    """A row of column parameters that changes from run to run, kept repeated."""

    def __init__(self, columns: int, dtype: Any) -> None:
        self.values: Array = np.zeros(repeats(columns) * columns, dtype)
        self._rows = self.values.reshape(repeats(columns), columns)

    def set(self, values: Array) -> None:
        np.copyto(self._rows, values)
