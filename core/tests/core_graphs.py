"""Graphs and models from a few rows, without a file: for tests of what comes after lowering."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sodalite.graph import Graph, Node, TensorSpec
from sodalite.kernel import KernelSet
from sodalite.plan import Runner
from sodalite.plugins import Registry
from sodalite.resolve import Settings


class Rows:
    """A graph under construction: tensors by name, nodes in the order they are added."""

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.tensors: list[TensorSpec] = []
        self.nodes: list[Node] = []
        self.names: dict[str, int] = {}

    def tensor(self, name: str, shape: Sequence[int] | None = (4,), dtype: str = "float32", **more: Any) -> str:
        self.names[name] = len(self.tensors)
        self.tensors.append(TensorSpec(len(self.tensors), name, None if shape is None else tuple(shape), dtype, **more))
        return name

    def constant(self, name: str, value: Any, dtype: str = "float32") -> str:
        data = np.asarray(value)
        data.flags.writeable = False
        return self.tensor(name, data.shape, dtype, data=data)

    def op(self, op: str, inputs: Iterable[str | None], outputs: Iterable[str], *, shape: Sequence[int] | None = (4,), **more: Any) -> None:
        """Add a node; outputs that are new become float32 tensors of *shape*."""
        makes = list(outputs)
        for name in makes:
            if name not in self.names:
                self.tensor(name, shape)
        reads = tuple(-1 if i is None else self.names[i] for i in inputs)
        index = len(self.nodes)
        self.nodes.append(
            Node(index, op, more.pop("version", 1), reads, tuple(self.names[o] for o in makes), name=makes[0] if makes else f"n{index}", **more)
        )

    def graph(self, inputs: Iterable[str], outputs: Iterable[str]) -> Graph:
        producer = {t: n.index for n in self.nodes for t in n.outputs}
        readers: dict[int, tuple[int, ...]] = {}
        for node in self.nodes:
            for t in dict.fromkeys(node.inputs):
                if t >= 0:
                    readers[t] = (*readers.get(t, ()), node.index)
        ins, outs = (tuple(self.names[n] for n in names) for names in (inputs, outputs))
        return Graph(self.index, f"g{self.index}", tuple(self.tensors), tuple(self.nodes), ins, outs, producer, readers)


class FakeModel:
    """What a Runner wants of a model."""

    def __init__(self, *graphs: Graph) -> None:
        self.graphs = graphs
        self.packed: dict[Any, Any] = {}
        self.lock = threading.Lock()

    def check_unchanged(self) -> None:
        """Nothing to change."""


def plugin(kernels: KernelSet | None = None, name: str = "kernels", **hooks: Any) -> object:
    """A plugin object with these hooks."""
    import sodalite.hookspecs as hs

    members: dict[str, Any] = {"name": name}
    if kernels is not None:
        members["sodalite_kernels"] = hs.hookimpl(lambda self: kernels)
    for hook, function in hooks.items():
        members[hook] = hs.hookimpl(function)
    return type("Plugin", (), members)()


def runner(graph: Graph | Sequence[Graph], plugins: Iterable[object], allocate: bool = True, **settings: Any) -> Runner:
    """A runner of the first graph, with these plugins."""
    graphs = [graph] if isinstance(graph, Graph) else list(graph)
    made = Runner(FakeModel(*graphs), 0, Registry.of(list(plugins)), Settings(**settings), {})  # type: ignore[arg-type]
    if allocate:
        made.allocate()
    return made


def feed(run: Runner, values: Mapping[int, Any] | Sequence[Any]) -> list[np.ndarray]:
    """Set the inputs in order, run, and return copies of the outputs."""
    for tensor, value in zip(run.graph.inputs, values, strict=True):
        run.input(tensor)[...] = value
    run.run()
    return [run.value(t).copy() for t in run.graph.outputs]
