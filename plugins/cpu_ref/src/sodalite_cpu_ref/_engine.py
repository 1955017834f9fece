"""The loop of every kernel that is a matrix product: load a tile, multiply, finish.

Weights are a (o, k) matrix and one bias a column; columns may come in groups, each with patches of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sodalite.graph import Array
from sodalite.kernel import NodeSpec, Step

from ._memory import Scratch
from ._patches import Tile
from ._products import Cuts, product
from .nodes import quiet

Weights = tuple[Array, Array]  # (o, k) and (o,)
Finish = Callable[[Array], None]


class Engine:
    """Plans the sums of one node: *pixels* rows at most a tile, *o* columns in *groups*.

    in_place: sums are made in the output itself, which is of their dtype.
    """

    def __init__(
        self, pixels: int, o: int, groups: int, cut: Cuts, scratch: Scratch, *, in_place: bool
    ) -> None:
        self.o, self.groups, self.cut = o, groups, cut
        self._sums = None if in_place else scratch.take((pixels, o), cut.sums)
        self._part = scratch.take((pixels, o // groups), cut.dtype) if cut.blocks > 1 else None

    def bind(
        self,
        tiles: Iterable[Tile],
        out: Array,
        scratch: Array,
        weights: Callable[[], Weights],
        finish: Callable[[Tile, Array, Array], Finish],
    ) -> Step:
        """The step that fills *out* (m, o). finish(tile, sums, rows of out): called once, what it returns each run."""
        groups, deep, cut = self.groups, self.o // self.groups, self.cut
        every = None if self._sums is None else self._sums(scratch)
        spare = None if self._part is None else self._part(scratch)
        jobs = []
        for tile in tiles:
            rows = out[tile.rows]
            sums = rows if every is None else every[: len(rows)]
            part = None if spare is None else spare[: len(rows)]
            pairs = [(tile.patches[g], sums[:, g * deep : (g + 1) * deep]) for g in range(groups)]
            jobs.append((tile.load, pairs, part, finish(tile, sums, rows)))

        def step() -> None:
            matrix, bias = weights()
            split = matrix.reshape(groups, deep, matrix.shape[1])
            for load, pairs, part, done in jobs:
                if load is not None:
                    load()
                for (patches, sums), w in zip(pairs, split, strict=True):
                    product(patches, w, cut, sums, part)
                done(bias)

        return quiet(step)


def weights_once(node: NodeSpec, known: bool, make: Callable[[], Any], key: Any = None) -> Callable[[], Any]:
    """A function that gives the packed weights: made once a model if they are *known*, else made each run.

    key: what they depend on beside the node.
    """
    if not known:
        return make
    kept = node.packed((node.op, key), make)
    return lambda: kept


def no_bias(bias: Array | None, channels: int) -> Array:
    """*bias* as (channels,), zeros if there is none."""
    return np.zeros(channels, np.float32) if bias is None else bias.reshape(channels)
