# SPDX-License-Identifier: Apache-2.0
"""Models to test with: those of `schema_models.py`, and the real ones in $SODALITE_MODELS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import schema_models
from sodalite_schema import Table


def pytest_configure(config: pytest.Config) -> None:
    """Settings that the tests need wherever they are run from."""
    for line in (
        "oracle: compares with ai-edge-litert",
        "models: needs the folder of real models that SODALITE_MODELS names",
    ):
        config.addinivalue_line("markers", line)
    # flatbuffers 2.0 imports it
    config.addinivalue_line("filterwarnings", "ignore:the imp module is deprecated:DeprecationWarning")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`model_path`: each .tflite file of $SODALITE_MODELS."""
    if "model_path" not in metafunc.fixturenames:
        return
    root = os.environ.get("SODALITE_MODELS")
    paths = sorted(Path(root).rglob("*.tflite")) if root else []
    if paths:
        metafunc.parametrize("model_path", paths, ids=[str(path.relative_to(str(root))) for path in paths])
    else:
        reason = "no .tflite file under $SODALITE_MODELS" if root else "SODALITE_MODELS is not set"
        metafunc.parametrize(
            "model_path", [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")]
        )


@pytest.fixture(name="small")
def small_fixture() -> Table:
    """y = x + c."""
    return schema_models.small_model()


@pytest.fixture(scope="session", name="full")
def full_fixture() -> Table:
    """Every table of the schema; not to be changed."""
    return schema_models.full_model()
