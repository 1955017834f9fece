"""What it costs to begin: importing, finding plugins among many distributions, loading and allocating a model.

python benchmarks/startup.py [MODEL.tflite ...]

Each figure is CPU milliseconds in a fresh process, after numpy is imported: median (least) of --runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import machine

_IMPORT = "import numpy, time; t = time.process_time(); import sodalite; print(time.process_time() - t)"
_FIND = """
import sys, time
import sodalite.plugins as p
t = time.process_time(); found = list(p.entry_points(p.FAMILY)); print(time.process_time() - t)
assert len(found) >= 1
"""
_METADATA = """
import importlib.metadata as m, time
t = time.process_time(); [e for d in m.distributions() for e in d.entry_points if e.group.startswith('sodalite.plugin.v')]; print(time.process_time() - t)
"""
_LOAD = """
import numpy, sodalite, sys, time
t = time.process_time()
it = sodalite.Interpreter(sys.argv[1]); it.allocate_tensors()
print(time.process_time() - t)
"""
_PEER = """
import numpy, sys, time
from ai_edge_litert.interpreter import Interpreter, OpResolverType
t = time.process_time()
it = Interpreter(sys.argv[1]); it.allocate_tensors()
print(time.process_time() - t)
"""


def timed(code: str, *args: str, runs: int, path: str = "") -> str:
    """Median and least of *runs* fresh processes, in milliseconds."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path}
    times = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=env, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["failed"])[-1]
        times.append(1e3 * float(done.stdout.split()[-1]))
    return f"{statistics.median(times):7.1f} ({min(times):.1f}) ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL.tflite")
    parser.add_argument("--runs", type=int, default=11)
    args = parser.parse_args()
    print(machine())
    print(f"import sodalite, after numpy                    {timed(_IMPORT, runs=args.runs)}")
    with tempfile.TemporaryDirectory() as folder:
        for k in range(100):
            info = Path(folder, f"filler{k}-1.0.dist-info")
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: filler{k}\nVersion: 1.0\n", encoding="utf-8")
            (info / "entry_points.txt").write_text("[console_scripts]\nx = y:z\n", encoding="utf-8")
        print(f"find plugins, 100 distributions more            {timed(_FIND, runs=args.runs, path=folder)}")
        print(f"the same through importlib.metadata             {timed(_METADATA, runs=args.runs, path=folder)}")
    for model in args.models:
        print(f"{Path(model).name}: load + allocate, sodalite      {timed(_LOAD, model, runs=args.runs)}")
        print(f"{Path(model).name}: load + allocate, LiteRT        {timed(_PEER, model, runs=args.runs)}")


if __name__ == "__main__":
    main()
