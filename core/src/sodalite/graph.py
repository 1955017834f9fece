"""The model as plain values: no FlatBuffer in sight, indices valid, one producer a tensor, nodes in order.

``model.lower`` makes these from the tables of a file; everything after it reads only these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
EMPTY: Mapping[Any, Any] = MappingProxyType({})  # unhashable before 3.12, so a default only by a factory


@dataclass(frozen=True, slots=True, eq=False)
class Quant:
    """real = scale * (q - zero_point).

    kind "affine"; or "blockwise" and "multiaxis", where scales_tensor and zero_points_tensor (-1: all zero) are
    tensor indices and block_size counts elements; or "custom" (details holds its bytes).
    """

    scales: npt.NDArray[np.float32]  # (n,), n = 1 or the length of dimension *axis*; read-only
    zero_points: npt.NDArray[np.int64]  # (n,)
    axis: int = 0
    kind: str = "affine"
    scales_tensor: int = -1
    zero_points_tensor: int = -1
    block_size: int = 0
    axes: tuple[int, ...] = ()
    details: bytes = b""

    @property
    def scale(self) -> float:
        """Of a per-tensor quantisation: the stored float32 as float64."""
        return float(self.scales[0])

    @property
    def zero_point(self) -> int:
        return int(self.zero_points[0])

    @property
    def per_channel(self) -> bool:
        return self.scales.size > 1


@dataclass(frozen=True, slots=True)
class Source:
    """Where a constant lies: file (None if the model is only in memory), offset and length in bytes."""

    path: str | None
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Sparsity:
    """How a sparse constant is stored (the TACO form of TFLite's schema).

    dims: one a level in traversal order, ("dense", size) or ("csr", segments, indices) with int64 arrays.
    """

    traversal_order: tuple[int, ...]
    block_map: tuple[int, ...]
    dims: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class TensorSpec:
    """A tensor as the file, or shape inference, describes it."""

    index: int
    name: str
    shape: Shape | None  # None: known only while running
    dtype: str
    quant: Quant | None = None
    data: Array | None = None  # a constant's elements, read-only; of a sparse one those stored, one-dimensional
    source: Source | None = None
    signature: Shape | None = None  # the file's shape with -1 for dimensions that may change; None if all are fixed
    variable: bool = False
    sparsity: Sparsity | None = None

    @property
    def constant(self) -> bool:
        return self.data is not None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An operator. options: by schema name, defaults filled in; enums as their names (``padding="SAME"``), types as
    dtype names, vectors as tuples."""

    index: int
    op: str  # "CONV_2D", or "custom:Name"
    version: int
    inputs: tuple[int, ...]  # tensor indices, -1 for an omitted one
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    custom_options: bytes = b""
    intermediates: tuple[int, ...] = ()
    writes: frozenset[int] = frozenset()  # positions in inputs that the operator may update
    subgraphs: tuple[int, ...] = ()  # graph indices named by its options, in field order
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """One subgraph. Nodes are in execution order; every tensor has at most one producer, before its readers."""

    index: int
    name: str
    tensors: tuple[TensorSpec, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    producer: Mapping[int, int] = field(default_factory=lambda: EMPTY)  # tensor -> node index
    readers: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: EMPTY)  # tensor -> node indices, ascending


@dataclass(frozen=True, slots=True)
class Signature:
    """A named entry point: input and output names -> tensor index in graph *graph*."""

    key: str
    graph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
