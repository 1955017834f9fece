"""Timing a model honestly: one clock, warm-up apart, nothing but invoke() inside, every run kept.

The clock is time.perf_counter_ns. Inputs are set once, before. The profile is taken in runs of its own, so that watching
does not slow what is reported as latency.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sodalite import Interpreter

PERCENTILES = (50, 90, 95, 99)


@dataclass(slots=True)
class Runs:
    """Wall and CPU nanoseconds of each run; starts on the same clock. CPU is that of the whole process."""

    starts: list[int] = field(default_factory=list)
    wall: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)


@dataclass(slots=True)
class StepTimes:
    """One step of the plan over the profiled runs. index: its first node's; starts, taken: nanoseconds a run."""

    index: int
    op: str
    name: str
    owner: str
    starts: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


def timed(run: Callable[[], Any], runs: int, min_s: float, max_s: float) -> Runs:
    """Call *run* at least *runs* times and for *min_s* seconds, but not longer than about *max_s*."""
    made = Runs()
    wall, cpu = time.perf_counter_ns, time.process_time_ns
    begin = wall()
    while True:
        cpu_start = cpu()
        start = wall()
        run()
        end = wall()
        cpu_end = cpu()
        made.starts.append(start)
        made.wall.append(end - start)
        made.cpu.append(cpu_end - cpu_start)
        elapsed_s = (end - begin) / 1e9
        if elapsed_s >= max_s or (len(made.wall) >= runs and elapsed_s >= min_s):
            return made


def profiled(interpreter: Interpreter, runs: int, max_s: float) -> tuple[list[StepTimes], Runs]:
    """(times of each step, times of the whole runs) while every step is watched."""
    steps: dict[tuple[int, str], StepTimes] = {}
    if runs == 0:
        return [], Runs()

    def observe(choice: Any, _outputs: Any, taken: int) -> None:
        now = time.perf_counter_ns()
        key = (choice.index, choice.owner)
        step = steps.get(key)
        if step is None:
            step = steps[key] = StepTimes(choice.index, choice.op, choice.name, choice.owner)
        step.starts.append(now - taken)
        step.taken.append(taken)

    made = timed(lambda: interpreter.invoke(observe=observe), runs, 0.0, max_s)
    return list(steps.values()), made


def percentile(ordered: Sequence[int], percent: float) -> float:
    """The *percent*-th percentile of an ascending list, between neighbours in proportion (numpy's "linear")."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(values: Sequence[int]) -> dict[str, float]:
    """min, mean, percentiles, max and standard deviation, in the unit of *values*."""
    ordered = sorted(values)
    mean = sum(ordered) / len(ordered)
    spread = math.sqrt(sum((value - mean) ** 2 for value in ordered) / max(len(ordered) - 1, 1))
    return {
        "min": float(ordered[0]),
        "mean": mean,
        **{f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES},
        "max": float(ordered[-1]),
        "std": spread,
    }


def clock() -> dict[str, Any]:
    """What the clock can tell apart, measured: the smallest step seen, and what reading it costs, in nanoseconds."""
    read = time.perf_counter_ns
    smallest = min(_step(read) for _ in range(50))
    start = read()
    for _ in range(1000):
        read()
    return {"name": "perf_counter_ns", "step_ns": smallest, "read_ns": (read() - start) / 1001}


def _step(read: Callable[[], int]) -> int:
    first = read()
    second = read()
    while second == first:
        second = read()
    return second - first


def peak_rss_bytes() -> int | None:
    """The most memory this process ever had resident, by the system's account; None where it has none."""
    if sys.platform == "win32":
        return _peak_windows()
    try:
        import resource  # noqa: PLC0415  POSIX only
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_windows() -> int | None:
    import ctypes  # noqa: PLC0415

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", ctypes.c_ulong),
            ("page_faults", ctypes.c_ulong),
            *((name, ctypes.c_size_t) for name in ("peak", "now", "a", "b", "c", "d", "e", "f")),
        ]

    counters = Counters()
    counters.cb = ctypes.sizeof(Counters)
    kernel: Any = getattr(ctypes, "windll").kernel32  # noqa: B009  not known to type checkers elsewhere
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = [ctypes.c_void_p, ctypes.POINTER(Counters), ctypes.c_ulong]
    done = kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return int(counters.peak) if done else None


def machine() -> dict[str, Any]:
    """What the figures depend on beside the model: Python, numpy, the processor, settings of BLAS threads."""
    import numpy as np  # noqa: PLC0415
    import sodalite  # noqa: PLC0415

    from .main import BLAS_THREADS  # noqa: PLC0415  the entry point imports nothing of ours

    threads = {name: os.environ[name] for name in BLAS_THREADS if name in os.environ}
    return {
        "sodalite": sodalite.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "blas_threads": threads,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith(("model name", "Hardware")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def trace(stages: Mapping[str, tuple[int, int]], runs: Runs, steps: Sequence[StepTimes], profile: Runs) -> dict[str, Any]:
    """Chrome's trace-event format, which Perfetto and chrome://tracing open: microseconds from the first stage.

    stages: name -> (start, taken) in nanoseconds.
    """
    process = os.getpid()
    zero = min([start for start, _ in stages.values()] + runs.starts[:1])

    def span(name: str, category: str, start: int, taken: int, about: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "cat": category,
            "ph": "X",
            "ts": (start - zero) / 1000,
            "dur": taken / 1000,
            "pid": process,
            "tid": 1,
            "args": about,
        }

    events: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": process, "tid": 1, "args": {"name": "sodalite bench"}},
        {"name": "thread_name", "ph": "M", "pid": process, "tid": 1, "args": {"name": "interpreter"}},
    ]
    events += [span(name, "stage", start, taken, {}) for name, (start, taken) in stages.items()]
    events += [
        span("run", "run", start, taken, {"run": number})
        for number, (start, taken) in enumerate(zip(runs.starts, runs.wall, strict=True))
    ]
    events += [
        span("profiled run", "profiled run", start, taken, {"run": number})
        for number, (start, taken) in enumerate(zip(profile.starts, profile.wall, strict=True))
    ]
    events += [
        span(step.op, "operator", start, taken, {"node": step.index, "name": step.name, "plugin": step.owner})
        for step in steps
        for start, taken in zip(step.starts, step.taken, strict=True)
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}
