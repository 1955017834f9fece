"""Arithmetic generations: LiteRT 2.3 multiplies FULLY_CONNECTED's sums in float64, those before it in fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sodalite
from sodalite.errors import UnsupportedOpError
from sodalite_cpu_ref import quant
from sodalite_testkit.case import case, const, fed, out, q
from sodalite_testkit.model import model_of

X = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1)
REAL = float(np.float32(0.031)) / float(np.float32(0.083))


def answer(op: str, **mode: Any) -> Any:
    """*op* multiplies every int8 by REAL in its requantisation."""
    x, made = fed(X.reshape(1, 1, -1, 1) if op == "CONV_2D" else X, quant=q(0.031)), out("int8", q(0.083))
    weights = np.ones((1, 1, 1, 1) if op == "CONV_2D" else (1, 1), np.int8)
    options = {"padding": "VALID", "stride_h": 1, "stride_w": 1} if op == "CONV_2D" else {}
    one = case(op, [x, const(weights, quant=q(1.0)), None], [made], **options)
    return sodalite.load(model_of(one), raw=True, kernels=["cpu_ref"], **mode)(one.fed[0]).ravel()


TWICE = quant.rescale(X[:, 0].astype(np.int32), *quant.multiplier_and_shift(REAL))
ONCE = quant.round_half_away(X[:, 0] * REAL)


@pytest.mark.parametrize(
    ("op", "mode", "right"),
    [
        ("FULLY_CONNECTED", {}, ONCE),
        ("FULLY_CONNECTED", {"arithmetic": "litert-2.3"}, ONCE),
        ("FULLY_CONNECTED", {"arithmetic": "tflite-2.14"}, TWICE),
        ("CONV_2D", {"arithmetic": "litert-2.3"}, TWICE),
        ("CONV_2D", {"arithmetic": "tflite-2.14"}, TWICE),
    ],
)
def test_the_generation_asked_for_is_computed(op: str, mode: dict[str, Any], right: Any) -> None:
    assert (ONCE != TWICE).any()
    assert (answer(op, **mode) == right).all()


def test_a_generation_that_is_not_computed_is_declined() -> None:
    with pytest.raises(UnsupportedOpError, match=r"computes litert-2\.3, tflite-2\.14, not tflm"):
        answer("CONV_2D", arithmetic="tflm")
