"""The model's own description (metadata entry TFLITE_METADATA, a FlatBuffer with identifier M001) and the files packed
behind the model: what the inputs mean, how an image is normalised, what the classes are called.

Source of tables and slots: metadata_schema.fbs of TensorFlow Lite Support, parser version 1.5.0.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .archive import DAMAGE
from .errors import ToolError

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
NORMALIZATION = 1  # ProcessUnitOptions.NormalizationOptions
CONTENTS = {1: "feature", 2: "image", 3: "bounding boxes", 4: "audio"}  # ContentProperties
COLOURS = {1: "RGB", 2: "grayscale"}  # ColorSpaceType
LARGEST_FILE = 16 << 20
MOST_TABLES = 20_000


@dataclass(frozen=True, slots=True)
class AssociatedFile:
    """A file behind the model. kind: AssociatedFileType's number; 2 is one label a line for a tensor's last axis."""

    name: str
    description: str
    kind: int
    locale: str


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the model says of one input or output.

    content: "image", "audio", "bounding boxes", "feature" or ""; colours: "RGB", "grayscale" or "". An image's pixel p
    goes to a float input as (p - mean) / std, one value or one a channel; () where nothing is said.
    """

    name: str
    description: str
    content: str
    colours: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: tuple[AssociatedFile, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The description of a model; inputs and outputs in the order of its first subgraph."""

    name: str
    description: str
    version: str
    author: str
    licence: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def metadata_in(buffer: bytes | memoryview) -> ModelInfo:
    """Read the FlatBuffer; every offset and length is checked first. ToolError if it is damaged."""
    view = memoryview(buffer).cast("B")
    if len(view) < 8 or view[4:8] != IDENTIFIER:
        raise ToolError(f"{ENTRY}: its identifier is {bytes(view[4:8])!r}, not {IDENTIFIER!r}")
    root = _Table(_Reader(view), struct.unpack_from("<I", view)[0])
    graphs = root.tables(3)
    return ModelInfo(
        name=root.string(0),
        description=root.string(1),
        version=root.string(2),
        author=root.string(4),
        licence=root.string(5),
        inputs=_tensors(graphs, 2),
        outputs=_tensors(graphs, 3),
    )


def metadata_of(path: Path) -> ModelInfo | None:
    """The description in the model file at *path*; None if it has none. ToolError if it is damaged."""
    import mmap  # noqa: PLC0415

    import sodalite_schema  # noqa: PLC0415  with numpy: 100 ms

    with path.open("rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            model = sodalite_schema.read(mapped)
        except ValueError as error:
            raise ToolError(f"{path}: {error}") from error
    data = entry(model, ENTRY)
    return None if data is None else metadata_in(data)


def entry(model: Any, name: str) -> bytes | None:
    """The bytes of the metadata entry called *name* in a ``sodalite_schema`` Model, or None."""
    for item in model.metadata:
        if item.name == name and 0 <= item.buffer < len(model.buffers):
            return bytes(model.buffers[item.buffer].data)
    return None


def packed_files(path: Path) -> list[str]:
    """Names of the files in the zip behind the model; [] if there is none."""
    try:
        with zipfile.ZipFile(path) as opened:
            return opened.namelist()
    except (*DAMAGE, OSError, ValueError):
        return []


def packed_file(path: Path, name: str) -> bytes | None:
    """One file out of the zip behind the model, or None. ToolError if it is damaged or larger than 16 MiB."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as opened:
            member = opened.getinfo(name)
            if member.file_size > LARGEST_FILE:
                raise ToolError(f"{path}: {name!r} behind the model has {member.file_size:,} bytes: refused")
            with opened.open(member) as stream:
                return stream.read(LARGEST_FILE)
    except KeyError:
        return None
    except DAMAGE as error:
        raise ToolError(f"{path}: {name!r} behind the model is damaged: {error}") from error


def labels_of(path: Path, tensor: TensorInfo) -> tuple[str, ...]:
    """The labels of a tensor's last axis, from the file behind the model; () if it has none."""
    labels = [file for file in tensor.files if file.kind == AXIS_LABELS]
    for file in sorted(labels, key=lambda f: not f.locale.startswith("en") and f.locale != ""):
        data = packed_file(path, file.name)
        if data is not None:
            return label_lines(data.decode("utf-8", "replace"))
    return ()


def labels_in(path: Path) -> tuple[str, ...]:
    """The labels of the first output that has some; () if none has."""
    info = metadata_of(path)
    return next(filter(None, (labels_of(path, tensor) for tensor in info.outputs)), ()) if info else ()


def label_lines(text: str) -> tuple[str, ...]:
    """One label a line; in "12 cat" and "12: cat", when all lines are so, the number says which class it is."""
    import re  # noqa: PLC0415

    lines = [line.strip() for line in io.StringIO(text.removeprefix("\ufeff"))]
    while lines and not lines[-1]:
        lines.pop()
    numbered = [re.fullmatch(r"(\d{1,6})(?::\s*|\s+)(.+)", line) for line in lines if line]
    if numbered and all(numbered):
        pairs = {int(match[1]): match[2] for match in numbered if match}
        if len(pairs) == len(numbered) and max(pairs) < 2 * len(pairs) + 100:
            return tuple(pairs.get(index, "") for index in range(max(pairs) + 1))
    return tuple(lines)


def _tensors(graphs: list[_Table], slot: int) -> tuple[TensorInfo, ...]:
    return tuple(_tensor(table) for table in (graphs[0].tables(slot) if graphs else []))


def _tensor(table: _Table) -> TensorInfo:
    content = table.table(3)
    kind = CONTENTS.get(content.scalar(0, "B"), "") if content else ""
    properties = content.table(1) if content and kind == "image" else None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    for unit in table.tables(4):
        options = unit.table(1) if unit.scalar(0, "B") == NORMALIZATION else None
        if options is not None:
            mean, std = options.floats(0), options.floats(1)
    return TensorInfo(
        name=table.string(0),
        description=table.string(1),
        content=kind,
        colours=COLOURS.get(properties.scalar(0, "b"), "") if properties else "",
        mean=mean,
        std=std,
        files=tuple(
            AssociatedFile(file.string(0), file.string(1), file.scalar(2, "b"), file.string(3))
            for file in table.tables(6)
        ),
    )


class _Reader:
    """Bounds-checked access. left: tables that may still be read: a few bytes can point at one table many times."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.left = MOST_TABLES

    def unpack(self, form: str, place: int) -> Any:
        if place < 0 or struct.calcsize("<" + form) > len(self.view) - place:
            raise ToolError(f"{ENTRY}: byte {place:,} is past its end ({len(self.view):,} bytes)")
        return struct.unpack_from("<" + form, self.view, place)[0]

    def vector(self, place: int, width: int) -> tuple[int, int]:
        """(first element's place, length) of the vector at *place*, all of which lies inside."""
        length = self.unpack("I", place)
        if length * width > len(self.view) - place - 4:
            raise ToolError(f"{ENTRY}: {length:,} elements at byte {place:,} run past its end ({len(self.view):,} bytes)")
        return place + 4, length


class _Table:
    """A table: fields by slot; what is absent is "", 0, (), [] or None."""

    def __init__(self, reader: _Reader, place: int) -> None:
        reader.left -= 1
        if reader.left < 0:
            raise ToolError(f"{ENTRY}: more than {MOST_TABLES:,} tables")
        self._reader = reader
        self._place = place
        self._vtable = place - reader.unpack("i", place)
        self._slots = (reader.unpack("H", self._vtable) - 4) // 2

    def _field(self, slot: int) -> int:
        """Where the field lies; 0 if it is absent."""
        if slot >= self._slots:
            return 0
        offset = self._reader.unpack("H", self._vtable + 4 + 2 * slot)
        return self._place + offset if offset else 0

    def _target(self, slot: int) -> int:
        """Where the offset in the field leads; 0 if it is absent."""
        place = self._field(slot)
        return place + self._reader.unpack("I", place) if place else 0

    def scalar(self, slot: int, form: str) -> int:
        place = self._field(slot)
        return int(self._reader.unpack(form, place)) if place else 0

    def string(self, slot: int) -> str:
        place = self._target(slot)
        if not place:
            return ""
        first, length = self._reader.vector(place, 1)
        return str(self._reader.view[first : first + length], "utf-8", "replace")

    def floats(self, slot: int) -> tuple[float, ...]:
        place = self._target(slot)
        if not place:
            return ()
        first, length = self._reader.vector(place, 4)
        return struct.unpack_from(f"<{length}f", self._reader.view, first)

    def table(self, slot: int) -> _Table | None:
        place = self._target(slot)
        return _Table(self._reader, place) if place else None

    def tables(self, slot: int) -> list[_Table]:
        place = self._target(slot)
        return list(self._elements(place)) if place else []

    def _elements(self, place: int) -> Iterator[_Table]:
        first, length = self._reader.vector(place, 4)
        for index in range(length):
            at = first + 4 * index
            yield _Table(self._reader, at + self._reader.unpack("I", at))
