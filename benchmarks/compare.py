"""Sodalite and LiteRT side by side: each engine in a process of its own, one inference at a time, in turn.

python benchmarks/compare.py [--rounds 15] [MODEL.tflite ...]

Without models: MobileNet v1 1.0/224 float32, built here; and the uint8 one of SODALITE_MODELS where that is set. One BLAS thread.
CPU time is what a one-thread latency would be on an idle machine; ratios are taken round by round, so that a machine whose
speed drifts hits all engines alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ENGINES = ("sodalite", "litert-ref", "litert-opt", "litert-xnnpack")
LAUNCH = "derived/mobilenet_v1_1.0_224_quant.rejoined.tflite"


def machine() -> str:
    """The processor's name and how many cores there are."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


class Worker:
    """An engine's process."""

    def __init__(self, engine: str, model: str) -> None:
        env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), engine, model],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=env,
        )  # fmt: skip
        self._read()

    def _read(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError((self._log.read().strip().splitlines() or ["it died"])[-1])
        answer: dict[str, object] = json.loads(line)
        return answer

    def run(self, n: int) -> dict[str, list[float]]:
        """*n* inferences: seconds of each, wall and cpu."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": n}) + "\n")
        self._process.stdin.flush()
        return self._read()  # type: ignore[return-value]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def measure(model: str, engines: list[str], rounds: int, block: int) -> dict[str, list[float]]:
    """Median CPU milliseconds of each round, by engine; engines that cannot run the model are reported and left out."""
    workers: dict[str, Worker] = {}
    for engine in engines:
        try:
            workers[engine] = Worker(engine, model)
            workers[engine].run(1)
        except RuntimeError as error:
            print(f"  {engine}: {error}")
            workers.pop(engine, None)
    names = list(workers)
    found: dict[str, list[float]] = {name: [] for name in names}
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            found[name].append(1e3 * statistics.median(workers[name].run(block)["cpu"]))
    for worker in workers.values():
        worker.close()
    return found


def table(found: dict[str, list[float]], base: str) -> str:
    """One row an engine: CPU ms (median, least) and how long *base* takes beside it."""
    rows = [f"  {'engine':16} {'median ms':>10} {'least ms':>10} {base + ' / engine':>22}"]
    for name, times in found.items():
        ratio = statistics.median(b / t for b, t in zip(found[base], times, strict=True)) if base in found else float("nan")
        rows.append(f"  {name:16} {statistics.median(times):10.1f} {min(times):10.1f} {ratio:22.2f}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL.tflite")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=int, default=2, help="inferences in one turn (default 2)")
    parser.add_argument("--engines", default=",".join(ENGINES), help="comma-separated; sodalite-cpu_ref names kernels")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = args.models
        if not models:
            from nets import mobilenet_v1  # noqa: PLC0415

            built = Path(folder, "mobilenet_v1_1.0_224_float32.tflite")
            built.write_bytes(mobilenet_v1())
            models = [str(built)]
            launch = Path(os.environ.get("SODALITE_MODELS", ""), LAUNCH)
            models += [str(launch)] if os.environ.get("SODALITE_MODELS") and launch.exists() else []
        print(f"{machine()}; CPU time of one inference (set, invoke, get), one thread, {args.rounds} rounds in turn")
        for model in models:
            print(Path(model).name)
            engines = args.engines.split(",")
            print(table(measure(model, engines, args.rounds, args.block), engines[0]), flush=True)


if __name__ == "__main__":
    main()
