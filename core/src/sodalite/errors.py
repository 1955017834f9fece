"""The errors a user can meet, and the escaping of names that come out of a file.

Each error also derives from the built-in class that LiteRT raises in that place, so that a script which
catches ValueError or RuntimeError keeps working.
"""

from __future__ import annotations


class SodaliteError(Exception):
    """Base of every error that Sodalite raises on purpose."""


class ModelError(SodaliteError, ValueError):
    """The model file is the trouble."""


class CorruptModelError(ModelError):
    """The bytes are not a well-formed model."""


class UnsupportedModelError(ModelError):
    """A well-formed model that asks for something this version does not do."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """There is no model at that path."""


class UnsupportedOpError(SodaliteError, ValueError, RuntimeError):
    """No installed plugin runs one or more operators of the model."""


class ShapeError(SodaliteError, ValueError, RuntimeError):
    """Shapes or dtypes do not fit each other, or the tensor they were given to."""


class KernelError(SodaliteError, RuntimeError):
    """An operator failed while running, or went over a limit."""


class DelegateError(SodaliteError, RuntimeError):
    """A delegate could not be loaded, could not compile, or failed while running.

    device_lost: every partition of that delegate is given back to the kernels, not just the one that failed.
    """

    def __init__(self, message: str, *, device_lost: bool = False) -> None:
        super().__init__(message)
        self.device_lost = device_lost


class NoValueError(KernelError, ValueError):
    """A tensor has no value to read or no memory to write: not allocated yet, or its memory was reused."""


class DelegateLoadError(DelegateError, ValueError):
    """No installed plugin offers the delegate asked for, or it cannot work here."""


class PluginError(SodaliteError):
    """A plugin breaks its contract: claims an operator twice, answers with the wrong kind of value, ..."""


class PluginWarning(UserWarning):
    """A plugin was left out, and why."""


class DelegateWarning(UserWarning):
    """Nodes that a delegate had claimed run on kernels instead, and why."""


_LONGEST_NAME = 120


def printable(name: str | None) -> str:
    """*name* safe to print: control and non-printing characters escaped, at most 120 characters."""
    text = "" if name is None else name
    escaped = "".join(
        c if c.isprintable() and c != '"' else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )
    return escaped if len(escaped) <= _LONGEST_NAME else escaped[: _LONGEST_NAME - 3] + "..."
