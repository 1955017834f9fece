"""Fixtures of core's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real models, from the environment."""
    folder = os.environ.get("SODALITE_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SODALITE_MODELS names no folder of real models")
    return Path(folder)
