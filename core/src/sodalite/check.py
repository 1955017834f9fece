"""SODALITE_CHECK=1: guard bytes, poisoned memory and input checksums around every step."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arena import Block
from .choice import Choice
from .errors import KernelError
from .graph import Array
from .kernel import Buffers, Step

GAP = 64
_GUARD = 0x5C
_POISON = 0xA5


class Guards:
    """The bytes between blocks, which no step may touch."""

    def __init__(self, arena: npt.NDArray[np.uint8], blocks: Sequence[Block], offsets: Sequence[int]) -> None:
        self._arena = arena
        owned = np.zeros(arena.size, bool)
        for block, offset in zip(blocks, offsets, strict=True):
            owned[offset : offset + block.nbytes] = True
        self._free = np.flatnonzero(~owned)
        arena[self._free] = _GUARD

    def broken(self) -> bool:
        return bool((self._arena[self._free] != _GUARD).any())

    def mend(self) -> None:
        self._arena[self._free] = _GUARD


def guarded(step: Step, choice: Choice, buffers: Buffers, guards: Guards) -> Step:
    """*step* with its promises checked: outputs written in full as far as poison shows, nothing else written.

    KernelError names the node and the plugin that broke the rule.
    """
    writes = choice.prepared.writes
    inputs = [(k, a) for k, a in enumerate(buffers.inputs) if a is not None and k not in writes and a.dtype != object]
    outputs = [a for a in buffers.outputs if a is not None and a.dtype != object]
    watched = [(k, a) for k, a in inputs if not any(np.may_share_memory(a, o) for o in outputs)]
    clean = [o for o in outputs if not any(np.may_share_memory(o, a) for a in buffers.inputs if a is not None and a.dtype != object)]

    def run() -> None:
        before = [_sum(a) for _, a in watched]
        for array in (*clean, buffers.scratch):
            _bytes(array)[...] = _POISON
        step()
        for (k, array), was in zip(watched, before, strict=True):
            if _sum(array) != was:
                raise KernelError(f"{choice}: '{choice.owner}' wrote its input {k}")
        if guards.broken():
            guards.mend()
            raise KernelError(f"{choice}: '{choice.owner}' wrote outside its buffers")

    return run


def _bytes(array: Array) -> npt.NDArray[Any]:
    return array.reshape(-1).view(np.uint8)


def _sum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
