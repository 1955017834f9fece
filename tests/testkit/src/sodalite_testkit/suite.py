# SPDX-License-Identifier: Apache-2.0
"""A plugin's whole test file:

    test_ops = conformance("cpu_x86", declines={"CONV_2D-*": "no dilation yet"}, known_wrong={})

Every case of every operator that the plugin offers becomes one test: it runs in guarded memory (``direct``), and its
outputs are compared, for ``cpu_ref`` with LiteRT, for every other plugin with cpu_ref. What cannot be done is listed:
patterns of case ids (as for a shell) -> the reason. A listed case that runs, or agrees, fails too, and so does an
entry that matches no case.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from sodalite.errors import SodaliteError
from sodalite.graph import Array
from sodalite.kernel import Kernel, KernelSet, Unsupported
from sodalite.plugins import Registry

from . import oracle as oracles
from .case import BASE_SEED, ELEMENTWISE, FED, ROWS, SLOW, Case, Tensor
from .cases import all_cases
from .direct import Broken, Outcome, evaluate, growth, kernel_for, permuted, run
from .tolerance import EXACT, Tolerance

REFERENCE = "cpu_ref"
GROWS = 2000  # bytes in 50 runs: 40 a run, less than one small object
AGREES = "values are right"


def conformance(
    plugin: str | KernelSet,
    *,
    declines: Mapping[str, str] | None = None,
    known_wrong: Mapping[str, str] | None = None,
    reference: str | None = REFERENCE,
    cases: Iterable[Case] | None = None,
) -> Callable[..., None]:
    """A test function over all cases of the operators that *plugin* offers.

    plugin: a name under entry-point group sodalite.plugin.v1, or a KernelSet. declines, known_wrong: pattern of case
    ids -> reason. reference: the plugin to compare with where it runs a case too, LiteRT otherwise; None: LiteRT always
    (as for the reference itself). cases: by default those of the testkit.
    pytest.UsageError if no such plugin is installed, or a list has an entry without a reason.
    """
    name = plugin if isinstance(plugin, str) else "kernels"
    kernels = kernels_of(plugin) if isinstance(plugin, str) else tuple(plugin)
    lists = {"declines": dict(declines or {}), "known_wrong": dict(known_wrong or {})}
    for title, entries in lists.items():
        for pattern, reason in entries.items():
            if not reason.strip():
                raise pytest.UsageError(f"{title}[{pattern!r}] has no reason")
    chosen = [c for c in (all_cases() if cases is None else cases) if kernel_for(kernels, c) is not None]
    other = None if reference is None or reference == plugin else reference
    watched = _first_of_each(chosen)
    table = pytest.mark.parametrize("case", [*chosen, *_entries(lists)], ids=str)

    @table
    def test(case: Case | _Entry, record_property: Callable[[str, object], None]) -> None:
        if isinstance(case, _Entry):
            case.check(chosen)
            return
        wanted = {title: _matching(entries, case) for title, entries in lists.items()}
        try:
            said = judge(case, kernels, other, leaks=case.id in watched)
        except NoOracle as why:
            pytest.skip(str(why))
        record_property("sodalite", {"plugin": name, "op": case.op, "types": case.dtypes, "said": said.kind})
        complaint = said.against(wanted["declines"], wanted["known_wrong"])
        if complaint:
            pytest.fail(f"{case.id}: {complaint}\n(drawn with SODALITE_SEED={BASE_SEED})", pytrace=False)

    test.__doc__ = f"What {name} makes of every case."
    return pytest.mark.oracle(test) if other is None and any(c.oracle != "expected" for c in chosen) else test


class NoOracle(Exception):  # noqa: N818  a reason to skip
    """There is no LiteRT here, and the case needs it."""


class _Unjudged(Exception):  # noqa: N818  becomes a verdict
    pass


class Verdict:
    """What came of a case.

    kind: "agrees", "declined", "wrong", or "unjudged" if the oracle has no answer, so that the case is of no use; why:
    the decline, the rule and what broke it, or what the oracle said.
    """

    def __init__(self, kind: str, why: str = "") -> None:
        self.kind = kind
        self.why = why

    def against(self, declines: str | None, known_wrong: str | None) -> str | None:
        """A complaint if this is not what the lists say; the arguments are the reasons listed, or None."""
        if self.kind == "unjudged":
            return f"{self}: change the case, or give it oracle= and expected="
        if declines is not None:
            return None if self.kind == "declined" else f"is listed as declined ({declines}), but is not ({self}): unlist it"
        if known_wrong is not None:
            return None if self.kind == "wrong" else f"is listed as known wrong ({known_wrong}), but is not ({self}): unlist it"
        if self.kind == "declined":
            return f"{self}; list it in declines= with a reason, or support it"
        return self.why if self.kind == "wrong" else None

    def __str__(self) -> str:
        return self.kind if self.kind == "agrees" else f"{self.kind}: {self.why}"


def judge(
    case: Case, kernels: Iterable[Kernel] | KernelSet, reference: str | None = None, *, leaks: bool = True
) -> Verdict:
    """Run *case* by every rule. reference: as for conformance; leaks: also look for memory that grows.

    NoOracle if LiteRT is needed and not installed.
    """
    kernels = tuple(kernels)
    try:
        if case.raises:
            _raises(case, kernels)
            return Verdict("agrees")
        outcome = run(case, kernels)
        _compare(case, outcome, reference)
        _positions(case, kernels, outcome)
        if leaks and SLOW not in case.tags:
            _grows(case, kernels)
    except Unsupported as answer:
        return Verdict("declined", f"{answer.why} ({answer.code.name})")
    except Broken as broken:
        return Verdict("wrong", str(broken))
    except _Unjudged as silent:
        return Verdict("unjudged", str(silent))
    return Verdict("agrees")


@functools.cache
def kernels_of(plugin: str) -> tuple[Kernel, ...]:
    """The kernels that an installed plugin offers on this machine. pytest.UsageError if it is not there."""
    registry = Registry.load()
    known = {p.name: p for p in registry.plugins}
    if plugin not in known:
        raise pytest.UsageError(f"no plugin is called {plugin!r}; installed: {', '.join(known) or 'none'}")
    if known[plugin].state != "ready":
        raise pytest.UsageError(f"{known[plugin]} {known[plugin].state}: {known[plugin].why}")
    return tuple(offer.kernel for op in sorted(registry.operators) for offer in registry.offers(op, [plugin]))


def right_answer(case: Case, reference: str | None) -> tuple[tuple[Array, ...] | None, str]:
    """The outputs to compare with, and whose they are; None where only ``case.expected`` says what is right."""
    if reference is not None:
        known = _by_reference(case, reference)
        if known is not None:
            return known, reference
    if case.oracle == "expected":
        return None, "expected"
    from .model import model_of

    why = oracles.missing()
    if why is not None:
        raise NoOracle(why)
    answer = oracles.oracle().ask(model_of(case), case.fed, case.oracle, steps=case.steps)
    if answer.kind != "ok":
        raise _Unjudged(f"LiteRT ({case.oracle}) does not run it: {answer.kind}, {answer.text}")
    return answer.outputs, f"LiteRT ({case.oracle})"


@functools.lru_cache(maxsize=4096)
def _by_reference(case: Case, reference: str) -> tuple[Array, ...] | None:
    try:
        return evaluate(case, kernels_of(reference))
    except (pytest.UsageError, Unsupported):
        return None


def _compare(case: Case, outcome: Outcome, reference: str | None) -> None:
    wanted, whose = right_answer(case, reference)
    pairs = [] if wanted is None else [(wanted, whose)]
    if case.expected:
        pairs.append((case.expected, "the worked example"))
    if not pairs:
        raise Broken(AGREES, "the case has oracle='expected' but no expected outputs")
    for right, who in pairs:
        if len(right) != len(outcome.outputs):
            raise Broken(AGREES, f"{len(outcome.outputs)} outputs, {who} has {len(right)}")
        for i, (got, want) in enumerate(zip(outcome.outputs, right, strict=True)):
            complaint = tolerance_of(case, i).complaint(got, want)
            if complaint is not None:
                raise Broken(AGREES, f"output {i} against {who}: {complaint}")


def tolerance_of(case: Case, output: int) -> Tolerance:
    """Of one output: float types have the case's, and so have others if it speaks of levels; the rest is exact."""
    dtype = case.outputs[output].dtype
    inexact = dtype.startswith(("float", "bfloat", "complex"))
    return case.tolerance if inexact or case.tolerance.abs >= 1 else EXACT


def _raises(case: Case, kernels: tuple[Kernel, ...]) -> None:
    try:
        run(case, kernels)
    except SodaliteError as error:
        if type(error).__name__ != case.raises:
            raise Broken("errors have their class", f"{type(error).__name__}, wanted {case.raises}: {error}") from error
        if not str(error):
            raise Broken("errors say what is wrong", "the message is empty") from error
        return
    raise Broken("errors are raised", f"it ran, wanted {case.raises}")


def _positions(case: Case, kernels: tuple[Kernel, ...], outcome: Outcome) -> None:
    """The same elements, or rows, in another order give the same results in that order."""
    shapes = {a.shape for a in outcome.outputs}
    if ELEMENTWISE in case.tags and len(shapes) == 1:
        shape = shapes.pop()

        def backwards(a: Array) -> Array:
            return a.reshape(-1)[::-1].reshape(a.shape)

        _moved(case, kernels, outcome, backwards, lambda t: t.shape == shape, EXACT)
    if ROWS in case.tags:
        rows = outcome.outputs[0].shape[0]
        tolerance = EXACT if all(a.dtype.kind in "iub" for a in outcome.outputs) else case.tolerance
        _moved(
            case,
            kernels,
            outcome,
            lambda a: a[::-1],
            lambda t: t.role == FED and bool(t.shape) and t.shape is not None and t.shape[0] == rows,
            tolerance,
        )


def _moved(
    case: Case,
    kernels: tuple[Kernel, ...],
    outcome: Outcome,
    order: Callable[[Array], Array],
    chosen: Callable[[Tensor], bool],
    tolerance: Tolerance,
) -> None:
    moved = evaluate(permuted(case, order, chosen), kernels)
    for i, (got, want) in enumerate(zip(moved, outcome.outputs, strict=True)):
        complaint = tolerance.complaint(np.ascontiguousarray(order(got)), want)
        if complaint is not None:
            raise Broken("a result does not depend on its position", f"output {i}, in another order: {complaint}")


def _grows(case: Case, kernels: tuple[Kernel, ...]) -> None:
    grown = growth(case, kernels)
    if grown > GROWS:
        raise Broken("a step allocates nothing that grows", f"{grown:,} bytes more after 50 runs")


def _first_of_each(cases: Iterable[Case]) -> frozenset[str]:
    """One case of each operator and types: enough to see a leak."""
    first: dict[tuple[str, str], str] = {}
    for case in cases:
        if not case.raises and SLOW not in case.tags:
            first.setdefault((case.op, case.dtypes), case.id)
    return frozenset(first.values())


def _matching(entries: Mapping[str, str], case: Case) -> str | None:
    return next((why for pattern, why in entries.items() if fnmatch.fnmatchcase(case.id, pattern)), None)


class _Entry:
    """A line of declines or known_wrong, as a test of its own: it must match some case."""

    def __init__(self, title: str, pattern: str) -> None:
        self.title = title
        self.pattern = pattern

    def __str__(self) -> str:
        return f"{self.title}[{self.pattern}]"

    def check(self, cases: Iterable[Case]) -> None:
        if not any(fnmatch.fnmatchcase(c.id, self.pattern) for c in cases):
            pytest.fail(f"{self} matches no case of this plugin's operators: remove it", pytrace=False)


def _entries(lists: Mapping[str, Mapping[str, Any]]) -> list[_Entry]:
    return [_Entry(title, pattern) for title, entries in lists.items() for pattern in entries]
