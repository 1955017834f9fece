"""``sodalite.Interpreter`` does what LiteRT's does: the same scripts, run with both, see the same."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import api_scenarios
import numpy as np
import pytest
import sodalite
from sodalite.build import Builder

pytestmark = pytest.mark.oracle
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

CRASHED = "crashed"
# Where real models are described differently on purpose: pattern of the place -> why. Each must still be found.
KNOWN = {
    r"flex\w*\.tflite\['operators'\]\[\d+\]\['op_name'\]": "LiteRT calls every TensorFlow operator Flex; here it has its name",
    r"tensor_string_data_type\.tflite.*(scales|zero_points)": "one scale of 0 is how old writers say: not quantised",
    r"add_shared_tensors\.tflite: CorruptModelError": "an operator that writes the model's input is refused",
}


def ask(questions, folder):
    """LiteRT's answers to [(scenario, model), ...], from child processes; CRASHED where one died."""
    answers = []
    while len(answers) < len(questions):
        (folder / "questions").write_bytes(pickle.dumps(questions[len(answers) :]))
        out = folder / f"answers{len(answers)}"
        out.touch()
        command = [sys.executable, api_scenarios.__file__, str(folder / "questions"), str(out)]
        done = subprocess.run(command, capture_output=True, timeout=600, check=False)
        with out.open("rb") as file:
            while True:
                try:
                    answers.append(pickle.load(file))
                except EOFError:
                    break
        if len(answers) < len(questions):
            assert done.returncode, done.stderr
            answers.append(CRASHED)
    return answers


def differences(ours, theirs, path=""):
    """Where two answers differ, as readable lines."""
    if isinstance(theirs, tuple) and len(theirs) == 2 and theirs[0] == "error":
        # ours may be caught by more
        if ours[0] != "error" or not set(theirs[1]) <= set(ours[1]):
            yield f"{path}: {ours} instead of {theirs}"
        return
    if type(ours) is not type(theirs):
        yield f"{path}: {type(ours).__name__} instead of {type(theirs).__name__}"
    elif isinstance(theirs, dict):
        if list(ours) != list(theirs):
            yield f"{path}: keys {list(ours)} instead of {list(theirs)}"
        for key in set(ours) & set(theirs):
            yield from differences(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            yield f"{path}: {len(ours)} items instead of {len(theirs)}"
        for n, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(mine, other, f"{path}[{n}]")
    elif isinstance(theirs, (np.ndarray, np.generic)):
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape or not np.array_equal(ours, theirs):
            yield f"{path}: {ours!r} instead of {theirs!r}"
    elif ours != theirs:
        yield f"{path}: {ours!r} instead of {theirs!r}"


def adder(dtype="float32", shape=(1, 4), **how):
    """out = (a + b) + a."""
    g = Builder()
    a, b = g.input("a", shape, dtype, **how), g.input("b", shape, dtype, **how)
    fixed = tuple(1 if n == -1 else n for n in shape)
    t = g.op("ADD", [a, b], [{"name": "t", "shape": fixed, "dtype": dtype, **how}])
    g.output(g.op("ADD", [t, a], [{"name": "out", "shape": fixed, "dtype": dtype, **how}]))
    return g.finish()


def signed():
    """Two signatures with their own subgraphs; names that are not in the order of the tensors."""
    g = Builder()
    a, b = g.input("b_0", (-1,), "float32"), g.input("a_0", (-1,), "float32")
    s = g.op("ADD", [a, b], [("s", (1,), "float32")])
    p = g.op("MUL", [s, b], [("p", (1,), "float32")])
    g.output(s, p)
    g.signature("work", {"y": a, "x": b}, {"sum": s, "product": p})
    other = g.subgraph("other")
    x = other.input("x_0", (-1,), "float32")
    y = other.op("ADD", [x, other.constant("c", np.array([5], np.float32))], [("y_0", (1,), "float32")])
    other.output(y)
    other.signature("five", {"z": x}, {"w": y})
    return g.finish()


def descriptive():
    """Tensors of every kind that a description distinguishes."""
    g = Builder()
    x = g.input("x", (2, -1, 4), "int8", scale=0.5, zero_point=-7)
    g.tensor("per channel", (2, 4), "int8", scale=[0.1, 0.2, 0.3, 0.4], zero_point=[3, 3, 3, 3], axis=1)
    g.tensor("float with scale", (4,), "float32", scale=0.25, zero_point=9)
    for dtype in (
        "float16",
        "int32",
        "uint8",
        "int64",
        "bool",
        "int16",
        "complex64",
        "float64",
        "complex128",
        "uint64",
    ):
        g.tensor(f"some {dtype}", (3,), dtype)
    for dtype in ("uint32", "uint16", "int4", "int2", "string"):
        g.tensor(f"some {dtype}", (3,), dtype)
    g.tensor("a scalar", (), "float32")
    g.tensor("no rank", None, "float32")
    g.tensor("", (0, 5), "float32")
    y = g.op("custom:Mine", [x, None, g.constant("c", np.ones(3, np.int32))], [("y", (2, 1, 4), "int8")])
    g.output(
        y,
        g.op(
            "FULLY_CONNECTED", [y, g.constant("w", np.ones((4, 4), np.int8)), None], [("z", (2, 4), "int8")]
        ),
    )
    return g.finish()


CASES = {
    "describe": [descriptive(), signed(), adder()],
    "describe_compressed": [descriptive()],
    "construct": [adder()],
    "run": [adder(), adder("float32", ()), adder("int8", scale=0.5, zero_point=0), adder("int32")],
    "resize": [adder("float32", (-1, 4))],
    "misuse": [adder(), signed()],
    "views": [adder(), adder("int8", scale=0.5, zero_point=0)],
    "signatures": [signed()],
}


@pytest.mark.parametrize("scenario", CASES)
def test_the_same_script_sees_the_same(scenario, tmp_path):
    """Values, types, dictionaries and the classes of errors."""
    theirs = ask([(scenario, model) for model in CASES[scenario]], tmp_path)
    for model, answer in zip(CASES[scenario], theirs, strict=True):
        assert not isinstance(answer, Exception), answer
        ours = api_scenarios.SCENARIOS[scenario](sodalite, model)
        assert list(differences(ours, answer, scenario)) == []


@pytest.mark.models
def test_real_models_are_described_alike(tmp_path):
    """Inputs, outputs, tensors, operators and signatures of every real model that both open."""
    folder = os.environ.get("SODALITE_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SODALITE_MODELS names no folder of real models")
    files = sorted(Path(folder).rglob("*.tflite"))
    theirs = ask([("describe", file.read_bytes()) for file in files], tmp_path)
    compared, wrong = 0, []
    for file, answer in zip(files, theirs, strict=True):
        if answer is CRASHED or isinstance(answer, Exception):
            continue
        place = file.relative_to(folder).as_posix()
        try:
            wrong += differences(api_scenarios.describe(sodalite, file.read_bytes()), answer, place)
        except sodalite.ModelError as error:
            wrong.append(f"{place}: {type(error).__name__}: {error}")
        compared += 1
    assert [line for line in wrong if not any(re.search(known, line) for known in KNOWN)] == []
    assert [known for known in KNOWN if not any(re.search(known, line) for line in wrong)] == []
    assert compared > 0.8 * len(files)


REAL = {
    "run": "add add_unknown_dimensions argmax concat call_once_mul fc int64 multi_add pack split unpack where zero_size_constant"
    " tile_with_bool_input no_signatures_no_tensor_names",
    "signatures": "mul_add_signature_def multi_signature_def reverse_signature_model multi_signatures call_once_mul"
    " resource_vars_calibrated",
    "views": "add concat fc",
}


@pytest.mark.models
@pytest.mark.parametrize("scenario", REAL)
def test_scripts_on_real_models_see_the_same(scenario, tmp_path):
    """Models that LiteRT is tested with, through the scripts that suit them."""
    folder = os.environ.get("SODALITE_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SODALITE_MODELS names no folder of real models")
    names = REAL[scenario].split()
    models = [(Path(folder) / "litert_testdata" / f"{name}.tflite").read_bytes() for name in names]
    for name, model, answer in zip(
        names, models, ask([(scenario, m) for m in models], tmp_path), strict=True
    ):
        assert not isinstance(answer, (Exception, str)), f"{name}: {answer}"
        assert list(differences(api_scenarios.SCENARIOS[scenario](sodalite, model), answer, name)) == []
