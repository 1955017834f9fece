# SPDX-License-Identifier: Apache-2.0
"""SKIP_GRAM and LSH_PROJECTION."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sodalite.graph import Array

from ..case import Case, case, fed, out

SENTENCES = (
    b"The quick\t brown fox  jumps over the lazy dog! ",
    b" a blank before it",
    b"one",
    b"one two\n",
    b"",
    b"   ",
    "caf\u00e9 \u4e16\u754c \0 x".encode(),
)


def cases() -> Iterator[Case]:
    """A worked example first."""
    given = [fed(_sentence(b"(The quick brown"))]
    wanted = np.array([b"(The quick", b"quick brown"], object)
    yield case("SKIP_GRAM", given, [out("string")], ngram_size=2, max_skip_size=0, expected=[wanted], note="by-hand")
    for i, sentence in enumerate(SENTENCES):
        for most in (1, 2, 3):
            for skip in (0, 1, 3):
                for every in (False, True):
                    options = {"ngram_size": most, "max_skip_size": skip, "include_all_ngrams": every}
                    yield case("SKIP_GRAM", [fed(_sentence(sentence))], [out("string")], **options, note=f"sentence{i}")
    for kind in ("SPARSE", "DENSE"):
        yield from _projections(kind)


def _sentence(text: bytes) -> Array:
    made = np.empty(1, object)
    made[0] = text
    return made


def _projections(kind: str) -> Iterator[Case]:
    result = [out("int32")]
    for dtype in ("int32", "int8", "int64", "float32", "bool"):
        given = [fed("float32", (3, 4)), fed(dtype, (5,))]
        yield case("LSH_PROJECTION", given, result, type=kind, note=str(given[1].dtype))
        yield case("LSH_PROJECTION", [*given, fed("float32", (5,))], result, type=kind, note=dtype)
    for width in (1, 2, 3, 4, 5, 7, 8, 12, 13, 27, 28, 29, 59, 60, 61, 62, 123, 124, 125, 190, 200):
        given = [fed("float32", (2, 8)), fed("uint8", (3, width)), fed("float32", (3,))]
        yield case("LSH_PROJECTION", given, result, type=kind, note=str(given[1].dtype))
    wrong = [fed("float32", (2, 8)), fed("uint8", (3, 2)), fed("float32", (2,))]
    yield case("LSH_PROJECTION", wrong, result, type=kind, raises="ShapeError")
    yield case("LSH_PROJECTION", [fed("float32", (2, 33)), fed("uint8", (3, 2))], result, type=kind, raises="ShapeError")
