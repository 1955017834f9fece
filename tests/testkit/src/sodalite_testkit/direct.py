# SPDX-License-Identifier: Apache-2.0
"""Run a case straight through a plugin's prepare and bind, in guarded memory, without core's plan.

Every array lies between guard bytes; outputs and scratch hold a pattern before each run; inputs are read-only and are
compared afterwards. The step runs as it is, again, with other patterns in everything that it must not read, on other
inputs, and in place where it says it can. A rule of the kernel contract that does not hold is a ``Broken`` that names the rule.
"""

from __future__ import annotations

import copy
import gc
import traceback
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sodalite.dtypes import DTYPES, OBJECTS, memory_dtype
from sodalite.errors import SodaliteError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, Kernel, KernelSet, Mode, NodeSpec, Prepared, Step, Unsupported
from sodalite_schema import enum_name, field_defaults, field_enum, options_kind

from .case import CONSTANT, FED, VARIABLE, Case, Tensor

Turn = tuple[tuple[Array, ...], tuple[Array, ...]]  # outputs, and variables as they were left

GUARD = 128  # bytes before and after every array: more than any vector
ALIGNMENT = 64
PATTERNS = (0xA5, 0x5A)
RUNS = 50


class Broken(AssertionError):  # noqa: N818  a finding, not a failure of the testkit
    """A rule of the kernel contract does not hold. rule: which; the message says where."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f"{rule}: {why}")
        self.rule = rule


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a kernel made of a case: its outputs, the final bytes of its variables, and what prepare said."""

    outputs: tuple[Array, ...]
    variables: tuple[Array, ...]
    prepared: Prepared


def kernel_for(kernels: Iterable[Kernel] | KernelSet, case: Case) -> Kernel | None:
    """The kernel of *kernels* for this operator and version, or None."""
    return next((k for k in kernels if k.op == case.op and case.version in k.versions and not k.pattern), None)


def node_of(case: Case, *, mode: Mode | None = None, packed: dict[Any, Any] | None = None) -> NodeSpec:
    """The node as a kernel sees it: constants with data, options with the schema's defaults."""
    inputs = tuple(_spec(t, i, f"in{i}") for i, t in enumerate(case.inputs))
    outputs = tuple(_spec(t, len(inputs) + i, f"out{i}") for i, t in enumerate(case.outputs))
    between = tuple(_spec(t, len(inputs) + len(outputs) + i, f"mid{i}") for i, t in enumerate(case.intermediates))
    store: dict[Any, Any] = {} if packed is None else packed

    def pack(key: object, make: Callable[[], Any]) -> Any:
        if key not in store:
            store[key] = make()
        return store[key]

    return NodeSpec(
        case.op,
        case.version,
        inputs,
        tuple(t for t in outputs if t is not None),
        options_of(case.op, case.options),
        case.custom_options,
        between,
        Mode() if mode is None else mode,
        name=case.id,
        packed=pack,
    )


def options_of(op: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of builtin operator *op* with the schema's defaults, in the form that kernels see.

    ValueError for an option that the schema does not have. A custom operator has none but those given.
    """
    kind = None if op.startswith("custom:") else options_kind(op)
    if kind is None:
        if given and not op.startswith("custom:"):
            raise ValueError(f"{op} has no options, got {', '.join(given)}")
        return dict(given)
    options: dict[str, Any] = {}
    for name, value in field_defaults(kind).items():
        enum = field_enum(kind, name)
        options[name] = _readable(enum, value)
    unknown = [name for name in given if name not in options]
    if unknown:
        raise ValueError(f"{op} has no option {', '.join(unknown)}; it has {', '.join(options)}")
    options.update({k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
    return options


def _readable(enum: str | None, value: Any) -> Any:
    if enum is not None and isinstance(value, (int, np.integer)):
        name = enum_name(enum, int(value))
        return name.lower() if enum == "TensorType" else name
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype == np.uint8 else tuple(value.tolist())
    return "" if value is None else value


def prepare(case: Case, kernels: Iterable[Kernel] | KernelSet, node: NodeSpec | None = None) -> Prepared:
    """Ask the kernel, and check the form of its answer. Unsupported and the case's own error come through."""
    kernel = kernel_for(kernels, case)
    if kernel is None:
        raise Unsupported(f"no kernel for {case.op} version {case.version}")
    node = node_of(case) if node is None else node
    try:
        prepared = kernel.load()(node)
    except Unsupported:
        raise
    except Exception as error:
        if case.raises == type(error).__name__:
            raise
        raise Broken("declines are Unsupported", f"prepare raised {_told(error)}") from error
    _check_answer(case, node, prepared)
    return prepared


def run(case: Case, kernels: Iterable[Kernel] | KernelSet, *, mode: Mode | None = None) -> Outcome:
    """Run *case* with every check of this module but growth; Broken, Unsupported, or the case's own error."""
    packed: dict[Any, Any] = {}
    node = node_of(case, mode=mode, packed=packed)
    memory = _Memory(case, node)
    prepared = prepare(case, kernels, memory.node)
    if prepared.outputs and len(prepared.values) == len(prepared.outputs):
        return Outcome(_known(prepared), (), prepared)
    memory.lay_out(prepared)
    step = _bind(prepared, memory)
    first = memory.turn(step, case.steps, PATTERNS[0])
    _same(first, memory.turn(step, case.steps, PATTERNS[0]), "the second run gives the same bits")
    _full(first, memory.turn(step, case.steps, PATTERNS[1]), memory)
    _other_inputs(case, kernels, memory, step, first)
    again = _Memory(case, node)
    twin = prepare(case, kernels, again.node)
    again.lay_out(twin)
    other = again.turn(_bind(twin, again), case.steps, PATTERNS[0])
    _same(first, other, "an interpreter that shares packed weights gives the same bits")
    for pairs in _alias_sets(case, prepared):
        shared = _Memory(case, node)
        answer = prepare(case, kernels, shared.node)
        shared.lay_out(answer, pairs)
        _same(first, shared.turn(_bind(answer, shared), case.steps, PATTERNS[0]), f"alias {pairs} is honoured")
    outputs = tuple(
        np.array(prepared.values[i]) if i in prepared.values else a for i, a in enumerate(first[0])
    )
    return Outcome(outputs, first[1], prepared)


def _other_inputs(
    case: Case, kernels: Iterable[Kernel] | KernelSet, memory: _Memory, step: Step, first: Turn
) -> None:
    """The same step on other inputs gives what a fresh one does, and then the first outputs again."""
    other = permuted(case, lambda a: a.reshape(-1)[::-1].reshape(a.shape), lambda t: t.role == FED)
    try:
        wanted = evaluate(other, kernels)
    except (Unsupported, SodaliteError, Broken):
        return  # inputs that say where or how many need not make sense in another order
    starts = memory.start
    memory.start = [None if t is None else t.values for t in other.inputs]
    got = memory.turn(step, case.steps, PATTERNS[0])[0]
    memory.start = starts
    rule = "a step follows its inputs"
    _same((wanted, ()), (got, ()), rule)
    _same(first, memory.turn(step, case.steps, PATTERNS[0]), rule)


def evaluate(case: Case, kernels: Iterable[Kernel] | KernelSet) -> tuple[Array, ...]:
    """The outputs of one run, without repetitions; Broken, Unsupported, or the case's own error."""
    memory = _Memory(case, node_of(case))
    prepared = prepare(case, kernels, memory.node)
    if prepared.outputs and len(prepared.values) == len(prepared.outputs):
        return _known(prepared)
    memory.lay_out(prepared)
    outputs, _ = memory.turn(_bind(prepared, memory), case.steps, PATTERNS[0])
    return tuple(np.array(prepared.values[i]) if i in prepared.values else a for i, a in enumerate(outputs))


def growth(case: Case, kernels: Iterable[Kernel] | KernelSet) -> int:
    """Bytes by which Python's memory grows over 50 runs of the step: the least of four times 50.

    The interpreter's own caches fill during the first ones; what really grows does so every time, and stays when
    the last ones' free lists and cycles have been collected.
    """
    memory = _Memory(case, node_of(case, packed={}))
    prepared = prepare(case, kernels, memory.node)
    if prepared.outputs and len(prepared.values) == len(prepared.outputs):
        return 0
    memory.lay_out(prepared)
    step = _bind(prepared, memory)
    least = 1 << 62
    tracemalloc.start()
    try:
        for collect in (False, False, False, True):
            step()
            if collect:
                gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(RUNS):
                step()
            if collect:
                gc.collect()
            least = min(least, tracemalloc.get_traced_memory()[0] - before)
            if least <= 0:
                break
        return least
    finally:
        tracemalloc.stop()


def _known(prepared: Prepared) -> tuple[Array, ...]:
    return tuple(np.array(prepared.values[i]) for i in range(len(prepared.outputs)))


def permuted(case: Case, order: Callable[[Array], Array], chosen: Callable[[Tensor], bool]) -> Case:
    """*case* with ``order`` applied to the values of the inputs that *chosen* picks."""

    def change(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor.values is None or not chosen(tensor):
            return tensor
        values = np.array(order(tensor.values), order="C")
        values.flags.writeable = False
        return replace(tensor, values=values)

    return replace(case, inputs=tuple(change(t) for t in case.inputs))


class _Guarded:
    """An array between guard bytes."""

    def __init__(self, shape: Shape, dtype: str) -> None:
        kind = memory_dtype(dtype)
        self.objects = dtype in OBJECTS
        if self.objects:
            self.array: Array = np.empty(shape, object)
            return
        count = int(np.prod(shape, dtype=object))
        nbytes = count * kind.itemsize
        raw = np.empty(nbytes + 2 * GUARD + ALIGNMENT, np.uint8)
        start = GUARD + (-(raw.ctypes.data + GUARD)) % ALIGNMENT
        self.before, self.after = raw[:start], raw[start + nbytes :]
        self.bytes = raw[start : start + nbytes]
        self.array = self.bytes.view(kind).reshape(shape)
        self.pattern = PATTERNS[0]

    def seen_as(self, shape: Shape, dtype: str) -> _Guarded:
        """The same memory as an array of another shape and type."""
        other = copy.copy(self)
        kind = memory_dtype(dtype)
        count = int(np.prod(shape, dtype=object))
        other.array = self.bytes[: count * kind.itemsize].view(kind).reshape(shape)
        return other

    def guard(self, pattern: int) -> None:
        if not self.objects:
            self.pattern = pattern
            self.before[:] = self.after[:] = pattern

    def poison(self, pattern: int) -> None:
        """Fill with what no kernel writes by chance: NaNs of two kinds for floats, the pattern for others."""
        if self.objects:
            self.array[...] = pattern
        elif self.array.dtype.kind in "fc":
            self.bytes[:] = 0xFF if pattern == PATTERNS[0] else 0x7F
            _nans(self.array, pattern)
        else:
            self.bytes[:] = pattern

    def intact(self) -> bool:
        return self.objects or bool((self.before == self.pattern).all() and (self.after == self.pattern).all())


def _nans(array: Array, pattern: int) -> None:
    part = array.reshape(-1).view(f"f{array.dtype.itemsize // 2}") if array.dtype.kind == "c" else array
    bits = part.view(f"u{part.dtype.itemsize}")
    top = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8000000000000}[part.dtype.itemsize]
    bits[...] = top | pattern


class _Memory:
    """The buffers of one bound step, and what must be true of them after each turn."""

    def __init__(self, case: Case, node: NodeSpec) -> None:
        self.case = case
        self.inputs: list[_Guarded | None] = []
        self.start: list[Array | None] = []
        specs: list[TensorSpec | None] = []
        for tensor, spec in zip(case.inputs, node.inputs, strict=True):
            if tensor is None or spec is None:
                self.inputs.append(None)
                self.start.append(None)
                specs.append(None)
                continue
            assert tensor.values is not None
            held = _Guarded(tensor.values.shape, tensor.dtype)
            held.array[...] = tensor.values
            held.guard(PATTERNS[0])
            self.inputs.append(held)
            self.start.append(tensor.values)
            constant = tensor.role == CONSTANT
            specs.append(replace(spec, data=_locked(held.array)) if constant else spec)
        # The kernel sees constants in the memory that it is later bound to, as in a plan.
        self.node = replace(node, inputs=tuple(specs), state={})
        self.outputs: list[_Guarded | None] = []
        self.shared: dict[int, int] = {}
        self.scratch = _Guarded((0,), "uint8")
        self.emitted: dict[int, Array] = {}

    def lay_out(self, prepared: Prepared, alias: Mapping[int, int] | None = None) -> None:
        self.prepared = prepared
        self.shared = dict(alias or {})
        for i, shape in enumerate(prepared.outputs):
            dtype = self.case.outputs[i].dtype
            self.outputs.append(None if shape is None else _Guarded(shape, dtype))
        for i, j in self.shared.items():
            source, shape = self.inputs[j], prepared.outputs[i]
            assert source is not None
            assert shape is not None
            self.outputs[i] = source.seen_as(shape, self.case.outputs[i].dtype)
        self.scratch = _Guarded((prepared.scratch,), "uint8")

    def buffers(self) -> Buffers:
        given = tuple(
            None if held is None else (held.array if self._written(i) else _locked(held.array))
            for i, held in enumerate(self.inputs)
        )
        made = tuple(None if held is None else held.array for held in self.outputs)
        return Buffers(given, made, self.scratch.array, self._emit)

    def _written(self, i: int) -> bool:
        return i in self.prepared.writes

    def _emit(self, i: int, array: Array) -> None:
        if not 0 <= i < len(self.outputs) or self.outputs[i] is not None:
            raise Broken("only outputs of unknown shape are emitted", f"output {i} was")
        wanted = memory_dtype(self.case.outputs[i].dtype)
        if not isinstance(array, np.ndarray) or array.dtype != wanted:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise Broken("emitted arrays have the output's dtype", f"output {i} is {got}, wanted {wanted}")
        for j, held in enumerate(self.inputs):
            if held is not None and np.may_share_memory(array, held.array):
                raise Broken("emitted arrays are the kernel's own", f"output {i} lies in input {j}")
        self.emitted[i] = array

    def turn(self, step: Step, steps: int, pattern: int) -> Turn:
        """Reset everything, run *steps* times, check; copies of the outputs and of the variables."""
        for held, start in zip(self.inputs, self.start, strict=True):
            if held is not None and start is not None:
                held.array[...] = start
        everything = [h for h in (*self.inputs, *self.outputs, self.scratch) if h is not None]
        for guarded in everything:
            guarded.guard(pattern)
        self.node.state.clear()
        self.emitted.clear()
        for _ in range(steps):
            for i, held in enumerate(self.outputs):
                if held is not None and i not in self.shared:
                    held.poison(pattern)
            self.scratch.poison(pattern)
            self._stepped(step)
        self._check()
        outputs = tuple(
            np.array(self.emitted[i] if held is None else held.array) for i, held in enumerate(self.outputs)
        )
        variables = tuple(
            np.array(held.array)
            for held, tensor in zip(self.inputs, self.case.inputs, strict=True)
            if held is not None and tensor is not None and tensor.role == VARIABLE
        )
        return outputs, variables

    def _stepped(self, step: Step) -> None:
        try:
            step()
        except Broken:
            raise
        except Exception as error:
            if self.case.raises == type(error).__name__:
                raise
            rule = "errors have their class" if self.case.raises else "a step runs to its end"
            raise Broken(rule, f"it raised {_told(error)}") from error

    def _check(self) -> None:
        for what, group in (("input", self.inputs), ("output", self.outputs), ("scratch", [self.scratch])):
            for i, held in enumerate(group):
                if held is not None and not held.intact():
                    raise Broken("nothing outside the buffers is written", f"bytes around {what} {i} changed")
        for i, (held, start) in enumerate(zip(self.inputs, self.start, strict=True)):
            if held is None or start is None or self._written(i) or i in self.shared.values():
                continue
            if not _bits_equal(held.array, start):
                role = self.case.inputs[i].role if self.case.inputs[i] is not None else ""  # type: ignore[union-attr]
                raise Broken("inputs and constants are never written", f"input {i} ({role}) changed")
        missing = [i for i, held in enumerate(self.outputs) if held is None and i not in self.emitted]
        if missing:
            raise Broken("outputs of unknown shape are emitted", f"output {missing[0]} was not")


def _told(error: Exception) -> str:
    """The error and the innermost lines that led to it: the kernel's, as a rule."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    lines = [f"  {Path(f.filename).name}:{f.lineno} {f.name}: {f.line}" for f in frames]
    return "\n".join([f"{type(error).__name__}: {error}", *lines])


def _locked(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _bits_equal(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype == object:
        return bool((a == b).all())
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _bind(prepared: Prepared, memory: _Memory) -> Step:
    step = prepared.bind(memory.buffers())
    if not callable(step):
        raise Broken("bind returns a step", f"got {type(step).__name__}")
    return step


def _same(first: Turn, second: Turn, rule: str) -> None:
    for what, before, after in (("output", first[0], second[0]), ("variable", first[1], second[1])):
        for i, (a, b) in enumerate(zip(before, after, strict=True)):
            if not _bits_equal(a, b):
                raise Broken(rule, f"{what} {i} differs: {_difference(a, b)}")


def _full(first: Turn, second: Turn, memory: _Memory) -> None:
    """Compare runs that differ only in what the kernel must not read."""
    for i, (a, b) in enumerate(zip(first[0], second[0], strict=True)):
        held = memory.outputs[i]
        if _bits_equal(a, b):
            continue
        if held is not None and a.shape == b.shape:
            left = [_poison_like(held, p) for p in PATTERNS]
            bits = [_words(x) for x in (a, b, *left)]
            kept = (bits[0] == bits[2]) & (bits[1] == bits[3])
            if kept.any():
                where = tuple(int(n) for n in np.argwhere(kept)[0])
                raise Broken(
                    "outputs are written in full", f"output {i} keeps {int(kept.sum())} elements, first at {where}"
                )
        raise Broken(
            "nothing outside the buffers is read",
            f"output {i} depends on guard bytes, old output or scratch: {_difference(a, b)}",
        )
    _same(first, second, "nothing outside the buffers is read")


def _poison_like(held: _Guarded, pattern: int) -> Array:
    other = copy.copy(held)
    other.array = np.empty_like(held.array)
    if not held.objects:
        other.bytes = other.array.reshape(-1).view(np.uint8)
    other.poison(pattern)
    return other.array


def _words(a: Array) -> Array:
    if a.dtype == object or a.dtype.kind == "c":
        return a
    return np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}")


def _difference(a: Array, b: Array) -> str:
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    unlike = _words(a) != _words(b)
    if not np.any(unlike):
        return "in kind"
    where = tuple(int(n) for n in np.argwhere(unlike)[0])
    return f"{int(np.count_nonzero(unlike))} of {a.size} elements, first at {where}: {a[where]!r} and {b[where]!r}"


def _spec(tensor: Tensor | None, index: int, name: str) -> TensorSpec | None:
    if tensor is None:
        return None
    data = tensor.values if tensor.role == CONSTANT else None
    return TensorSpec(index, name, tensor.shape, tensor.dtype, tensor.quant, data, variable=tensor.variable)


def _alias_sets(case: Case, prepared: Prepared) -> Sequence[Mapping[int, int]]:
    """Each alias alone, and all that go together; constants and variables do not die, so core takes none of theirs."""
    inputs = case.inputs
    pairs = [(i, j) for i, j in prepared.alias.items() if (t := inputs[j]) is not None and t.role == FED]
    together: dict[int, int] = {}
    for i, j in pairs:
        if j not in together.values():
            together[i] = j
    single: list[Mapping[int, int]] = [{i: j} for i, j in pairs]
    return [*single, together] if len(together) > 1 else single


def _check_answer(case: Case, node: NodeSpec, prepared: Prepared) -> None:
    rule = "prepare answers in the agreed form"
    if not isinstance(prepared, Prepared):
        raise Broken(rule, f"it returned {type(prepared).__name__}, not Prepared")
    if len(prepared.outputs) != len(case.outputs):
        raise Broken(rule, f"{len(prepared.outputs)} output shapes for {len(case.outputs)} outputs")
    for i, shape in enumerate(prepared.outputs):
        if shape is not None and not (isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)):
            raise Broken(rule, f"output {i}'s shape is {shape!r}, not a tuple of ints >= 0")
    if type(prepared.scratch) is not int or prepared.scratch < 0:
        raise Broken(rule, f"scratch is {prepared.scratch!r}, not an int >= 0")
    for i in prepared.writes:
        tensor = case.inputs[i] if 0 <= i < len(case.inputs) else None
        if tensor is None or tensor.role != VARIABLE:
            raise Broken("writes names variable tensors only", f"input {i} is not one")
    for i, value in prepared.values.items():
        wanted = DTYPES[case.outputs[i].dtype].memory
        if not isinstance(value, np.ndarray) or value.dtype != wanted or value.shape != prepared.outputs[i]:
            raise Broken(rule, f"values[{i}] is not an array of {wanted} {prepared.outputs[i]}")
    for i, j in prepared.alias.items():
        _check_alias(case, node, prepared, i, j)


def _check_alias(case: Case, node: NodeSpec, prepared: Prepared, i: int, j: int) -> None:
    rule = "an alias names an input that has room for the output"
    shape = prepared.outputs[i] if 0 <= i < len(prepared.outputs) else None
    spec = node.inputs[j] if 0 <= j < len(node.inputs) else None
    if shape is None or spec is None or spec.shape is None:
        raise Broken(rule, f"{i}: {j} names no such pair")
    sizes = [
        int(np.prod(s, dtype=object)) * memory_dtype(d).itemsize
        for s, d in ((shape, case.outputs[i].dtype), (spec.shape, spec.dtype))
    ]
    if OBJECTS & {spec.dtype, case.outputs[i].dtype}:
        raise Broken(rule, f"{i}: {j} holds objects, which do not lie in the arena")
    if sizes[0] > sizes[1]:
        raise Broken(rule, f"output {i} has {sizes[0]} bytes, input {j} has {sizes[1]}")
