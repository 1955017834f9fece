"""The short way: ``model = sodalite.load(path)``, then ``model(x)`` or ``model(name=x)``."""

# ruff: noqa: SLF001  the interpreter, seen from its own package
from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from .dtypes import OBJECTS
from .errors import ShapeError, printable
from .graph import Array, Graph, TensorSpec
from .interpreter import Interpreter
from .model import Model, open_model
from .signature import check_names
from .values import called, fit, from_real, misshapen, quantised, to_real


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One way into a model: a signature, or the first subgraph. inputs, outputs: name -> tensor."""

    key: str
    graph: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    def __str__(self) -> str:
        sides = (("in ", self.inputs), ("out", self.outputs))
        return "\n".join(
            f'  {side} "{printable(name)}" {_described(t)}' for side, ts in sides for name, t in ts.items()
        )


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

    def __call__(self, value: Any = None, /, **named: Any) -> Any:
        """Run the model: ``model(x)`` if it has one input, else ``model(name=x, ...)`` or ``model({"name": x, ...})``.

        Arrays, lists or numbers; for quantised tensors real numbers, quantised with the tensor's parameters (arrays
        of the tensor's own integer type are taken as they are). A dimension that may change follows the input.
        Returns an array, or with several outputs ``{name: array}``; real numbers, float32, for quantised ones.
        ``raw=True``: no quantising; integers in and out. ShapeError says what does not fit.
        """
        return self._run(self._default, value, named)

    def signature(self, key: str) -> SignatureFunction:
        """Another signature, to be called in the same way. ValueError lists them."""
        if key not in self._entries:
            raise ValueError(f'no signature "{printable(key)}"; {self._known()}')
        return SignatureFunction(self, self._entries[key])

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Name -> tensor, of what a call runs."""
        return self._default.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Name -> tensor, of what a call runs."""
        return self._default.outputs

    def explain(self) -> Any:
        """Who runs each node, who declined it and why."""
        with self._borrow() as interpreter:
            return interpreter.explain(self._default.graph)

    def memory(self) -> Any:
        """Bytes by kind, of one session."""
        with self._borrow() as interpreter:
            return interpreter.memory(self._default.graph)

    def __repr__(self) -> str:
        entries = self._entries
        lines = [f"<sodalite {type(self).__name__} {self._label}"]
        for key, entry in entries.items():
            lines += [f'signature "{printable(key)}"'] * (len(entries) > 1) + [str(entry)]
        return "\n".join(lines) + ">"

    @property
    def _default(self) -> Entry:
        if len(self._entries) == 1:
            return next(iter(self._entries.values()))
        if "serving_default" in self._entries:
            return self._entries["serving_default"]
        raise ValueError(
            f"{self._label} has several signatures; call model.signature(name)(...): {self._known()}"
        )

    def _known(self) -> str:
        return "signatures: " + ", ".join(f'"{printable(k)}"' for k in self._entries)

    def _run(self, entry: Entry, value: Any, named: dict[str, Any]) -> Any:
        raw = self._raw
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
        inputs = {n: t.index for n, t in entry.inputs.items()}
        with self._borrow() as interpreter:
            results = interpreter._call(
                entry.graph, inputs, arrays, {n: t.index for n, t in entry.outputs.items()}
            )
        if not raw:
            results = {n: to_real(a, entry.outputs[n]) for n, a in results.items()}
        return next(iter(results.values())) if len(results) == 1 else results


class SignatureFunction:
    """One signature of a loaded model or of a session; called as they are."""

    def __init__(self, owner: _Callable, entry: Entry) -> None:
        self._owner = owner
        self._entry = entry

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        return self._entry.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        return self._entry.outputs

    def __call__(self, value: Any = None, /, **named: Any) -> Any:
        return self._owner._run(self._entry, value, named)

    def __repr__(self) -> str:
        return f'<signature "{printable(self._entry.key)}" of {self._owner._label}\n{self._entry}>'


class Session(_Callable):
    """A model's own memory and state for one thread; weights are shared with the model. Made by ``model.session()``."""

    def __init__(
        self, interpreter: Interpreter, entries: Mapping[str, Entry], label: str, **how: bool
    ) -> None:
        super().__init__(entries, label, **how)
        self._interpreter = interpreter

    @contextmanager
    def _borrow(self) -> Iterator[Interpreter]:
        yield self._interpreter

    def reset(self) -> None:
        """Forget all state: variables and resources are as if the model had just been loaded."""
        self._interpreter._restart()

    def close(self) -> None:
        """Release the session's memory."""
        self._interpreter.close()

    def __enter__(self) -> Session:  # noqa: PYI034  typing.Self is younger than 3.10
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class LoadedModel(_Callable):
    """A model, ready to be called from any thread. Made by ``sodalite.load``.

    Each thread that calls gets a session of its own for the time of the call; a model with state (variables or
    resources) has one session, and calls wait for each other.
    """

    def __init__(self, model: Model, arguments: Mapping[str, Any], **how: bool) -> None:
        super().__init__(_entries(model), model.label, **how)
        self._how = how
        self._model: Model | None = model
        self._arguments = arguments
        self._stateful = any(
            t.variable or t.dtype in OBJECTS - {"string"} for graph in model.graphs for t in graph.tensors
        )
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
            if self._model is None:
                self.close()

    def _interpreter(self) -> Interpreter:
        model = self._model
        if model is None:
            raise RuntimeError(f"{self._label} is closed: load it again")
        return Interpreter(model, **self._arguments)

    def session(self) -> Session:
        """Memory and state of its own for one thread, without loading or packing weights again."""
        return Session(self._interpreter(), self._entries, self._label, **self._how)

    def reset(self) -> None:
        """Forget all state: variables and resources are as if the model had just been loaded."""
        with self._borrow() as interpreter:
            interpreter._restart()

    def close(self) -> None:
        """Release memory; the file goes with the last session. Calls under way in other threads finish first."""
        self._model = None
        with self._turn:
            while self._idle:
                self._idle.pop().close()

    def __enter__(self) -> LoadedModel:  # noqa: PYI034  typing.Self is younger than 3.10
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


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
    copy: read a file into memory instead of mapping it. arguments: keyword arguments of ``Interpreter``.
    Raises ModelError if it cannot be read, UnsupportedOpError if no plugin runs some operator.
    """
    model = LoadedModel(open_model(source, copy=copy), arguments, raw=raw, resize=resize)
    try:
        with model._borrow() as interpreter:
            graphs = {
                e.graph
                for e in model._entries.values()
                if all(t.signature is None for t in e.inputs.values())
            }
            for graph in sorted(graphs):
                interpreter._prepare(graph)
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
    if len(shape) != array.ndim or any(a not in (-1, n) for a, n in zip(shape, array.shape, strict=True)):
        hint = (
            "-1 may be any size" if -1 in shape else "load(..., resize=True) lets the model try other shapes"
        )
        raise misshapen(array, shape, called(spec, "input"), hint)
    return array


def _entries(model: Model) -> dict[str, Entry]:
    graphs: Sequence[Graph] = model.graphs
    found = {}
    for s in model.signatures:
        tensors = graphs[s.graph].tensors
        inputs, outputs = ({n: tensors[i] for n, i in side.items()} for side in (s.inputs, s.outputs))
        found[s.key] = Entry(s.key, s.graph, inputs, outputs)
    if not found:
        graph = graphs[0]
        found[""] = Entry("", 0, _named(graph, graph.inputs, "input"), _named(graph, graph.outputs, "output"))
    return found


def _named(graph: Graph, indices: Sequence[int], what: str) -> dict[str, TensorSpec]:
    """By the tensors' names; ``input_0``, ... if some have none or the same one."""
    specs = [graph.tensors[i] for i in indices]
    names = [t.name for t in specs]
    if len(set(names)) < len(names) or "" in names:
        names = [f"{what}_{place}" for place in range(len(specs))]
    return dict(zip(names, specs, strict=True))


def _described(spec: TensorSpec) -> str:
    shape = spec.shape if spec.signature is None else spec.signature
    text = f"{spec.dtype} {'any shape' if shape is None else np.array2string(np.array(shape), separator=', ') if shape else '[]'}"
    if spec.quant is not None and quantised(spec):
        text += f", real = {spec.quant.scale:g} * (q - {spec.quant.zero_point})"
    return text
