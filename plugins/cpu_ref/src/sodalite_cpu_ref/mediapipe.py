"""MediaPipe's custom operator Convolution2DTransposeBias: a TRANSPOSE_CONV whose options are a C struct."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
from sodalite.graph import Shape
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step, Unsupported

from .nodes import called, inputs, only, rank_is, types
from .transpose_conv import transpose_conv

_PADDING = {1: "SAME", 2: "VALID"}


def transpose_conv_bias(node: NodeSpec) -> Prepared:
    """inputs: (n, h, w, c), filter (o, kh, kw, c), bias (o,). The output is as large as these make it."""
    x, w, bias = inputs(node, 3)
    only(types("float32"), x, w, bias)
    if len(node.custom_options) < 12:
        raise Unsupported(f"{len(node.custom_options)} bytes of options, wanted 12", code=Reason.OPTION)
    padding, *strides = struct.unpack_from("<3i", node.custom_options)  # padding, stride_width, stride_height
    if padding not in _PADDING or min(strides) < 1:
        raise Unsupported(f"padding {padding}, strides {strides}", code=Reason.OPTION)
    n, *size, _ = rank_is(x, 4)
    o, *kernel, _ = rank_is(w, 4)
    if min(size) < 1:
        raise Unsupported(f"{called(x)} has shape {x.shape}: no elements", code=Reason.SHAPE)
    sides = zip(size, kernel, reversed(strides), strict=True)
    out: Shape = (n, *[dim * by if padding == 1 else (dim - 1) * by + k for dim, k, by in sides], o)
    shape = np.array(out, np.int32)
    shape.flags.writeable = False
    wanted = replace(x, index=-1, name="", dtype="int32", shape=(4,), quant=None, data=shape)
    options = {"padding": _PADDING[padding], "stride_w": strides[0], "stride_h": strides[1]}
    options["fused_activation_function"] = "NONE"
    made = transpose_conv(replace(node, inputs=(wanted, w, x, bias), options=options))

    def bind(buffers: Buffers) -> Step:
        given = buffers.inputs
        return made.bind(replace(buffers, inputs=(shape, given[1], given[0], given[2])))

    return made._replace(bind=bind)
