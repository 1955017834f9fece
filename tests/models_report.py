# SPDX-License-Identifier: Apache-2.0
"""Run every model in $SODALITE_MODELS and print what came of it.

    python tests/models_report.py [--plugins cpu_ref,...] [PART OF A NAME ...]

One line a model: bit-equal, within tolerance (largest difference), not yet runnable (operators), refused as it must be;
then the sums. Exit code 1 if a model is wrong or fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from models_expected import MUST_FAIL, NO_ORACLE, given_for, resized, steps_for, tolerance_for
from sodalite.errors import SodaliteError
from sodalite_testkit import oracle as oracles
from sodalite_testkit import whole

REFUSED, SILENT = "refused", "no answer by LiteRT"


def report(root: Path, name: str, how: dict[str, Any]) -> whole.Report:
    """One model; LiteRT is asked where nothing is recorded."""
    golden = whole.golden(root, name)
    try:
        if golden is not None:
            want = whole.recorded(golden)
        elif oracles.missing():
            return whole.Report(name, SILENT, text=str(oracles.missing()))
        else:
            want = whole.fresh(root, name, given=given_for(name), steps=steps_for(name), resize=resized)
        said = whole.check(root, name, want, tolerance_for(name), **how) if want.outputs else None
        if said is None:
            whole.run(root / name, want.inputs, **how)
            return whole.Report(name, SILENT, text=f"runs here; there: {want.why}")
    except SodaliteError as error:
        said = whole.Report(name, whole.FAILED, text=f"{type(error).__name__}: {error}")
    if name in MUST_FAIL and said.kind in (whole.FAILED, whole.MISSING):
        return whole.Report(name, REFUSED, text=said.text)
    if name in NO_ORACLE and said.kind in (whole.FAILED, whole.MISSING):
        return whole.Report(name, SILENT, text=f"{NO_ORACLE[name]}; here: {said.text}")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plugins", help="kernels of these plugins only, in this order")
    parser.add_argument("--not-yet", action="store_true", help="print NOT_YET of models_expected.py as it should be")
    parser.add_argument("name", nargs="*", help="only models whose path holds one of these")
    given = parser.parse_args()
    root = whole.folder()
    if root is None:
        print(f"{whole.VARIABLE_NAME} names no folder of models", file=sys.stderr)
        return 2
    how = {} if given.plugins is None else {"kernels": given.plugins.split(",")}
    counts: Counter[str] = Counter()
    for name in whole.models(root):
        if given.name and not any(part in name for part in given.name):
            continue
        start = time.perf_counter()
        said = report(root, name, how)
        counts[said.kind] += 1
        if given.not_yet:
            if said.kind == whole.MISSING:
                print(f'    "{name}": "{" ".join(said.operators)}",')
            continue
        more = {
            whole.WITHIN: f" (largest difference {said.worst:.3g})",
            whole.MISSING: f" ({', '.join(said.operators)})",
        }.get(said.kind, f" ({said.text.splitlines()[0][:150]})" if said.text else "")
        print(f"{name}: {said.kind}{more}  {time.perf_counter() - start:.2f} s", flush=True)
    if not given.not_yet:
        print(", ".join(f"{n} {kind}" for kind, n in counts.most_common()))
    return 1 if counts[whole.WRONG] or counts[whole.FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
