# SPDX-License-Identifier: Apache-2.0
"""Conformance tests for Sodalite kernel plugins.

    from sodalite_testkit import conformance

    test_ops = conformance("my_plugin", declines={"CONV_2D-int8-*": "float32 only"})

Cases of one's own are made with ``sodalite_testkit.case``, tolerances with ``sodalite_testkit.tolerance``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .suite import conformance

__all__ = ["conformance"]


def __getattr__(name: str) -> Any:
    """Import the suite when it is asked for: pytest imports this package in every run, wanted or not."""
    if name != "conformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .suite import conformance

    return conformance
