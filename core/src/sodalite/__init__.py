"""Run TensorFlow Lite models: ``sodalite.load("model.tflite")(array)``; operator kernels come from plugins.

Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "errors": "CorruptModelError DelegateError DelegateLoadError DelegateWarning KernelError ModelError"
    " ModelNotFoundError NoValueError PluginError PluginWarning ShapeError SodaliteError UnsupportedModelError"
    " UnsupportedOpError",
    "graph": "Graph Node Quant Signature TensorSpec",
    "hookspecs": "hookimpl hookspec",
    "interpreter": "Interpreter LoadedModel OpResolverType Session SignatureRunner load load_delegate",
    "kernel": "Buffers Delegate GroupSpec Kernel KernelSet Limits Member Mode NodeSpec Prepared Quality Reason Unavailable"
    " Unsupported",
    "model": "Model open_model",
    "plugins": "Registry",
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names.split()}
__all__ = [*sorted(_MODULES)]  # noqa: PLE0604

if TYPE_CHECKING:  # the same for type checkers
    from . import build as build
    from .errors import *  # noqa: F403
    from .graph import *  # noqa: F403
    from .hookspecs import *  # noqa: F403
    from .interpreter import *  # noqa: F403
    from .kernel import *  # noqa: F403
    from .model import *  # noqa: F403
    from .plugins import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name == "build":
        return import_module(".build", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module 'sodalite' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return [*{*globals(), *__all__}]
