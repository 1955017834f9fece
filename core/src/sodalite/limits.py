"""What a model may take: memory, loop turns, seconds. Over a limit is a KernelError that names the node."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .errors import KernelError


@dataclass(frozen=True, slots=True)
class Limits:
    """memory: bytes for arena, variables, scratch and delivered outputs of one interpreter (None: what the machine
    has); loop_turns: turns of one WHILE in one run; seconds: for one run, looked at between steps and at each loop
    turn. None: no limit.
    """

    memory: int | None = None
    loop_turns: int | None = None
    seconds: float | None = None

    def admit(self, nbytes: int, what: str) -> None:
        """KernelError if *what* takes more bytes than the limit allows, or than the machine has."""
        most, said = (_physical_memory(), "this machine has") if self.memory is None else (self.memory, "the limit is")
        if nbytes > most:
            raise KernelError(f"{what} takes {nbytes:,} bytes of memory, {said} {most:,}: use a smaller input or batch")


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 46  # cannot be asked here
