# SPDX-License-Identifier: Apache-2.0
"""What is known of the models in $SODALITE_MODELS: which do not run yet, which never may, how near the others come."""

from __future__ import annotations

from typing import Any

from sodalite_testkit import whole
from sodalite_testkit.tolerance import Tolerance

# Models whose operators are not all delivered -> the operators that are missing.
# (python tests/models_report.py --not-yet prints this list as it should be)
NOT_YET: dict[str, str] = {
    "litert_testdata/conv3d_huge_im2col.tflite": "CONV_3D",
}

UNSUPPORTED, CORRUPT, SHAPE = "UnsupportedOpError", "CorruptModelError", "ShapeError"

# Models that must be refused -> error class, and words that its message holds.
MUST_FAIL: dict[str, tuple[str, str]] = {
    "coral/model_invoking_error.tflite": (UNSUPPORTED, "custom:fake-op-double"),
    "litert_testdata/0_subgraphs.tflite": (CORRUPT, "no subgraphs"),
    # the sum of two quantised tensors is said to be float: LiteRT reads beyond its tensors
    "litert_testdata/add_quantized.tflite": (UNSUPPORTED, "float32"),
    "litert_testdata/add_quantized_int8.tflite": (UNSUPPORTED, "float32"),
    "litert_testdata/add_shared_tensors.tflite": (CORRUPT, "output 0 is tensor 1"),
    "litert_testdata/custom_op.tflite": (UNSUPPORTED, "custom:CustomTestOp"),
    "litert_testdata/custom_sinh.tflite": (UNSUPPORTED, "custom:Sinh"),
    "litert_testdata/double_flex.tflite": (UNSUPPORTED, "custom:FlexDouble"),
    "litert_testdata/invalid_model.tflite": (CORRUPT, "not a .tflite file"),
    "litert_testdata/mixed.tflite": (UNSUPPORTED, "custom:CustomTestOp"),
    "litert_testdata/multi_add_flex.tflite": (UNSUPPORTED, "custom:FlexAddV2"),
    "litert_testdata/no_subgraphs.tflite": (CORRUPT, "no subgraphs"),
    "litert_testdata/segment_sum_invalid_buffer.tflite": (CORRUPT, "which nothing makes"),
    "litert_testdata/softplus_flex.tflite": (UNSUPPORTED, "custom:FlexSoftplus"),
    "litert_testdata/sparse_tensor.tflite": (UNSUPPORTED, "custom:FakeOp"),
    "litert_testdata/string_input_flex_model.tflite": (UNSUPPORTED, "custom:FlexStringToHashBucketFast"),
    "litert_testdata/svdf_calibrated.tflite": (SHAPE, "state has shape"),
    "litert_testdata/svdf_quantized.tflite": (SHAPE, "state has shape"),
    "litert_testdata/tensor_string_data_type.tflite": (UNSUPPORTED, "string"),
    "litert_testdata/test_custom_node_with_init_data.tflite": (UNSUPPORTED, "custom:the_custom_code"),
    "litert_testdata/test_model.tflite": (SHAPE, "1 dimensions"),
    "litert_testdata/test_model_broken.tflite": (CORRUPT, "not a .tflite file"),
    "litert_testdata/test_model_versioned_ops.tflite": (SHAPE, "1 dimensions"),
    "litert_testdata/transpose.tflite": ("UnsupportedModelError", "schema version 2"),
    "litert_testdata/with_metadata.tflite": (UNSUPPORTED, "custom:NPU_OP"),
    "smartreply/smartreply.tflite": (UNSUPPORTED, "custom:Normalize"),
    "tflite_support/test_model_nl_classifier.tflite": (UNSUPPORTED, "custom:CUSTOM_OP_STRING_TO_FLOATS"),
}

# Models that LiteRT's reference kernels do not run -> why. What happens here is not compared with anything.
NO_ORACLE: dict[str, str] = {
    "litert_testdata/lstm_calibrated2.tflite": "a tensor of more bytes than LiteRT can count",
    "litert_testdata/lstm_quantized2.tflite": "a tensor of more bytes than LiteRT can count",
    "litert_testdata/single_conv_no_bias.tflite": "LiteRT wants a bias, or two inputs",
    "litert_testdata/tile_with_bool_input.tflite": "drawn multiples that LiteRT refuses",
    "litert_testdata/while_op_with_forwarding_input.tflite": "drawn inputs that LiteRT refuses",
    "tflite_micro/keyword_scrambled_8bit.tflite": "LiteRT crashes",
}

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


def resized(shape: tuple[int, ...]) -> tuple[int, ...]:
    """An input's shape as the tests give it: the two "huge" models take gigabytes as they are."""
    return tuple(n // 100 if n >= 600 else n for n in shape) if max(shape, default=0) >= 600 and len(shape) > 3 else shape


def given_for(name: str) -> tuple[Any, ...]:
    """Inputs that cannot be drawn: nested_while takes its loop bound from its input."""
    return (10,) if name.endswith("nested_while.tflite") else ()
