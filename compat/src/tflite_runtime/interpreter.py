"""``Interpreter`` and what belongs to it, from ``sodalite``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sodalite import Delegate, Interpreter, OpResolverType, SignatureRunner, UnsupportedOpError, load_delegate

__all__ = [
    "Delegate",
    "Interpreter",
    "InterpreterWithCustomOps",
    "OpResolverType",
    "SignatureRunner",
    "load_delegate",
]


class InterpreterWithCustomOps(Interpreter):
    """``Interpreter``, for scripts that ask for it by this name: custom operators come from plugins.

    UnsupportedOpError, also a ValueError, if custom_op_registerers is given: they name C++ functions.
    """

    def __init__(self, custom_op_registerers: Sequence[Any] | None = None, **arguments: Any) -> None:
        if custom_op_registerers:
            names = ", ".join(ascii(r) for r in custom_op_registerers)
            raise UnsupportedOpError(
                f"custom_op_registerers are C++ functions ({names}), which Sodalite does not call: install the plugin"
                " package that offers the operators, or write one (docs/tutorial-custom-kernel.md), and leave the"
                " argument out"
            )
        super().__init__(**arguments)
