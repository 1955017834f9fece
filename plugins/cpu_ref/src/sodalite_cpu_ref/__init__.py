"""cpu_ref: a numpy kernel for every operator, the definition of right.

This module is a list. It loads no kernel: each is imported when a node first asks for its operator.
"""

from __future__ import annotations

from sodalite.hookspecs import hookimpl
from sodalite.kernel import KernelSet, Quality

# (operator, highest version, module:prepare), by operator
TABLE: tuple[tuple[str, int, str], ...] = (
    ("ADD", 6, "arithmetic:add"),
    ("AVERAGE_POOL_2D", 3, "pool:average_pool_2d"),
    ("BATCH_MATMUL", 4, "batch_matmul:batch_matmul"),
    ("CONCATENATION", 7, "movement:concatenation"),
    ("CONV_2D", 8, "conv:conv_2d"),
    ("DEPTHWISE_CONV_2D", 7, "depthwise:depthwise_conv_2d"),
    ("DEQUANTIZE", 9, "conversion:dequantize"),
    ("EXPAND_DIMS", 1, "movement:expand_dims"),
    ("FULLY_CONNECTED", 14, "fully_connected:fully_connected"),
    ("HARD_SWISH", 1, "activation:hard_swish"),
    ("L2_NORMALIZATION", 2, "normalization:l2_normalization"),
    ("L2_POOL_2D", 1, "pool:l2_pool_2d"),
    ("LOCAL_RESPONSE_NORMALIZATION", 1, "normalization:local_response_normalization"),
    ("LOGISTIC", 3, "activation:logistic"),
    ("LOG_SOFTMAX", 2, "softmax:log_softmax"),
    ("MAX_POOL_2D", 3, "pool:max_pool_2d"),
    ("MEAN", 3, "reduce:mean"),
    ("MIRROR_PAD", 3, "padding:mirror_pad"),
    ("MUL", 8, "arithmetic:mul"),
    ("PACK", 5, "movement:pack"),
    ("PAD", 6, "padding:pad"),
    ("PADV2", 6, "padding:padv2"),
    ("QUANTIZE", 6, "conversion:quantize"),
    ("RANK", 1, "making:rank"),
    ("REDUCE_ALL", 1, "reduce:reduce_all"),
    ("REDUCE_ANY", 1, "reduce:reduce_any"),
    ("REDUCE_MAX", 3, "reduce:reduce_max"),
    ("REDUCE_MIN", 3, "reduce:reduce_min"),
    ("REDUCE_PROD", 2, "reduce:reduce_prod"),
    ("RELU", 3, "activation:relu"),
    ("RELU6", 3, "activation:relu6"),
    ("RELU_0_TO_1", 1, "activation:relu_0_to_1"),
    ("RELU_N1_TO_1", 1, "activation:relu_n1_to_1"),
    ("RESHAPE", 1, "movement:reshape"),
    ("RESIZE_BILINEAR", 4, "resize:resize_bilinear"),
    ("RESIZE_NEAREST_NEIGHBOR", 4, "resize:resize_nearest_neighbor"),
    ("SHAPE", 1, "making:shape"),
    ("SLICE", 8, "slicing:slice_"),
    ("SOFTMAX", 4, "softmax:softmax"),
    ("SPLIT", 5, "movement:split"),
    ("SPLIT_V", 3, "movement:split_v"),
    ("SQUEEZE", 2, "movement:squeeze"),
    ("STRIDED_SLICE", 8, "slicing:strided_slice"),
    ("SUB", 5, "arithmetic:sub"),
    ("SUM", 2, "reduce:sum_"),
    ("TANH", 3, "activation:tanh"),
    ("TRANSPOSE", 9, "movement:transpose"),
    ("TRANSPOSE_CONV", 5, "transpose_conv:transpose_conv"),
    ("UNPACK", 6, "movement:unpack"),
)

kernels = KernelSet(quality=Quality.REFERENCE)
for _op, _versions, _target in TABLE:
    kernels.lazy(_op, f"{__name__}.{_target}", versions=_versions)


@hookimpl
def sodalite_kernels() -> KernelSet:
    """Offer the reference kernels."""
    return kernels
