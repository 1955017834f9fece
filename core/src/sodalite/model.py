"""A model that is open: its graphs, and the file that its constants are views of."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any

import sodalite_schema as schema

from .errors import CorruptModelError, ModelError, ModelNotFoundError, printable
from .graph import EMPTY, Graph, Signature
from .lower import lower

__all__ = ["Model", "open_model"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

# What people hand over by mistake, as sodalite_schema does not know it: (first bytes, what it is).
_LOOKS_LIKE = (
    (b"\x08\x01\x12", "the saved_model.pb of a TensorFlow SavedModel: convert it to .tflite first"),
    *((bytes([8, version, 18]), "an ONNX model: convert it to .tflite first") for version in range(3, 20)),
    (b"\n", "a TensorFlow GraphDef (.pb): convert it to .tflite first"),
    (b"{", "a JSON file"),
    (b"\x80", "a Python pickle (a PyTorch checkpoint?)"),
    (b"%PDF", "a PDF file"),
    (b"\0\0\0\0", "a file of zero bytes: was the download cut short?"),
)


class Model:
    """An open model; `open_model` makes it.

    graphs: one a subgraph, the first is the main one. signatures: named entry points. metadata: name -> bytes.
    description, version (of the schema), min_runtime (the first TensorFlow release that runs it, "" if unsaid).
    path: the file, None for a model from memory. label: what messages call it. nbytes: the whole file;
    weights_nbytes: its constants. packed: results of weight packing, shared by all interpreters of this model; hold
    *lock* to change it.

    Constants are read-only views of the file's bytes. `close` drops them from here; the file itself is let go when
    the last array, graph or interpreter that uses it is gone, so that closing early can never crash. A mapped file must
    not be changed or cut while it is open: see `check_unchanged`, and ``copy=True``.
    """

    def __init__(
        self, buffer: Any, *, path: str | None, label: str, mapped: os.stat_result | None = None
    ) -> None:
        self.path = path
        self.label = label
        self.closed = False
        view = memoryview(buffer)
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
        self.min_runtime = _text(low.metadata.get("min_runtime_version"))
        self.nbytes: int = view.nbytes
        self.weights_nbytes = low.weights_nbytes
        self.packed: dict[Any, Any] = {}
        self.lock = threading.RLock()
        self._mapped = mapped

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self.graphs)} subgraphs, {self.nbytes:,} bytes"
        return f"<sodalite Model {self.label}: {state}>"

    def __enter__(self) -> Model:  # noqa: PYI034  typing.Self is newer than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget graphs, metadata and packed weights. May be called twice."""
        with self.lock:
            self.closed = True
            self.graphs, self.signatures, self.metadata = (), (), EMPTY
            self.packed.clear()

    def check_unchanged(self) -> None:
        """ModelError if the mapped file was written to, cut or grown since it was opened; else nothing.

        A file that was replaced or deleted is fine: the mapping still holds the old one. Models from memory and copies
        cannot change.
        """
        then = self._mapped
        if then is None or self.path is None:
            return
        try:
            now = os.stat(self.path)
        except OSError:
            return
        if (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino):
            return
        if now.st_size != then.st_size or now.st_mtime_ns != then.st_mtime_ns:
            what = (
                f"from {then.st_size:,} to {now.st_size:,} bytes"
                if now.st_size != then.st_size
                else "in place"
            )
            raise ModelError(
                f"{self.label}: the file was changed {what} while it is open; open it again, or with copy=True"
            )


def open_model(source: Source, *, copy: bool = False) -> Model:
    """Open, verify and lower a .tflite model.

    source: a path, the bytes of a model (a writable buffer is copied), or a file object opened in binary mode, which
    is read to its end. copy: read a file into memory, instead of mapping it: safe against changes of the file while
    the model is open. The environment variable SODALITE_COPY=1 asks for that too.

    Raises ModelNotFoundError, CorruptModelError, UnsupportedModelError, or another ModelError (a path that cannot be
    read); TypeError if *source* is none of these.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source, copy or os.environ.get("SODALITE_COPY", "0") not in ("", "0"))
    path = None
    label = "model"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        label = _label(name) if isinstance(name, str) else label
        source = source.read()
        if not isinstance(source, (bytes, bytearray, memoryview)):
            raise ModelError(
                f'{label}: reading gave {type(source).__name__}, not bytes; open the file in mode "rb"'
            )
    try:
        view = memoryview(source)
    except TypeError:
        kinds = "a path, bytes, or a file opened in binary mode"
        raise TypeError(f"a model is opened from {kinds}, got {type(source).__name__}") from None
    # someone else may write to a buffer that is not read-only: what was verified must stay as it was
    buffer = view if view.readonly and view.contiguous else bytes(view)
    return Model(buffer, path=path, label=label)


def _label(path: str) -> str:
    """*path* for messages; of a very long one the end says more."""
    return printable(path if len(path) <= 100 else "..." + path[-100:]) or "''"


def _open_path(given: str | os.PathLike[str], copy: bool) -> Model:
    path = os.fsdecode(os.fspath(given))
    label = _label(path)
    try:
        _check_regular(os.stat(path), path, label)  # before opening: a device or pipe should not notice us
        # O_NONBLOCK: what became a FIFO since then does not block
        flags = (
            os.O_RDONLY
            | getattr(os, "O_BINARY", 0)
            | getattr(os, "O_NONBLOCK", 0)
            | getattr(os, "O_CLOEXEC", 0)
        )
        number = os.open(path, flags)
        with open(number, "rb") as file:
            state = os.fstat(number)
            _check_regular(state, path, label)
            buffer = None if copy or not state.st_size else _mapped(number, state.st_size)
            mapped = state if buffer is not None else None
            if buffer is None:
                buffer = file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_found(path, label) from error
    except MemoryError as error:
        raise ModelError(
            f"{label}: the file does not fit in memory; open it without copy, and it is mapped"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return Model(buffer, path=path, label=label, mapped=mapped)


def _mapped(number: int, nbytes: int) -> Any:
    """The file mapped read-only; None where that is not possible (no mmap here, or a file system without it)."""
    try:
        import mmap  # noqa: PLC0415  absent on some platforms

        return mmap.mmap(number, nbytes, access=mmap.ACCESS_READ)
    except (ImportError, OSError, ValueError):
        return None


def _check_regular(state: os.stat_result, path: str, label: str) -> None:
    mode = state.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        names = sorted(os.listdir(path))
        if "saved_model.pb" in names:
            raise ModelError(f"{label}: is a folder, a TensorFlow SavedModel: convert it to .tflite first")
        models = [printable(name) for name in names if name.endswith((".tflite", ".lite"))]
        hint = f"; it holds {', '.join(models[:5])}{', ...' if len(models) > 5 else ''}" if models else ""
        raise ModelError(f"{label}: is a folder, not a model file{hint}")
    kinds = (
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
        (stat.S_ISSOCK, "socket"),
    )
    what = next((name for test, name in kinds if test(mode)), "special file")
    raise ModelError(f"{label}: is a {what}, not a regular file; read it and pass the bytes")


def _not_found(path: str, label: str) -> ModelNotFoundError:
    from difflib import get_close_matches  # noqa: PLC0415  only on the way to an error

    folder, name = os.path.split(path)
    try:
        near = get_close_matches(name, os.listdir(folder or "."), 3)
        hint = f"; near it: {', '.join(map(printable, near))}" if near else ""
    except (OSError, ValueError):
        hint = "; its folder is not there either"
    return ModelNotFoundError(f"{label}: there is no such file{hint}")


def _explained(message: str, start: bytes) -> str:
    """The reader's *message*, with a guess at what went wrong where it has none."""
    if "not a .tflite file: bytes" in message:
        what = next((what for magic, what in _LOOKS_LIKE if start.startswith(magic)), None)
        if start[4:7] == b"TFL":
            what = (
                f"a .tflite file of an older format ({start[4:8].decode('latin-1')}); only TFL3 is supported"
            )
        return message if what is None else f"not a .tflite file: it looks like {what}"
    if "past the end of the file" in message or "outside the file" in message:
        return f"{message}; was the file cut short, or damaged?"
    return message


def _text(raw: memoryview | None) -> str:
    return "" if raw is None else printable(bytes(raw[:64]).split(b"\0")[0].decode("utf-8", "replace"))
