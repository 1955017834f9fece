# SPDX-License-Identifier: Apache-2.0
"""The custom operators AudioSpectrogram and Mfcc."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flatbuffers import flexbuffers

from ..case import Case, case, fed, out
from ..tolerance import Tolerance
from .movement import numbers, told

POWER = Tolerance(peak=5e-7)
COEFFICIENTS = Tolerance(peak=5e-7)


def cases() -> Iterator[Case]:
    """Short sounds."""
    for squared in (True, False):
        for shape in ((100, 1), (64, 3), (10, 2)):
            for size, stride in ((16, 8), (20, 7), (10, 25), (2, 1), (33, 33)):
                how = {"window_size": size, "stride": stride, "magnitude_squared": squared}
                if shape[0] < size:
                    continue  # no window: nothing that LiteRT could hand over
                note = f"{size}by{stride}-{'power' if squared else 'root'}"
                given = [fed("float32", shape)]
                yield case("custom:AudioSpectrogram", given, [out("float32")], custom_options=_raw(how), tolerance=POWER, note=note)
    for known in (True, False):
        for shape, rate, bands, count, low, high in (
            ((1, 3, 257), 16000, 40, 40, 20, 4000),
            ((2, 2, 65), 8000, 10, 4, 0, 3900),
            ((1, 1, 33), 16000, 40, 13, 20, 4000),
        ):
            how = {"filterbank_channel_count": bands, "dct_coefficient_count": count}
            how |= {"lower_frequency_limit": low, "upper_frequency_limit": high}
            given = [fed("float32", shape, low=0, high=100), numbers(rate, known=known)]
            note = f"{bands}to{count}-{told(known)}"
            yield case("custom:Mfcc", given, [out("float32")], custom_options=_raw(how), tolerance=COEFFICIENTS, note=note)
        how = {"filterbank_channel_count": 40, "dct_coefficient_count": 13}
        how |= {"lower_frequency_limit": 20, "upper_frequency_limit": 4000}
        for rate in (0, -1, 4000):
            given = [fed("float32", (1, 1, 33)), numbers(rate, known=known)]
            yield case("custom:Mfcc", given, [out("float32")], custom_options=_raw(how), raises="KernelError", note=f"{rate}-{told(known)}")


def _raw(options: dict[str, Any]) -> bytes:
    return bytes(flexbuffers.Dumps(options))
