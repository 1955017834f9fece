"""The entry point of the ``sodalite`` script. Imports nothing until it is guarded."""

from __future__ import annotations

import os
import sys

# numpy's BLAS would start a thread a core and let them spin for each other in products too small to share: on a busy
# machine that makes a run ten times slower. One thread each, unless the user says otherwise.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main() -> int:
    """Run the command line of this process; its exit code, 130 after Ctrl-C."""
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")
    try:
        from .cli import cli  # noqa: PLC0415  so that Ctrl-C while importing is quiet as well

        cli.main()
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
