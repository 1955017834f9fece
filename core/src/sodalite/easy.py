"""The short way: ``model = sodalite.load(path)``, then ``model(x)`` or ``model(name=x)``."""

# ruff: noqa: SLF001  the interpreter, seen from its own package
from __future__ import annotations

import copy as copying
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .dtypes import OBJECTS
from .errors import ShapeError, printable
from .graph import Array, Graph, TensorSpec
from .interpreter import Interpreter
from .model import Model, open_model
from .signature import check_names
from .values import admits, called, fit, formula, from_real, misshapen, quantised, to_real

if TYPE_CHECKING:
    from typing import Self


class Entry(NamedTuple):
    """One way into a model: a signature, or the first subgraph. inputs, outputs: name -> tensor."""

    graph: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    def __str__(self) -> str:
        sides = (("in ", self.inputs), ("out", self.outputs))
        return "\n".join(f'  {side} "{printable(n)}" {_described(t)}' for side, ts in sides for n, t in ts.items())


class _Callable(ABC):
    """What a model and its sessions have in common: how they are called."""

    def __init__(self, entries: Mapping[str, Entry], label: str, *, raw: bool, resize: bool) -> None:
        self._entries = entries
        self._label = label
        self._raw = raw
        self._resize = resize

    @abstractmethod
    def _borrow(self) -> AbstractContextManager[Interpreter]:
        """An interpreter that nobody else uses meanwhile."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __call__(self, value: Any = None, /, **named: Any) -> Any:
        """Run: ``model(x)`` if there is one input, else ``model(name=x, ...)`` or ``model({"name": x, ...})``.

        Arrays, lists or numbers; for quantised tensors real numbers, or arrays of the tensor's own type as they are.
        Dimensions that may change follow the input. Returns an array, or ``{name: array}`` of several; float32 for
        quantised tensors. ``raw=True``: quantised integers in and out. ShapeError says what does not fit.
        """
        entry, raw = self._entry, self._raw
        if "raw" in named and "raw" not in entry.inputs:
            raw = bool(named.pop("raw"))
        names = list(entry.inputs)
        if isinstance(value, Mapping):
            named = {**value, **named}
        elif value is not None:
            if len(names) != 1 or named:
                known = ", ".join(f'"{printable(n)}"' for n in names) or "none"
                raise ShapeError(f"{self._label} has {len(names)} inputs; pass each by its name: {known}")
            named = {names[0]: value}
        check_names(self._label, names, named)
        arrays = {n: _admitted(v, entry.inputs[n], raw=raw, resize=self._resize) for n, v in named.items()}
        inputs, outputs = ({n: t.index for n, t in side.items()} for side in entry[1:])
        with self._borrow() as interpreter:
            results = interpreter._call(entry.graph, inputs, arrays, outputs)
        if not raw:
            results = {n: to_real(a, entry.outputs[n]) for n, a in results.items()}
        return next(iter(results.values())) if len(results) == 1 else results

    def signature(self, key: str) -> Self:
        """The same model or session, calling signature *key*. ValueError lists them."""
        if key not in self._entries:
            raise ValueError(f'no signature "{printable(key)}"; {self._known()}')
        other = copying.copy(self)
        other._entries = {key: self._entries[key]}
        return other

    def reset(self) -> None:
        """Forget all state: variables and resources are as if the model had just been loaded."""
        with self._borrow() as interpreter:
            interpreter._restart()

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        return self._entry.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        return self._entry.outputs

    def explain(self) -> Any:
        """Who runs each node, who declined it and why."""
        with self._borrow() as interpreter:
            return interpreter.explain(self._entry.graph)

    def memory(self) -> Any:
        """Bytes by kind, of one session."""
        with self._borrow() as interpreter:
            return interpreter.memory(self._entry.graph)

    def __repr__(self) -> str:
        lines = [f"<sodalite {type(self).__name__} {self._label}"]
        for key, entry in self._entries.items():
            lines += [f'signature "{printable(key)}"'] * bool(key) + [str(entry)]
        return "\n".join(lines) + ">"

    @property
    def _entry(self) -> Entry:
        if len(self._entries) > 1 and "serving_default" not in self._entries:
            raise ValueError(f"{self._label} has several; call model.signature(name)(...): {self._known()}")
        return self._entries.get("serving_default") or next(iter(self._entries.values()))

    def _known(self) -> str:
        return "signatures: " + ", ".join(f'"{printable(k)}"' for k in self._entries)


class Session(_Callable):
    """Memory and state for one thread, made by ``model.session()``; weights are shared with the model."""

    def __init__(self, interpreter: Interpreter, entries: Mapping[str, Entry], label: str, **how: bool) -> None:
        super().__init__(entries, label, **how)
        self._interpreter = interpreter

    @contextmanager
    def _borrow(self) -> Iterator[Interpreter]:
        yield self._interpreter

    def close(self) -> None:
        """Release memory."""
        self._interpreter.close()


class LoadedModel(_Callable):
    """A model, ready to be called from any thread, made by ``sodalite.load``.

    Each call gets memory of its own; with state (variables or resources) there is one, and calls wait for each other.
    """

    def __init__(self, model: Model, arguments: Mapping[str, Any], **how: bool) -> None:
        super().__init__(_entries(model), model.label, **how)
        self._how = how
        self._model = [model]  # empty when closed
        self._arguments = arguments
        state = OBJECTS - {"string"}
        self._stateful = any(t.variable or t.dtype in state for graph in model.graphs for t in graph.tensors)
        self._turn = threading.RLock()
        self._idle: list[Interpreter] = []

    @contextmanager
    def _borrow(self) -> Iterator[Interpreter]:
        if self._stateful:
            with self._turn:
                if not self._idle:
                    self._idle.append(self._interpreter())
                yield self._idle[0]
            return
        try:
            interpreter = self._idle.pop()  # one bytecode: no lock is needed
        except IndexError:
            interpreter = self._interpreter()
        try:
            yield interpreter
        finally:
            self._idle.append(interpreter)
            if not self._model:
                self.close()

    def _interpreter(self) -> Interpreter:
        for model in self._model:
            return Interpreter(model, **self._arguments)
        raise RuntimeError(f"{self._label} is closed: load it again")

    def session(self) -> Session:
        """Memory and state of its own for one thread; it costs little."""
        return Session(self._interpreter(), self._entries, self._label, **self._how)

    def close(self) -> None:
        """Release memory; the file goes with the last session. Calls under way in other threads finish first."""
        self._model.clear()
        with self._turn:
            while self._idle:
                self._idle.pop().close()


def load(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
    *,
    raw: bool = False,
    resize: bool = False,
    copy: bool = False,
    **arguments: Any,
) -> LoadedModel:
    """The model in *source*, a path, bytes or an open binary file, as a callable.

    raw: integers in and out for quantised tensors. resize: dimensions that the file fixes follow the input too.
    arguments: keyword arguments of ``Interpreter``. Raises ModelError, UnsupportedOpError.
    """
    model = LoadedModel(open_model(source, copy=copy), arguments, raw=raw, resize=resize)
    try:
        with model._borrow() as interpreter:
            for entry in model._entries.values():
                if all(t.signature is None for t in entry.inputs.values()):
                    interpreter._prepare(entry.graph)
    except BaseException:
        model.close()
        raise
    return model


def _admitted(value: Any, spec: TensorSpec, *, raw: bool, resize: bool) -> Array:
    """The array for an input, of a shape that it may have."""
    array = fit(value, spec) if raw else from_real(value, spec)
    shape = spec.shape if spec.signature is None else spec.signature
    if shape is None or resize:
        return array
    if array.ndim == 0 and all(n in (1, -1) for n in shape):  # a number, for a tensor of one element
        return array.reshape((1,) * len(shape))
    if not admits(shape, array.shape):
        hint = "-1 may be any size" if -1 in shape else "load(..., resize=True) lets the model try other shapes"
        raise misshapen(array, shape, called(spec, "input"), hint)
    return array


def _entries(model: Model) -> dict[str, Entry]:
    graphs: Sequence[Graph] = model.graphs
    found = {}
    for s in model.signatures:
        tensors = graphs[s.graph].tensors
        inputs, outputs = ({n: tensors[i] for n, i in side.items()} for side in (s.inputs, s.outputs))
        found[s.key] = Entry(s.graph, inputs, outputs)
    graph = graphs[0]
    return found or {"": Entry(0, _named(graph, graph.inputs, "input"), _named(graph, graph.outputs, "output"))}


def _named(graph: Graph, indices: Sequence[int], what: str) -> dict[str, TensorSpec]:
    """By the tensors' names; ``input_0``, ... if some have none or the same one."""
    specs = [graph.tensors[i] for i in indices]
    names = [t.name for t in specs]
    if len(set(names)) < len(names) or "" in names:
        names = [f"{what}_{place}" for place in range(len(specs))]
    return dict(zip(names, specs, strict=True))


def _described(spec: TensorSpec) -> str:
    shape = spec.shape if spec.signature is None else spec.signature
    text = f"{spec.dtype} {'any shape' if shape is None else list(shape)}"
    if spec.quant is not None and quantised(spec):
        text += f", {formula(spec.quant)}"
    return text
