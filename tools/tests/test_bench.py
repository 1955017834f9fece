"""``sodalite bench``: what it measures, and the form of what it prints."""

import json
import time

import numpy as np
import pytest
from sodalite_tools import measure

QUICK = ("--runs", 4, "--min-seconds", 0, "--warmup", 1, "--profile-runs", 3)


def test_the_table_has_the_figures(sodalite, toy, adder):
    result = sodalite("bench", adder, *QUICK)
    assert result.exit_code == 0, result.stderr
    for said in ("4 runs", "latency", "p50", "p99", "CPU time", "profile of 3 watched runs", "ADD", "NEG", "between steps", "memory:"):
        assert said in result.stdout
    for stage in ("open", "allocate", "first run", "warm-up"):
        assert stage in result.stdout


def test_json_keeps_its_schema(sodalite, toy, adder):
    result = sodalite("bench", adder, *QUICK, "--json", "--threads", 2)
    data = json.loads(result.stdout)
    assert set(data) == {
        "schema", "model", "model_bytes", "inputs", "threads", "machine", "clock", "stages_ns", "runs", "warmup_runs",
        "latency_ns", "cpu_ns", "latencies_ns", "memory_bytes", "peak_rss_bytes", "plugins", "profile",
    }  # fmt: skip
    assert data["schema"] == "sodalite.bench.v1"
    assert (data["runs"], data["warmup_runs"], data["threads"]) == (4, 1, 2)
    assert len(data["latencies_ns"]) == 4
    assert list(data["latency_ns"]) == ["min", "mean", "p50", "p90", "p95", "p99", "max", "std"]
    assert data["latency_ns"]["min"] == min(data["latencies_ns"]) <= data["latency_ns"]["p50"] <= data["latency_ns"]["max"]
    assert list(data["stages_ns"]) == ["open", "allocate", "first run", "warm-up"]
    assert data["plugins"] == {"toy": 3}
    assert data["memory_bytes"]["arena"] > 0
    assert data["peak_rss_bytes"] > 10_000_000
    profile = data["profile"]
    assert profile["runs"] == 3
    assert [(step["node"], step["op"], step["plugin"]) for step in profile["steps"]] == [(0, "ADD", "toy"), (1, "ADD", "toy"), (2, "NEG", "toy")]
    assert {(group["op"], group["steps"]) for group in profile["operators"]} == {("ADD", 2), ("NEG", 1)}
    inside = sum(step["mean_ns"] for step in profile["steps"])
    assert profile["run_mean_ns"] == pytest.approx(inside + profile["between_steps_ns"])
    assert profile["between_steps_ns"] > 0


def test_no_profile(sodalite, toy, adder):
    data = json.loads(sodalite("bench", adder, "--runs", 1, "--min-seconds", 0, "--profile-runs", 0, "--json").stdout)
    assert data["profile"] is None
    assert "watched" not in sodalite("bench", adder, "--runs", 1, "--min-seconds", 0, "--profile-runs", 0).stdout


def test_a_trace_is_what_perfetto_reads(sodalite, toy, adder, tmp_path):
    """Complete events in microseconds; each operator lies inside a profiled run, in order."""
    path = tmp_path / "trace.json"
    assert sodalite("bench", adder, *QUICK, "--trace", path).exit_code == 0
    data = json.loads(path.read_text())
    events = [event for event in data["traceEvents"] if event["ph"] == "X"]
    assert {event["ph"] for event in data["traceEvents"]} == {"X", "M"}
    for event in events:
        assert {"name", "cat", "ts", "dur", "pid", "tid", "args"} == set(event) - {"ph"}
        assert event["ts"] >= 0
        assert event["dur"] >= 0
    runs = [event for event in events if event["cat"] == "profiled run"]
    operators = sorted((event for event in events if event["cat"] == "operator"), key=lambda event: event["ts"])
    assert len(runs) == 3
    assert [event["name"] for event in operators] == ["ADD", "ADD", "NEG"] * 3
    for place, event in enumerate(operators):
        run = runs[place // 3]
        assert run["ts"] <= event["ts"]
        assert event["ts"] + event["dur"] <= run["ts"] + run["dur"] + 1
    assert sum(event["cat"] == "run" for event in events) == 4
    assert [event["name"] for event in events if event["cat"] == "stage"] == ["open", "allocate", "first run", "warm-up"]


def test_batch_and_arrays(sodalite, toy, adder, tmp_path, told):
    data = json.loads(sodalite("bench", adder, *QUICK, "--json", "--batch", 5).stdout)
    assert data["inputs"] == ["x: float32 5 x 4", "y: float32 5 x 4"]
    path = tmp_path / "a.npy"
    np.save(path, np.ones((5, 4), np.float32))
    assert sodalite("bench", adder, *QUICK, "--batch", 5, "--input", f"x={path}").exit_code == 0
    told(sodalite("bench", adder, *QUICK, "--input", f"x={path}"), "has the shape 5 x 4")


def test_a_trace_that_cannot_be_written(sodalite, toy, adder, tmp_path, told):
    (tmp_path / "file").write_text("")
    told(sodalite("bench", adder, *QUICK, "--trace", tmp_path / "file/trace.json"), "cannot write")


# ---------------------------------------------------------------- the measuring itself


def test_percentiles_are_numpy_s():
    for count in (1, 2, 3, 10, 101):
        values = sorted(np.random.default_rng(count).integers(0, 1000, count).tolist())
        for percent in (0, 1, 50, 90, 99, 100):
            assert measure.percentile(values, percent) == pytest.approx(np.percentile(values, percent))
    made = measure.summary([4, 1, 2])
    assert (made["min"], made["max"], made["p50"]) == (1, 4, 2)
    assert made["std"] == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert measure.summary([7])["std"] == 0


def test_timing_goes_on_for_runs_and_seconds():
    assert len(measure.timed(lambda: None, 7, 0.0, 60.0).wall) == 7
    assert len(measure.timed(lambda: None, 1, 0.05, 60.0).wall) > 7
    assert len(measure.timed(lambda: time.sleep(0.02), 100, 60.0, 0.05).wall) < 20


def test_sleep_is_wall_time_and_not_cpu_time():
    made = measure.timed(lambda: time.sleep(0.02), 3, 0.0, 60.0)
    assert min(made.wall) >= 19_000_000
    assert sum(made.cpu) < sum(made.wall) / 2


def test_work_is_both():
    def work():
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    made = measure.timed(work, 3, 0.0, 60.0)
    assert min(made.cpu) >= 19_000_000


def test_the_clock_is_described():
    made = measure.clock()
    assert 0 < made["step_ns"] < 1e8
    assert 0 < made["read_ns"] < 1e6
