"""One engine in one process: reads {"run": n} lines, answers with the wall and CPU seconds of each inference.

python worker.py ENGINE MODEL.tflite
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Call = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]]


def _interpreter(engine: str, path: str) -> object:
    name, _, how = engine.partition("-")
    if name == "sodalite":
        import sodalite  # noqa: PLC0415

        kernels = how.split("+") if how else None
        return sodalite.Interpreter(path, num_threads=1, kernels=kernels)
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415

    resolver = {
        "ref": OpResolverType.BUILTIN_REF,
        "opt": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "xnnpack": OpResolverType.AUTO,
    }[how]
    return Interpreter(path, num_threads=1, experimental_op_resolver_type=resolver)


def main() -> None:
    engine, path = sys.argv[1:]
    it = _interpreter(engine, path)
    it.allocate_tensors()  # type: ignore[attr-defined]
    (source,), result = it.get_input_details(), it.get_output_details()[0]  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    shape, dtype = source["shape"], source["dtype"]
    x = rng.random(shape, np.float32) if dtype is np.float32 else rng.integers(0, 255, shape).astype(dtype)
    print(json.dumps({"engine": engine}), flush=True)
    for line in sys.stdin:
        walls, cpus = [], []
        for _ in range(json.loads(line)["run"]):
            wall, cpu = time.perf_counter(), time.process_time()
            it.set_tensor(source["index"], x)  # type: ignore[attr-defined]
            it.invoke()  # type: ignore[attr-defined]
            y = it.get_tensor(result["index"])  # type: ignore[attr-defined]
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        print(json.dumps({"wall": walls, "cpu": cpus, "sum": float(np.asarray(y, np.float64).sum())}), flush=True)


if __name__ == "__main__":
    main()
