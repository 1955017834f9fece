"""`make demo` and `make install`: core, reference kernels and the command, from this checkout.

python scripts/demo.py             # into .demo/, then classify a photo with a real model
python scripts/demo.py --install   # into the virtual environment that is active, or a new one in .venv/
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from environment import executable, make_environment
from siblings import ROOT, Trouble

PACKAGES = ("core", "cpu_ref", "tools")
MODEL, PHOTO = "efficientnet-lite0", "cat"


def installed(folder: Path) -> Path:
    """The environment in *folder* with PACKAGES in it; its python. Quick if nothing changed since the last time."""
    python = make_environment(folder)
    script = str(ROOT / "scripts" / "siblings.py")
    if subprocess.run([str(python), script, "install", *PACKAGES], check=False).returncode:
        raise Trouble("the packages were not installed, see above")
    return python


def main(arguments: Sequence[str]) -> int:
    started = time.monotonic()
    if "--install" in arguments:
        active = os.environ.get("VIRTUAL_ENV")
        folder = Path(active) if active else ROOT / ".venv"
        python = installed(folder)
        print(f"installed into {folder}: {executable(python.parent.parent, 'sodalite')}")
        if not active:
            print(f"activate it with: . {folder.relative_to(ROOT)}/bin/activate")
        return 0
    print("installing core, reference kernels and the command into .demo/", flush=True)
    python = installed(ROOT / ".demo")
    command = str(executable(python.parent.parent, "sodalite"))
    print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
    for words in (["get", MODEL], ["get", PHOTO], ["run", MODEL, "--image", PHOTO]):
        print(f"\n$ sodalite {' '.join(words)}", flush=True)
        done = subprocess.run([command, *words], check=False)
        if done.returncode:
            return done.returncode
    print(
        f"\nthe command is {Path(command).relative_to(ROOT)}; try: {Path(command).relative_to(ROOT)} --help"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        print(f"make {'install' if '--install' in sys.argv else 'demo'}: {trouble}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
