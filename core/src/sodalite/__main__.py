"""``python -m sodalite``: the ``sodalite`` command, which the package sodalite-tools holds."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; 2, and what to install, if it is not there."""
    try:
        from sodalite_tools.main import main as command  # noqa: PLC0415  an optional package
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sodalite_tools":
            raise
        print("the sodalite command is in another package: pip install sodalite-tools", file=sys.stderr)
        return 2
    result = command()
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
