"""The errors a user can meet, each also of the built-in class that LiteRT raises there; and names made printable."""

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
    """Shapes or dtypes do not fit."""


class KernelError(SodaliteError, RuntimeError):
    """An operator failed while running, or went over a limit."""


class DelegateError(SodaliteError, RuntimeError):
    """A delegate could not compile, or failed while running. device_lost: all its partitions go back to the kernels."""

    def __init__(self, message: str, *, device_lost: bool = False) -> None:
        super().__init__(message)
        self.device_lost = device_lost


class NoValueError(KernelError, ValueError):
    """A tensor has no memory yet, or its memory was used again."""


class DelegateLoadError(DelegateError, ValueError):
    """No installed plugin offers the delegate asked for, or it cannot work here."""


class PluginError(SodaliteError):
    """A plugin breaks its contract."""


class PluginWarning(UserWarning):
    """A plugin was left out, and why."""


class DelegateWarning(UserWarning):
    """Nodes that a delegate had claimed run on kernels instead, and why."""


def cause(error: BaseException) -> str:
    """What *error*, out of a plugin that may raise anything, says. Ctrl-C passes: it is raised again."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    return str(error) if isinstance(error, SodaliteError) else f"{type(error).__name__}: {error}"


def printable(name: str | None, longest: int = 120) -> str:
    """*name* safe to print: what does not print is escaped, and no more than *longest* characters."""
    escaped = "".join(
        c if c.isprintable() and c != '"' else c.encode("unicode_escape", "backslashreplace").decode() for c in name or ""
    )
    return escaped if len(escaped) <= longest else escaped[: longest - 3] + "..."
