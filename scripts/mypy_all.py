"""mypy, strict, over the src folder of every package at once, and over these scripts."""

from __future__ import annotations

import subprocess
import sys

from siblings import ROOT, packages


def main(arguments: list[str]) -> int:
    folders = [str((package.folder / "src").relative_to(ROOT)) for package in packages().values()]
    # Two runs: the scripts are run from their own folder, and two modules may have one name
    for where in (folders, ["scripts"]):
        done = subprocess.run([sys.executable, "-m", "mypy", *where, *arguments], cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
