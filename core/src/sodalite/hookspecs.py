"""The hooks of entry-point group ``sodalite.plugin.v1``; a fifth needs two users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .kernel import Delegate, KernelSet, NodeSpec, Unavailable
    from .plan import Plan

PROJECT = "sodalite"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def sodalite_kernels() -> KernelSet:  # type: ignore[empty-body]
    """Return the KernelSet this plugin offers; leave out what the CPU lacks."""


@hookspec
def sodalite_delegates(name: str, options: Mapping[str, Any]) -> Delegate | Unavailable | None:
    """Return the delegate called *name*, Unavailable(why), or None."""


@hookspec(firstresult=True)
def sodalite_choose_kernel(node: NodeSpec, candidates: Sequence[str]) -> str | None:
    """Return the one of *candidates* to ask first for *node*, or None for the usual order."""


@hookspec
def sodalite_plan_built(plan: Plan) -> None:
    """Look at a finished plan, for logs; read-only."""
