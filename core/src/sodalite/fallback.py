"""A partition that keeps its promise when its delegate does not.

The partition's inputs stay intact until its step returns, and its outputs count only then. So when the delegate fails,
the same nodes run on kernels, in memory of their own, from those inputs; and from then on, for the interpreter's life.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .choice import Choice
from .errors import DelegateError, DelegateWarning
from .graph import Array

if TYPE_CHECKING:
    from .kernel import Buffers, Step
    from .plan import Plan


class Fallback:
    """The step of a partition: the delegate's, or the kernels' once that has failed.

    kernels: makes the plan of the same nodes without delegates, over the partition's inputs; demote(choice, why,
    device_lost) is told; lost(choice): why the partition is not to be tried, or None.
    """

    def __init__(
        self,
        choice: Choice,
        step: Step,
        buffers: Buffers,
        *,
        kernels: Callable[[Choice, dict[int, Array]], Plan],
        demote: Callable[[Choice, str, bool], None],
        lost: Callable[[Choice], str | None],
        on_error: str,
    ) -> None:
        self._choice = choice
        self._step = step
        self._buffers = buffers
        self._kernels = kernels
        self._demote = demote
        self._lost = lost
        self._on_error = on_error
        self._plan: Plan | None = None

    def __call__(self) -> None:
        if self._plan is None and self._lost(self._choice) is None:
            try:
                self._step()
                return
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  plugins may raise anything, SystemExit too
                self._give_up(error)
        if self._plan is None:
            given = {t: a for t, a in zip(self._choice.reads, self._buffers.inputs, strict=True) if a is not None}
            self._plan = self._kernels(self._choice, given)
        self._plan.run()
        ended = self._plan.last()
        for tensor, out in zip(self._choice.makes, self._buffers.outputs, strict=True):
            if out is not None:
                np.copyto(out, ended.arrays[tensor])

    def _give_up(self, error: BaseException) -> None:
        choice = self._choice
        why = str(error) if isinstance(error, DelegateError) else f"{type(error).__name__}: {error}"
        lost = bool(getattr(error, "device_lost", False))
        text = f"{choice}: delegate '{choice.owner}' failed while running: {why}"
        if self._on_error == "raise":
            raise DelegateError(text, device_lost=lost) from error
        self._demote(choice, f"failed while running: {why}", lost)
        scope = "all its partitions run" if lost else "these nodes run"
        warnings.warn(f"{text}; from now on {scope} on kernels", DelegateWarning, stacklevel=6)
