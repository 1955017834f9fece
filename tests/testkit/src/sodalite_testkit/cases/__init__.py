# SPDX-License-Identifier: Apache-2.0
"""Every case there is. A family of operators is a module with a generator ``cases()``; FAMILIES lists them."""

from __future__ import annotations

import functools
import importlib

from ..case import Case

FAMILIES = (
    "activation",
    "arithmetic",
    "audio",
    "batch_matmul",
    "blocks",
    "compare",
    "conv",
    "conversion",
    "detection",
    "elementwise",
    "fully_connected",
    "gathering",
    "making",
    "matrices",
    "mediapipe",
    "movement",
    "normalization",
    "padding",
    "pool",
    "recurrent",
    "reduce",
    "relu",
    "resize",
    "search",
    "segments",
    "slicing",
    "softmax",
    "stablehlo",
    "text",
    "transpose_conv",
)  # fmt: skip  one a line, sorted: easier to merge


@functools.cache
def family_cases(name: str) -> tuple[Case, ...]:
    """The cases of one family of FAMILIES."""
    return tuple(importlib.import_module(f".{name}", __name__).cases())


@functools.cache
def _all() -> tuple[Case, ...]:
    found: dict[str, str] = {}
    every = []
    for family in FAMILIES:
        for case in family_cases(family):
            if case.id in found:
                raise ValueError(f"two cases are called {case.id} ({found[case.id]}, {family}): give one a note=")
            found[case.id] = family
            every.append(case)
    return tuple(every)


def all_cases(op: str | None = None) -> tuple[Case, ...]:
    """All cases in order, or those of one operator. ValueError if two have one id."""
    return tuple(c for c in _all() if op is None or c.op == op)
