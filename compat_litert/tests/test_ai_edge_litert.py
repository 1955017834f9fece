"""Code written for ai_edge_litert runs unchanged, where the real package is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment():
    """Where our package is what its name means; in front of the real one if that is installed."""
    try:
        metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": str(ROOT / "compat_litert" / "src")}


def _python(environment, *arguments, cwd=None):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_names_are_sodalites(environment):
    """All that the original's module offers, as Sodalite's own classes."""
    code = """
import ai_edge_litert, sodalite
from ai_edge_litert import interpreter
for name in ("Interpreter", "SignatureRunner", "OpResolverType", "Delegate", "load_delegate"):
    assert getattr(interpreter, name) is getattr(sodalite, name), name
assert issubclass(interpreter.InterpreterWithCustomOps, sodalite.Interpreter)
print(ai_edge_litert.__version__)
"""
    assert _python(environment, "-c", code).startswith("2.")


def test_a_script(environment, tmp_path):
    """A small model by set_tensor, invoke and get_tensor, and by its signature."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from sodalite.build import Builder

g = Builder()
x = g.input("x", (1, 1, 1, 1), "float32")
w = g.constant("w", np.full((1, 1, 1, 1), 3, np.float32))
b = g.constant("b", np.ones(1, np.float32))
y = g.op("CONV_2D", [x, w, b], [("y", (1, 1, 1, 1), "float32")], padding="VALID", stride_w=1, stride_h=1)
g.output(y)
g.signature("serving_default", {"in": x}, {"out": y})

interpreter = Interpreter(
    model_content=g.finish(), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.full((1, 1, 1, 1), 2, np.float32))
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).item())
runner = interpreter.get_signature_runner()
print(runner(**{"in": np.full((1, 1, 1, 1), 4, np.float32)})["out"].item())
""",
        encoding="utf-8",
    )
    assert _python(environment, script, cwd=tmp_path).split() == ["7.0", "13.0"]
