# SPDX-License-Identifier: Apache-2.0
"""What is known of the models in $SODALITE_MODELS: which do not run yet, which never may, how near the others come."""

from __future__ import annotations

from typing import Any

from sodalite_testkit import whole
from sodalite_testkit.tolerance import Tolerance

# Models whose operators are not all delivered -> the operators that are missing.
NOT_YET: dict[str, tuple[str, ...]] = {}

# Models that must be refused -> error class, and words that its message holds.
MUST_FAIL: dict[str, tuple[str, str]] = {}

# Models that run, but that LiteRT's reference kernels do not run -> why.
NO_ORACLE: dict[str, str] = {}

# Weights in 8 bits, activations in float.
HYBRID = (
    "derived/nsfwjs_inception_v3_dyn.tflite",
    "dtln/model_quant_1.tflite",
    "fer/emotion_model_quantized.tflite",
    "mlcommons_tiny/kws_ref_model_float32.tflite",
    "mlcommons_tiny/toycar_dynrange.tflite",
)
# Models with state -> how many runs are compared.
STEPS = {"microwakeword/pymicro_hey_jarvis.tflite": 8, "microwakeword/v2_vad.tflite": 8}


def tolerance_for(name: str) -> Tolerance:
    return whole.HYBRID if name in HYBRID else whole.FLOAT


def steps_for(name: str) -> int:
    return STEPS.get(name, 1)


def given_for(name: str) -> tuple[Any, ...]:
    """Inputs that cannot be drawn: nested_while takes its loop bound from its input."""
    return (10,) if name.endswith("nested_while.tflite") else ()
