# SPDX-License-Identifier: Apache-2.0
"""A case: one operator with its data, and how near a result has to be. Written once, run on every plugin.

    case("RELU", [fed("int8", (2, 3), q(0.1, 3))], [out("int8", q(0.05, -128))])

Data that is not given is drawn: extremes first, then random over the whole range of the type, from a generator
seeded by the case's id and the base seed (environment variable SODALITE_SEED, 0 if unset; every failure prints it).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.dtypes import DTYPES, memory_dtype
from sodalite.graph import EMPTY, Array, Quant, Shape

from .tolerance import EXACT, Tolerance

BASE_SEED = int(os.environ.get("SODALITE_SEED", "0"))
WIDTH = 16  # elements in the widest vector that most kernels step by

FED, CONSTANT, VARIABLE, OUTPUT = "fed", "constant", "variable", "output"

# Tags: what else holds for a case, so that the suite can test it.
ELEMENTWISE = "elementwise"  # output element i depends on element i of the inputs of the output's shape, on nothing else
ROWS = "rows"  # output row i (first dimension) depends on row i of the fed inputs that have as many rows
SLOW = "slow"  # run once, without the repetitions that look for leaks


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An operand of a case.

    role: FED at run time, CONSTANT in the model, VARIABLE (state; values are its start, zeros in a model file) or OUTPUT.
    shape: of an output, what the file says (None: it says nothing useful; kernels must work it out).
    values: read-only, in memory form; None for outputs, and before they are drawn. low, high: bounds for drawing.
    """

    dtype: str
    shape: Shape | None
    role: str
    quant: Quant | None = None
    values: Array | None = None
    low: float | None = None
    high: float | None = None

    @property
    def constant(self) -> bool:
        return self.role == CONSTANT

    @property
    def variable(self) -> bool:
        return self.role == VARIABLE


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One operator, its data and its promise.

    op: "CONV_2D" or "custom:Name"; inputs: None where omitted; options: by schema name, enums as their names; those
    not named have the schema's defaults. tolerance: of every output of float type; integers are exact unless
    ``tolerance`` is a LEVELS. oracle: whose answer is wanted, LiteRT's "ref" or "opt" kernels, or "expected".
    expected: outputs worked out by hand, compared too. raises: name of the error class that prepare or the step must
    raise ("KernelError"). steps: runs without a reset, of which the last counts. seed: what the data was drawn from.
    """

    op: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    id: str
    version: int = 1
    options: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    custom_options: bytes = b""
    tolerance: Tolerance = EXACT
    tags: frozenset[str] = frozenset()
    oracle: str = "ref"
    expected: tuple[Array, ...] = ()
    raises: str = ""
    steps: int = 1
    intermediates: tuple[Tensor | None, ...] = ()
    seed: int = BASE_SEED

    def __str__(self) -> str:
        return self.id

    @property
    def fed(self) -> tuple[Array, ...]:
        """What the caller gives at run time, in order."""
        return tuple(_known(t) for t in self.inputs if t is not None and t.role == FED)

    @property
    def dtypes(self) -> str:
        """A short name of the types: the first input's, and the first output's if it is another."""
        first = next((t.dtype for t in self.inputs if t is not None), "none")
        last = self.outputs[0].dtype if self.outputs else first
        return first if first == last else f"{first}-{last}"


def case(
    op: str,
    inputs: Iterable[Tensor | None],
    outputs: Iterable[Tensor],
    *,
    note: str = "",
    version: int = 1,
    custom_options: bytes = b"",
    tolerance: Tolerance = EXACT,
    tags: str | Iterable[str] = (),
    oracle: str = "ref",
    expected: Sequence[npt.ArrayLike] = (),
    raises: str = "",
    steps: int = 1,
    intermediates: Iterable[Tensor | None] = (),
    **options: Any,
) -> Case:
    """Make a Case: its id is put together from operator, types, shapes, options and *note*; missing data is drawn.

    Keywords that are not a field of Case are options of the operator.
    """
    operands, results = tuple(inputs), tuple(outputs)
    made = Case(
        op,
        operands,
        results,
        _id(op, operands, results, options, note),
        version=version,
        options=options,
        custom_options=custom_options,
        tolerance=tolerance,
        tags=frozenset((tags,) if isinstance(tags, str) else tags),
        oracle="expected" if len(expected) and oracle == "expected" else oracle,
        expected=tuple(_frozen(np.asarray(e), t.dtype) for e, t in zip(expected, results, strict=bool(expected))),
        raises=raises,
        steps=steps,
        intermediates=tuple(intermediates),
    )
    return replace(made, inputs=tuple(_drawn(t, made.id, place) for place, t in enumerate(operands)))


def fed(what: str | npt.ArrayLike, shape: Shape | None = None, quant: Quant | None = None, **how: Any) -> Tensor:
    """An input given at run time: values (with dtype= if numpy's is not meant), or a dtype and a shape to be drawn.

    low, high: bounds for drawing; by default the whole range of an integer type, and -6 ... 6 for floats.
    """
    return _operand(FED, what, shape, quant, **how)


def const(what: str | npt.ArrayLike, shape: Shape | None = None, quant: Quant | None = None, **how: Any) -> Tensor:
    """An input stored in the model; arguments as for ``fed``."""
    return _operand(CONSTANT, what, shape, quant, **how)


def variable(dtype: str, shape: Shape, quant: Quant | None = None, value: float = 0) -> Tensor:
    """A variable tensor that starts as *value* everywhere (LiteRT starts from zero, or the zero point)."""
    return _operand(VARIABLE, np.full(shape, value, memory_dtype(dtype)), None, quant, dtype=dtype)


def out(dtype: str, quant: Quant | None = None, shape: Shape | None = None) -> Tensor:
    """An output. shape: what the file says of it, where a kernel reads that."""
    return Tensor(dtype, shape, OUTPUT, quant)


def q(scale: float | Sequence[float], zero_point: int | Sequence[int] = 0, axis: int = 0) -> Quant:
    """Quantisation: real = scale * (level - zero_point); a sequence of scales is per channel along *axis*."""
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    zero_points = np.broadcast_to(np.asarray(zero_point, np.int64), scales.shape).copy()
    scales.flags.writeable = zero_points.flags.writeable = False
    return Quant(scales, zero_points, axis)


def around(width: int = WIDTH) -> tuple[int, ...]:
    """Sizes at which vector loops go wrong: 0, 1, w-1, w, w+1, 3w+2."""
    return (0, 1, width - 1, width, width + 1, 3 * width + 2)


def specials(dtype: str = "float32") -> Array:
    """Every odd float: zeros of both signs, infinities, NaN, largest, smallest normal, a denormal, one and its neighbour."""
    kind = memory_dtype(dtype)
    info = np.finfo(kind)
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny, info.smallest_subnormal, 1.0, -1.0]
    return np.array([*values, np.nextafter(kind.type(1), kind.type(2))], dtype=kind)


def every(dtype: str) -> Array:
    """All levels of an 8-bit (or narrower) integer type, ascending."""
    low, high = limits(dtype)
    return np.arange(low, high + 1).astype(memory_dtype(dtype))


def limits(dtype: str) -> tuple[int, int]:
    """Least and greatest value of an integer type, by its width in the file. ValueError for other types."""
    entry = DTYPES[dtype]
    if entry.memory.kind not in "iu" or dtype.startswith(("bfloat", "float")):
        raise ValueError(f"{dtype} is not an integer type")
    if entry.memory.kind == "u":
        return 0, (1 << entry.bits) - 1
    return -(1 << (entry.bits - 1)), (1 << (entry.bits - 1)) - 1


def draw(
    rng: np.random.Generator,
    dtype: str,
    shape: Shape,
    *,
    low: float | None = None,
    high: float | None = None,
    also: Sequence[float] = (),
) -> Array:
    """Random elements of *dtype* in [low, high]; where there is room, the extremes and *also* come first."""
    kind = memory_dtype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == "string":
        made = np.empty(shape, object)
        for place in np.ndindex(*shape):
            made[place] = rng.bytes(int(rng.integers(0, 9)))
        return made
    if kind.kind == "c":
        real, imaginary = (draw(rng, "float64", shape, low=low, high=high) for _ in range(2))
        return (real + 1j * imaginary).astype(kind)
    floats = kind.kind == "f" or dtype == "bfloat16"
    if floats:
        bounds = (-6.0 if low is None else low, 6.0 if high is None else high)
        values = rng.uniform(*bounds, shape)
        first = [0.0, -0.0, *bounds, *also]
    else:
        least, greatest = limits(dtype)
        bottom, top = (int(least if low is None else low), int(greatest if high is None else high))
        values = rng.integers(bottom, top, shape, dtype=kind, endpoint=True)
        bounds = (bottom, top)
        first = [bottom, top, 0, -1, 1, *also]
    first = [v for v in first if bounds[0] <= v <= bounds[1]]
    room = values.size // 2
    flat = values.reshape(-1)
    flat[: min(room, len(first))] = first[:room]
    if dtype == "bfloat16":
        return (flat.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).reshape(shape)
    return flat.reshape(shape).astype(kind)


def generator(name: str, *more: int) -> np.random.Generator:
    """The random generator that belongs to *name* under the base seed."""
    return np.random.default_rng([BASE_SEED, zlib.crc32(name.encode()), *more])


def _operand(
    role: str,
    what: str | npt.ArrayLike,
    shape: Shape | None,
    quant: Quant | None,
    *,
    dtype: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Tensor:
    if isinstance(what, str):
        if shape is None:
            raise ValueError(f"a {what} operand to be drawn needs a shape")
        return Tensor(what, tuple(shape), role, quant, None, low, high)
    array = np.asarray(what)
    name = dtype or ("string" if array.dtype == object else array.dtype.name)
    values = _frozen(array, name)
    return Tensor(name, tuple(values.shape), role, quant, values)


def _frozen(array: Array, dtype: str) -> Array:
    copy = np.array(array, dtype=memory_dtype(dtype), order="C")
    copy.flags.writeable = False
    return copy


def _drawn(tensor: Tensor | None, name: str, place: int) -> Tensor | None:
    if tensor is None or tensor.values is not None:
        return tensor
    assert tensor.shape is not None
    also = () if tensor.quant is None or tensor.quant.per_channel else (tensor.quant.zero_point,)
    values = draw(generator(name, place), tensor.dtype, tensor.shape, low=tensor.low, high=tensor.high, also=also)
    return replace(tensor, values=_frozen(values, tensor.dtype))


def _known(tensor: Tensor) -> Array:
    assert tensor.values is not None
    return tensor.values


def _id(
    op: str,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    options: Mapping[str, Any],
    note: str,
) -> str:
    """operator-types-shapes-options-note, made of letters that a test id and a command line can carry."""
    present = [t for t in (*inputs, *outputs) if t is not None]
    kinds = list(dict.fromkeys(t.dtype for t in present))
    shapes = ["x".join(map(str, t.shape)) or "scalar" for t in inputs if t is not None and t.shape is not None]
    said = []
    for key, value in options.items():
        if value == 1 and key.startswith(("stride", "dilation")):
            continue  # goes without saying
        if isinstance(value, str):
            said.append(value.lower())
        elif value is True:
            said.append(key)
        elif value is not False and value is not None:
            text = "x".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
            said.append(f"{key}={text}")
    return "-".join([op, *kinds, *shapes, *said, *([note] if note else [])])
