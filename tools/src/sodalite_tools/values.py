"""Values of inputs and outputs outside the interpreter: .npy files in, .npz files out, and one line about each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .cache import written
from .errors import ToolError, printable
from .files import regular

Array = npt.NDArray[Any]


def load_npy(path: Path, what: str) -> Array:
    """The array in the .npy file at *path*. ToolError if it is not one; pickled objects are refused."""
    regular(path, what)
    try:
        with path.open("rb") as file:
            # numpy's own reader would unpickle, or open a zip, by what the file says it is.
            array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, UnicodeDecodeError) as error:
        raise ToolError(
            f"{what} {printable(path)}: not a .npy file of plain values: {error}\nmake one with numpy.save(path, array)"
        ) from error
    return np.asarray(array)


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write *arrays* by name to the .npz file at *path*; strings as numpy's "S" type."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, array in arrays.items():
            plain = np.asarray(array)
            if plain.dtype == object:
                plain = np.asarray(plain.tolist(), dtype=np.bytes_)
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(plain), allow_pickle=False)
    written(path, iter([buffer.getvalue()]))


def unique(names: Sequence[str], stem: str) -> list[str]:
    """*names*, made different from each other and not empty: "x", "x_1", "output_2" ..."""
    made: list[str] = []
    for place, name in enumerate(names):
        candidate = name or f"{stem}_{place}"
        while candidate in made:
            candidate = f"{candidate}_{place}"
        made.append(candidate)
    return made


def as_bytes(array: Array) -> Array:
    """Text of any numpy type as the object array of bytes that a string tensor takes."""
    flat = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel().tolist()]
    made = np.empty(len(flat), dtype=object)
    made[:] = flat
    return made.reshape(array.shape)


def random_value(detail: Mapping[str, Any], shape: Sequence[int], rng: np.random.Generator) -> Array:
    """A random array for an input: floats in 0 ... 1, integers over a quantised tensor's range, 0 or 1 for others.

    Whole numbers that are not quantised are often indices: large ones would be out of range.
    """
    dtype = np.dtype(detail["dtype"])
    if dtype.kind in "SUO":
        return as_bytes(np.full(tuple(shape), b"hello"))
    if dtype.kind == "f":
        return rng.random(tuple(shape), dtype=np.float32).astype(dtype)
    if dtype.kind == "c":
        return (rng.random(tuple(shape)) + 1j * rng.random(tuple(shape))).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, tuple(shape)).astype(bool)
    quantised = len(detail["quantization_parameters"]["scales"]) > 0 or dtype.itemsize == 1
    limits = np.iinfo(dtype)
    low, high = (int(limits.min), int(limits.max)) if quantised else (0, 1)
    return rng.integers(low, high, tuple(shape), dtype=dtype, endpoint=True)


def real(array: Array, detail: Mapping[str, Any]) -> Array:
    """The real numbers that a tensor's value stands for: dequantised by its own parameters; float64 or as it is."""
    scales = detail["quantization_parameters"]["scales"]
    if array.dtype.kind not in "iu" or len(scales) == 0:
        return array
    zeros = detail["quantization_parameters"]["zero_points"]
    shape = [1] * array.ndim
    if len(scales) > 1:
        shape[detail["quantization_parameters"]["quantized_dimension"]] = len(scales)
    scale = np.asarray(scales, np.float64).reshape(shape)
    zero = np.asarray(zeros if len(zeros) else 0, np.float64).reshape(shape)
    made: Array = (array - zero) * scale
    return made


def statistics(array: Array) -> tuple[str, str, str]:
    """(min, mean, max) as text; for strings the first of them; "" where there are none."""
    if array.size == 0:
        return "", "", ""
    if array.dtype == object or array.dtype.kind in "SU":
        first = array.ravel()[0]
        text = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
        return repr(printable(text, 40)), "", ""
    if array.dtype.kind == "c":
        return "", f"{array.mean():.6g}", ""
    wide = array.astype(np.float64)
    return f"{wide.min():.6g}", f"{wide.mean():.6g}", f"{wide.max():.6g}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape for people: "1 x 224 x 224 x 3", "?" for a dimension that may change, "scalar" for none."""
    return " x ".join("?" if size < 0 else str(size) for size in map(int, shape)) or "scalar"
