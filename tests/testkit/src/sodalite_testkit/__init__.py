# SPDX-License-Identifier: Apache-2.0
"""Conformance tests for Sodalite kernel plugins.

    from sodalite_testkit import conformance

    test_ops = conformance("my_plugin", declines={"CONV_2D-int8-*": "float32 only"})
"""

from __future__ import annotations

from typing import Any


def conformance(*args: Any, **how: Any) -> Any:
    """See sodalite_testkit.conformance.conformance: a test function over all cases of a plugin's operators."""
    from .conformance import conformance as make  # noqa: PLC0415  pytest loads this package in every run

    return make(*args, **how)
