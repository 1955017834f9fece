"""Sums of integer products through BLAS, without a rounding.

numpy multiplies integer matrices without BLAS. A float32 product of small integers has the same value as long
as every partial sum, in whatever order, is an integer of at most 2**24; long sums are therefore cut into blocks
for which the weights at hand guarantee it, and the blocks are added in float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sodalite.graph import Array

EXACT_FLOAT32 = 1 << 24


class Cuts(NamedTuple):
    """Where sums over k products are cut, and how large they can become.

    edges: 0 ... k, one more than there are blocks; dtype: of the factors and of each block's sums; bound: of the whole sum.
    """

    edges: tuple[int, ...]
    dtype: Any
    bound: float

    @property
    def blocks(self) -> int:
        return len(self.edges) - 1

    @property
    def sums(self) -> Any:
        """The dtype that holds the whole sum."""
        return np.dtype(np.float64) if self.blocks > 1 else self.dtype


def cuts(k: int, x_most: int, w_most: int, weights: Array | None, zero_point: int = 0) -> Cuts:
    """Where to cut sums of *k* products x · (w - zero_point), |x| <= x_most, |w - zero_point| <= w_most.

    weights: (o, k) if they are known: their actual sums allow longer blocks. With x_most above 2**16 the factors
    are float64, which needs no cut.
    """
    whole = (0, max(k, 1))
    bound = float(k) * x_most * w_most
    if x_most * w_most * 64 > EXACT_FLOAT32:
        return Cuts(whole, np.dtype(np.float64), bound)
    float32 = np.dtype(np.float32)
    if bound <= EXACT_FLOAT32:
        return Cuts(whole, float32, bound)
    if weights is None:
        step = EXACT_FLOAT32 // (x_most * w_most)
        return Cuts((*range(0, k, step), k), float32, bound)
    sizes = np.abs(weights.astype(np.int16) - np.int16(zero_point))
    most = float(sizes.sum(axis=1, dtype=np.int64).max(initial=0)) * x_most
    if most <= EXACT_FLOAT32:
        return Cuts(whole, float32, most)
    reach = np.zeros((k + 1, weights.shape[0]), np.int64)
    np.cumsum(sizes.T, axis=0, out=reach[1:])
    edges = [0]
    while edges[-1] < k:
        sums = (reach - reach[edges[-1]]).max(axis=1, initial=0) * x_most
        edges.append(max(int(np.searchsorted(sums, EXACT_FLOAT32, side="right")) - 1, edges[-1] + 1))
    return Cuts(tuple(edges), float32, most)


def product(a: Array, weights: Array, cut: Cuts, acc: Array, part: Array | None) -> None:
    """acc = a @ weights.T. a: (m, k), weights: (o, k), of cut.dtype; acc: (m, o) of cut.sums; part: (m, o) of cut.dtype."""
    if part is None:
        np.matmul(a, weights.T, out=acc)
        return
    for place, (start, stop) in enumerate(zip(cut.edges[:-1], cut.edges[1:], strict=True)):
        np.matmul(a[:, start:stop], weights[:, start:stop].T, out=part)
        if place:
            np.add(acc, part, out=acc)
        else:
            np.copyto(acc, part)
