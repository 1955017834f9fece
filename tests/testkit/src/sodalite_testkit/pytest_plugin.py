# SPDX-License-Identifier: Apache-2.0
"""The pytest side: says the seed, and writes down which cases ran and agreed (``--sodalite-record FILE``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --sodalite-record."""
    group = parser.getgroup("sodalite")
    group.addoption(
        "--sodalite-record",
        metavar="FILE",
        help="append one JSON line a conformance test to FILE: plugin, op, types, said, passed",
    )


def pytest_report_header() -> str:
    """The seed that cases draw their data from."""
    from .case import BASE_SEED  # noqa: PLC0415  not needed by a run without conformance tests

    return f"sodalite: data drawn with SODALITE_SEED={BASE_SEED}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what conformance tests said."""
    if report.when == "call":
        _SAID.extend((value, report.passed) for name, value in report.user_properties if name == "sodalite")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record."""
    path = session.config.getoption("--sodalite-record")
    if path and not hasattr(session.config, "workerinput"):
        lines = [json.dumps({**value, "passed": passed}, sort_keys=True) for value, passed in _SAID]
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)


_SAID: list[tuple[Any, bool]] = []
