# SPDX-License-Identifier: Apache-2.0
"""Conformance tests for Sodalite kernel plugins.

    from sodalite_testkit import conformance

    test_ops = conformance("my_plugin", declines={"CONV_2D-int8-*": "float32 only"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case import Case, case, const, fed, out, q, variable
    from .suite import conformance
    from .tolerance import EXACT, LEVELS, NEAR, ULPS, Tolerance

__all__ = [
    "EXACT",
    "LEVELS",
    "NEAR",
    "ULPS",
    "Case",
    "Tolerance",
    "case",
    "conformance",
    "const",
    "fed",
    "out",
    "q",
    "variable",
]

_HOME = {"conformance": "suite", **dict.fromkeys(("EXACT", "LEVELS", "NEAR", "ULPS", "Tolerance"), "tolerance")}


def __getattr__(name: str) -> Any:
    """Names are looked up when asked for: pytest imports this package in every run, wanted or not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f".{_HOME.get(name, 'case')}", __name__), name)
