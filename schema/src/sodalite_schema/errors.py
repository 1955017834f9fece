# SPDX-License-Identifier: Apache-2.0
"""The one error of this package, and how names from files are printed."""

from __future__ import annotations


class SchemaError(ValueError):
    """A file, or a table to be written, breaks the format; the text names the field's path."""


class Fault(Exception):  # noqa: N818  never seen outside
    """A fault on its way up: each level that it passes puts its own step before *path*."""

    def __init__(self, message: str, step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = step

    def under(self, step: str) -> Fault:
        """This fault, seen from the table or vector whose field or item *step* it passed."""
        self.path = step + ("." if self.path and not self.path.startswith("[") else "") + self.path
        return self

    def as_error(self) -> SchemaError:
        """The public error, `path: message`."""
        return SchemaError(f"{self.path}: {self.message}" if self.path else self.message)
