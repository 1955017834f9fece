"""Delegates: the contract, and the fall-back when one fails.

A partition's inputs stay intact until its step returns, and its outputs count only then: when the delegate fails, the
same nodes run on kernels from those inputs, in memory of their own, and from then on for the interpreter's life.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from .errors import DelegateError, DelegateWarning
from .kernel import GroupSpec, NodeSpec, Prepared, Unsupported

if TYPE_CHECKING:
    from .kernel import Buffers, Step
    from .plan import Plan
    from .resolve import Choice, Context


@runtime_checkable
class Delegate(Protocol):
    """What a plugin returns from ``sodalite_delegates``.

    name: as the user asked for it. min_nodes: smaller partitions are left to kernels. max_partitions: only so
    many, the largest, are compiled; 0 for no limit.
    """

    name: str
    min_nodes: int
    max_partitions: int

    def refuses(self, node: NodeSpec) -> Unsupported | None:
        """Why this node cannot run here, or None if it can. Must not keep the node."""

    def compile(self, group: GroupSpec) -> Prepared:
        """Compile a convex partition. Unsupported gives its nodes back to the kernels.

        The returned step may raise DelegateError while running: its inputs are untouched then, and its outputs do
        not count.
        """

    def close(self) -> None:
        """Release the device. Called once; no step runs after it."""


class Unavailable:
    """A plugin's answer when it knows the delegate's name but cannot offer it here."""

    def __init__(self, why: str) -> None:
        self.why = why


class Fallback:
    """The step of a partition: the delegate's, or the kernels' once that has failed.

    kernels: makes the plan of the same nodes without delegates, over the partition's inputs.
    """

    def __init__(self, choice: Choice, step: Step, buffers: Buffers, ctx: Context, kernels: Callable[[], Plan]) -> None:
        self._choice, self._step, self._outputs = choice, step, buffers.outputs
        self._ctx, self._kernels = ctx, kernels
        self._plan: Plan | None = None

    def __call__(self) -> None:
        choice = self._choice
        if self._plan is None and (choice.owner, choice.index) not in self._ctx.demoted:
            try:
                return self._step()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  plugins may raise anything, SystemExit too
                self._give_up(error)
        if self._plan is None:
            self._plan = self._kernels()
        self._plan.run()
        arrays = self._plan.chain()[-1].arrays
        for tensor, out in zip(choice.makes, self._outputs, strict=True):
            if out is not None:
                np.copyto(out, arrays[tensor])
        return None

    def _give_up(self, error: BaseException) -> None:
        choice, ctx = self._choice, self._ctx
        why = str(error) if isinstance(error, DelegateError) else f"{type(error).__name__}: {error}"
        lost = bool(getattr(error, "device_lost", False))
        text = f"{choice}: delegate '{choice.owner}' failed while running: {why}"
        if ctx.settings.on_delegate_error == "raise":
            raise DelegateError(text, device_lost=lost) from error
        for node in ctx.graph.nodes if lost else choice.nodes:
            ctx.demoted[choice.owner, node.index] = f"failed while running: {why}"
        scope = "all its partitions run" if lost else "these nodes run"
        warnings.warn(f"{text}; from now on {scope} on kernels", DelegateWarning, stacklevel=6)
