"""Networks to measure: built here from a fixed seed, so that nobody needs a download."""

from __future__ import annotations

import numpy as np
from sodalite import build

# Howard et al., "MobileNets", 2017, table 1: (channels out, stride) of each depthwise-separable block.
_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet_v1(size: int = 224, classes: int = 1001, seed: int = 0) -> bytes:
    """MobileNet v1 1.0, float32, batch norm folded, random weights: a .tflite model as bytes."""
    rng = np.random.default_rng(seed)
    net = build.Builder(description=f"MobileNet v1 1.0/{size}, random weights, seed {seed}")

    def weights(name: str, shape: tuple[int, ...], fan_in: int, channels: int) -> list[build.Tensor]:
        w = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        b = rng.normal(0, 0.1, channels).astype(np.float32)
        return [net.constant(f"{name}/w", w), net.constant(f"{name}/b", b)]

    def conv(name: str, x: build.Tensor, h: int, c: int, o: int, k: int, stride: int) -> build.Tensor:
        inputs = [x, *weights(name, (o, k, k, c), k * k * c, o)]
        out = (name, (1, h, h, o), "float32")
        how = {"padding": "SAME", "stride_w": stride, "stride_h": stride, "fused_activation_function": "RELU6"}
        made: build.Tensor = net.op("CONV_2D", inputs, [out], **how)
        return made

    h, c = -(-size // 2), 32
    x = conv("conv0", net.input("input", (1, size, size, 3), "float32"), h, 3, c, 3, 2)
    for k, (o, stride) in enumerate(_BLOCKS):
        h = -(-h // stride)
        x = net.op(
            "DEPTHWISE_CONV_2D", [x, *weights(f"dw{k}", (1, 3, 3, c), 9, c)], [(f"dw{k}", (1, h, h, c), "float32")],
            padding="SAME", stride_w=stride, stride_h=stride, depth_multiplier=1, fused_activation_function="RELU6",
        )  # fmt: skip
        x = conv(f"pw{k}", x, h, c, o, 1, 1)
        c = o
    pool = net.tensor("pool", (1, 1, 1, c), "float32")
    net.op("AVERAGE_POOL_2D", [x], [pool], padding="VALID", stride_w=1, stride_h=1, filter_width=h, filter_height=h)
    logits = net.tensor("logits", (1, 1, 1, classes), "float32")
    head = weights("logits", (classes, 1, 1, c), c, classes)
    net.op("CONV_2D", [pool, *head], [logits], padding="VALID", stride_w=1, stride_h=1)
    flat = net.tensor("flat", (1, classes), "float32")
    net.op("RESHAPE", [logits, net.constant("shape", np.int32([1, classes]))], [flat])
    probabilities = net.tensor("probabilities", (1, classes), "float32")
    net.op("SOFTMAX", [flat], [probabilities], beta=1.0)
    net.output(probabilities)
    return net.finish()
