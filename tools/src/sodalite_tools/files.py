"""Files that a user names: looked at before they are opened, so that a pipe or folder is an error, not a hang."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import ToolError, printable


def regular(path: Path, what: str) -> Path:
    """*path* if it is a regular file. ToolError saying what it is instead. what: "image", "labels", ..."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise ToolError(f"{what} {printable(path)}: {why}{_near(path)}") from error
    except ValueError as error:  # a zero byte in the name
        raise ToolError(f"{what} {printable(path)}: {error}") from error
    if stat.S_ISREG(mode):
        return path
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISCHR, "device"), (stat.S_ISSOCK, "socket"))
    kind = next((name for test, name in kinds if test(mode)), "special file")
    raise ToolError(f"{what} {printable(path)}: is a {kind}, not a file")


def _near(path: Path) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only on the way to an error

    try:
        near = get_close_matches(path.name, os.listdir(path.parent), 3)
    except OSError:
        return "; its folder is not there either"
    return f"; near it: {', '.join(map(printable, near))}" if near else ""
