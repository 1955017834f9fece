"""The entry point of the ``sodalite`` script. Imports nothing until it is guarded."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; its exit code, 130 after Ctrl-C."""
    try:
        from .cli import cli  # noqa: PLC0415  so that Ctrl-C while importing is quiet as well

        cli.main()
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
