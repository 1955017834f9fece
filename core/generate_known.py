#!/usr/bin/env python3
"""Renew src/sodalite/known_providers.tsv from known_releases.tsv and the plugins of this repository.

known_releases.tsv, kept by hand, says what is known of TensorFlow (its op_version and runtime_version tables), one
operator a line: its name, and the first release that ran version 1, 2, ... of it ("-": no such version was released).

known_providers.tsv, made here, holds the same in the order of the operators' codes, one a line without its name: the
releases ("-" alone: none is known); sodalite-cpu-ref is what provides them. A code that no operator of a graph has is
an empty line. Custom operators come after that, with the distribution that provides them.

Run it when a plugin has gained custom operators; all plugins named below must be installed. With --check it writes
nothing and fails if the file is stale.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from sodalite_schema import ENUMS

RELEASES = Path(__file__).resolve().parent / "known_releases.tsv"
TARGET = RELEASES.parent / "src" / "sodalite" / "known_providers.tsv"

# distribution -> its entry module
PLUGINS = {"sodalite-cpu-ref": "sodalite_cpu_ref"}
# codes of the schema that are no operator of a graph
NO_OPERATORS = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
# what packages outside this environment provide
ELSEWHERE = dict.fromkeys(
    ("custom:ExtractFeatures", "custom:Normalize", "custom:Predict"), "sodalite-custom-example"
)


def render(text: str) -> str:
    """The text of the file for the releases in *text*; ValueError for names that the schema does not have."""
    releases = dict(line.split("\t") for line in text.splitlines())
    builtins = ENUMS["BuiltinOperator"]
    if not builtins.keys() >= releases.keys():
        raise ValueError(f"{RELEASES.name}: no such operators: {sorted(releases.keys() - builtins.keys())}")
    providers = dict(ELSEWHERE)
    for distribution, module in PLUGINS.items():
        for kernel in importlib.import_module(module).kernels:
            if kernel.op.startswith("custom:"):
                providers.setdefault(kernel.op, distribution)
    lines = ["" if op in NO_OPERATORS else releases.get(op, "-") for op in builtins]
    lines += [f"{op} {provider}" for op, provider in sorted(providers.items())]
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Renew the file, or compare it with --check."""
    wanted = render(RELEASES.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        stale = TARGET.read_text(encoding="utf-8") != wanted
        if stale:
            print(f"{TARGET.name} is stale: run python {Path(__file__).name}")
        return int(stale)
    TARGET.write_text(wanted, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
