# SPDX-License-Identifier: Apache-2.0
"""Convolution2DTransposeBias; LiteRT runs it only through XNNPACK."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..case import Case, case, const, fed, out
from ..tolerance import Tolerance

OP = "custom:Convolution2DTransposeBias"
SUMS = Tolerance(peak=1e-6)


def cases() -> Iterator[Case]:
    """Both paddings, strides of other sizes than the filter."""
    for padding, name in ((1, "same"), (2, "valid")):
        for size, kernel, strides in (((4, 5), (2, 2), (2, 2)), ((3, 4), (3, 3), (2, 1)), ((2, 3), (4, 3), (3, 2)), ((3, 3), (1, 2), (1, 1))):
            sides = zip(size, kernel, strides, strict=True)
            shape = [dim * by if padding == 1 else (dim - 1) * by + k for dim, k, by in sides]
            given = [fed("float32", (2, *size, 3)), const("float32", (4, *kernel, 3)), const("float32", (4,))]
            raw = struct.pack("<3i", padding, strides[1], strides[0])
            note = f"{name}-{strides[0]}x{strides[1]}"
            results = [out("float32", shape=(2, shape[0], shape[1], 4))]
            yield case(OP, given, results, custom_options=raw, oracle="default", tolerance=SUMS, note=note)
    given = [fed("float32", (1, 2, 2, 3)), const("float32", (4, 2, 2, 2)), const("float32", (4,))]
    yield case(OP, given, [out("float32")], custom_options=struct.pack("<3i", 1, 2, 2), raises="ShapeError")
