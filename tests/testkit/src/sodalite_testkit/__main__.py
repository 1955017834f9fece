# SPDX-License-Identifier: Apache-2.0
"""Judge some cases without pytest, while writing a kernel:

    python -m sodalite_testkit cpu_ref 'CONV_2D-int8-*' --family conv

prints every case that does not agree, and a summary. Exit code 1 if one is wrong or cannot be judged, 2 if none matches or LiteRT is missing.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections import Counter

from .case import BASE_SEED, Case
from .cases import FAMILIES, all_cases, family_cases
from .direct import kernel_for
from .suite import REFERENCE, NoOracle, judge, kernels_of


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sodalite_testkit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("plugin", help="its name in entry-point group sodalite.plugin.v1")
    parser.add_argument("pattern", nargs="*", default=["*"], help="case ids, as for a shell; default: all")
    parser.add_argument("--family", choices=FAMILIES, help="only make the cases of this module")
    parser.add_argument("--first", action="store_true", help="stop at the first case that is wrong")
    parser.add_argument("--all", action="store_true", help="print the cases that agree, too")
    given = parser.parse_args(arguments)
    kernels = kernels_of(given.plugin)
    every: tuple[Case, ...] = all_cases() if given.family is None else family_cases(given.family)
    chosen = [
        c
        for c in every
        if kernel_for(kernels, c) is not None and any(fnmatch.fnmatchcase(c.id, p) for p in given.pattern)
    ]
    if not chosen:
        print(f"no case of {given.plugin}'s operators matches {' '.join(given.pattern)}", file=sys.stderr)
        return 2
    reference = None if given.plugin == REFERENCE else REFERENCE
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    for case in chosen:
        try:
            verdict = judge(case, kernels, reference)
        except NoOracle as why:
            print(why, file=sys.stderr)
            return 2
        counts[verdict.kind] += 1
        if given.all or verdict.kind != "agrees":
            print(f"{case.id} {verdict}")
        if given.first and verdict.kind in ("wrong", "unjudged"):
            break
    said = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    print(f"{sum(counts.values())} of {len(chosen)} cases: {said}; {time.perf_counter() - start:.1f} s, SODALITE_SEED={BASE_SEED}")
    return 1 if counts["wrong"] or counts["unjudged"] else 0


if __name__ == "__main__":
    sys.exit(main())
