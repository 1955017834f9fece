"""A model that is open: its graphs, and the file that its constants are views of."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping
from typing import IO, Any

import sodalite_schema as schema

from .errors import CorruptModelError, ModelError, ModelNotFoundError, printable
from .graph import EMPTY, Graph, Signature
from .lower import lower

__all__ = ["Model", "open_model"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

# What people hand over by mistake and sodalite_schema does not know, by the first bytes.
_CONVERT = "convert it to .tflite first"
_LOOKS_LIKE = {
    b"\x08\x01\x12": f"a TensorFlow SavedModel's saved_model.pb: {_CONVERT}",
    **{bytes([8, version, 18]): f"an ONNX model: {_CONVERT}" for version in range(3, 20)},
    b"\n": f"a TensorFlow GraphDef: {_CONVERT}",
    b"{": "JSON",
    b"\x80": "a Python pickle (a PyTorch checkpoint?)",
    b"\0\0\0\0": "zero bytes: was the download cut short?",
}


class Model:
    """An open model; `open_model` makes it.

    graphs: the main one first. metadata: name -> bytes. version: the schema's. min_runtime: the first TensorFlow
    release that runs it, "" if unsaid. path: None for a model from memory. label: what messages call it. nbytes: of the
    file; weights_nbytes: of its constants. packed: results of weight packing, shared by all interpreters of this
    model; hold *lock* to change it.

    Constants are read-only views of the file, which is let go when the last of them is gone: closing early cannot
    crash. A mapped file must not change while it is open; see `check_unchanged`, and ``copy=True``.
    """

    def __init__(
        self, buffer: Any, *, path: str | None, label: str, mapped: os.stat_result | None = None
    ) -> None:
        self.path, self.label, self.closed, self._mapped = path, label, False, mapped
        view = memoryview(buffer)
        self.nbytes: int = view.nbytes
        try:
            table = schema.read(view)
            low = lower(table, view.cast("B"), path)
        except schema.SchemaError as error:
            raise CorruptModelError(f"{label}: {_explained(str(error), bytes(view[:8]))}") from None
        except ModelError as error:
            raise type(error)(f"{label}: {error}") from None
        self.graphs: tuple[Graph, ...] = low.graphs
        self.signatures: tuple[Signature, ...] = low.signatures
        self.metadata: Mapping[str, memoryview] = low.metadata
        self.description: str = table.description or ""
        self.version: int = table.version
        said = bytes(self.metadata.get("min_runtime_version", b"")[:16])
        self.min_runtime = printable(said.split(b"\0")[0].decode("utf-8", "replace"))
        self.weights_nbytes = low.weights_nbytes
        self.packed: dict[Any, Any] = {}
        self.lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<sodalite Model {self.label}: {'closed' if self.closed else f'{self.nbytes:,} bytes'}>"

    def __enter__(self) -> Model:  # noqa: PYI034  typing.Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget graphs, metadata and packed weights. May be called twice."""
        with self.lock:
            self.closed = True
            self.graphs, self.signatures, self.metadata = (), (), EMPTY
            self.packed.clear()

    def check_unchanged(self) -> None:
        """ModelError if the mapped file was written to since it was opened.

        One that was replaced or deleted is fine: the mapping still holds the old file.
        """
        then = self._mapped
        if then is None or self.path is None:
            return
        try:
            now = os.stat(self.path)
        except OSError:
            return
        same = (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)
        if same and (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            sizes = f"{then.st_size:,} bytes then, {now.st_size:,} now"
            raise ModelError(
                f"{self.label}: the file was changed while it is open ({sizes}): open it again, or with copy=True"
            )


def open_model(source: Source, *, copy: bool = False) -> Model:
    """Open, verify and lower a .tflite model.

    source: a path, the bytes of a model (a writable buffer is copied), or a binary file object, read to its end.
    copy: read the file instead of mapping it: safe against later changes of it. The environment variable
    SODALITE_COPY=1 asks for that too. Raises ModelError; TypeError if *source* is none of these.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source, copy or os.environ.get("SODALITE_COPY", "0") not in ("", "0"))
    label = "model"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        label = _label(name) if isinstance(name, str) else label
        source = source.read()
        if isinstance(source, str):
            raise ModelError(f'{label}: reading gave text, not bytes: open the file in mode "rb"')
    try:
        view = memoryview(source)
    except TypeError:
        got = type(source).__name__
        raise TypeError(f"a model is opened from a path, bytes, or a binary file, got {got}") from None
    # what was verified must stay as it was
    return Model(view if view.readonly and view.c_contiguous else bytes(view), path=None, label=label)


def _label(path: str) -> str:
    """*path* for messages; of a very long one the end says more."""
    return printable(path if len(path) <= 100 else "..." + path[-100:]) or "''"


def _open_path(given: str | os.PathLike[str], copy: bool) -> Model:
    path = os.fsdecode(given)
    label = _label(path)
    try:
        _check_regular(os.stat(path), path, label)  # before opening: a device or pipe should not notice us
        # NONBLOCK: what became a pipe since then does not block
        flags = (getattr(os, name, 0) for name in ("O_BINARY", "O_NONBLOCK", "O_CLOEXEC"))
        number = os.open(path, os.O_RDONLY | sum(flags))
        with open(number, "rb") as file:
            state: os.stat_result | None = os.fstat(number)
            _check_regular(os.fstat(number), path, label)
            buffer = None if copy else _mapped(number)
            if buffer is None:
                state, buffer = None, file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_found(path, label) from error
    except MemoryError as error:
        raise ModelError(
            f"{label}: does not fit in memory: open it without copy, and it is mapped"
        ) from error
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        raise ModelError(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return Model(buffer, path=path, label=label, mapped=state)


def _mapped(number: int) -> Any:
    """The file mapped read-only; None where it is empty, or the platform or its file system cannot."""
    try:
        import mmap  # noqa: PLC0415  absent on some platforms

        return mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    except (ImportError, OSError, ValueError):
        return None


def _check_regular(state: os.stat_result, path: str, label: str) -> None:
    if stat.S_ISREG(state.st_mode):
        return
    what = "is a pipe, device or socket: read it and pass the bytes"
    if stat.S_ISDIR(state.st_mode):
        names = sorted(os.listdir(path))
        models = [printable(name) for name in names if name.endswith(".tflite")]
        what = f"is a folder, not a model{'; it holds ' if models else ''}{', '.join(models[:8])}"
        if "saved_model.pb" in names:
            what = f"is a folder, a TensorFlow SavedModel: {_CONVERT}"
    raise ModelError(f"{label}: {what}")


def _not_found(path: str, label: str) -> ModelNotFoundError:
    from difflib import get_close_matches  # noqa: PLC0415  only on the way to an error

    folder, name = os.path.split(path)
    try:
        near = get_close_matches(name, os.listdir(folder or "."), 3)
        hint = f"; near it: {', '.join(map(printable, near))}" if near else ""
    except OSError:
        hint = "; its folder is not there either"
    return ModelNotFoundError(f"{label}: there is no such file{hint}")


def _explained(message: str, start: bytes) -> str:
    """The reader's *message*, with a guess at what went wrong where it has none."""
    if "not a .tflite file: bytes" in message:
        what = next((what for magic, what in _LOOKS_LIKE.items() if start.startswith(magic)), "")
        if start[4:7] == b"TFL":
            what = "a .tflite file of another format; only TFL3 is supported"
        return f"not a .tflite file: it looks like {what}" if what else message
    if "past the end of the file" in message or "outside the file" in message:
        return f"{message}; was the file cut short, or damaged?"
    return message
