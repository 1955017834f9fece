"""A photo as the input of a model.

uint8 inputs take the pixels as they are, int8 inputs the pixels - 128: so are such models made. Float inputs take
(pixel - mean) / std, with mean and std from the options, else the model's metadata, else the zoo, else 127.5 and 127.5
(-1 ... 1). With --mean and --std, integer inputs take that value in their own quantisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import ToolError, printable
from .files import regular

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT = (127.5,)
COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """pixel -> (pixel - mean) / std, one value or one a channel. source: who said so, for the user."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where height, width and channels lie in an input's shape; a size of None is the photo's own."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    batched: bool


def layout_of(detail: Mapping[str, Any]) -> Layout | None:
    """How an input, given by its detail dictionary, takes an image; None if it does not look like one.

    (n, h, w, c), (n, c, h, w) or either without n; n is 1 or may change; c is 1, 3 or 4.
    """
    shape = [int(size) for size in detail["shape"]]
    signature = [int(size) for size in detail["shape_signature"]] or shape
    if len(shape) not in (3, 4) or len(signature) != len(shape):
        return None
    batched = len(shape) == 4
    if batched and signature[0] not in (1, -1):
        return None
    sizes = signature[1:] if batched else signature
    for first in (False, True):
        channels, (height, width) = (sizes[0], sizes[1:]) if first else (sizes[2], sizes[:2])
        if channels in COLOURS and height not in (0, 1) and width not in (0, 1):
            return Layout(None if height < 0 else height, None if width < 0 else width, channels, first, batched)
    return None


def photo(path: Path) -> Image:
    """The photo at *path*, turned as its camera says. ToolError if Pillow cannot read it."""
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415

    regular(path, "image")
    try:
        with Image.open(path) as opened:
            return ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise ToolError(f"image {printable(path)}: not a picture that Pillow knows; try PNG or JPEG") from error
    except Image.DecompressionBombError as error:
        raise ToolError(f"image {printable(path)}: {error}\nmake it smaller first") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ToolError(f"image {printable(path)}: is damaged: {error}") from error


def pixels(picture: Image, layout: Layout) -> npt.NDArray[np.uint8]:
    """The picture stretched to the input's size, bilinear with antialiasing; uint8 (h, w, c)."""
    from PIL import Image  # noqa: PLC0415

    size = (layout.width or picture.width, layout.height or picture.height)
    try:
        plain = picture.convert(COLOURS[layout.channels])
        # Pillow's BILINEAR widens its filter when it shrinks: that is the antialiasing.
        resized = plain if plain.size == size else plain.resize(size, Image.Resampling.BILINEAR)
    except (OSError, ValueError) as error:
        raise ToolError(f"the image cannot be made {size[0]} x {size[1]}: {error}") from error
    return np.asarray(resized, dtype=np.uint8).reshape(size[1], size[0], layout.channels)


def as_input(
    values: npt.NDArray[np.uint8], detail: Mapping[str, Any], layout: Layout, how: Normalisation | None
) -> tuple[Array, str]:
    """(array of the input's dtype and rank, what was done, for the user).

    how: None to follow the dtype's convention. ToolError if the dtype has none, or the channels do not fit.
    """
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        how = Normalisation(DEFAULT, DEFAULT, "default, see --mean and --std") if how is None else how
        array, said = _normalised(values, how).astype(dtype), _words(how)
    elif how is not None:
        array, said = _quantised(_normalised(values, how), detail, dtype), _words(how) + ", quantised"
    elif dtype == np.uint8:
        array, said = values, "pixels as they are"
    elif dtype == np.int8:
        array, said = (values.astype(np.int16) - 128).astype(np.int8), "pixels - 128"
    else:
        raise ToolError(f"input {printable(detail['name'])!r} is {dtype}: say --mean and --std, or give it with --input")
    if layout.channels_first:
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
    return (array[None] if layout.batched else array), said


def _normalised(values: npt.NDArray[np.uint8], how: Normalisation) -> npt.NDArray[np.float32]:
    channels = values.shape[-1]
    for name, numbers in (("mean", how.mean), ("std", how.std)):
        if len(numbers) not in (1, channels):
            raise ToolError(f"{name} ({how.source}) has {len(numbers)} values for {channels} channels: give 1 or {channels}")
    if 0.0 in how.std or not np.isfinite([*how.mean, *how.std]).all():
        raise ToolError(f"mean {_list(how.mean)} and std {_list(how.std)} ({how.source}): std is not 0, and all are finite")
    mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
    made: npt.NDArray[np.float32] = (values.astype(np.float32) - mean) / std
    return made


def _quantised(real: npt.NDArray[np.float32], detail: Mapping[str, Any], dtype: np.dtype[Any]) -> Array:
    scales = detail["quantization_parameters"]["scales"]
    if dtype.kind not in "iu" or len(scales) != 1:
        raise ToolError(f"input {printable(detail['name'])!r} is {dtype} without one scale: leave --mean and --std out")
    zero = detail["quantization_parameters"]["zero_points"]
    limits = np.iinfo(dtype)
    steps = real / np.float32(scales[0])
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps))  # half away from zero, as TFLite's QUANTIZE
    made: Array = np.clip(rounded + (zero[0] if len(zero) else 0), limits.min, limits.max).astype(dtype)
    return made


def _words(how: Normalisation) -> str:
    return f"(pixel - {_list(how.mean)}) / {_list(how.std)} ({how.source})"


def _list(numbers: Sequence[float]) -> str:
    said = [f"{number:g}" for number in numbers]
    return said[0] if len(said) == 1 else f"[{', '.join(said)}]"
