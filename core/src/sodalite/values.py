"""Between callers and tensors: values that fit exactly, strings, quantised real numbers; and the detail dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import DTYPES, OBJECTS, memory_dtype
from .errors import ShapeError, printable
from .graph import Array, Graph, Quant, Shape, Sparsity, TensorSpec

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
    """*value* as an array of exactly the tensor's memory dtype.

    Arrays have that dtype, in any byte order or layout; Python numbers and lists any of its kind that loses nothing but
    float precision; strings are ``bytes`` or ``str``. ShapeError says what to do.
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
    if array.dtype.name == spec.dtype and array.dtype.itemsize == memory.itemsize:
        return array.view(memory)  # bfloat16, float8 of ml_dtypes
    if isinstance(value, _LITERAL) and (array.dtype.kind in _KINDS[memory.kind] or array.size == 0):
        return _exact(array, spec, where)
    hint = f"pass value.astype('{memory.name}')"
    if array.dtype.kind == "f" and quantised(spec) and spec.quant is not None:
        hint = f"it holds q of {formula(spec.quant)}; sodalite.load(...) quantises"
    raise ShapeError(f"{where}: takes {spec.dtype}, got {array.dtype}; {hint}")


def admits(shape: Shape, given: Shape) -> bool:
    """Whether a tensor of *shape* may have the shape *given*. -1: any size."""
    return len(shape) == len(given) and all(n in (-1, m) for n, m in zip(shape, given, strict=True))


def misshapen(array: Array, shape: Shape, where: str, hint: str) -> ShapeError:
    """The error for an *array* that has not the *shape* a tensor takes (-1: any size)."""
    fixed = [n for n in shape if n >= 0]
    if array.size == int(np.prod(fixed)) and len(fixed) >= len(shape) - 1:
        hint = f"pass value.reshape({shape})"
    return ShapeError(f"{where}: shape is {shape}, got {array.shape}; {hint}")


def quantised(spec: TensorSpec) -> bool:
    """Whether real = scale * (q - zero_point), with one scale, gives the tensor's meaning."""
    quant = spec.quant
    return spec.dtype in _QUANTISED and quant is not None and quant.kind == "affine" and quant.scales.size == 1


def formula(quant: Quant) -> str:
    """What a quantised number stands for: ``real = 0.5 * (q - 3)``."""
    point = quant.zero_point
    return f"real = {quant.scale:g} * (q {'-+'[point < 0]} {abs(point)})"


def from_real(value: Any, spec: TensorSpec) -> Array:
    """Like ``fit``, for real numbers: quantised with the tensor's parameters, unless they have its integer type already;
    converted where no kind is lost."""
    if spec.dtype in OBJECTS:
        return fit(value, spec)
    where = called(spec, "input")
    array, literal = _array(value, where), isinstance(value, _LITERAL)
    if spec.quant is not None and quantised(spec) and array.dtype.kind in ("fiu" if literal else "f"):
        with np.errstate(all="ignore"):
            steps = np.asarray(np.asarray(array, np.float32) / np.float32(spec.quant.scale), np.float64)
        if np.isnan(steps).any():
            raise ShapeError(f"{where}: has NaN, which {spec.dtype} cannot hold")
        nearest = np.trunc(steps + np.copysign(0.5, steps))  # half away from zero; exact, as steps are float32
        return np.asarray(np.clip(nearest + spec.quant.zero_point, *_range(spec.dtype)), memory_dtype(spec.dtype))
    memory = memory_dtype(spec.dtype)
    if not literal and not quantised(spec) and np.can_cast(array.dtype, memory, "same_kind"):
        return _exact(array, spec, where)
    return fit(value, spec)


def to_real(array: Array, spec: TensorSpec) -> Array:
    """The real numbers, float32, of a quantised tensor's *array*; any other array as it is."""
    if spec.quant is None or not quantised(spec):
        return array
    centred = np.asarray(array, np.float64) - spec.quant.zero_point
    return (spec.quant.scale * centred).astype(np.float32)  # type: ignore[no-any-return]


def _range(dtype: str) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    count = 1 << DTYPES[dtype].bits
    least = 0 if dtype[0] == "u" else -count // 2
    return least, least + count - 1


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
            least, greatest = _range(spec.dtype)
            bad |= (array < least) | (array > greatest)
    else:
        bad = np.isfinite(there) != np.isfinite(array)
    if bad.any():
        raise ShapeError(f"{where}: {spec.dtype} cannot hold {array[bad].flat[0]}")
    return there


def _strings(value: Any, spec: TensorSpec, what: str) -> Array:
    if spec.dtype != "string":
        raise ShapeError(f"{called(spec, what)}: a {spec.dtype} is made by the model itself; it cannot be set")
    given = np.asarray(value, dtype=object)
    result = np.empty(given.shape, dtype=object)
    for place, item in enumerate(given.flat):
        if isinstance(item, str):
            item = item.encode("utf-8", "surrogateescape")  # noqa: PLW2901  one name for one string
        if not isinstance(item, bytes):
            where = called(spec, what)
            raise ShapeError(f"{where}: takes strings, element {place} is {type(item).__name__}; pass bytes or str")
        result.flat[place] = bytes(item)
    return result


def tensor_details(graph: Graph, tensor: int, shape: Shape | None, *, compress: bool = False) -> dict[str, Any]:
    """The details of one tensor. shape: the current one; compress: equal zero points are shown once."""
    spec = graph.tensors[tensor]
    now = np.array(() if shape is None else shape, np.int32)
    scales, zero_points, axis, block = _quantisation(graph, spec.quant)
    if compress and zero_points.size > 1 and (zero_points == zero_points[0]).all():
        zero_points = zero_points[:1]
    single = scales.size == 1
    return {
        "name": spec.name,
        "index": tensor,
        "shape": now,
        "shape_signature": now.copy() if spec.signature is None else np.array(spec.signature, np.int32),
        "dtype": numpy_type(spec),
        "quantization": (float(scales[0]), int(zero_points[0])) if single else (0.0, 0),
        "quantization_parameters": {
            "scales": scales,
            "zero_points": zero_points,
            "quantized_dimension": axis,
            "block_size": block,
        },
        "sparsity_parameters": {} if spec.sparsity is None else _sparsity(spec.sparsity),
    }


def _quantisation(graph: Graph, quant: Quant | None) -> tuple[Array, Array, int, int]:
    scales: Array = np.zeros(0, np.float32)
    zero_points: Array = np.zeros(0, np.int32)
    if quant is None:
        return scales, zero_points, 0, 0
    if quant.kind == "affine":
        return quant.scales.copy(), quant.zero_points.astype(np.int32), quant.axis, 0
    if quant.scales_tensor >= 0 and (data := graph.tensors[quant.scales_tensor].data) is not None:
        scales = data.ravel().copy()
    if quant.zero_points_tensor >= 0 and (data := graph.tensors[quant.zero_points_tensor].data) is not None:
        zero_points = data.ravel().astype(np.int32)
    return scales, zero_points, quant.axis, quant.block_size


def _sparsity(sparsity: Sparsity) -> dict[str, Any]:
    dims: list[dict[str, Any]] = []
    for form, *rest in sparsity.dims:
        if form == "dense":
            dims.append({"format": 0, "dense_size": int(rest[0])})
        else:
            segments, indices = (np.array(a, np.int32) for a in rest)
            dims.append({"format": 1, "array_segments": segments, "array_indices": indices})
    blocks = {"block_map": np.array(sparsity.block_map, np.int32)} if sparsity.block_map else {}
    return {
        "traversal_order": np.array(sparsity.traversal_order, np.int32),
        **blocks,
        "dim_metadata": dims,
    }


def op_details(graph: Graph) -> list[dict[str, Any]]:
    """One dictionary a node, in execution order; an omitted input has index -1 and no type."""
    return [
        {
            "index": place,
            "op_name": node.op.removeprefix("custom:"),
            "inputs": np.array(node.inputs, np.int32),
            "outputs": np.array(node.outputs, np.int32),
            "operand_types": [numpy_type(graph.tensors[i]) for i in node.inputs if i >= 0],
            "result_types": [numpy_type(graph.tensors[i]) for i in node.outputs if i >= 0],
        }
        for place, node in enumerate(graph.nodes)
    ]
