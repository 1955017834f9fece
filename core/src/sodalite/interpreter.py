"""Running models: ``Interpreter``, with TFLite's interface, and ``load``, the short way."""

# ruff: noqa: SLF001  the interpreter, seen from its own module
from __future__ import annotations

import copy as copying
import enum
import functools
import gc
import operator
import os
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .dtypes import DTYPES, OBJECTS, memory_dtype
from .errors import DelegateError, DelegateLoadError, ShapeError, printable
from .graph import Array, Graph, Quant, Shape, Sparsity, TensorSpec
from .kernel import GENERATIONS, Delegate, Limits, Mode, Quality
from .model import Content, Model, open_model
from .plan import Explanation, Memory, Observer, Runner, called
from .plugins import Registry
from .resolve import Settings

if TYPE_CHECKING:
    from typing import Self

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
STATE = OBJECTS - {"string"}


class OpResolverType(enum.Enum):
    """BUILTIN_REF: only kernels of plugins without SIMD kernels."""

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


def load_delegate(
    library: str, options: Mapping[str, Any] | None = None, *, registry: Registry | None = None
) -> Delegate:
    """The delegate called *library*, from an installed plugin; whoever calls this closes it. Else DelegateLoadError."""
    name = os.fspath(library)
    if re.search(r"[/\\]|\.(so|dll|dylib)\b", name):
        raise DelegateLoadError(f"{quoted(name)} is a C delegate library: name a plugin's delegate, or leave it out")
    try:
        return (Registry.load() if registry is None else registry).delegate(name, options)
    except DelegateError as error:
        raise DelegateLoadError(str(error)) from error


def _exclusive(method: F) -> F:
    @functools.wraps(method)
    def guarded(self: Interpreter, *args: Any, **named: Any) -> Any:
        lock = self._lock
        if not lock.acquire(blocking=False):
            lock = self._taken()
        try:
            self._thread = threading.get_ident()
            return method(self, *args, **named)
        finally:
            lock.release()

    return guarded  # type: ignore[return-value]


class _Held:
    """Base of a view: lives as long as all that is made from it."""

    def __init__(self, array: Array, what: str) -> None:
        self.array, self.what = array, what
        self.__array_interface__ = array.__array_interface__


class Interpreter:
    """Runs one model, for one thread at a time; docs/api.md has all arguments.

    ModelError if the model cannot be read; UnsupportedOpError, at ``allocate_tensors``, if nothing runs it.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | Model | None = None,
        model_content: bytes | bytearray | memoryview | None = None,
        experimental_delegates: Sequence[Delegate] | None = None,
        num_threads: int | None = None,
        experimental_op_resolver_type: OpResolverType = OpResolverType.AUTO,
        experimental_preserve_all_tensors: bool = False,
        experimental_disable_delegate_clustering: bool = False,
        experimental_default_delegate_latest_features: bool = False,
        experimental_compress_quantization_zero_points: bool = False,
        experimental_disable_delegate_node_fusion: bool = False,
        experimental_force_delegate_node_profiling: bool = False,
        *,
        kernels: str | Iterable[str] | None = None,
        pin: Mapping[str | int, str] | None = None,
        delegates: str | Iterable[str | tuple[str, Mapping[str, Any]] | Delegate] | None = None,
        strict: bool = False,
        on_delegate_error: str = "fallback",
        limits: Limits | None = None,
        mode: Mode | None = None,
        arithmetic: str | None = None,
        copy: bool = False,
        registry: Registry | None = None,
    ) -> None:
        named = model_path not in (None, "")
        if named == (model_content is not None):
            raise ValueError(f"give either model_path or model_content; got {'both' if named else 'neither'}")
        if num_threads is not None and not (isinstance(num_threads, int) and num_threads > 0):
            raise ValueError(f"num_threads is an int >= 1, got {num_threads!r}")
        resolver = experimental_op_resolver_type
        mode = mode or Mode()
        mode = replace(mode, arithmetic=arithmetic or mode.arithmetic, threads=num_threads or mode.threads)
        for name, given, allowed in (
            ("experimental_op_resolver_type", resolver, [*OpResolverType]),
            ("on_delegate_error", on_delegate_error, ["fallback", "raise"]),
            ("arithmetic", mode.arithmetic, [*GENERATIONS]),
        ):
            if given not in allowed:  # type: ignore[operator]
                raise ValueError(f"{name} is one of {', '.join(map(str, allowed))}; got {given!r}")

        registry = Registry.load() if registry is None else registry
        if isinstance(kernels, str):
            kernels = (kernels,)
        elif kernels is None and resolver is OpResolverType.BUILTIN_REF:
            offers = (o for op in (*registry.operators, "fused:") for o in registry.offers(op))
            best = {plugin: quality for quality, plugin in sorted((o.kernel.quality, o.plugin) for o in offers)}
            kernels = [plugin for plugin, quality in best.items() if quality <= Quality.PORTABLE]
        wanted: list[Any] = list(experimental_delegates or ())
        if delegates is not None:
            wanted += [delegates] if isinstance(delegates, str) else delegates
        elif experimental_delegates is None and resolver is not OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES:
            wanted += os.environ.get("SODALITE_DELEGATES", "").replace(",", " ").split()

        with ExitStack() as ends:  # delegates go before the memory they work in, the file last
            if isinstance(model_path, Model):
                self._model = model_path  # not closed here
            else:
                source: Any = model_path if named else model_content
                self._model = ends.enter_context(closing(open_model(source, copy=copy)))
            self._runners: dict[int, Runner] = {}  # kept by themselves
            ends.callback(_forget, self._runners)
            chosen = []
            for item in wanted:
                name, options = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
                if isinstance(item, Delegate):
                    chosen.append(item)
                elif not isinstance(name, str):
                    raise ValueError(f"a delegate is a name, (name, options) or a Delegate; got {item!r}")
                else:
                    try:
                        chosen.append(ends.enter_context(closing(load_delegate(name, options, registry=registry))))
                    except DelegateLoadError:
                        if name != "auto":
                            raise
            self._release = weakref.finalize(self, ends.pop_all().close)
        self._registry = registry
        self._settings = Settings(
            mode=mode,
            kernels=None if kernels is None else tuple(kernels),
            pin=dict(pin or {}),
            delegates=tuple(chosen),
            keep_all=bool(experimental_preserve_all_tensors),
            strict=strict,
            on_delegate_error=on_delegate_error,
            limits=limits or Limits(),
            check=os.environ.get("SODALITE_CHECK", "") not in ("", "0"),
        )
        self._state: dict[Any, Any] = {}
        self._compress = bool(experimental_compress_quantization_zero_points)
        self._lock: Any = threading.RLock()
        self._thread = 0
        self._pid = os.getpid()
        self._running = False
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()

    @_exclusive
    def close(self) -> None:
        """Release delegates, memory and the file; views given out stay valid."""
        if self._running:
            self._free("close")
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sodalite.Interpreter {self._model.label if self._release.alive else '(closed)'}>"

    @_exclusive
    def allocate_tensors(self) -> None:
        """Choose kernels and place all memory: needed first, and after a resize."""
        self._allocate(0)

    @_exclusive
    def invoke(self, observe: Observer | None = None) -> None:
        """Run the model; observe(choice, outputs, ns) is called after each step."""
        self._run(self._runner(0), observe)

    @_exclusive
    def resize_tensor_input(self, input_index: int, tensor_size: Iterable[int], strict: bool = False) -> None:
        """Give an input another shape; if strict, only where ``shape_signature`` is -1."""
        self._resize(self._runner(0), input_index, tensor_size, strict=strict)

    @_exclusive
    def reset_all_variables(self) -> None:
        """Set variables to their initial values."""
        for runner in self._runners.values():
            runner.reset_variables()

    @_exclusive
    def set_tensor(self, tensor_index: int, value: Any) -> None:
        """Copy *value* into an input or variable: an array of its dtype, or numbers that fit. Else ShapeError."""
        self._set(self._runner(0), tensor_index, value)

    @_exclusive
    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> Any:
        """A copy of a tensor's value: an array; for shape () a numpy scalar, for a resource None.

        NoValueError if it was overwritten.
        """
        return self._get(self._runner(subgraph_index), tensor_index)

    def tensor(self, tensor_index: int) -> Callable[[], Array]:
        """A function that returns a view of the tensor's memory. While one is held, nothing runs."""
        return functools.partial(self._view, tensor_index)

    def get_input_details(self) -> list[dict[str, Any]]:
        """One dictionary an input: name, index, shape, shape_signature (-1: may change), dtype, quantization, ..."""
        return [self._get_tensor_details(i) for i in self._graph(0).inputs]

    def get_output_details(self) -> list[dict[str, Any]]:
        """As ``get_input_details``."""
        return [self._get_tensor_details(i) for i in self._graph(0).outputs]

    def get_tensor_details(self, subgraph_index: int = 0) -> list[dict[str, Any]]:
        """As ``get_input_details``, for each tensor."""
        return [self._get_tensor_details(t.index, subgraph_index) for t in self._graph(subgraph_index).tensors]

    def num_subgraphs(self) -> int:
        return len(self._model.graphs)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """``{key: {"inputs": [names], "outputs": [names]}}``."""
        return {s.key: {"inputs": [*s.inputs], "outputs": [*s.outputs]} for s in self._model.signatures}

    def get_signature_runner(self, signature_key: str | None = None) -> SignatureRunner:
        """A callable for one signature; without a key, for the only one. ValueError lists them."""
        known: Mapping[Any, Entry] = _signatures(self._model)
        if signature_key is None and len(known) == 1:
            (signature_key,) = known
        name = f"signature {quoted(str(signature_key))}"
        if signature_key not in known:
            raise _unsigned(f"no {name}" if signature_key is not None else "a signature_key is wanted", known)
        return SignatureRunner(self, name, known[signature_key])

    @property
    def experimental_compress_quantization_zero_points(self) -> bool:
        return self._compress

    @_exclusive
    def explain(self, subgraph_index: int = 0) -> Explanation:
        """Who runs each node, who declined it and why: data in ``.rows``, text through ``str()``."""
        return self._runner(subgraph_index).explain()

    @_exclusive
    def memory(self, subgraph_index: int = 0) -> Memory:
        """Bytes by kind: arena, scratch, variables, weights, packed, outputs."""
        return self._runner(subgraph_index).memory()

    # Private names that are used in the wild

    def _get_ops_details(self) -> list[dict[str, Any]]:
        return op_details(self._graph(0))

    def _get_tensor_details(self, tensor_index: int, subgraph_index: int = 0) -> dict[str, Any]:
        graph = self._graph(subgraph_index)
        spec = _item(graph.tensors, tensor_index)
        runner = self._runners.get(graph.index)
        return tensor_details(graph, spec, runner.shape(spec.index) if runner else spec.shape, compress=self._compress)

    def _get_full_signature_list(self) -> dict[str, dict[str, dict[str, int]]]:
        return {s.key: {"inputs": {**s.inputs}, "outputs": {**s.outputs}} for s in self._model.signatures}

    # Callers hold the lock

    def _graph(self, index: int) -> Graph:
        if not self._release.alive:
            raise RuntimeError("the interpreter is closed: make a new one")
        return _item(self._model.graphs, index, "subgraph")

    def _runner(self, index: int) -> Runner:
        return self._runners.get(index) or Runner(
            self._model, self._graph(index).index, self._registry, self._settings, self._state, self._runners
        )

    def _taken(self) -> Any:
        if self._pid != os.getpid():  # held at the fork by a thread that is not here
            self._pid, self._lock, self._running = os.getpid(), threading.RLock(), False
            self._lock.acquire()
            return self._lock
        name = next((t.name for t in threading.enumerate() if t.ident == self._thread), self._thread)
        raise RuntimeError(f'the interpreter is in use by thread "{name}": give each its own, or use sodalite.load(...)')

    def _free(self, doing: str) -> None:
        if self._running:
            raise RuntimeError(f"cannot {doing} inside invoke()")
        if self._held:
            gc.collect()  # views in dead cycles
            if names := ", ".join(sorted({held.what for held in self._held})):
                raise RuntimeError(
                    f"cannot {doing}: views of {names} are held; keep the function that tensor() returned, or copy the view"
                )

    def _allocate(self, graph: int) -> None:
        runner = self._runner(graph)
        self._free("allocate")
        if not runner.allocated:  # else values are kept, as in TFLite
            runner.allocate()

    def _run(self, runner: Runner, observe: Observer | None = None) -> None:
        self._free("run")
        self._running = True
        try:
            runner.run(observe)
        finally:
            self._running = False

    def _resize(self, runner: Runner, index: int, size: Iterable[int], *, strict: bool = False) -> None:
        spec = _item(runner.graph.tensors, index)
        try:
            shape = tuple(map(operator.index, size))
        except TypeError:
            raise ShapeError(f"{called(spec)}: a shape is a list of ints, got {size!r}") from None
        allowed = spec.signature or runner.shape(spec.index)
        if strict and not admits(allowed, shape):
            raise ShapeError(f"{called(spec)}: shape is {allowed}, got {shape}; only -1 may change")
        self._free("resize")
        runner.resize(spec.index, shape)

    def _set(self, runner: Runner, index: int, value: Any) -> None:
        graph = runner.graph
        spec = _item(graph.tensors, index)
        if not (spec.variable or spec.index in graph.inputs):
            names = ", ".join(called(graph.tensors[i]) for i in graph.inputs)
            raise ShapeError(f"{called(spec, 'tensor')} is no input or variable; there are: {names}")
        array, target = fit(value, spec), runner.input(spec.index)
        if array.shape != target.shape:
            hint = f"call resize_tensor_input({index}, {list(array.shape)}) and allocate_tensors() first"
            raise misshapen(array, target.shape, spec, hint)
        target[...] = array

    @_exclusive
    def _call(self, entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
        runner = self._runner(entry.graph)
        arrays = {entry.inputs[n].index: fit(value, entry.inputs[n]) for n, value in values.items()}
        for i, array in arrays.items():
            if array.shape != runner.shape(i):
                self._resize(runner, i, array.shape)
        self._allocate(entry.graph)
        for i, array in arrays.items():
            self._set(runner, i, array)
        self._run(runner)
        return {n: self._get(runner, t.index) for n, t in entry.outputs.items()}

    def _get(self, runner: Runner, index: int) -> Any:
        spec = _item(runner.graph.tensors, index)
        if spec.dtype in STATE:
            return None
        value = _value(runner, spec)
        return value.copy() if value.ndim or value.dtype == object else value[()]

    @_exclusive
    def _view(self, tensor_index: int) -> Array:
        runner = self._runner(0)
        spec = _item(runner.graph.tensors, tensor_index)
        held = _Held(_value(runner, spec), called(spec, "tensor"))
        self._held.add(held)
        return np.asarray(held)

    @_exclusive
    def _restart(self) -> None:
        self._free("reset")
        _forget(self._runners)
        self._state.clear()


def _forget(runners: dict[int, Runner]) -> None:
    for runner in [*runners.values()]:
        runner.close()
    runners.clear()


def _value(runner: Runner, spec: TensorSpec) -> Array:
    if spec.data is not None:
        return spec.data
    return (runner.input if spec.variable or spec.index in runner.graph.inputs else runner.value)(spec.index)


def _item(items: Sequence[T], index: int, what: str = "tensor") -> T:
    try:
        place = operator.index(index)
    except TypeError:
        raise TypeError(f"a {what} is named by its index, got {index!r}; get_tensor_details() lists them") from None
    if not 0 <= place < len(items):
        raise ShapeError(f"no {what} {place}; there are {len(items)}, from 0")
    return items[place]


class Entry(NamedTuple):
    """One way into a model: a signature, or the first subgraph."""

    graph: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    def check(self, where: str, given: Collection[str]) -> None:
        if wrong := {*given} ^ {*self.inputs}:
            raise ShapeError(f"{where}: missing or unknown: {quoted(*sorted(wrong))}; inputs: {quoted(*self.inputs)}")

    def __str__(self) -> str:
        lines = []
        for side, tensors in (("in ", self.inputs), ("out", self.outputs)):
            for name, t in tensors.items():
                lines.append(f"  {side} {quoted(name)} {t.dtype} {[*declared(t)]}")
                if quant := quantised(t):
                    lines[-1] += f", {formula(quant)}"
        return "\n".join(lines)


def _signatures(model: Model) -> dict[str, Entry]:
    found = {}
    for s in model.signatures:
        tensors = model.graphs[s.graph].tensors
        sides = ({n: tensors[i] for n, i in side.items()} for side in (s.inputs, s.outputs))
        found[s.key] = Entry(s.graph, *sides)
    return found


def _first(graph: Graph) -> Entry:
    # by the tensors' names, if all have one of their own
    sides = []
    for what, indices in (("input", graph.inputs), ("output", graph.outputs)):
        tensors = [graph.tensors[i] for i in indices]
        named = {t.name: t for t in tensors}
        usable = len(named) == len(tensors) and "" not in named
        sides.append(named if usable else {f"{what}_{i}": t for i, t in enumerate(tensors)})
    return Entry(0, *sides)


def _unsigned(asked: str, known: Iterable[str]) -> ValueError:
    listed = quoted(*known) or "none; use set_tensor, invoke and get_tensor"
    return ValueError(f"{asked}; the model's signatures: {listed}")


def quoted(*names: str) -> str:
    return ", ".join(f'"{printable(n)}"' for n in names)


class SignatureRunner:
    """Made by ``Interpreter.get_signature_runner``. It shares the interpreter's memory, and does not block it."""

    def __init__(self, interpreter: Interpreter, name: str, entry: Entry) -> None:
        self._interpreter, self._name, self._entry = interpreter, name, entry

    def __call__(self, /, **inputs: Any) -> dict[str, Any]:
        """Run once: ``{output name: array}``. Inputs are resized; ValueError lists missing and unknown names."""
        self._entry.check(self._name, inputs)
        return self._interpreter._call(self._entry, inputs)

    def get_input_details(self) -> dict[str, dict[str, Any]]:
        """``{name: details}``."""
        return self._details(self._entry.inputs)

    def get_output_details(self) -> dict[str, dict[str, Any]]:
        """``{name: details}``."""
        return self._details(self._entry.outputs)

    def _details(self, side: Mapping[str, TensorSpec]) -> dict[str, dict[str, Any]]:
        return {n: self._interpreter._get_tensor_details(t.index, self._entry.graph) for n, t in side.items()}

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(self._entry.inputs)} -> {', '.join(self._entry.outputs)}>"


class Session:
    """Memory and state for one thread, made by ``model.session()``; weights are shared."""

    def __init__(self, entries: Mapping[str, Entry], label: str, how: Mapping[str, bool], own: Any = None) -> None:
        self._entries, self._label, self._how, self._own = entries, label, how, own

    def _borrow(self) -> AbstractContextManager[Interpreter]:
        return nullcontext(self._own)

    def close(self) -> None:
        """Release memory."""
        self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __call__(self, value: Any = None, /, **named: Any) -> Any:
        """Run: ``model(x)`` with one input, else ``model(name=x, ...)`` or ``model({"name": x, ...})``.

        Returns an array, or ``{name: array}`` of several. ``raw=True``: quantised integers in and out.
        """
        entry, how = self._entry, dict(self._how)
        inputs = entry.inputs
        if "raw" in named and "raw" not in inputs:
            how["raw"] = named.pop("raw")
        if isinstance(value, Mapping):
            named = {**value, **named}
        elif value is not None:
            if len(inputs) != 1 or named:
                raise ShapeError(f"{self._label} has {len(inputs)} inputs; pass each by its name: {quoted(*inputs)}")
            named = dict.fromkeys(inputs, value)
        entry.check(self._label, named)
        with self._borrow() as interpreter:
            results = interpreter._call(entry, {n: _admitted(v, inputs[n], **how) for n, v in named.items()})
        if not how["raw"]:
            results = {n: to_real(a, entry.outputs[n]) for n, a in results.items()}
        return next(iter(results.values())) if len(results) == 1 else results

    def signature(self, key: str) -> Self:
        """The same, for one signature. ValueError lists them."""
        if key not in self._entries:
            raise _unsigned(f"no signature {quoted(key)}", self._entries)
        other = copying.copy(self)
        other._entries = {key: self._entries[key]}
        return other

    def reset(self) -> None:
        """Forget all state: variables and resources."""
        with self._borrow() as interpreter:
            interpreter._restart()

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        return self._entry.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        return self._entry.outputs

    def explain(self) -> Explanation:
        """Who runs each node, who declined it and why: data in ``.rows``, text through ``str()``."""
        with self._borrow() as interpreter:
            return interpreter.explain(self._entry.graph)

    def memory(self) -> Memory:
        """Bytes by kind: arena, scratch, variables, weights, packed, outputs."""
        with self._borrow() as interpreter:
            return interpreter.memory(self._entry.graph)

    def __repr__(self) -> str:
        lines = [f"<sodalite {type(self).__name__} {self._label}"]
        for key, entry in self._entries.items():
            lines += [f"signature {quoted(key)}"] * bool(key) + [str(entry)]
        return "\n".join(lines) + ">"

    @property
    def _entry(self) -> Entry:
        known = self._entries
        if len(known) > 1 and "serving_default" not in known:
            raise _unsigned(f"{self._label} has several; call model.signature(name)(...)", known)
        return known.get("serving_default") or next(iter(known.values()))


class LoadedModel(Session):
    """A model, ready to be called from any thread, made by ``sodalite.load``; with state, calls wait for each other."""

    def __init__(self, model: Model, arguments: Mapping[str, Any], how: Mapping[str, bool]) -> None:
        super().__init__(_signatures(model) or {"": _first(model.graphs[0])}, model.label, how)
        self._model = [model]  # empty when closed
        self._arguments = arguments
        self._stateful = any(t.variable or t.dtype in STATE for graph in model.graphs for t in graph.tensors)
        self._turn = threading.RLock()
        self._idle: list[Interpreter] = []

    @contextmanager
    def _borrow(self) -> Iterator[Interpreter]:
        with self._turn if self._stateful else nullcontext():
            try:
                interpreter = self._idle.pop()  # one bytecode: no lock is needed
            except IndexError:
                interpreter = self._another()
            try:
                yield interpreter
            finally:
                self._idle.append(interpreter)
                if not self._model:
                    self.close()

    def _another(self) -> Interpreter:
        for model in self._model:
            return Interpreter(model, **self._arguments)
        raise RuntimeError(f"{self._label} is closed: load it again")

    def session(self) -> Session:
        return Session(self._entries, self._label, self._how, self._another())

    def close(self) -> None:
        """Release memory; calls under way finish first, the file goes with the last session."""
        self._model.clear()
        with self._turn:
            while self._idle:
                self._idle.pop().close()


def load(
    source: Content,
    *,
    raw: bool = False,
    resize: bool = False,
    copy: bool = False,
    **arguments: Any,
) -> LoadedModel:
    """The model in *source*, a path, bytes or an open binary file, as a callable.

    raw: quantised integers in and out. resize: fixed dimensions may change too. arguments: of ``Interpreter``.
    """
    model = LoadedModel(open_model(source, copy=copy), arguments, {"raw": raw, "resize": resize})
    try:
        with model._borrow() as interpreter:
            for entry in model._entries.values():
                if all(t.signature is None for t in entry.inputs.values()):
                    interpreter._allocate(entry.graph)
    except BaseException:
        model.close()
        raise
    return model


def _admitted(value: Any, spec: TensorSpec, *, raw: bool, resize: bool) -> Array:
    array, shape = fit(value, spec, real=not raw), declared(spec)
    if resize or admits(shape, array.shape):
        return array
    one = (1,) * len(shape)
    if array.ndim == 0 and admits(shape, one):
        return array.reshape(one)
    hint = "-1 may be any size" if -1 in shape else "load(..., resize=True) lets the model try others"
    raise misshapen(array, shape, spec, hint)


_LITERAL = (list, tuple, int, float, complex)  # they have a kind, not a width
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}


def fit(value: Any, spec: TensorSpec, *, real: bool = False) -> Array:
    """*value* as an array of the tensor's memory dtype, else ShapeError.

    Arrays have that dtype, Python numbers its kind. real: arrays too; and real numbers for a quantised tensor.
    """
    memory = memory_dtype(spec.dtype)
    if type(value) is np.ndarray and value.dtype == memory and memory.kind != "O":
        return value
    where = called(spec)
    if memory.kind == "O":
        return _strings(value, spec, where)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ShapeError(f"{where}: is no array: {error}") from error
    given, quant, literal = array.dtype, quantised(spec), isinstance(value, _LITERAL)
    if real and quant and given.kind in ("fiu" if literal else "f"):
        with np.errstate(all="ignore"):
            steps = np.asarray(np.asarray(array, np.float32) / np.float32(quant.scale), np.float64)
        if np.isnan(steps).any():
            raise ShapeError(f"{where}: has NaN, which {spec.dtype} cannot hold")
        nearest = np.trunc(steps + np.copysign(0.5, steps))  # half away from zero, exactly
        return np.asarray(np.clip(nearest + quant.zero_point, *_range(spec.dtype)), memory)
    if given.newbyteorder("=") == memory.newbyteorder("="):
        return array.astype(memory)
    if given.name == spec.dtype and given.itemsize == memory.itemsize:
        return array.view(memory)  # bfloat16, float8 of ml_dtypes
    if literal:
        right = given.kind in _KINDS[memory.kind] or not array.size
    else:
        right = real and not quant and np.can_cast(given, memory, "same_kind")
    if not right:
        hint = f"pass value.astype('{memory.name}')"
        if quant and given.kind == "f":
            hint = f"it holds q of {formula(quant)}; sodalite.load(...) quantises"
        raise ShapeError(f"{where}: takes {spec.dtype}, got {given}; {hint}")
    with np.errstate(all="ignore"):
        there = array.astype(memory)
    if memory.kind in "iu":
        low, high = _range(spec.dtype)
        bad = (array < low) | (array > high)
    else:
        bad = there != array if given.kind in "iu" else np.isfinite(there) != np.isfinite(array)
    if bad.any():
        raise ShapeError(f"{where}: {spec.dtype} cannot hold {array[bad].flat[0]}")
    return there


def to_real(array: Array, spec: TensorSpec) -> Array:
    """The real numbers of a quantised tensor, float32; any other array as it is."""
    if quant := quantised(spec):
        centred = np.asarray(array, np.float64) - quant.zero_point
        return (quant.scale * centred).astype(np.float32)  # type: ignore[no-any-return]
    return array


def _strings(value: Any, spec: TensorSpec, where: str) -> Array:
    if spec.dtype in STATE:
        raise ShapeError(f"{where}: a {spec.dtype} cannot be set; the model makes it")
    given = np.asarray(value, object)
    result = np.empty(given.shape, object)
    for place, item in enumerate(given.flat):
        if not isinstance(item, (bytes, str)):
            raise ShapeError(f"{where}: takes bytes or str, element {place} is {type(item).__name__}")
        result.flat[place] = item.encode("utf-8", "surrogateescape") if isinstance(item, str) else bytes(item)
    return result


def _range(dtype: str) -> tuple[int, int]:
    count = 1 << DTYPES[dtype].bits
    least = 0 if dtype[0] == "u" else -count // 2
    return least, least + count - 1


def admits(shape: Shape, given: Shape) -> bool:
    """Whether *shape*, with -1 for any size, allows *given*."""
    return len(shape) == len(given) and all(map(lambda n, m: n in (-1, m), shape, given))


def declared(spec: TensorSpec) -> Shape:
    return spec.signature or spec.shape or ()


def misshapen(array: Array, shape: Shape, spec: TensorSpec, hint: str) -> ShapeError:
    fixed = [n for n in shape if n >= 0]
    if array.size == int(np.prod(fixed)) and len(fixed) >= len(shape) - 1:
        hint = f"pass value.reshape({shape})"
    return ShapeError(f"{called(spec)}: shape is {shape}, got {array.shape}; {hint}")


def quantised(spec: TensorSpec) -> Quant | None:
    """The parameters of a tensor quantised with one scale."""
    quant = spec.quant
    single = quant and quant.kind == "affine" and quant.scales.size == 1
    return quant if single and spec.dtype in ("int8", "uint8", "int16", "int4", "uint4") else None


def formula(quant: Quant) -> str:
    return f"real = {quant.scale:g} * (q{-quant.zero_point:+})"


_int32 = functools.partial(np.array, dtype=np.int32)
_NO_QUANT = Quant(np.zeros(0, np.float32), np.zeros(0, np.int64))


def _numpy_type(spec: TensorSpec) -> type[np.generic]:
    return np.bytes_ if spec.dtype == "string" else memory_dtype(spec.dtype).type


def tensor_details(graph: Graph, spec: TensorSpec, shape: Shape | None, *, compress: bool = False) -> dict[str, Any]:
    quant = spec.quant or _NO_QUANT

    def stored(tensor: int, otherwise: Array) -> Array:
        data = graph.tensors[tensor].data if tensor >= 0 else None
        return otherwise if data is None else data.ravel()

    scales = stored(quant.scales_tensor, quant.scales).copy()
    zero_points = stored(quant.zero_points_tensor, quant.zero_points).astype(np.int32)
    if compress and zero_points.size and (zero_points == zero_points[0]).all():
        zero_points = zero_points[:1]
    return {
        "name": spec.name,
        "index": spec.index,
        "shape": _int32(shape or ()),
        "shape_signature": _int32(spec.signature or shape or ()),
        "dtype": _numpy_type(spec),
        "quantization": (float(scales[0]), int(zero_points[0])) if scales.size == zero_points.size == 1 else (0.0, 0),
        "quantization_parameters": {
            "scales": scales,
            "zero_points": zero_points,
            "quantized_dimension": quant.axis,
            "block_size": quant.block_size,
        },
        "sparsity_parameters": _sparsity(spec.sparsity) if spec.sparsity else {},
    }


def _sparsity(sparsity: Sparsity) -> dict[str, Any]:
    return {
        "traversal_order": _int32(sparsity.traversal_order),
        **({"block_map": _int32(sparsity.block_map)} if sparsity.block_map else {}),
        "dim_metadata": [
            {"format": 0, "dense_size": int(rest[0])}
            if form == "dense"
            else {"format": 1, "array_segments": _int32(rest[0]), "array_indices": _int32(rest[1])}
            for form, *rest in sparsity.dims
        ],
    }


def op_details(graph: Graph) -> list[dict[str, Any]]:
    return [
        {
            "index": place,
            "op_name": node.op.removeprefix("custom:"),
            "inputs": _int32(node.inputs),
            "outputs": _int32(node.outputs),
            "operand_types": [_numpy_type(graph.tensors[i]) for i in node.inputs if i >= 0],
            "result_types": [_numpy_type(graph.tensors[i]) for i in node.outputs if i >= 0],
        }
        for place, node in enumerate(graph.nodes)
    ]
