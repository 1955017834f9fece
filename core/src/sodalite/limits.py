"""What a model may take: memory, loop turns, seconds. Over a limit is a KernelError that names the node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """memory: bytes for arena, variables, scratch and delivered outputs of one interpreter; loop_turns: turns of
    one WHILE in one run; seconds: for one run, looked at between steps and at each loop turn. None: no limit.
    """

    memory: int | None = None
    loop_turns: int | None = None
    seconds: float | None = None
