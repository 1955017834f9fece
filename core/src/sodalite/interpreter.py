"""``Interpreter``: the interface of ``tf.lite.Interpreter`` and ``ai_edge_litert.interpreter``, over a Runner.

Changing the import is enough. Added are arguments that choose plugins, ``explain``, ``memory``, ``close``, and errors
where the original returns overwritten memory or crashes.
"""

from __future__ import annotations

import enum
import functools
import gc
import operator
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from .delegate import Delegate
from .dtypes import OBJECTS
from .errors import DelegateError, DelegateLoadError, ShapeError, printable
from .graph import Array, Graph, Shape, TensorSpec
from .kernel import GENERATIONS, Limits, Mode, Quality
from .model import Model, open_model
from .plan import Observer
from .plugins import Registry
from .resolve import Settings
from .runner import Explanation, Memory, Runner
from .signature import SignatureRunner
from .values import admits, called, fit, misshapen, op_details, tensor_details

if TYPE_CHECKING:
    from typing import Self

P = ParamSpec("P")
R = TypeVar("R")


@enum.unique
class OpResolverType(enum.Enum):
    """Which kernels may run: any; with BUILTIN_REF, only those of plugins without SIMD kernels."""

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


def load_delegate(
    library: str, options: Mapping[str, Any] | None = None, *, registry: Registry | None = None
) -> Delegate:
    """The delegate called *library*, from an installed plugin; whoever calls this closes it.

    DelegateLoadError, also a ValueError, if no plugin offers it here, or *library* is a C delegate library.
    """
    name = os.fspath(library)
    file = os.path.basename(name)
    if file != name or file.endswith((".so", ".dll", ".dylib")) or ".so." in file:
        raise DelegateLoadError(
            f'"{printable(name)}" is a C delegate library, which Sodalite does not load: delegates are plugins, asked for by'
            f" name; install one, or leave the delegate out"
        )
    try:
        return (Registry.load() if registry is None else registry).delegate(name, options)
    except DelegateError as error:
        raise DelegateLoadError(str(error)) from error


def _exclusive(method: Callable[Concatenate[Interpreter, P], R]) -> Callable[Concatenate[Interpreter, P], R]:
    """One thread at a time: the second gets an error, never a race."""

    @functools.wraps(method)
    def guarded(self: Interpreter, /, *args: P.args, **kwargs: P.kwargs) -> R:
        lock = self._lock
        if not lock.acquire(blocking=False):
            lock = self._taken()
        try:
            self._thread = threading.get_ident()
            return method(self, *args, **kwargs)
        finally:
            lock.release()

    return guarded


class _Held:
    """Base of one view given out by ``tensor()``: lives as long as the view and everything made from it."""

    def __init__(self, array: Array, what: str) -> None:
        self.array = array
        self.what = what
        self.__array_interface__ = array.__array_interface__


class Interpreter:
    """Runs one model, for one thread at a time; docs/api.md has all arguments.

    model_path: a path, mapped read-only, or an open Model to share; or model_content: bytes, or another buffer.
    num_threads: >= 1. experimental_preserve_all_tensors: intermediate results can be read. Other experimental
    arguments are accepted and change nothing that can be seen.

    kernels: plugins allowed, in the order to ask them. pin: operator or node index -> the plugin to run it.
    delegates: names, ``(name, options)`` pairs, Delegate objects, or "auto"; by default what the environment variable
    SODALITE_DELEGATES lists. strict: no fall-back allowed. on_delegate_error: "fallback" or "raise".
    mode, arithmetic: how to compute. limits: what the model may take. copy: read the file instead of mapping it.

    Raises ModelError if the model cannot be read; UnsupportedOpError, at ``allocate_tensors``, if nothing runs some
    operator.
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
        named = model_path is not None and model_path != ""
        if named == (model_content is not None):
            raise ValueError(f"give either model_path or model_content; got {'both' if named else 'neither'}")
        resolver = experimental_op_resolver_type
        if not isinstance(resolver, OpResolverType):
            raise ValueError(f"experimental_op_resolver_type is an OpResolverType, got {resolver!r}")
        if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
            raise ValueError(f"num_threads is an int >= 1, got {num_threads!r}")
        if on_delegate_error not in ("fallback", "raise"):
            raise ValueError(f'on_delegate_error is "fallback" or "raise", got {on_delegate_error!r}')
        asked = {"arithmetic": arithmetic, "threads": num_threads}
        mode = replace(mode or Mode(), **{k: v for k, v in asked.items() if v is not None})  # type: ignore[arg-type]
        if mode.arithmetic not in GENERATIONS:
            raise ValueError(f"arithmetic is one of {', '.join(GENERATIONS)}; got {mode.arithmetic!r}")

        registry = Registry.load() if registry is None else registry
        if kernels is None and resolver is OpResolverType.BUILTIN_REF:
            kernels = _without_simd(registry)
        wanted: list[Any] = list(experimental_delegates or ())
        if delegates is not None:
            wanted += [delegates] if isinstance(delegates, str) else delegates
        elif experimental_delegates is None and resolver is not OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES:
            wanted += filter(None, map(str.strip, os.environ.get("SODALITE_DELEGATES", "").split(",")))
        source: Any = model_path if named else model_content
        own_model = not hasattr(source, "graphs")  # a Model already open is shared, not closed here
        self._model: Model = open_model(source, copy=copy) if own_model else source
        own: list[Delegate] = []
        runners: dict[int, Runner] = {}
        release = weakref.finalize(self, _release, runners, own, self._model if own_model else None)
        try:
            chosen = tuple(_delegates(registry, wanted, own))
        except BaseException:
            release()
            raise
        self._release = release
        self._runners = runners
        self._registry = registry
        self._settings = Settings(
            mode=mode,
            kernels=(kernels,) if isinstance(kernels, str) else None if kernels is None else tuple(kernels),
            pin={} if pin is None else dict(pin),
            delegates=chosen,
            keep_all=bool(experimental_preserve_all_tensors),
            strict=strict,
            on_delegate_error=on_delegate_error,
            limits=Limits() if limits is None else limits,
            check=os.environ.get("SODALITE_CHECK", "") not in ("", "0"),
        )
        self._state: dict[Any, Any] = {}
        self._compress = bool(experimental_compress_quantization_zero_points)
        self._lock: Any = threading.RLock()
        self._thread = 0
        self._pid = os.getpid()
        self._running = False
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()

    # Life

    def close(self) -> None:
        """Release delegates, memory and the file; views given out stay valid. May be called twice."""
        if self._release.alive:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sodalite.Interpreter {self._model.label if self._release.alive else '(closed)'}>"

    # Running

    @_exclusive
    def allocate_tensors(self) -> None:
        """Choose a kernel for every node and place all memory: needed first, and after a resize."""
        self._allocate(self._runner(0))

    @_exclusive
    def invoke(self, observe: Observer | None = None) -> None:
        """Run the model. observe(choice, outputs, ns) is called after each step; the results are the same."""
        self._run(self._runner(0), observe)

    @_exclusive
    def resize_tensor_input(self, input_index: int, tensor_size: Iterable[int], strict: bool = False) -> None:
        """Give an input another shape. strict: only dimensions that ``shape_signature`` shows as -1 may change."""
        self._resize(self._runner(0), input_index, tensor_size, strict=strict)

    @_exclusive
    def reset_all_variables(self) -> None:
        """Set every variable tensor to its initial value."""
        for runner in self._runners.values():
            runner.reset_variables()

    # Values

    @_exclusive
    def set_tensor(self, tensor_index: int, value: Any) -> None:
        """Copy *value* into an input or variable tensor: an array of its dtype, or numbers that fit. Else ShapeError."""
        self._set(self._runner(0), tensor_index, value)

    @_exclusive
    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> Any:
        """A copy of a tensor's value: an array; for shape () a numpy scalar, for a resource None.

        NoValueError for an intermediate tensor whose memory was used again.
        """
        return self._get(self._runner(subgraph_index), tensor_index)

    def tensor(self, tensor_index: int) -> Callable[[], Array]:
        """A function that returns a view of the tensor's memory. While one is held, memory is not moved."""

        def view() -> Array:
            return self._view(tensor_index)

        return view

    # Descriptions

    def get_input_details(self) -> list[dict[str, Any]]:
        """One dictionary an input: name, index, shape, shape_signature (-1: may change), dtype, quantization, ..."""
        return [self._get_tensor_details(i) for i in self._graph(0).inputs]

    def get_output_details(self) -> list[dict[str, Any]]:
        """One dictionary an output, as ``get_input_details``."""
        return [self._get_tensor_details(i) for i in self._graph(0).outputs]

    def get_tensor_details(self, subgraph_index: int = 0) -> list[dict[str, Any]]:
        """One dictionary a tensor of the subgraph, as ``get_input_details``."""
        return [self._get_tensor_details(t.index, subgraph_index) for t in self._graph(subgraph_index).tensors]

    def num_subgraphs(self) -> int:
        return len(self._model.graphs)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """``{key: {"inputs": [names], "outputs": [names]}}``; empty if the model has no signatures."""
        full = self._get_full_signature_list()
        return {key: {side: list(names) for side, names in both.items()} for key, both in full.items()}

    def get_signature_runner(self, signature_key: str | None = None) -> SignatureRunner:
        """A callable for one signature; the key may be left out if there is exactly one. ValueError lists them."""
        keys = [s.key for s in self._model.signatures]
        key = keys[0] if signature_key is None and len(keys) == 1 else signature_key
        if key is None or key not in keys:
            known = ", ".join(f'"{printable(k)}"' for k in keys) or "none; use set_tensor, invoke and get_tensor"
            asked = "no signature_key was given" if key is None else f'no signature "{printable(key)}"'
            raise ValueError(f"{asked}; the model's signatures: {known}")
        return SignatureRunner(self, key)

    @property
    def experimental_compress_quantization_zero_points(self) -> bool:
        return self._compress

    @_exclusive
    def explain(self, subgraph_index: int = 0) -> Explanation:
        """Who runs each node, who declined it and why: data in ``.rows``, text through ``str()``."""
        return self._runner(subgraph_index).explain()

    @_exclusive
    def memory(self, subgraph_index: int = 0) -> Memory:
        """Bytes by kind: arena, scratch, variables, weights, packed, outputs. Nothing needs to be allocated."""
        return self._runner(subgraph_index).memory()

    # Private names that are used in the wild

    def _get_ops_details(self) -> list[dict[str, Any]]:
        return op_details(self._graph(0))

    def _get_tensor_details(self, tensor_index: int, subgraph_index: int = 0) -> dict[str, Any]:
        graph = self._graph(subgraph_index)
        index = self._spec(graph.tensors, tensor_index).index
        return tensor_details(graph, index, self._shape(index, subgraph_index), compress=self._compress)

    def _get_full_signature_list(self) -> dict[str, dict[str, dict[str, int]]]:
        return {
            s.key: {"inputs": dict(sorted(s.inputs.items())), "outputs": dict(sorted(s.outputs.items()))}
            for s in self._model.signatures
        }

    # What the methods above are made of: callers hold the lock

    def _graph(self, index: int) -> Graph:
        if not self._release.alive:
            raise RuntimeError("the interpreter is closed: make a new one")
        graphs = self._model.graphs
        if not 0 <= operator.index(index) < len(graphs):
            raise ValueError(f"there is no subgraph {index}; the model has {len(graphs)}, numbered from 0")
        return graphs[index]

    def _runner(self, index: int) -> Runner:
        runner = self._runners.get(index)
        if runner is None:
            index = self._graph(index).index
            if index:  # runners of one interpreter share memory through the first
                runner = self._runner(0).sibling(index)
            else:
                runner = Runner(self._model, index, self._registry, self._settings, self._state)
            self._runners[index] = runner
        return runner

    def _shape(self, tensor: int, graph: int = 0) -> Shape | None:
        runner = self._runners.get(graph)
        return self._graph(graph).tensors[tensor].shape if runner is None else runner.shape(tensor)

    @staticmethod
    def _spec(tensors: Sequence[TensorSpec], index: int) -> TensorSpec:
        try:
            place = operator.index(index)
        except TypeError:
            raise TypeError(f"a tensor is named by its index, an int, got {index!r}; get_input_details() lists them") from None
        if not 0 <= place < len(tensors):
            raise ShapeError(f"there is no tensor {place}; the subgraph has {len(tensors)}, numbered from 0")
        return tensors[place]

    def _taken(self) -> Any:
        if self._pid != os.getpid():  # a thread of the parent process held it at the fork, and is not here
            self._pid, self._lock, self._running = os.getpid(), threading.RLock(), False
            self._lock.acquire()
            return self._lock
        name = next((t.name for t in threading.enumerate() if t.ident == self._thread), str(self._thread))
        raise RuntimeError(
            f'the interpreter is in use by thread "{name}": give each thread its own, or use sodalite.load(...)'
        )

    def _free(self, doing: str) -> None:
        """Refuse to move memory under views, or while running."""
        if self._running:
            raise RuntimeError(f"cannot {doing} inside invoke()")
        if self._held:
            gc.collect()  # views in dead cycles
        if self._held:
            names = ", ".join(sorted({held.what for held in self._held}))
            raise RuntimeError(
                f"cannot {doing}: views of {names} are held; keep the function that tensor() returned, or copy the view"
            )

    def _allocate(self, runner: Runner) -> None:
        self._free("allocate")
        if not runner.allocated:  # nothing changed: inputs and variables keep their values, as in TFLite
            runner.allocate()

    def _run(self, runner: Runner, observe: Observer | None = None) -> None:
        if self._held or self._running:
            self._free("run")
        self._running = True
        try:
            runner.run(observe)
        finally:
            self._running = False

    def _resize(self, runner: Runner, index: int, size: Iterable[int], *, strict: bool = False) -> None:
        spec = self._spec(runner.graph.tensors, index)
        where = called(spec, "input")
        try:
            shape = tuple(map(operator.index, size))
        except TypeError:
            raise ShapeError(f"{where}: a shape is a list of ints, got {size!r}") from None
        if strict:
            allowed = runner.shape(spec.index) if spec.signature is None else spec.signature
            if not admits(allowed, shape):
                raise ShapeError(f"{where}: only dimensions shown as -1 may change; shape is {allowed}, got {shape}")
        self._free("resize")
        runner.resize(spec.index, shape)

    def _set(self, runner: Runner, index: int, value: Any) -> None:
        graph = runner.graph
        spec = self._spec(graph.tensors, index)
        index = spec.index
        settable = index in graph.inputs or spec.variable
        if not settable or spec.data is not None:
            names = ", ".join(called(graph.tensors[i], "input") for i in graph.inputs)
            made = "a constant of the model" if spec.data is not None else "computed by the model"
            raise ShapeError(f"{called(spec)} is {made}; values are set for inputs and variables: {names}")
        what = "variable" if spec.variable else "input"
        array = fit(value, spec, what)
        target = runner.input(index)
        if array.shape != target.shape:
            hint = f"call resize_tensor_input({index}, {list(array.shape)}) and allocate_tensors() first"
            raise misshapen(array, target.shape, called(spec, what), hint)
        target[...] = array

    @_exclusive
    def _call(
        self, graph: int, inputs: Mapping[str, int], values: Mapping[str, Any], outputs: Mapping[str, int]
    ) -> dict[str, Any]:
        """Set, run and get by name; resized and allocated only where shapes changed."""
        runner = self._runner(graph)
        tensors = runner.graph.tensors
        arrays = {inputs[name]: fit(value, tensors[inputs[name]]) for name, value in values.items()}
        for index, array in arrays.items():
            if array.shape != runner.shape(index):
                self._resize(runner, index, array.shape)
        if not runner.allocated:
            self._allocate(runner)
        for index, array in arrays.items():
            self._set(runner, index, array)
        self._run(runner)
        return {name: self._get(runner, index) for name, index in outputs.items()}

    def _get(self, runner: Runner, index: int) -> Any:
        spec = self._spec(runner.graph.tensors, index)
        if spec.dtype in OBJECTS and spec.dtype != "string":
            return None
        value = self._value(runner, spec)
        return value[()] if value.ndim == 0 and value.dtype != object else value.copy()

    def _value(self, runner: Runner, spec: TensorSpec) -> Array:
        if spec.data is not None:
            return spec.data
        if spec.index in runner.graph.inputs or spec.variable:
            return runner.input(spec.index)
        return runner.value(spec.index)

    @_exclusive
    def _view(self, tensor_index: int) -> Array:
        runner = self._runner(0)
        spec = self._spec(runner.graph.tensors, tensor_index)
        held = _Held(self._value(runner, spec), called(spec))
        self._held.add(held)
        return np.asarray(held)

    @_exclusive
    def _prepare(self, graph: int) -> None:
        if not (runner := self._runner(graph)).allocated:
            self._allocate(runner)

    @_exclusive
    def _restart(self) -> None:
        """Fresh state: runners are made again when they are needed."""
        self._free("reset")
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()
        self._state.clear()

    @_exclusive
    def _close(self) -> None:
        if self._running:
            self._free("close")
        self._release()


def _delegates(registry: Registry, wanted: Iterable[Any], own: list[Delegate]) -> Iterable[Delegate]:
    """The Delegate for each item; those made here are added to *own*."""
    for item in wanted:
        if isinstance(item, Delegate):
            yield item
            continue
        name, options = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if not isinstance(name, str):
            raise ValueError(f'delegates are names, (name, options) pairs, Delegate objects or "auto"; got {item!r}')
        try:
            own.append(load_delegate(name, options, registry=registry))
        except DelegateLoadError:
            if name == "auto":
                continue
            raise
        yield own[-1]


def _without_simd(registry: Registry) -> tuple[str, ...]:
    """The plugins that offer nothing above Quality.PORTABLE, reference kernels first."""
    best: dict[str, int] = {}
    for op in (*registry.operators, "fused:"):
        for offer in registry.offers(op):
            best[offer.plugin] = max(best.get(offer.plugin, 0), offer.kernel.quality)
    return tuple(sorted((p for p in best if best[p] <= Quality.PORTABLE), key=lambda p: (best[p], p)))


def _release(runners: dict[int, Runner], delegates: list[Delegate], model: Model | None) -> None:
    """Delegates go before the memory they work in, memory before the file."""
    for delegate in delegates:
        delegate.close()
    for runner in runners.values():
        runner.close()
    runners.clear()
    if model is not None:
        model.close()
