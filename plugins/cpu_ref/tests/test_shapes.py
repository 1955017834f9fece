"""Windows, broadcasting and axes against worked examples and plain counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sodalite.errors import ShapeError
from sodalite_cpu_ref import shapes

sizes = st.integers(1, 7)


@given(st.integers(0, 20), sizes, sizes, sizes, st.sampled_from(["SAME", "VALID"]))
def test_window_counts(length: int, size: int, stride: int, dilation: int, padding: str) -> None:
    """Every position lies inside the padded input, and one more would not."""
    try:
        w = shapes.window(length, size, stride, dilation, padding)
    except ShapeError:
        assert padding == "VALID"
        assert length + stride <= (size - 1) * dilation + 1 - stride
        return
    if padding == "SAME":
        assert w.out == -(-length // stride)
        assert 0 <= w.after - w.before <= 1
    if w.out:
        room = w.before + length + w.after
        assert (w.out - 1) * stride + w.span <= room
        assert room - ((w.out - 1) * stride + w.span) < stride


def test_window_by_hand() -> None:
    """MobileNet's first layer, a dilated filter, and filters that do not fit."""
    assert shapes.window(224, 3, 2, 1, "SAME")[:3] == (112, 0, 1)
    assert shapes.window(7, 3, 1, 2, "SAME")[:3] == (7, 2, 2)
    assert shapes.window(7, 3, 2, 2, "VALID")[:3] == (2, 0, 0)
    assert shapes.window(4, 5, 2, 1, "VALID").out == 0
    with pytest.raises(ShapeError, match="filter spans 5 elements, input has 2"):
        shapes.window(2, 5, 1, 1, "VALID")
    for bad in ((4, 0, 1, 1), (4, 1, 0, 1), (4, 1, 1, 0), (4, 1, -1, 1)):
        with pytest.raises(ShapeError, match="must be positive"):
            shapes.window(*bad, "SAME")
    with pytest.raises(ShapeError, match="SAME or VALID"):
        shapes.window(4, 1, 1, 1, "EXPLICIT")


@given(st.lists(st.lists(st.integers(0, 3), max_size=4).map(tuple), min_size=1, max_size=3))
def test_broadcast_as_numpy(several: list[tuple[int, ...]]) -> None:
    """The same shapes as numpy, and an error where numpy has one."""
    try:
        want = np.broadcast_shapes(*several)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast") as caught:
            shapes.broadcast_shape(*several)
        assert all(str(shape) in str(caught.value) for shape in several)
    else:
        assert shapes.broadcast_shape(*several) == want


def test_axes() -> None:
    """Negative axes count from the end, repeats fall together, a scalar has none."""
    assert shapes.normalize_axes((-1, 0, 2), 3) == (0, 2)
    assert shapes.normalize_axes(-2, 3) == (1,)
    assert shapes.normalize_axes((0, -1), 0) == ()
    assert shapes.normalize_axis(-3, 3) == 0
    with pytest.raises(ShapeError, match=r"axis 3 is out of range for rank 3: -3 \.\.\. 2"):
        shapes.normalize_axes((0, 3), 3)
    with pytest.raises(ShapeError, match="out of range"):
        shapes.normalize_axes((1,), 0)


def test_element_count_does_not_wrap() -> None:
    """Products are Python integers."""
    assert shapes.element_count((np.int32(2**20),) * 4) == 2**80
    assert shapes.element_count(()) == 1
