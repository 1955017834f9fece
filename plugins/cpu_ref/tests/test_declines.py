"""What the sums of products decline, with the reason, and what they say."""

from __future__ import annotations

from typing import Any

import pytest
from sodalite.errors import ShapeError
from sodalite.kernel import Reason, Unsupported
from sodalite_cpu_ref import kernels
from sodalite_testkit.case import Case, Tensor, case, const, fed, out, q
from sodalite_testkit.direct import kernel_for, node_of


def conv(x: Tensor, w: Tensor, bias: Tensor | None, made: Tensor, **options: Any) -> Case:
    return case("CONV_2D", [x, w, bias], [made], padding="SAME", stride_h=1, stride_w=1, **options)


def fc(x: Tensor, w: Tensor, bias: Tensor | None, made: Tensor, **options: Any) -> Case:
    return case("FULLY_CONNECTED", [x, w, bias], [made], **options)


X, W, B = fed("float32", (1, 3, 3, 2)), const("float32", (4, 1, 1, 2)), const("float32", (4,))
X8, W8 = fed("int8", (1, 3, 3, 2), q(0.5)), const("int8", (4, 1, 1, 2), q(0.5))
B8, OUT8 = const("int32", (4,), q(0.25)), out("int8", q(0.5))
ROW, MATRIX = fed("int8", (1, 2), q(0.5)), const("int8", (4, 2), q(0.5))

DECLINED = [
    (conv(fed("float64", (1, 3, 3, 2)), W, B, out("float64")), Reason.TYPE, "input is float64"),
    (conv(X, W, const("int32", (4,)), out("float32")), Reason.TYPE, "bias is int32; only float32"),
    (
        conv(X8, const("uint8", (4, 1, 1, 2), q(0.5)), B8, OUT8),
        Reason.TYPE,
        "filter is uint8; only int8, int4",
    ),
    (conv(X8, W8, B8, out("int16", q(0.5))), Reason.TYPE, "output is int16; only int8"),
    (conv(X8, W8, const("int64", (4,), q(0.25)), OUT8), Reason.TYPE, "bias is int64; only int32"),
    (conv(fed("int8", (1, 3, 3, 2)), W8, B8, OUT8), Reason.QUANT, "input is int8 without quantisation"),
    (conv(X8, W8, B8, out("int8")), Reason.QUANT, "output is int8 without quantisation"),
    (conv(X8, const("int8", (4, 1, 1, 2), q(0.5, 3)), B8, OUT8), Reason.QUANT, "filter has a zero point"),
    (conv(X8, const("int8", (4, 1, 1, 2), q([0.5, 1.0])), B8, OUT8), Reason.QUANT, "filter has 2 scales"),
    (conv(X8, W8, const("int32", (4,), q(0.25, 1)), OUT8), Reason.QUANT, "bias has a zero point"),
    (
        conv(fed("int8", (1, 3, 3, 2), q([0.5, 1.0], axis=3)), W8, B8, OUT8),
        Reason.QUANT,
        "input has 2 scales",
    ),
    (conv(X, W, B, out("float32"), fused_activation_function="TANH"), Reason.OPTION, "activation TANH"),
    (conv(X8, W8, B8, OUT8, fused_activation_function="SIGN_BIT"), Reason.OPTION, "activation SIGN_BIT"),
    (fc(ROW, MATRIX, None, OUT8, weights_format="SHUFFLED4x16INT8"), Reason.OPTION, "only DEFAULT"),
    (fc(ROW, MATRIX, const("int32", (4,), q(3.0)), OUT8), Reason.QUANT, "bias has scale 3; only 0.25"),
    (fc(ROW, const("int16", (4, 2), q(0.5)), None, OUT8), Reason.TYPE, "filter is int16"),
]


@pytest.mark.parametrize(("declined", "reason", "words"), DECLINED, ids=lambda v: str(v)[:70])
def test_declines(declined: Case, reason: Reason, words: str) -> None:
    """The reason has its class and names what was found, and what would do."""
    kernel = kernel_for(kernels, declined)
    assert kernel is not None
    with pytest.raises(Unsupported, match=words) as caught:
        kernel.load()(node_of(declined))
    assert caught.value.code is reason


def test_shapes_are_named() -> None:
    """A shape that does not fit is an error with both numbers."""
    kernel = kernel_for(kernels, conv(X, W, B, out("float32")))
    assert kernel is not None
    wrong = conv(fed("float32", (1, 3, 3, 3)), const("float32", (4, 1, 1, 5)), B, out("float32"))
    with pytest.raises(ShapeError, match="filter has 5 input channels, input has 3"):
        kernel.load()(node_of(wrong))
