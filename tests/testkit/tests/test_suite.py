# SPDX-License-Identifier: Apache-2.0
"""conformance() reports what is wrong, and holds its lists to the truth in both directions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sodalite.kernel import KernelSet
from sodalite_testkit.cases import all_cases
from sodalite_testkit.suite import Verdict, conformance, judge, right_answer

pytest_plugins = ["pytester"]

PLUGIN = """
import numpy as np
from sodalite.kernel import KernelSet, Prepared
from sodalite_testkit import conformance
from sodalite_testkit.case import case, fed, out

kernels = KernelSet()

@kernels.add("NEG", types="float32")
def neg(x, out):
    np.negative(x, out=out)

@kernels.add("ABS")
def absolute(x, out):
    out[...] = x

x = np.array([-1, 2], np.float32)
CASES = [
    case("NEG", [fed(x)], [out("float32")], oracle="expected", expected=[-x]),
    case("NEG", [fed(x.astype(int), dtype="int32")], [out("int32")], oracle="expected", expected=[-x]),
    case("ABS", [fed(x)], [out("float32")], oracle="expected", expected=[abs(x)]),
    case("EXP", [fed(x)], [out("float32")], oracle="expected", expected=[x]),
]
"""


def outcomes(pytester: pytest.Pytester, lists: str, *options: str) -> dict[str, str]:
    """Run the plugin above with *lists*; test id -> outcome and message."""
    pytester.makepyfile(PLUGIN + f"\ntest_ops = conformance(kernels, cases=CASES, {lists})\n")
    result = pytester.inline_run(*options)
    return {
        report.nodeid.partition("[")[2][:-1]: "passed" if report.passed else str(report.longrepr)
        for report in result.getreports("pytest_runtest_logreport")
        if report.when == "call"
    }


def test_unlisted_failures_fail(pytester: pytest.Pytester) -> None:
    said = outcomes(pytester, "")
    assert said["NEG-float32-2"] == "passed"
    assert "declined: float32 only, got int32 (TYPE); list it in declines=" in said["NEG-int32-2"]
    assert "values are right: output 0 against" in said["ABS-float32-2"]
    assert "SODALITE_SEED=0" in said["ABS-float32-2"]
    assert "EXP-float32-2" not in said, "operators that the plugin does not offer are not its business"


def test_listed_failures_pass(pytester: pytest.Pytester) -> None:
    said = outcomes(pytester, "declines={'NEG-int*': 'float only'}, known_wrong={'ABS-*': 'no sign yet'}")
    assert set(said.values()) == {"passed"}
    assert len(said) == 5


def test_what_is_listed_must_happen(pytester: pytest.Pytester) -> None:
    """An unexpected run, an unexpected agreement, and an entry that matches nothing."""
    said = outcomes(
        pytester,
        "declines={'NEG-*': 'float only', 'EXP-*': 'no'}, known_wrong={'ABS-*': 'x', 'ABS-int*': 'y'}",
    )
    assert "is listed as declined (float only), but is not (agrees): unlist it" in said["NEG-float32-2"]
    assert said["NEG-int32-2"] == "passed"
    assert "matches no case" in said["declines[EXP-*]"]
    assert "matches no case" in said["known_wrong[ABS-int*]"]


@pytest.mark.parametrize(
    ("kind", "declines", "known_wrong", "complains"),
    [
        ("agrees", None, None, False),
        ("agrees", "why", None, True),
        ("agrees", None, "why", True),
        ("declined", None, None, True),
        ("declined", "why", None, False),
        ("declined", None, "why", True),
        ("wrong", None, None, True),
        ("wrong", "why", None, True),
        ("wrong", None, "why", False),
    ],
)
def test_verdict_against_lists(kind: str, declines: str | None, known_wrong: str | None, complains: bool) -> None:
    assert (Verdict(kind, "so").against(declines, known_wrong) is not None) is complains


def test_an_entry_needs_a_reason_and_a_plugin_must_be_there() -> None:
    with pytest.raises(pytest.UsageError, match="has no reason"):
        conformance([], declines={"X-*": " "})  # type: ignore[arg-type]
    with pytest.raises(pytest.UsageError, match="no plugin is called 'nobody'; installed: "):
        conformance("nobody")


def test_what_ran_is_written_down(pytester: pytest.Pytester) -> None:
    """--sodalite-record: the coverage table is made from it."""
    outcomes(pytester, "", "--sodalite-record=ran.jsonl")
    lines = [json.loads(line) for line in (pytester.path / "ran.jsonl").read_text().splitlines()]
    assert {"op": "NEG", "types": "float32", "plugin": "kernels", "said": "agrees", "passed": True} in lines
    assert {line["said"] for line in lines if line["op"] == "ABS"} == {"wrong"}


def test_other_plugins_are_compared_with_the_reference() -> None:
    """By the testkit's own cases, without LiteRT where cpu_ref runs them."""
    right, wrong = KernelSet(), KernelSet()

    @right.add("RELU", types="float32")
    def relu(x, out) -> None:
        out[...] = np.where(x < 0, np.float32(0), x)  # np.maximum makes 0 of -0, in some places

    @wrong.add("RELU", types="float32")
    def sloppy(x, out) -> None:
        np.maximum(x, np.float32(0.001), out=out)

    for case in all_cases("RELU")[:6]:
        assert right_answer(case, "cpu_ref")[1] == "cpu_ref"
        floats = case.dtypes == "float32"
        assert judge(case, right, "cpu_ref").kind == ("agrees" if floats else "declined"), case.id
        if floats and case.fed[0].size > 1:
            assert "values are right: output 0 against cpu_ref" in judge(case, wrong, "cpu_ref").why
