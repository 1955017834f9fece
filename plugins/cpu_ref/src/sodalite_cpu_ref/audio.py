"""Features of sound: the custom operators AudioSpectrogram and Mfcc."""

from __future__ import annotations

import numpy as np
from sodalite.errors import KernelError
from sodalite.graph import Array
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported, decoded_options

from .nodes import Arrays, called, fixed, inputs, number, only, output, rank_is, scalar, types

_FLOAT = types("float32")


def spectrogram(node: NodeSpec) -> Prepared:
    """(samples, channels) -> (channels, windows, frequencies): the power, or its root, of each window's frequencies."""
    (source,) = inputs(node, 1)
    only(_FLOAT, source, output(node))
    options = decoded_options(node.custom_options)
    size, stride = int(number(options, "window_size")), int(number(options, "stride"))
    squared = bool(number(options, "magnitude_squared", False))
    samples, channels = rank_is(source, 2)
    if size < 2 or stride < 1:
        raise Unsupported(f"window_size {size}, stride {stride}", code=Reason.OPTION)
    length = 1 << (size - 1).bit_length()
    count = 1 + (samples - size) // stride if samples >= size else 0

    def work(ins: Arrays, outs: Arrays) -> None:
        if not outs[0].size:
            return
        window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
        for out, sound in zip(outs[0], ins[0].T, strict=True):
            for i, row in enumerate(out):
                found = np.fft.rfft(sound[i * stride : i * stride + size] * window, length)
                np.copyto(row, found.real**2 + found.imag**2, casting="same_kind")
        if not squared:
            np.sqrt(outs[0], out=outs[0])

    return fixed(node, (channels, count, 1 + length // 2), work)


def mfcc(node: NodeSpec) -> Prepared:
    """(a, b, frequencies) -> (a, b, coefficients): cosine transform of the logarithm of the power in bands.

    Input 1: samples per second.
    """
    source, rate = inputs(node, 2)
    only(_FLOAT, source, output(node))
    only(types("int32"), rate)
    scalar(rate)
    options = decoded_options(node.custom_options)
    low, high = (int(number(options, f"{end}_frequency_limit")) for end in ("lower", "upper"))
    bands, count = int(number(options, "filterbank_channel_count")), int(number(options, "dct_coefficient_count"))
    shape = rank_is(source, 3)
    if not 0 <= low < high or not 1 <= count <= bands or shape[2] < 2:
        raise Unsupported(
            f"{count} coefficients of {bands} bands, {low} ... {high} Hz, of {shape[2]} frequencies", code=Reason.OPTION
        )

    def work(ins: Arrays, outs: Arrays) -> None:
        hertz = 0.5 * int(ins[1].reshape(-1)[0]) / (shape[2] - 1)  # a frequency's width
        if hertz <= 0 or int(high / hertz) >= shape[2]:
            raise KernelError(f"{called(rate)} is {ins[1]}: too few samples a second for {high} Hz")
        power = _in_bands(ins[0].astype(np.float64), hertz, low, high, bands)
        logs = np.log(np.where(power < 1e-12, 1e-12, power))
        angles = np.arange(count)[:, None] * (np.pi / bands) * (np.arange(bands) + 0.5)
        cosines = np.sqrt(2.0 / bands) * np.cos(angles)
        total = np.zeros((*shape[:2], count))
        for i in range(bands):
            total += cosines[:, i] * logs[..., i : i + 1]
        np.copyto(outs[0], total, casting="same_kind")

    return fixed(node, (*shape[:2], count), work)


def _mel(hertz: Array | float) -> Array:
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))


def _in_bands(power: Array, hertz: float, low: float, high: float, bands: int) -> Array:
    """The magnitudes of the frequencies, shared out to the bands: triangles that overlap, at equal distances in mel."""
    begin, end = int(1.5 + low / hertz), int(high / hertz)
    spacing = (_mel(high) - _mel(low)) / (bands + 1)
    centres = _mel(low) + spacing * np.arange(bands + 2)
    result = np.zeros((*power.shape[:2], bands))
    for i in range(begin, end + 1):
        mel = _mel(i * hertz)
        band = int(np.searchsorted(centres[1:-1], mel)) - 1  # the last whose centre is below, -1 for none
        magnitude = np.sqrt(power[..., i])
        part = magnitude * ((centres[band + 2] - mel) / (centres[band + 2] - centres[band + 1]))
        if band >= 0:
            result[..., band] += part
        if band + 1 < bands:
            result[..., band + 1] += magnitude - part
    return result
