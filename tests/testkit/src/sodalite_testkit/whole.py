# SPDX-License-Identifier: Apache-2.0
"""Whole models: run a .tflite file through sodalite.Interpreter and compare with recorded or fresh LiteRT outputs.

The folder of models is named by the environment variable SODALITE_MODELS. A model ``a/b.tflite`` may have a golden
``goldens/tflite/a__b.tflite.npz`` with inputs ``in0``, ... and the outputs ``out0``, ... of LiteRT's reference
kernels; for a model with state ``in0@0``, ``in0@1``, ... of successive runs. Others are run on drawn inputs by the
oracle.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sodalite
from sodalite.errors import SodaliteError, UnsupportedOpError
from sodalite.graph import Array, Shape

from .case import draw, generator
from .oracle import oracle
from .tolerance import NEAR, Tolerance

VARIABLE_NAME = "SODALITE_MODELS"
# Sums of products in another order, through all layers of a network.
FLOAT = NEAR(abs=1e-6, rel=1e-4, peak=1e-4)
# Activations quantised while running: a sum that differs in its last bit can move a level, one of 255, later on.
HYBRID = NEAR(abs=1e-6, peak=1e-2)
EQUAL, WITHIN, WRONG, MISSING, FAILED = "bit-equal", "within tolerance", "wrong", "not yet runnable", "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a model. kind: one of the five above; worst: largest |difference| of float outputs; operators: for
    MISSING, which; text: the complaint or the error.
    """

    name: str
    kind: str
    worst: float = 0.0
    operators: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Inputs of successive runs and the outputs wanted; outputs empty where LiteRT does not run the model (why)."""

    inputs: tuple[tuple[Array, ...], ...]
    outputs: tuple[tuple[Array, ...], ...]
    why: str = ""


def folder() -> Path | None:
    """The folder of models, or None if SODALITE_MODELS names none."""
    named = os.environ.get(VARIABLE_NAME, "")
    path = Path(named)
    return path if named and path.is_dir() else None


def models(root: Path) -> tuple[str, ...]:
    """Every .tflite file under *root*, by its path there."""
    return tuple(sorted(p.relative_to(root).as_posix() for p in root.rglob("*.tflite")))


def golden(root: Path, name: str) -> Path | None:
    """The file of recorded outputs of model *name*, if it has one."""
    path = root / "goldens" / "tflite" / (name.replace("/", "__") + ".npz")
    return path if path.is_file() else None


def recorded(path: Path) -> Expected:
    """What a golden file holds."""
    with np.load(path, allow_pickle=False) as file:
        return Expected(_runs(file, "in"), _runs(file, "out"))


def _runs(file: Any, prefix: str) -> tuple[tuple[Array, ...], ...]:
    """prefix0, prefix1, ... of each run, run 0 first; names without @ are those of the only run."""
    found: dict[int, dict[int, Array]] = {}
    for key in file.files:
        match = re.fullmatch(rf"{prefix}(\d+)(?:@(\d+))?", key)
        if match:
            found.setdefault(int(match[2] or 0), {})[int(match[1])] = file[key]
    return tuple(tuple(run[i] for i in sorted(run)) for _, run in sorted(found.items()))


def fresh(
    root: Path,
    name: str,
    *,
    given: Sequence[Any] = (),
    steps: int = 1,
    resize: Callable[[Shape], Shape] = lambda shape: shape,
    resolver: str = "ref",
) -> Expected:
    """Ask the oracle, on drawn inputs.

    given: values for the first inputs instead; steps: runs without a reset; resize: an input's shape -> the shape to give.
    """
    model = (root / name).read_bytes()
    with sodalite.Interpreter(model_content=model) as interpreter:
        details = interpreter.get_input_details()
    runs = tuple(
        tuple(_input(name, d, resize(_shape(d)), i, step, given) for i, d in enumerate(details))
        for step in range(steps)
    )
    answer = oracle().ask_runs(model, runs, resolver)
    if answer.kind != "ok":
        return Expected(runs, (), f"{answer.kind}: {answer.text}")
    return Expected(runs, answer.runs)


def _shape(detail: dict[str, Any]) -> Shape:
    return tuple(int(n) for n in detail["shape"])


def _input(name: str, detail: dict[str, Any], shape: Shape, place: int, step: int, given: Sequence[Any]) -> Array:
    kind = np.dtype(detail["dtype"])
    if place < len(given):
        return np.full(shape, given[place], kind)
    dtype = "string" if kind.kind in "OSU" else kind.name
    bounds: dict[str, float] = {}
    if kind.kind == "f":
        bounds = {"low": -1.0, "high": 1.0}
    elif kind.itemsize > 2:
        bounds = {"low": 0, "high": 3}
    return draw(generator(name, place, step), dtype, shape, **bounds)  # type: ignore[arg-type]


def run(model: str | Path, inputs: Iterable[Sequence[Array]], **how: Any) -> tuple[tuple[Array, ...], ...]:
    """The outputs of successive runs through sodalite.Interpreter; *how*: its keyword arguments."""
    with sodalite.Interpreter(model_path=str(model), **how) as interpreter:
        given = interpreter.get_input_details()
        answers: list[tuple[Array, ...]] = []
        for arrays in inputs:
            odd = [(d["index"], a.shape) for d, a in zip(given, arrays, strict=True) if _shape(d) != a.shape]
            for index, shape in odd:
                interpreter.resize_tensor_input(index, shape)
            if odd or not answers:
                interpreter.allocate_tensors()
            for detail, array in zip(given, arrays, strict=True):
                interpreter.set_tensor(detail["index"], array)
            interpreter.invoke()
            answers.append(tuple(np.asarray(interpreter.get_tensor(d["index"])) for d in interpreter.get_output_details()))
        return tuple(answers)


def check(root: Path, name: str, expected: Expected, tolerance: Tolerance = FLOAT, **how: Any) -> Report:
    """Run model *name* and compare: integers exactly, floats within *tolerance*; *how*: arguments of Interpreter."""
    try:
        got = run(root / name, expected.inputs, **how)
    except UnsupportedOpError as error:
        return Report(name, MISSING, operators=operators_in(error), text=str(error))
    except SodaliteError as error:
        return Report(name, FAILED, text=f"{type(error).__name__}: {error}")
    return compare(name, got, expected.outputs, tolerance)


def compare(
    name: str,
    got: Sequence[Sequence[Array]],
    want: Sequence[Sequence[Array]],
    tolerance: Tolerance = FLOAT,
) -> Report:
    """The report on outputs of successive runs."""
    worst, equal = 0.0, True
    for step, (outputs, wanted) in enumerate(zip(got, want, strict=True)):
        if len(outputs) != len(wanted):
            return Report(name, WRONG, text=f"{len(outputs)} outputs, wanted {len(wanted)}")
        for i, (a, b) in enumerate(zip(outputs, wanted, strict=True)):
            where = f"run {step} output {i}: "
            exact = Tolerance().complaint(a, b)
            if exact is None:
                continue
            if b.dtype.kind != "f":
                return Report(name, WRONG, text=where + exact)
            complaint = tolerance.complaint(a, b)
            if complaint is not None:
                return Report(name, WRONG, text=where + complaint)
            equal = False
            with np.errstate(all="ignore"):
                worst = max(worst, float(np.nanmax(np.abs(a.astype(np.float64) - b), initial=0)))
    return Report(name, EQUAL if equal else WITHIN, worst)


def operators_in(error: UnsupportedOpError) -> tuple[str, ...]:
    """The operators that the error names, each once, sorted."""
    text = str(error)
    named = re.findall(r"^  (\S+) version \d+ \(", text, re.MULTILINE)
    rest = re.search(r"^  and \d+ more: (.*)$", text, re.MULTILINE)
    more = [] if rest is None else [op for op in rest[1].split(", ") if op != "..."]
    return tuple(sorted({*named, *more}))
