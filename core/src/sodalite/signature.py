"""A signature of a model as a callable: arrays in by name, arrays out by name."""

# ruff: noqa: SLF001  the interpreter, seen from its own package
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .errors import ShapeError, printable

if TYPE_CHECKING:
    from .interpreter import Interpreter


class SignatureRunner:
    """Made by ``Interpreter.get_signature_runner``. It shares the interpreter's memory, and does not block it."""

    def __init__(self, interpreter: Interpreter, signature_key: str) -> None:
        signature = next(s for s in interpreter._model.signatures if s.key == signature_key)
        self._interpreter = interpreter
        self._key = signature_key
        self._graph = signature.graph
        self._inputs = dict(sorted(signature.inputs.items()))
        self._outputs = dict(sorted(signature.outputs.items()))

    def __call__(self, /, **inputs: Any) -> dict[str, Any]:
        """Run once and return ``{output name: array}``.

        Inputs are resized to the shapes given; memory is planned again only if one changed. ValueError lists missing
        and unknown names.
        """
        check_names(f'signature "{printable(self._key)}"', self._inputs, inputs)
        return self._interpreter._call(self._graph, self._inputs, inputs, self._outputs)

    def get_input_details(self) -> dict[str, dict[str, Any]]:
        """``{input name: details}``, as ``Interpreter.get_input_details`` describes them."""
        return {
            name: self._interpreter._get_tensor_details(i, self._graph) for name, i in self._inputs.items()
        }

    def get_output_details(self) -> dict[str, dict[str, Any]]:
        """``{output name: details}``."""
        return {
            name: self._interpreter._get_tensor_details(i, self._graph) for name, i in self._outputs.items()
        }

    def __repr__(self) -> str:
        return (
            f'<signature "{printable(self._key)}": {", ".join(self._inputs)} -> {", ".join(self._outputs)}>'
        )


def check_names(where: str, wanted: Collection[str], given: Collection[str]) -> None:
    """ShapeError, a ValueError, that lists the missing and the unknown names."""
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    if missing or unknown:
        said = "; ".join(
            f"{what}: " + ", ".join(f'"{printable(n)}"' for n in names)
            for what, names in (("missing", missing), ("unknown", unknown), ("its inputs", wanted))
            if names
        )
        raise ShapeError(f"{where}: {said or 'takes no inputs'}")
