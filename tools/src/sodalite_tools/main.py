"""The entry point of the ``sodalite`` script. Imports nothing until it is guarded."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit; 130 after Ctrl-C."""
    try:
        from .cli import cli  # noqa: PLC0415  so that Ctrl-C while importing is quiet as well

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
