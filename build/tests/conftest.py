# SPDX-License-Identifier: Apache-2.0
"""Models to write, and LiteRT to read them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schema_models
from sodalite_schema import Table

_CHILD = """
import pickle, sys
from ai_edge_litert.interpreter import Interpreter, OpResolverType
blob, inputs = pickle.load(sys.stdin.buffer)
it = Interpreter(model_content=blob, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
for detail, value in zip(it.get_input_details(), inputs):
    it.resize_tensor_input(detail["index"], value.shape)
it.allocate_tensors()
for detail, value in zip(it.get_input_details(), inputs):
    it.set_tensor(detail["index"], value)
it.invoke()
pickle.dump([it.get_tensor(d["index"]) for d in it.get_output_details()], open(sys.argv[1], "wb"))
"""


@pytest.fixture
def litert(tmp_path: Path) -> Callable[[bytes, list[Any]], list[np.ndarray[Any, Any]]]:
    """run(model bytes, inputs) -> outputs of LiteRT's reference kernels, in a child process: it can crash."""
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

    def run(blob: bytes, inputs: list[Any]) -> list[np.ndarray[Any, Any]]:
        out = tmp_path / "litert.pickle"
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(out)],
            input=pickle.dumps((blob, inputs)),
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace")[-2000:])
        with out.open("rb") as file:
            return list(pickle.load(file))  # written by our own child

    return run


@pytest.fixture
def small() -> Table:
    """y = x + c."""
    return schema_models.small_model()


@pytest.fixture(scope="session")
def full() -> Table:
    """Every table of the schema; not to be changed."""
    return schema_models.full_model()
