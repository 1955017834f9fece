"""Where text goes: tables and results to standard output, progress and trouble to standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_COLUMNS = 160


def out() -> Console:
    """A console on standard output. Markup is off: names out of files are printed as they are."""
    return _console(stderr=False)


def err() -> Console:
    """A console on standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    import os  # noqa: PLC0415  with rich: only commands that print need them

    from rich.console import Console  # noqa: PLC0415  50 ms

    stream: Any = sys.stderr if stderr else sys.stdout
    # rich takes 80 columns for a pipe, which would fold tables that a program wants to read.
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_COLUMNS
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """An open table with *columns*; those also named in *right* hold numbers."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def bar(fraction: float, width: int = 24) -> str:
    """A bar of *width* columns for a fraction of 1, in eighths where the stream's encoding has them."""
    fraction = min(max(fraction, 0.0), 1.0)
    try:
        "█▏".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "#" * round(fraction * width)
    eighths = round(fraction * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def size(nbytes: int) -> str:
    """*nbytes* for a person: "812 B", "5.4 MB" (powers of ten)."""
    amount = float(nbytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:,.3f} ms"
