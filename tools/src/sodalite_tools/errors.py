"""The command's own error, and how any error is told: on one screen, without a traceback."""

from __future__ import annotations

import sys

SCREEN_LINES = 20
SCREEN_COLUMNS = 400


class ToolError(Exception):
    """A mistake the user can mend. The message says where, what, and what to do next, one line each."""


def printable(name: object, longest: int = 160) -> str:
    """*name* safe to print: control characters escaped, at most *longest* characters."""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in str(name)
    )
    return text if len(text) <= longest else text[: longest - 3] + "..."


def warn(text: object) -> None:
    """One line on standard error about what is left out or done otherwise."""
    print(f"sodalite: warning: {one_screen(str(text))}", file=sys.stderr, flush=True)


def close_to(name: str, known: list[str]) -> str:
    """A clause that names what *name* may have been meant to be: "did you mean ...?" or the known names."""
    import difflib  # noqa: PLC0415  wanted after a mistake only

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"known: {', '.join(sorted(known))}" if known else "none is installed"


def expected(error: BaseException) -> bool:
    """Whether *error* is one that a user can meet, so that its message alone is enough."""
    core = sys.modules.get("sodalite.errors")  # not imported: then nothing of it can have been raised
    known: tuple[type[BaseException], ...] = (ToolError, OSError, MemoryError)
    if core is not None:
        known += (core.SodaliteError,)
    return isinstance(error, known)


def told(error: BaseException) -> str:
    """What the user reads about *error*: a message of one screen that says what to do next."""
    if isinstance(error, MemoryError):
        text = f"out of memory{': ' + str(error) if str(error) else ''}\nclose other programs, or use a smaller model"
    elif isinstance(error, OSError) and not expected_message(error):
        text = os_message(error)
    elif expected(error):
        text = str(error) or type(error).__name__
    else:
        text = (
            f"unexpected {type(error).__name__}: {error}\n"
            "this is a defect of sodalite or of a plugin: run again with --debug and report the traceback"
        )
    return one_screen(text)


def expected_message(error: OSError) -> bool:
    """Whether *error* was worded by Sodalite (ModelNotFoundError), not by the operating system."""
    return error.errno is None and bool(error.args)


def os_message(error: OSError) -> str:
    """An operating system's error as "path: what"."""
    what = (error.strerror or type(error).__name__).lower()
    return f"{printable(error.filename)}: {what}" if error.filename is not None else what


def one_screen(text: str) -> str:
    """*text* cut to one screen, saying so; control characters in it are escaped."""
    lines = [printable(line, SCREEN_COLUMNS) for line in text.splitlines()] or [""]
    if len(lines) > SCREEN_LINES:
        hidden = len(lines) - SCREEN_LINES + 2
        # The last line is the advice: it stays.
        lines = [*lines[: SCREEN_LINES - 2], f"... {hidden} more lines: --debug shows them", lines[-1]]
    return "\n".join(lines)
