"""``python -m sodalite``: the ``sodalite`` command of the package sodalite-tools."""

import sys


def main() -> int:
    try:
        from sodalite_tools.main import main as command
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("sodalite_tools"):
            raise
        print("the sodalite command is in another package: pip install sodalite-tools", file=sys.stderr)
        return 2
    return command()


if __name__ == "__main__":
    sys.exit(main())
