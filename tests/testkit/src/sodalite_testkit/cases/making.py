# SPDX-License-Identifier: Apache-2.0
"""SHAPE and RANK of every type and rank."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, case, fed, out
from .movement import LOW_BIT, WITH_STRINGS


def cases() -> Iterator[Case]:
    """Worked examples first."""
    yield case("SHAPE", [fed("float32", (2, 0, 3))], [out("int32")], expected=[[2, 0, 3]], out_type="int32")
    yield case("RANK", [fed("float32", (2, 0, 3))], [out("int32")], expected=[3])
    for dtype in (*WITH_STRINGS, *LOW_BIT):
        for index in ("int32", "int64"):
            yield case("SHAPE", [fed(dtype, (2, 3))], [out(index)], out_type=index, note=f"as-{index}")
        yield case("SHAPE", [fed(dtype, (1,))], [out("int32")], out_type="int32")
        yield case("RANK", [fed(dtype, (2, 3))], [out("int32")])
