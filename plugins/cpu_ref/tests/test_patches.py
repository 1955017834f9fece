"""Patches against plain indexing: every window of every tile, padding, strides, dilation, groups."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sodalite.errors import ShapeError
from sodalite_cpu_ref import _patches
from sodalite_cpu_ref._memory import Scratch
from sodalite_cpu_ref._patches import Patches
from sodalite_cpu_ref.shapes import window

small = st.integers(1, 4)


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9)),
    st.tuples(small, small),
    st.tuples(small, small),
    st.tuples(small, small),
    st.sampled_from(["SAME", "VALID"]),
    st.sampled_from([(1, 3), (2, 4), (3, 3)]),
    st.sampled_from([("float32", "float32"), ("uint8", "float32"), ("int16", "float64")]),
    st.booleans(),
    st.sampled_from([64, 1 << 20]),
)
def test_every_window(size, kernel, stride, dilation, padding, channels, types, images, budget) -> None:
    """The patch at (image, y, x) holds what the filter sees there, the fill value where that is outside."""
    n, h, w = size
    groups, c = channels
    try:
        wy = window(h, kernel[0], stride[0], dilation[0], padding)
        wx = window(w, kernel[1], stride[1], dilation[1], padding)
    except ShapeError:
        return
    x = np.arange(n * h * w * c).reshape(n, h, w, c).astype(types[0])
    kept, least = _patches.TILE_NBYTES, _patches.LEAST_PIXELS
    _patches.TILE_NBYTES, _patches.LEAST_PIXELS = budget, 1  # many tiles, or one
    try:
        scratch = Scratch()
        made = Patches(x.shape, wy, wx, groups, x.dtype, np.dtype(types[1]), scratch, 4, images=images)
    finally:
        _patches.TILE_NBYTES, _patches.LEAST_PIXELS = kept, least
    padded = np.full((n, h + 40, w + 40, c), 7, types[1])
    padded[:, 20 : 20 + h, 20 : 20 + w] = x
    at = 0
    for tile in made.bind(x, np.full(scratch.nbytes, 0xA5, np.uint8), fill=7):
        if tile.load is not None:
            tile.load()
        assert tile.rows.start == at
        for row in range(tile.rows.stop - tile.rows.start):
            image, rest = divmod(at + row, wy.out * wx.out)
            oy, ox = divmod(rest, wx.out)
            top, left = 20 + oy * stride[0] - wy.before, 20 + ox * stride[1] - wx.before
            seen = padded[image, top : top + wy.span : dilation[0], left : left + wx.span : dilation[1]]
            for g in range(groups):
                deep = c // groups
                wanted = seen[..., g * deep : (g + 1) * deep].reshape(-1)
                np.testing.assert_array_equal(tile.patches[g, row], wanted)
            if images:
                assert tile.image == image
        at = tile.rows.stop
    assert at == n * wy.out * wx.out
