
"""Renew the provider column of src/sodalite/known_providers.tsv from the plugins of this repository.

The file says, one operator a line: its name, the distribution that is known to provide it ("-": none), and the
first TensorFlow release that ran version 1, 2, ... of it ("-": no such version was released). The releases are facts
about TensorFlow (its op_version and runtime_version tables) and are kept as they are; a new operator's line is added
by hand.

Run it when a plugin has gained operators; all plugins named below must be installed. With --check it writes nothing
and fails if the file is stale.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "src" / "sodalite" / "known_providers.tsv"

# distribution -> its entry module; the first one that offers an operator is named
PLUGINS = {"sodalite-cpu-ref": "sodalite_cpu_ref"}
# what packages outside this environment provide
ELSEWHERE = dict.fromkeys(
    ("custom:ExtractFeatures", "custom:Normalize", "custom:Predict"), "sodalite-custom-example"
)


def render(text: str) -> str:
    """The text of the file with its provider column renewed."""
    runtimes = {}
    for line in text.splitlines():
        op, _, releases = line.split("\t")
        runtimes[op] = releases
    providers = dict(ELSEWHERE)
    for distribution, module in PLUGINS.items():
        for kernel in importlib.import_module(module).kernels:
            if not kernel.op.startswith("fused:"):
                providers.setdefault(kernel.op, distribution)
    lines = [f"{op}\t{providers.get(op, '-')}\t{runtimes.get(op, '')}\n" for op in sorted({*runtimes, *providers})]
    return "".join(lines)


def main() -> int:
    """Renew the file, or compare it with --check."""
    text = TARGET.read_text(encoding="utf-8")
    wanted = render(text)
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print(f"{TARGET.name} is stale: run python {Path(__file__).name}")
        return int(text != wanted)
    TARGET.write_text(wanted, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
