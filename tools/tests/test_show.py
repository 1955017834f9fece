"""``sodalite show``, ``explain`` and ``plugins``."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from sodalite import build
from sodalite_tools.commands import plugins

MODELS = os.environ.get("SODALITE_MODELS")
needs_models = pytest.mark.skipif(not MODELS, reason="SODALITE_MODELS names no folder of real models")


def words(text):
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def quantised(tmp_path):
    """A model with per-tensor and per-channel quantisation, a variable, two subgraphs; never run."""
    b = build.Builder("made for show")
    x = b.input("x", (1, -1, 2), "int8", scale=0.5, zero_point=-3)
    w = b.constant("w", np.ones((3, 2), np.int8), scale=[0.25, 0.5, 1.0], zero_point=[0, 0, 0], axis=0)
    bias = b.constant("bias", np.ones(3, np.int32))
    b.tensor("state", (4,), "float32", variable=True)
    y = b.op("FULLY_CONNECTED", [x, w, bias], [{"name": "y", "shape": (1, 3), "dtype": "int8", "scale": 1.0, "zero_point": 0}])
    b.output(y)
    other = b.subgraph("other")
    other.output(other.op("NEG", [other.input("p", (1,), "float32")], [("q", (1,), "float32")]))
    b.signature("main", {"x": x}, {"y": y})
    b.metadata("min_runtime_version", b"2.3.0\0\0\0")
    path = tmp_path / "quantised.tflite"
    path.write_bytes(b.finish())
    return path


def test_show_says_what_is_in_a_file(sodalite, quantised):
    result = sodalite("show", quantised)
    assert result.exit_code == 0, result.stderr
    text = result.stdout
    for said in (
        "description: made for show",
        "needs a runtime of TensorFlow Lite 2.3.0 or later",
        'signature "main": x -> y',
        'subgraph 1 "other"',
        "2 constant (int32 12 B, int8 6 B), 1 variables",
    ):
        assert said in text, text
    lines = words(text)
    assert ["input", "x", "int8", "1", "x", "?", "x", "2", "0.5", "*", "(q", "-", "-3)"] in lines
    assert ["FULLY_CONNECTED", "1", "1", "int8,", "int32"] in lines
    assert ["min_runtime_version", "8"] in lines


def test_show_lists_every_tensor_when_asked(sodalite, quantised):
    lines = words(sodalite("show", quantised, "--tensors").stdout)
    assert ["1", "w", "int8", "3", "x", "2", "3", "channels", "along", "0,", "0.25", "...", "1", "constant"] in lines
    assert ["3", "state", "float32", "4", "variable"] in lines


def test_show_needs_no_plugin(sodalite, quantised, monkeypatch):
    monkeypatch.setenv("SODALITE_PLUGINS", "")
    assert sodalite("show", quantised).exit_code == 0


def test_show_tells_the_metadata(sodalite, colours):
    text = sodalite("show", colours(labels=("a", "b", "c"), mean=(1.0,), std=(2.0,))).stdout
    for said in ("name: a toy", "licence: CC0", "input 0 photo: image, RGB, (x - 1) / 2", "output 0 share: labels.txt", "files behind the model: labels.txt"):
        assert said in text


def test_check_says_who_runs_what(sodalite, toy, adder):
    result = sodalite("show", adder, "--check")
    assert result.exit_code == 0, result.stderr
    assert ["ADD", "toy", "(2)"] in words(result.stdout)
    assert "every operator runs here" in result.stdout


def test_check_fails_where_an_operator_has_no_kernel(sodalite, toy, quantised, told):
    result = sodalite("show", quantised, "--check")
    told(result, "FULLY_CONNECTED")
    assert ["FULLY_CONNECTED", "none"] in words(result.stdout)
    assert ["NEG", "toy"] in words(result.stdout)


def test_explain(sodalite, toy, adder):
    result = sodalite("explain", adder)
    assert result.exit_code == 0, result.stderr
    lines = words(result.stdout)
    assert ["0", "ADD", "toy", "once"] in lines
    assert ["2", "NEG", "toy", "z"] in lines
    assert "3 nodes: toy 3" in result.stdout


DECLINER = """
import sodalite
kernels = sodalite.KernelSet(quality=sodalite.Quality.TUNED)

@kernels.prepare("NEG")
def no(node):
    raise sodalite.Unsupported("not on a Tuesday", code=sodalite.Reason.DEVICE)

@sodalite.hookimpl
def sodalite_kernels():
    return kernels
"""


def test_explain_says_who_declined_and_why(sodalite, toy, adder, monkeypatch):
    toy.offer("picky-kit", "sodalite.plugin.v1", {"picky": "picky_kit"}, DECLINER)
    monkeypatch.setenv("SODALITE_PLUGINS", "toy,picky")
    result = sodalite("explain", adder)
    assert "DEVICE: not on a Tuesday" in result.stdout
    only = sodalite("explain", adder, "--declined")
    assert "ADD" not in only.stdout
    data = json.loads(sodalite("explain", adder, "--json").stdout)
    assert data["schema"] == "sodalite.explain.v1"
    assert data["nodes"][2]["declined"] == [{"who": "picky", "why": "not on a Tuesday", "code": "DEVICE"}]
    assert sodalite("explain", adder, "--kernels", "toy", "--declined").stdout.count("Tuesday") == 0


def test_explain_of_a_pinned_operator(sodalite, toy, adder):
    assert sodalite("explain", adder, "--pin", "ADD=toy", "--pin", "2=toy").exit_code == 0


def test_a_subgraph_that_is_not_there(sodalite, toy, adder, told):
    told(sodalite("explain", adder, "--subgraph", 3), "no subgraph 3")


def test_plugins_lists_every_state(sodalite, toy, monkeypatch):
    toy.offer("bad-kit", "sodalite.plugin.v1", {"bad": "bad_kit"}, "1/0")
    toy.offer("off-kit", "sodalite.plugin.v1", {"off": "off_kit"}, "1/0")
    toy.offer("old-kit", "sodalite.plugin.v0", {"old": "old_kit"})
    monkeypatch.setenv("SODALITE_PLUGINS", "toy,bad,old")
    monkeypatch.setenv("SODALITE_STRICT_PLUGINS", "1")
    monkeypatch.setenv("COLUMNS", "200")
    result = sodalite("plugins")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = words(result.stdout)
    assert ["toy", "toy-kit", "1.0", "4", "toy_kit", "ready"] in lines
    assert "failed: ZeroDivisionError: division by zero" in result.stdout
    assert "left out: SODALITE_PLUGINS does not list it" in result.stdout
    assert "speaks plugin API 0" in result.stdout
    rows = {row["name"]: row for row in json.loads(sodalite("plugins", "--json").stdout)["plugins"]}
    assert (rows["toy"]["state"], rows["toy"]["operators"]) == ("ready", 4)
    assert (rows["bad"]["state"], rows["off"]["state"]) == ("failed", "left out")


def test_plugins_with_delegates_are_marked(sodalite, toy, monkeypatch):
    source = "import sodalite\n@sodalite.hookimpl\ndef sodalite_delegates(name, options):\n    return None\n"
    toy.offer("chip-kit", "sodalite.plugin.v1", {"chip": "chip_kit"}, source)
    monkeypatch.setenv("SODALITE_PLUGINS", "toy,chip")
    rows = {row["name"]: row for row in json.loads(sodalite("plugins", "--json").stdout)["plugins"]}
    assert rows["chip"]["delegates"]
    assert not rows["toy"]["delegates"]


def test_no_plugin_is_said_in_words(sodalite, monkeypatch):
    monkeypatch.setattr(plugins, "_rows", list)
    assert "no plugin is installed" in sodalite("plugins").stdout


@needs_models
@pytest.mark.models
def test_every_real_model_is_shown_or_refused_in_words(sodalite, told):
    """Whatever is in the folder: a description, or a message of one screen."""
    refused = 0
    for path in sorted(Path(MODELS).rglob("*.tflite")):
        result = sodalite("show", path, "--tensors")
        if result.exit_code:
            refused += 1
            told(result, path.name)
        else:
            assert "nodes," in result.stdout
    assert refused < 20
