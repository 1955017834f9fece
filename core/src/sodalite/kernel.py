"""The contracts of kernels and delegates: what a plugin is shown, what it answers with, and the set it offers.

``prepare(node) -> Prepared`` is called once a shape; ``Prepared.bind(buffers)`` once a memory layout: it returns the
step, a function without arguments that runs the operator.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from .dtypes import memory_dtype
from .errors import KernelError, PluginError
from .graph import EMPTY, Array, Shape, TensorSpec

Step = Callable[[], None]


# Why a kernel or a delegate declines a node.
Reason = enum.Enum(
    "Reason",
    "TYPE VERSION SHAPE RANK QUANT OPTION DYNAMIC STATE ARITHMETIC CPU DEVICE SIZE PRIORITY OTHER",
    module=__name__,
)


class Unsupported(Exception):  # noqa: N818  an answer, not a failure
    """Raised by prepare to decline a node: the next candidate is asked, the reason is kept for explain()."""

    def __init__(self, why: str, *, code: Reason = Reason.OTHER, detail: Any = None) -> None:
        super().__init__(why)
        self.why, self.code, self.detail = why, code, detail


class Quality(enum.IntEnum):
    """How good a kernel is: the highest is asked first, the plugin's name breaks ties."""

    REFERENCE = 0
    PORTABLE = 10
    SIMD = 20
    TUNED = 30


LITERT = "litert-2.3"
GENERATIONS = (LITERT, "tflite-2.14", "tflm")


@dataclass(frozen=True, slots=True)
class Mode:
    """How results are to be computed; part of every cache key."""

    arithmetic: str = LITERT  # one of GENERATIONS
    precise: bool = False  # prefer accuracy to speed
    relaxed: bool = False  # reduced precision is allowed
    deterministic: bool = False  # the same bits for any number of threads
    threads: int = 1  # at most so many a call


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may take; None: no limit. Over it is a KernelError that names the node."""

    memory: int | None = None  # bytes of a plan, or of a delivered output (None: what the machine has)
    loop_turns: int | None = None  # of one WHILE in one run
    seconds: float | None = None  # of one run; looked at between steps and at each loop turn

    def admit(self, nbytes: int, what: str) -> None:
        """KernelError if *what* takes more bytes than the limit allows, or than the machine has."""
        most, said = (_physical_memory(), "this machine has") if self.memory is None else (self.memory, "the limit is")
        if nbytes > most:
            raise KernelError(f"{what} takes {nbytes:,} bytes of memory, {said} {most:,}: use a smaller input or batch")


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 46  # cannot be asked here


def _no_packing(key: object, make: Callable[[], Any]) -> Any:
    return make()


class SubplanLike(Protocol):
    """A subgraph that a node names, as a callable with memory of its own and the interpreter's state: arrays of its
    inputs -> arrays of its outputs, good until the next call."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __call__(self, *arrays: Array) -> list[Array]: ...

    def shapes(self, *inputs: Shape) -> tuple[Shape | None, ...]:
        """The outputs' shapes for these input shapes; None where they are known only after running."""


def _no_subplan(index: int) -> SubplanLike:
    raise Unsupported("runs subgraphs, which this caller does not offer", code=Reason.STATE)


@dataclass(frozen=True, slots=True, eq=False)
class NodeSpec:
    """All that a kernel sees of a node.

    inputs: None where omitted; every shape is known, ``data`` is set where the value is known before running.
    outputs: as the file describes them; shapes may be stale or None: the kernel says what they are.
    state: the interpreter's dict for resources, shared by its subgraphs.
    packed(key, make): make() once for this node of the model, shared by all its interpreters; key must name all that
    the result depends on beside the node's constants and ``mode``.
    subplan(i): the i-th subgraph that the options name.
    """

    op: str
    version: int
    inputs: tuple[TensorSpec | None, ...]
    outputs: tuple[TensorSpec, ...]
    options: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    custom_options: bytes = b""
    intermediates: tuple[TensorSpec | None, ...] = ()
    mode: Mode = Mode()
    index: int = 0
    name: str = ""
    state: MutableMapping[Any, Any] = field(default_factory=dict)
    packed: Callable[[Any, Callable[[], Any]], Any] = _no_packing
    subplan: Callable[[int], SubplanLike] = _no_subplan


@dataclass(slots=True, eq=False)
class Buffers:
    """The memory of one step, fixed for the life of a plan. Strings lie in object arrays of ``bytes``."""

    inputs: tuple[Array | None, ...]  # of the prepared shapes, read-only but for ``writes``; None where omitted
    outputs: tuple[Array | None, ...]  # to fill; None where the shape is not known
    scratch: Array  # uint8 (Prepared.scratch,)
    emit: Callable[[int, Array], None]  # deliver output i: of its dtype, of a new shape each run if need be


class Prepared(NamedTuple):
    """What prepare found out, and how to bind it to memory."""

    outputs: tuple[Shape | None, ...]  # None: known only after running; the step delivers it with buffers.emit
    bind: Callable[[Buffers], Step]
    scratch: int = 0  # arena bytes while the step runs
    values: Mapping[int, Array] = EMPTY  # outputs known already: they become constants
    alias: Mapping[int, int] = EMPTY  # output i may take input j's bytes if j dies here
    writes: frozenset[int] = frozenset()  # inputs it updates: variable tensors only
    effects: bool = False  # touches state or randomness
    packed: int = 0  # bytes of packed weights that bind will ask node.packed for


Prepare = Callable[[NodeSpec], Prepared]


@dataclass(frozen=True, slots=True, eq=False)
class GroupSpec:
    """A matched group of nodes for a fused kernel, or a partition for a delegate.

    members: in execution order; inputs, outputs: the tensors that cross its border; member_inputs, member_outputs:
    tensor indices of each member (-1: omitted). The rest as in NodeSpec.
    """

    members: tuple[NodeSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    member_inputs: tuple[tuple[int, ...], ...]
    member_outputs: tuple[tuple[int, ...], ...]
    mode: Mode = Mode()
    name: str = ""
    state: MutableMapping[Any, Any] = field(default_factory=dict)
    packed: Callable[[Any, Callable[[], Any]], Any] = _no_packing


@runtime_checkable
class Delegate(Protocol):
    """What a plugin returns from ``sodalite_delegates``."""

    name: str  # as the user asked for it
    min_nodes: int  # smaller partitions are left to kernels
    max_partitions: int  # only so many, the largest, are compiled; 0 for no limit

    def refuses(self, node: NodeSpec) -> Unsupported | None:
        """Why this node cannot run here, or None if it can. Must not keep the node."""

    def compile(self, group: GroupSpec) -> Prepared:
        """Compile a convex partition; Unsupported gives its nodes back. The step may raise DelegateError while running: its
        inputs are untouched then, and its outputs do not count."""

    def close(self) -> None:
        """Release the device. Called once; no step runs after it."""


class Unavailable:
    """A plugin's answer when it knows the delegate's name but cannot offer it here."""

    def __init__(self, why: str) -> None:
        self.why = why


class Member(NamedTuple):
    """One node of a pattern. inputs: for each input, the label of the member that makes it, or None for any."""

    label: str
    ops: tuple[str, ...]
    inputs: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One implementation of an operator or of a pattern."""

    op: str
    target: Prepare | str
    quality: Quality
    versions: range
    arithmetic: frozenset[str]
    pattern: tuple[Member, ...] = ()

    def load(self) -> Callable[[Any], Prepared]:
        """The prepare function; a lazy one is imported now."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


_P = TypeVar("_P", bound=Callable[..., Any])


class KernelSet:
    """The kernels that a plugin offers: iterate over it to see them.

    quality, arithmetic: defaults for those added. A kernel is no candidate for a generation that it does not name.
    """

    def __init__(self, *, quality: Quality = Quality.PORTABLE, arithmetic: Iterable[str] = (LITERT,)) -> None:
        self._quality, self._arithmetic = quality, frozenset(arithmetic)
        self._kernels: dict[str, Kernel] = {}

    def __iter__(self) -> Iterator[Kernel]:
        return iter(self._kernels.values())

    def __len__(self) -> int:
        return len(self._kernels)

    def register(
        self,
        op: str,
        target: Prepare | str,
        *,
        versions: int | range | None = None,
        quality: Quality | None = None,
        arithmetic: Iterable[str] | None = None,
        pattern: tuple[Member, ...] = (),
    ) -> None:
        """Offer *target*, a prepare function or "package.module:function", for operator *op*; PluginError if this set
        has one already. versions: a range of operator versions, or the highest one; None for any."""
        if op in self._kernels:
            raise PluginError(f"{op} is claimed twice by one plugin: leave one of the two kernels out")
        self._kernels[op] = Kernel(
            op,
            target,
            self._quality if quality is None else quality,
            versions if isinstance(versions, range) else range(1, (versions or 1 << 30) + 1),
            self._arithmetic if arithmetic is None else frozenset(arithmetic),
            pattern,
        )

    def lazy(self, op: str, target: str, **how: Any) -> None:
        """Offer "package.module:function", which is imported when a node first asks for *op*."""
        if not isinstance(target, str) or target.count(":") != 1:
            raise PluginError(f'{op}: a lazy kernel is named "package.module:function", got {target!r}')
        self.register(op, target, **how)

    def prepare(self, op: str, **how: Any) -> Callable[[_P], _P]:
        """Decorator for a full ``prepare(node) -> Prepared`` function."""

        def decorate(function: _P) -> _P:
            self.register(op, function, **how)
            return function

        return decorate

    def fuse(self, name: str, pattern: Iterable[Member], target: Prepare | str, **how: Any) -> None:
        """Offer ``prepare(group: GroupSpec) -> Prepared`` for a small graph of operators, its members in execution order:
        each but the last, the root, feeds a later one."""
        members = tuple(Member(*m) for m in pattern)
        seen: set[str] = set()
        loose: set[str] = set()  # made, and not read yet
        for label, _, inputs in members:
            read = {i for i in inputs if i is not None}
            if label in seen or not read <= seen:
                raise PluginError(f"fused {name}: member {label!r} is there twice, or reads what no earlier one makes")
            seen.add(label)
            loose = loose - read | {label}
        if len(members) < 2 or len(loose) > 1:
            raise PluginError(f"fused {name}: a pattern is two or more members with one root, not {sorted(loose)}")
        self.register(f"fused:{name}", target, pattern=members, **how)

    def add(
        self,
        op: str,
        *,
        types: str | Iterable[str] | None = None,
        shape: Callable[..., Shape] | None = None,
        **how: Any,
    ) -> Callable[[_P], _P]:
        """Decorator for a plain function over arrays: inputs, then ``out`` (or one ``outN`` an output).

        Options arrive as keywords by their schema names; a custom operator's are decoded from FlexBuffers.
        types: the dtypes that inputs and outputs may have (None: any); others are declined.
        shape: ``shape(*input_shapes, **options)`` -> the output's shape, or a tuple of several outputs'; by default
        the first input's.
        """
        allowed = None if types is None else frozenset((types,) if isinstance(types, str) else types)

        def decorate(function: _P) -> _P:
            self.register(op, _Plain(function, allowed, shape), **how)
            return function

        return decorate


class _Plain:
    """prepare for a plain function."""

    def __init__(
        self, function: Callable[..., Any], types: frozenset[str] | None, shape: Callable[..., Any] | None
    ) -> None:
        self._function, self._types, self._shape = function, types, shape

    def __call__(self, node: NodeSpec) -> Prepared:
        function, types = self._function, self._types
        for tensor in (*node.inputs, *node.outputs):
            if types is not None and tensor is not None and tensor.dtype not in types:
                raise Unsupported(f"{', '.join(sorted(types))} only, got {tensor.dtype}", code=Reason.TYPE)
        options = dict(node.options) or decoded_options(node.custom_options)
        shapes = [None if t is None else t.shape for t in node.inputs]
        outputs: tuple[Any, ...] = (next((s for s in shapes if s is not None), ()),) * len(node.outputs)
        if self._shape is not None:
            outputs = tuple(self._shape(*shapes, **_taken(self._shape, options)))
            if not outputs or isinstance(outputs[0], (int, np.integer)):  # one shape, not several
                outputs = (outputs,)

        def bind(buffers: Buffers) -> Step:
            names = ["out"] if len(outputs) == 1 else [f"out{i}" for i in range(len(outputs))]
            keywords = dict(zip(names, buffers.outputs, strict=True), **_taken(function, options))
            return lambda: function(*buffers.inputs, **keywords)

        return Prepared(outputs, bind)


def _taken(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of *options* that *function* takes by keyword."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(options)
    return {k: v for k, v in options.items() if k in parameters}


def decoded_options(raw: bytes) -> dict[str, Any]:
    """The FlexBuffers map in *raw*, a custom operator's options, as a dict; {} where there is none. Unsupported if the
    bytes are something else: a kernel that knows them reads node.custom_options."""
    if not raw:
        return {}
    from flatbuffers import flexbuffers  # noqa: PLC0415  costs 10 ms, wanted by few

    try:
        value = flexbuffers.Loads(raw)
    except Exception as error:  # the decoder raises anything on foreign bytes
        raise Unsupported(f"custom options are not FlexBuffers ({error})", code=Reason.OPTION) from error
    if not isinstance(value, dict):
        raise Unsupported(f"custom options are {type(value).__name__}, not a FlexBuffers map", code=Reason.OPTION)
    return value


def nbytes(shape: Shape, dtype: str) -> int:
    """Bytes of one tensor in memory, as a Python int that cannot wrap."""
    return math.prod(shape) * memory_dtype(dtype).itemsize
