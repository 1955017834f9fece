"""The patches that a filter sees, as rows of matrices, a few rows of the output at a time.

    x (n, h, w, c) -> tiles, each (groups, pixels, kh · kw · c/groups)

A filter of one element with stride 1 and no padding sees the input itself: its tiles are views of it where the dtype
allows. Otherwise a tile is copied, and cast, in one pass over strided windows; where there is padding, the input
rows of the tile are first laid into a padded buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from sodalite.graph import Array, Shape
from sodalite.kernel import Step

from ._memory import Part, Scratch, rows_per_tile
from .shapes import Window

TILE_NBYTES = 384 << 10
LEAST_PIXELS = 128  # fewer rows make poor matrix products


class Tile(NamedTuple):
    """load: fills ``patches`` (None: they are a view of the input); patches: (groups, m, k); rows: of the output
    matrix (n · oh · ow, o); image: the first dimension's index.
    """

    load: Step | None
    patches: Array
    rows: slice
    image: int


class Patches:
    """Plans the tiles for one shape, and takes the scratch memory they need.

    wy, wx: the windows; groups: c is cut into so many; source, dtype: of the input and of the patches;
    extra: bytes that the caller uses for each pixel of the output beside the patch; images: a tile may not cross
    from one image to the next.
    """

    def __init__(
        self,
        shape: Shape,
        wy: Window,
        wx: Window,
        groups: int,
        source: Any,
        dtype: Any,
        scratch: Scratch,
        extra: int,
        *,
        images: bool = False,
    ) -> None:
        n, h, w, c = shape
        self.padded = bool(wy.before or wy.after or wx.before or wx.after)
        taps = wy.size * wx.size
        alone = taps == 1 and not self.padded and (wy.out, wx.out) == (h, w)
        if alone:
            # A pixel needs no neighbour: one image of n·h·w rows.
            n, h, w = (n, h * w, 1) if images else (1, n * h * w, 1)
            wy, wx = Window(h, 0, 0, 1, 1, 1), Window(1, 0, 0, 1, 1, 1)
        self.shape, self.wy, self.wx, self.groups = (n, h, w, c), wy, wx, groups
        self.direct = alone and groups == 1 and source == dtype
        k = taps * c // groups
        pixel = extra + (0 if self.direct else groups * k * np.dtype(dtype).itemsize)
        least = -(-LEAST_PIXELS // max(wx.out, 1))
        self.rows = rows_per_tile(wy.out, wx.out * pixel, TILE_NBYTES, least)
        self.pixels = self.rows * wx.out  # in the largest tile
        self._buffer: Part | None = None
        self._patches: Part | None = None
        if self.padded:
            self._buffer = scratch.take((self._reach(wy, self.rows), self._reach(wx, wx.out), c), source)
        if not self.direct:
            self._patches = scratch.take((groups, self.pixels, k), dtype)

    @staticmethod
    def _reach(window: Window, out: int) -> int:
        """Elements of the padded input that *out* positions see."""
        return (out - 1) * window.stride + window.span if out else 0

    def bind(self, x: Array, scratch: Array, fill: Any = 0) -> Iterator[Tile]:
        """The tiles over *x*, of the planned shape; padding is *fill*. A run loads them all, in order."""
        n, h, w = self.shape[:3]
        x = x.reshape(self.shape)
        oh, ow = self.wy.out, self.wx.out
        patches = None if self._patches is None else self._patches(scratch)
        buffer = None if self._buffer is None else self._buffer(scratch)
        fresh = True
        for image in range(n):
            for y in range(0, oh, self.rows):
                rows = min(self.rows, oh - y)
                at = (image * oh + y) * ow
                place = slice(at, at + rows * ow)
                if patches is None:
                    yield Tile(None, x[image, y : y + rows, 0][None], place, image)
                    continue
                top = y * self.wy.stride - self.wy.before
                reach = self._reach(self.wy, rows)
                steps: list[tuple[Array, Any]] = []
                if buffer is None:
                    seen = x[image, top : top + reach]
                else:
                    seen = buffer[:reach]
                    left, right = self.wx.before, min(self.wx.before + w, buffer.shape[1])
                    first = min(max(-top, 0), reach)
                    last = max(min(h - top, reach), first)
                    if fresh:  # the margins stay as they are from tile to tile
                        steps += [(buffer[:, :left], fill), (buffer[:, right:], fill)]
                    steps += [(buffer[:first], fill), (buffer[last:reach], fill)]
                    steps.append(
                        (seen[first:last, left:right], x[image, top + first : top + last, : right - left])
                    )
                    fresh = False
                mine = patches.reshape(-1)[: self.groups * rows * ow * patches.shape[2]]
                mine = mine.reshape(self.groups, rows * ow, patches.shape[2])
                windows = self._windows(seen, rows)
                steps.append((mine.reshape(windows.shape), windows))
                yield Tile(_copies([s for s in steps if s[0].size]), mine, place, image)

    def _windows(self, seen: Array, rows: int) -> Array:
        """(groups, rows, ow, kh, kw, c/groups) of *seen* (reach, w, c), a view."""
        wy, wx = self.wy, self.wx
        down, along, step = seen.strides
        deep = seen.shape[2] // self.groups
        return as_strided(
            seen,
            (self.groups, rows, wx.out, wy.size, wx.size, deep),
            (deep * step, wy.stride * down, wx.stride * along, wy.dilation * down, wx.dilation * along, step),
            writeable=False,
        )


def _copies(steps: list[tuple[Array, Any]]) -> Step:
    def load() -> None:
        for to, what in steps:
            np.copyto(to, what, casting="unsafe")

    return load
