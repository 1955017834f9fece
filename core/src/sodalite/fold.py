"""Compute once, before running, what depends on constants alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .choice import Choice, prefixed, where
from .dtypes import OBJECTS, memory_dtype
from .errors import KernelError, SodaliteError
from .graph import Array, TensorSpec
from .kernel import Buffers, nbytes

FOLDED_NBYTES = 64 * 1024
FOLDED_GROWTH = 16  # ... or this many times its constant inputs: a constant DEQUANTIZE or DENSIFY


def foldable(choice: Choice, shapes: Sequence[Any], specs: Mapping[int, TensorSpec]) -> bool:
    node, prepared = choice.nodes[0], choice.prepared
    if prepared.effects or prepared.writes or node.subgraphs or None in shapes or not shapes or not node.inputs:
        return False
    inputs = [specs.get(i) or choice.spec.inputs[k] for k, i in enumerate(node.inputs) if i >= 0]
    if any(t is None or t.data is None for t in inputs):
        return False
    if any(specs[i].dtype in OBJECTS for i in node.outputs):
        return False
    made = sum(nbytes(s, specs[i].dtype) for i, s in zip(node.outputs, shapes, strict=True))
    read = sum(t.data.nbytes for t in inputs if t is not None and t.data is not None)
    return made <= max(FOLDED_NBYTES, FOLDED_GROWTH * read)


def fold(choice: Choice, shapes: Sequence[Any], specs: Mapping[int, TensorSpec]) -> dict[int, Array]:
    node = choice.nodes[0]
    spec = choice.spec
    outputs = tuple(np.zeros(s, memory_dtype(specs[i].dtype)) for i, s in zip(node.outputs, shapes, strict=True))

    def emit(i: int, array: Array) -> None:
        np.copyto(outputs[i], array)

    inputs = tuple(None if t is None else t.data for t in spec.inputs)
    try:
        with np.errstate(all="ignore"):
            choice.prepared.bind(Buffers(inputs, outputs, np.empty(choice.prepared.scratch, np.uint8), emit))()
    except SodaliteError as error:
        raise prefixed(error, where(node)) from error.__cause__
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001  plugins may raise anything, SystemExit too
        raise KernelError(f"{where(node)}: kernel of '{choice.owner}' failed: {type(error).__name__}: {error}") from error
    return dict(enumerate(outputs))
