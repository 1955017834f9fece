"""``sodalite bench``: latency, profile by operator, memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ToolError, printable
from ..models import Asked, Stages, located, opened, with_plugins

if TYPE_CHECKING:
    from rich.console import Console
    from sodalite import Interpreter

    from ..measure import StepTimes
    from ..values import Array

SCHEMA = "sodalite.bench.v1"
TOP = 10


@click.command()
@click.argument("model")
@click.option("--runs", type=click.IntRange(min=1), default=50, show_default=True, help="Runs to time, at least.")
@click.option("--warmup", type=click.IntRange(min=0), default=3, show_default=True, help="Runs before the clock counts.")
@click.option("--min-seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Go on for so long.")
@click.option("--max-seconds", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Stop after so long.")
@click.option("--profile-runs", type=click.IntRange(min=0), default=10, show_default=True, help="Runs for the profile; 0: none.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE.npy", help="An array for an input; random values by default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random values.")
@click.option("--batch", type=click.IntRange(min=1), help="Give the first dimension of every input this size.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--trace", "trace_file", type=click.Path(path_type=Path), metavar="FILE.json", help="Write a trace for Perfetto.")
@with_plugins
def bench(
    model: str,
    runs: int,
    warmup: int,
    min_seconds: float,
    max_seconds: float,
    profile_runs: int,
    inputs: tuple[str, ...],
    seed: int,
    batch: int | None,
    as_json: bool,
    trace_file: Path | None,
    asked: Asked,
) -> None:
    """Time MODEL: percentiles of latency, a profile by operator, memory.

    Only the run itself is timed, with inputs set before. The profile comes from runs of its own. Threads of numpy's BLAS
    library are not ours: this command gives it one; OPENBLAS_NUM_THREADS=2 gives it two.
    """
    from .. import measure  # noqa: PLC0415

    stages = Stages()
    place = located(model, "model")
    loaded, interpreter = opened(place, asked, stages)
    with interpreter:
        _resize(interpreter, batch)
        stages.time("allocate", interpreter.allocate_tensors)
        said = _fill(interpreter, inputs, seed)
        stages.time("first run", interpreter.invoke)
        if warmup:
            stages.time("warm-up", lambda: measure.timed(interpreter.invoke, warmup, 0.0, max_seconds))
        timed = measure.timed(interpreter.invoke, runs, min_seconds, max_seconds)
        steps, watched = measure.profiled(interpreter, profile_runs, max_seconds)
        report = {
            "schema": SCHEMA,
            "model": str(place.path),
            "model_bytes": loaded.nbytes,
            "inputs": said,
            "threads": asked.threads or 1,
            "machine": measure.machine(),
            "clock": measure.clock(),
            "stages_ns": dict(stages.taken),
            "runs": len(timed.wall),
            "warmup_runs": warmup,
            "latency_ns": measure.summary(timed.wall),
            "cpu_ns": measure.summary(timed.cpu),
            "latencies_ns": timed.wall,
            "memory_bytes": _memory(interpreter),
            "peak_rss_bytes": measure.peak_rss_bytes(),
            "plugins": interpreter.explain().owners,
            "profile": _profile(steps, watched.wall),
        }
    if trace_file is not None:
        from ..cache import written  # noqa: PLC0415

        spans = {name: (stages.began[name], stages.taken[name]) for name in stages.taken}
        text = json.dumps(measure.trace(spans, timed, steps, watched))
        written(trace_file, iter([text.encode()]))
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        from ..console import out  # noqa: PLC0415

        _print(out(), report)


def _resize(interpreter: Interpreter, batch: int | None) -> None:
    if batch is None:
        return
    for detail in interpreter.get_input_details():
        shape = [int(size) for size in detail["shape"]]
        if not shape:
            raise ToolError(f"--batch: input {printable(detail['name'])!r} is a scalar")
        interpreter.resize_tensor_input(detail["index"], [batch, *shape[1:]])


def _fill(interpreter: Interpreter, inputs: tuple[str, ...], seed: int) -> list[str]:
    """Set every input; lines that say with what."""
    from ..feed import Given, described, fed, pairs  # noqa: PLC0415
    from ..values import unique  # noqa: PLC0415

    details = interpreter.get_input_details()
    # A shape that --batch asked for, or that the file leaves open, is as it stands now.
    now = [{**detail, "shape_signature": detail["shape"]} for detail in details]
    names = unique([detail["name"] for detail in now], "input")
    arrays: dict[str, Array]
    arrays, _ = fed(dict(zip(names, now, strict=True)), Given(arrays=pairs(inputs), seed=seed), None, None)
    for detail, array in zip(now, arrays.values(), strict=True):
        interpreter.set_tensor(detail["index"], array)
    return [described(detail) for detail in now]


def _memory(interpreter: Interpreter) -> dict[str, Any]:
    memory = interpreter.memory()
    fields = ("arena", "scratch", "variables", "weights", "packed", "total", "unplanned")
    return {name: getattr(memory, name) for name in fields if hasattr(memory, name)}


def _profile(steps: list[StepTimes], runs: list[int]) -> dict[str, Any] | None:
    """By step in the order of running, and by operator; means over the profiled runs, in nanoseconds."""
    if not runs:
        return None
    count = len(runs)
    whole = sum(runs) / count
    by_operator: dict[tuple[str, str], dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for step in steps:
        mean = sum(step.taken) / count
        rows.append(
            {"node": step.index, "op": step.op, "name": step.name, "plugin": step.owner, "mean_ns": mean, "min_ns": min(step.taken)}
        )
        group = by_operator.setdefault(
            (step.op, step.owner), {"op": step.op, "plugin": step.owner, "steps": 0, "mean_ns": 0.0}
        )
        group["steps"] += 1
        group["mean_ns"] += mean
    inside = sum(row["mean_ns"] for row in rows)
    return {
        "runs": count,
        "run_mean_ns": whole,
        "between_steps_ns": whole - inside,
        "operators": sorted(by_operator.values(), key=lambda group: -group["mean_ns"]),
        "steps": rows,
    }


def _print(screen: Console, report: dict[str, Any]) -> None:
    from ..console import milliseconds, size, table  # noqa: PLC0415

    machine = report["machine"]
    screen.print(f"{printable(report['model'], 400)}: {size(report['model_bytes'])}")
    screen.print(f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, numpy {machine['numpy']}")
    said = ", ".join(f"{name}={value}" for name, value in machine["blas_threads"].items())
    screen.print(f"threads: {report['threads']} of ours; BLAS: {said or 'as numpy decides (no *_NUM_THREADS is set)'}")
    rows = table("stage", "time", right=("time",))
    for name, taken in report["stages_ns"].items():
        rows.add_row(name, milliseconds(taken))
    screen.print(rows)
    names = ("min", "p50", "p90", "p95", "p99", "max", "mean", "std")
    rows = table(f"{report['runs']} runs", *names, right=names)
    for name, key in (("latency", "latency_ns"), ("CPU time", "cpu_ns")):
        rows.add_row(name, *(milliseconds(report[key][column]) for column in names))
    screen.print()
    screen.print(rows)
    if report["latency_ns"]["p50"] < 100 * report["clock"]["step_ns"]:
        screen.print(f"the clock's steps are {report['clock']['step_ns']} ns: single runs are too short for it")
    _print_profile(screen, report["profile"])
    memory = report["memory_bytes"]
    more = ", more while running" if memory.get("unplanned") else ""
    kinds = ", ".join(f"{name} {size(value)}" for name, value in memory.items() if name not in ("total", "unplanned") and value)
    screen.print(f"\nmemory: {size(memory['total'])}{more} ({kinds})")
    if report["peak_rss_bytes"] is not None:
        screen.print(f"the whole process at its peak: {size(report['peak_rss_bytes'])}")


def _print_profile(screen: Console, profile: dict[str, Any] | None) -> None:
    from ..console import bar, milliseconds, table  # noqa: PLC0415

    if profile is None:
        return
    whole = profile["run_mean_ns"]
    rows = table("operator", "run by", "steps", "time", "share", "", right=("steps", "time", "share"))
    for group in profile["operators"]:
        share = group["mean_ns"] / whole
        rows.add_row(
            printable(group["op"]), group["plugin"], str(group["steps"]), milliseconds(group["mean_ns"]), f"{share:.1%}", bar(share, 16)
        )
    rows.add_row("between steps", "", "", milliseconds(profile["between_steps_ns"]), f"{profile['between_steps_ns'] / whole:.1%}", "")
    screen.print(f"\nprofile of {profile['runs']} watched runs, {milliseconds(whole)} each")
    screen.print(rows)
    slowest = sorted(profile["steps"], key=lambda row: -row["mean_ns"])[:TOP]
    rows = table("slowest", "operator", "time", "share", "name", right=("slowest", "time", "share"))
    for row in slowest:
        rows.add_row(
            str(row["node"]), printable(row["op"]), milliseconds(row["mean_ns"]), f"{row['mean_ns'] / whole:.1%}", printable(row["name"], 60)
        )
    screen.print()
    screen.print(rows)
