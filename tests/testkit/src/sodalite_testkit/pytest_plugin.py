# SPDX-License-Identifier: Apache-2.0
"""The pytest side: says the seed, and writes down which cases ran and agreed (``--sodalite-record FILE``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("sodalite").addoption(
        "--sodalite-record",
        metavar="FILE",
        help="append one JSON line a conformance test to FILE: plugin, op, types, said, passed",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "oracle: compares with ai-edge-litert")
    path = config.getoption("--sodalite-record")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(Path(path)), "sodalite_record")


def pytest_report_header() -> str:
    from .case import BASE_SEED

    return f"sodalite: data drawn with SODALITE_SEED={BASE_SEED}"


class Record:
    """What conformance tests said in this session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            found = [value for name, value in report.user_properties if name == "sodalite"]
            self.said.extend({**value, "passed": report.passed} for value in found if isinstance(value, dict))

    def pytest_sessionfinish(self) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, sort_keys=True) + "\n" for line in self.said)
