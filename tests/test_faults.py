# SPDX-License-Identifier: Apache-2.0
"""The checks are checked: every fault of the catalogue, planted into a copy of the code, makes its checks fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "faults"))

from catalogue import FAULTS
from runner import ROOT, Fault, Stale, caught, planted, run_checks

pytestmark = [pytest.mark.slow, pytest.mark.oracle]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name.replace(" ", "_"))
def test_a_fault_is_caught(fault: Fault) -> None:
    found, said = caught(fault)
    assert found, f"nobody noticed: {fault.name}\n{said}"


def test_without_faults_the_same_tests_pass() -> None:
    """Else a test that always fails would seem to catch everything. (Cases without faults are cpu_ref's own tests.)"""
    checks = dict.fromkeys(check for fault in FAULTS for check in fault.checks if not check.startswith("cases "))
    passed, said = run_checks(checks)
    assert passed, said


def test_there_are_forty_faults_over_all_packages() -> None:
    """Each of its own name, and each package has its share."""
    assert len(FAULTS) >= 40
    assert max(Counter(f.name for f in FAULTS).values()) == 1
    shares = Counter(f.package for f in FAULTS)
    assert min(shares[package] for package in ("schema", "core", "plugins/cpu_ref")) >= 5


def test_the_copy_is_what_runs(tmp_path: Path) -> None:
    """A package imported by the checks comes from the copy; a text that is not there once is an error."""
    where = "import sodalite.hookspecs as h, sys; sys.exit(0 if h.PROJECT == 'other' else 1)"
    fault = Fault("x", "core", 'PROJECT = "sodalite"', 'PROJECT = "other"', ())
    env = {**os.environ, "PYTHONPATH": str(planted(fault, tmp_path / "copy"))}
    assert subprocess.run([sys.executable, "-c", where], cwd=ROOT, env=env, check=False).returncode == 0
    with pytest.raises(Stale, match="is in nowhere, wanted once"):
        planted(fault._replace(old="PROJECT = 5"), tmp_path / "other")
