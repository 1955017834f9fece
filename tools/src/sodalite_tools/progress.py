"""A progress bar on standard error; nothing where that is no terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from .shelf import Report


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """``report(what, done, total)``: draw it; *total* None if it is not known."""
    if not sys.stderr.isatty():
        said: set[str] = set()

        def say(what: str, done: int, total: int | None) -> None:
            if what not in said:
                said.add(what)
                print(what, file=sys.stderr, flush=True)

        yield say
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    from .console import err  # noqa: PLC0415

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err(), transient=True) as bars:
        tasks = {}

        def draw(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield draw
