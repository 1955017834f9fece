"""Delegates: the contract. What happens when one fails is ``plan.Fallback``."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .kernel import GroupSpec, NodeSpec, Prepared, Unsupported


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
