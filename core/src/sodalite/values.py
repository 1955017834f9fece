"""Between what callers hold and what tensors hold: exact fitting, strings, quantised real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import DTYPES, OBJECTS, memory_dtype
from .errors import ShapeError, printable
from .graph import Array, Shape, TensorSpec

# Python values have a kind, not a width: they go into any type of that kind that holds them exactly.
_LITERAL = (list, tuple, int, float, complex)
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}
_QUANTISED = frozenset({"int8", "uint8", "int16", "int4", "uint4"})


def called(spec: TensorSpec, what: str = "tensor") -> str:
    """How messages name a tensor: ``input 1 "image"``."""
    return f'{what} {spec.index} "{printable(spec.name)}"'


def numpy_type(spec: TensorSpec) -> type[np.generic]:
    """The numpy scalar type that detail dictionaries show."""
    return np.bytes_ if spec.dtype == "string" else memory_dtype(spec.dtype).type


def fit(value: Any, spec: TensorSpec, what: str = "input") -> Array:
    """*value* as an array of exactly the tensor's memory dtype, in any byte order or layout given.

    Arrays must have that dtype; Python numbers and lists may have any of its kind that loses nothing but float
    precision. Strings: ``bytes`` or ``str`` (as UTF-8), any nesting. ShapeError says what to do.
    """
    memory = memory_dtype(spec.dtype)
    if type(value) is np.ndarray and value.dtype == memory and memory.kind != "O":
        return value
    if spec.dtype in OBJECTS:
        return _strings(value, spec, what)
    where = called(spec, what)
    array = _array(value, where)
    if array.dtype.newbyteorder("=") == memory.newbyteorder("="):
        return array.astype(memory)
    if (
        array.dtype.name == spec.dtype and array.dtype.itemsize == memory.itemsize
    ):  # bfloat16, float8 of ml_dtypes
        return array.view(memory)
    if isinstance(value, _LITERAL) and (array.dtype.kind in _KINDS[memory.kind] or array.size == 0):
        return _exact(array, spec, where)
    hint = f"pass value.astype('{memory.name}')"
    if array.dtype.kind == "f" and quantised(spec) and spec.quant is not None:
        hint = (
            f"it holds q of real = {spec.quant.scale:g} * (q - {spec.quant.zero_point}); quantise the value,"
            f" or let sodalite.load(...) do it"
        )
    raise ShapeError(f"{where}: takes {spec.dtype}, got {array.dtype}; {hint}")


def misshapen(array: Array, shape: Shape, where: str, hint: str) -> ShapeError:
    """The error for an *array* that has not the *shape* a tensor takes. shape: -1 where any size will do."""
    fixed = [n for n in shape if n >= 0]
    if array.size == int(np.prod(fixed)) and len(fixed) >= len(shape) - 1:
        hint = f"pass value.reshape({shape})"
    return ShapeError(f"{where}: shape is {shape}, got {array.shape}; {hint}")


def quantised(spec: TensorSpec) -> bool:
    """Whether real = scale * (q - zero_point), with one scale, gives the tensor's meaning."""
    quant = spec.quant
    return (
        spec.dtype in _QUANTISED and quant is not None and quant.kind == "affine" and quant.scales.size == 1
    )


def from_real(value: Any, spec: TensorSpec) -> Array:
    """Like ``fit``, for real numbers: quantised with the tensor's parameters, converted where no kind is lost.

    Arrays of the tensor's own integer type are taken as quantised already. Shapes are the caller's affair.
    """
    if spec.dtype in OBJECTS:
        return fit(value, spec)
    where = called(spec, "input")
    array, literal = _array(value, where), isinstance(value, _LITERAL)
    if spec.quant is not None and quantised(spec) and array.dtype.kind in ("fiu" if literal else "f"):
        if np.isnan(array).any():
            raise ShapeError(f"{where}: has NaN, which {spec.dtype} cannot hold")
        from .quant import quantize  # noqa: PLC0415  wanted by quantised models only

        return quantize(array, spec.quant.scale, spec.quant.zero_point, spec.dtype)
    memory = memory_dtype(spec.dtype)
    if (
        not literal
        and array.dtype != memory
        and not quantised(spec)
        and np.can_cast(array.dtype, memory, "same_kind")
    ):
        return _exact(array, spec, where)
    return fit(value, spec)


def to_real(array: Array, spec: TensorSpec) -> Array:
    """The real numbers, float32, of a quantised tensor's *array*; any other array as it is."""
    if spec.quant is None or not quantised(spec):
        return array
    from .quant import dequantize  # noqa: PLC0415  wanted by quantised models only

    return dequantize(array, spec.quant.scale, spec.quant.zero_point)


def _array(value: Any, where: str) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ShapeError(f"{where}: cannot make an array of it: {error}") from error


def _exact(array: Array, spec: TensorSpec, where: str) -> Array:
    memory = memory_dtype(spec.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        there = array.astype(memory)
    if memory.kind in "iu" or array.dtype.kind in "iu":
        bad = there != array
        if DTYPES[spec.dtype].bits < 8:
            from .quant import RANGES  # noqa: PLC0415  rare

            bad |= (array < RANGES[spec.dtype][0]) | (array > RANGES[spec.dtype][1])
    else:
        bad = np.isfinite(there) != np.isfinite(array)
    if bad.any():
        raise ShapeError(f"{where}: {spec.dtype} cannot hold {array[bad].flat[0]}")
    return there


def _strings(value: Any, spec: TensorSpec, what: str) -> Array:
    if spec.dtype != "string":
        raise ShapeError(
            f"{called(spec, what)}: a {spec.dtype} is made by the model itself; it cannot be set"
        )
    given = np.asarray(value, dtype=object)
    result = np.empty(given.shape, dtype=object)
    for place, item in enumerate(given.flat):
        if isinstance(item, str):
            item = item.encode("utf-8", "surrogateescape")  # noqa: PLW2901  one name for one string
        if not isinstance(item, bytes):
            where = called(spec, what)
            raise ShapeError(
                f"{where}: takes strings, element {place} is {type(item).__name__}; pass bytes or str"
            )
        result.flat[place] = bytes(item)
    return result
