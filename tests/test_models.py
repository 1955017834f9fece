# SPDX-License-Identifier: Apache-2.0
"""Whole models that nobody here wrote, against LiteRT: recorded outputs where there are some, its answers otherwise.

What does not run is listed below with the reason, and the lists are checked in both directions: a model that starts to
run, or to fail otherwise, has to leave its list. Needs SODALITE_MODELS; ``python tests/models_report.py`` prints the sum.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import sodalite
from models_expected import MUST_FAIL, NO_ORACLE, NOT_YET, given_for, resized, steps_for, tolerance_for
from sodalite.errors import SodaliteError
from sodalite_testkit import oracle as oracles
from sodalite_testkit import whole

ROOT = whole.folder()
WHY = f"{whole.VARIABLE_NAME} names no folder of models"
NAMES = () if ROOT is None else whole.models(ROOT)
RUN = [name for name in NAMES if name not in MUST_FAIL]
pytestmark = [pytest.mark.models, pytest.mark.oracle, pytest.mark.skipif(ROOT is None, reason=WHY)]


def root() -> Path:
    assert ROOT is not None
    return ROOT


@functools.cache
def expected(name: str) -> whole.Expected:
    """Recorded, or asked of LiteRT."""
    golden = whole.golden(root(), name)
    if golden is not None:
        return whole.recorded(golden)
    if oracles.missing():
        pytest.skip(str(oracles.missing()))
    return whole.fresh(root(), name, given=given_for(name), steps=steps_for(name), resize=resized)


@pytest.mark.parametrize("name", RUN)
def test_a_model_gives_the_outputs_of_litert(name: str) -> None:
    """Integers exactly, floats within the tolerance of its kind; state through eight steps."""
    want = expected(name)
    if name in NO_ORACLE:
        assert not want.outputs, f"LiteRT runs it now: unlist it ({NO_ORACLE[name]})"
        return
    assert want.outputs, f"LiteRT does not run it ({want.why}): list it in NO_ORACLE or MUST_FAIL"
    report = whole.check(root(), name, want, tolerance_for(name))
    if name in NOT_YET:
        assert report.kind == whole.MISSING, f"is {report.kind}: unlist it in NOT_YET"
        assert " ".join(report.operators) == NOT_YET[name], "other operators are missing now: change NOT_YET"
        return
    assert report.kind in (whole.EQUAL, whole.WITHIN), f"{report.kind}: {report.text or report.operators}"


@pytest.mark.parametrize("name", [n for n in RUN if n not in NOT_YET and n not in NO_ORACLE])
def test_arena_reuse_changes_nothing(name: str) -> None:
    """The same bits with every tensor in memory of its own."""
    want = expected(name)
    kept = whole.run(root() / name, want.inputs, experimental_preserve_all_tensors=True)
    reused = whole.run(root() / name, want.inputs)
    assert whole.compare(name, kept, reused).kind == whole.EQUAL


@pytest.mark.parametrize("name", [n for n in RUN if n not in NOT_YET and steps_for(n) > 1])
def test_interpreters_of_one_model_share_no_state(name: str) -> None:
    """Two of them, one a step behind the other: each gives the recorded series."""
    want = expected(name)
    with sodalite.load(root() / name, raw=True) as model:
        sessions = [model.session(), model.session()]
        series: list[list[list[np.ndarray]]] = [[], []]
        for step in range(len(want.inputs) + 1):
            for late, session in enumerate(sessions):
                if 0 <= step - late < len(want.inputs):
                    given = want.inputs[step - late]
                    series[late].append([np.asarray(session(*given))])
    for outputs in series:
        assert whole.compare(name, outputs, want.outputs, tolerance_for(name)).kind in (whole.EQUAL, whole.WITHIN)


@pytest.mark.parametrize("name", [n for n in NAMES if n in MUST_FAIL])
def test_a_bad_model_is_refused(name: str) -> None:
    """With the error of its kind, at load, allocate or run; one screen, naming what is wrong."""
    wanted, words = MUST_FAIL[name]
    with pytest.raises(SodaliteError) as caught, sodalite.Interpreter(model_path=str(root() / name)) as interpreter:
        interpreter.allocate_tensors()
        interpreter.invoke()
    assert type(caught.value).__name__ == wanted
    assert words in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_lists_name_models_that_are_there() -> None:
    """An entry for no model is stale."""
    listed = {*MUST_FAIL, *NOT_YET, *NO_ORACLE}
    assert not listed - set(NAMES)
