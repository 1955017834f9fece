"""An open model: the tables of a file -> Graphs; all that later stages rely on is checked."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import sodalite_schema as schema
from sodalite_schema import Table, vector_offset

from .dtypes import DTYPES, OBJECTS, PACKED, DType
from .errors import CorruptModelError, ModelError, ModelNotFoundError, UnsupportedModelError, printable
from .graph import EMPTY, Array, Graph, Node, Quant, Shape, Signature, Source, Sparsity, TensorSpec

__all__ = ["Model", "open_model"]

_TYPES = tuple(DTYPES)
Content = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


class Model:
    """An open model; `open_model` makes it.

    graphs: the main one first. metadata: name -> bytes. min_runtime: the first TensorFlow release that runs it, or "".
    path: None if from memory. label: its name in messages. packed: weights packed for kernels; hold *lock* to change it.

    Constants are views of the file, which is let go with the last of them. A mapped file must not change while it is open.
    """

    def __init__(
        self, buffer: Any, *, path: str | None, label: str, mapped: os.stat_result | None = None
    ) -> None:
        self.path, self.label, self.closed, self._mapped = path, label, False, mapped
        self.packed: dict[Any, Any] = {}
        self.lock = threading.RLock()
        view = memoryview(buffer)
        self.nbytes: int = view.nbytes
        try:
            self._lower(schema.read(view), view.cast("B"))
        except schema.SchemaError as error:
            cut = any(words in str(error) for words in ("past the end of", "outside the file"))
            raise CorruptModelError(f"{label}: {error}{'; was the file cut short, or damaged?' * cut}") from None
        except ModelError as error:
            raise type(error)(f"{label}: {error}") from None

    def _lower(self, model: Table, file: memoryview) -> None:
        if model.version != 3:
            raise UnsupportedModelError(f"schema version {model.version}; only version 3 is supported")
        if not model.subgraphs:
            raise CorruptModelError("the model has no subgraphs to run")
        constants = Constants(model, file, self.path)
        codes = _each(model.operator_codes, _code, "operator code {}".format)
        count, signatures = len(model.subgraphs), model.signature_defs
        self.graphs: tuple[Graph, ...] = _each(
            model.subgraphs, lambda i, t: _Subgraph(i, t, codes, constants, count).graph(), "subgraph {}".format
        )
        _check_calls(self.graphs)
        self.signatures: tuple[Signature, ...] = _each(
            signatures, self._signature, lambda i: _name("signature", signatures[i].signature_key)
        )
        if len({s.key for s in self.signatures}) < len(self.signatures):
            raise CorruptModelError("two signatures have the same key")
        self.metadata: Mapping[str, memoryview] = MappingProxyType(
            {m.name or "": constants.buffer(m.buffer, _name("metadata", m.name) + ": ")[0].data for m in model.metadata}
        )
        said = bytes(self.metadata.get("min_runtime_version", b""))
        self.min_runtime = printable(said[:16].split(b"\0")[0].decode("utf-8", "replace"))
        self.description: str = model.description or ""
        self.version: int = model.version
        self.weights_nbytes = constants.nbytes

    def _signature(self, _: int, table: Table) -> Signature:
        inside("subgraph", table.subgraph_index, len(self.graphs))
        graph = self.graphs[table.subgraph_index]
        sides = _names("input", table.inputs, graph.inputs), _names("output", table.outputs, graph.outputs)
        return Signature(table.signature_key or "", graph.index, *sides)

    def __repr__(self) -> str:
        return f"<sodalite Model {self.label}: {'closed' if self.closed else f'{self.nbytes:,} bytes'}>"

    def __enter__(self) -> Model:  # noqa: PYI034  no typing.Self in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self.lock:
            self.closed = True
            self.graphs, self.signatures, self.metadata = (), (), EMPTY
            self.packed.clear()

    def check_unchanged(self) -> None:
        """ModelError if the mapped file was written to; it may be replaced or deleted."""
        try:
            now = os.stat(self.path or "")
        except OSError:
            return
        then = self._mapped or now
        same = (then.st_size, then.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
        if not same and os.path.samestat(then, now):
            raise ModelError(
                f"{self.label}: the file was changed while it is open ({then.st_size:,} bytes then, {now.st_size:,} now): "
                "open it again, or with copy=True"
            )


def open_model(source: Content, *, copy: bool = False) -> Model:
    """Open, verify and lower a .tflite model.

    source: a path, bytes (a writable buffer is copied), or a binary file, else TypeError. copy, or SODALITE_COPY=1: read
    the file instead of mapping it. Raises ModelError.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_path(os.fsdecode(source), copy or os.environ.get("SODALITE_COPY", "0") not in ("", "0"))
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
    return Model(view if view.readonly and view.c_contiguous else bytes(view), path=None, label=label)


def _label(path: str) -> str:
    return printable(path[-100:]) or "''"


def _open_path(path: str, copy: bool) -> Model:
    label = _label(path)
    try:
        _check_regular(os.stat(path), path)  # a device should not notice us, a new pipe not block
        flags = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_NONBLOCK", "O_CLOEXEC"))
        with open(os.open(path, os.O_RDONLY | flags), "rb") as file:
            state = os.fstat(file.fileno())
            _check_regular(state, path)
            mapped = None if copy else _mapped(file.fileno())
            buffer = mapped or file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(f"{label}: there is no such file{_near(path)}") from error
    except (OSError, ValueError, MemoryError) as error:
        why = getattr(error, "strerror", "") or str(error) or "it does not fit in memory: open it without copy"
        raise ModelError(f"{label}: cannot be read: {why}") from error
    return Model(buffer, path=path, label=label, mapped=state if mapped else None)


def _mapped(number: int) -> Any:
    """None if the file is empty, or cannot be mapped here."""
    try:
        import mmap

        return mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    except (ImportError, OSError, ValueError):
        return None


def _check_regular(state: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(state.st_mode):
        names = sorted(os.listdir(path))
        if "saved_model.pb" in names:
            raise ValueError("it is a folder, a TensorFlow SavedModel: convert it to .tflite first")
        models = ", ".join([printable(name) for name in names if name.endswith(".tflite")][:8])
        raise ValueError("it is a folder, not a model" + (models and f"; it holds {models}"))
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is a pipe, device or socket: read it and pass the bytes")


def _near(path: str) -> str:
    from difflib import get_close_matches

    folder, name = os.path.split(path)
    try:
        near = get_close_matches(name, os.listdir(folder or "."), 3)
    except OSError:
        return "; its folder is not there either"
    return f"; near it: {', '.join(map(printable, near))}" if near else ""


def _each(tables: Sequence[Table], work: Callable[[int, Table], Any], place: Callable[[int], str]) -> Any:
    """work(i, table); errors say place(i)."""
    done = []
    for i, table in enumerate(tables):
        try:
            done.append(work(i, table))
        except ModelError as error:
            raise type(error)(f"{place(i)}: {error}") from None
    return tuple(done)


def _name(what: str, name: str | None) -> str:
    return f'{what} "{printable(name)}"'


def _code(_: int, code: Table) -> tuple[str, int]:
    number = max(code.deprecated_builtin_code, code.builtin_code)  # old files have only the first
    op = schema.enum_name("BuiltinOperator", number)
    if number < 0 or (op == "CUSTOM" and not code.custom_code):
        raise CorruptModelError(f"{op} without a name")
    if op == "CUSTOM":
        op = f"custom:{code.custom_code}"
    return f"builtin:{op}" if op.isdecimal() else op, code.version


def _member(what: str, number: int, names: Sequence[str]) -> str:
    if not 0 <= number < len(names):
        raise UnsupportedModelError(f"{what} is {number}; known are 0 to {len(names) - 1} ({', '.join(names)})")
    return names[number]


@cache
def _options_of(op: str) -> tuple[str, Mapping[str, Sequence[str]], Mapping[str, Any]]:
    """The kind of the table, the members of enums, the defaults."""
    kind = schema.options_kind(op) or ""
    enums: dict[str, Sequence[str]] = {}
    defaults = {}
    for name, value in (schema.field_defaults(kind) if kind else EMPTY).items():
        enum = schema.field_enum(kind, name)
        if enum:
            enums[name] = _TYPES if enum == "TensorType" else tuple(schema.ENUMS[enum])
        defaults[name] = _option(name, value, enums)
    return kind, enums, MappingProxyType(defaults)


def _option(name: str, value: Any, enums: Mapping[str, Sequence[str]]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == np.uint8:
            return value.tobytes()
        return tuple(_option(name, item, enums) for item in value.tolist())
    if name in enums:
        return _member(f"option {name}", value, enums[name])
    return "" if value is None else value


class _Subgraph:
    def __init__(
        self, index: int, table: Table, codes: Sequence[tuple[str, int]], constants: Constants, graphs: int
    ) -> None:
        self.index, self.table, self.codes, self.constants, self.graphs = index, table, codes, constants, graphs
        self.inputs = self.indices("input", table.inputs)
        self.producer = {j: i for i, node in enumerate(table.operators) for j in node.outputs.tolist()}
        self.tensors: tuple[TensorSpec, ...] = ()
        self.ready = {-1, *self.inputs}  # need none, or have a value by now

    def graph(self) -> Graph:
        table = self.table
        outputs = self.indices("output", table.outputs)
        self.tensors = _each(table.tensors, self.tensor, self.name)
        nodes = _each(table.operators, self.node, self.node_name)
        self.check_ready("output", outputs)
        readers: dict[int, list[int]] = {}
        for node in nodes:
            for j in {*node.inputs} - {-1}:
                readers.setdefault(j, []).append(node.index)
        return Graph(
            self.index,
            table.name or "",
            self.tensors,
            nodes,
            self.inputs,
            outputs,
            MappingProxyType(self.producer),
            MappingProxyType({j: tuple(users) for j, users in readers.items()}),
        )

    def name(self, i: int) -> str:
        return _name(f"tensor {i}", self.table.tensors[i].name)

    def node_name(self, i: int) -> str:
        node = self.table.operators[i]
        op = self.codes[node.opcode_index][0] if node.opcode_index < len(self.codes) else "operator"
        tensors = self.table.tensors
        names = (tensors[j].name for j in node.outputs.tolist() if 0 <= j < len(tensors))
        return _name(f"node {i} {printable(op)}", next(names, ""))

    def indices(self, what: str, array: Any, lowest: int = 0) -> tuple[int, ...]:
        found, count = tuple(array.tolist()), len(self.table.tensors)
        for place, i in enumerate(found):
            if not lowest <= i < count:
                raise CorruptModelError(f"{what} {place} is tensor {i}; the subgraph has {count} tensors")
        return found

    def check_ready(self, what: str, indices: Sequence[int]) -> None:
        for place, j in enumerate(indices):
            if j not in self.ready:
                maker = self.producer.get(j)
                who = "nothing makes" if maker is None else f"only node {maker} makes: nodes must be in order"
                raise CorruptModelError(f"{what} {place} is {self.name(j)}, which {who}")

    def tensor(self, i: int, table: Table) -> TensorSpec:
        dtype, sizes = DTYPES[_member("element type", table.type, _TYPES)], table.shape.tolist()
        shape = shape_of(sizes, dtype)
        signature = table.shape_signature.tolist() or sizes
        if len(signature) != len(sizes) or min(signature, default=0) < -1:
            raise CorruptModelError(f"shape signature {few(signature)} for shape {few(sizes)}")
        if table.external_buffer:
            raise UnsupportedModelError("external_buffer is not supported")
        for sub in table.variant_tensors:
            _member("element type", sub.type, _TYPES)
        has_data = self.constants.buffer(table.buffer)[0].size
        made = table.is_variable or i in self.producer or i in self.ready
        sparsity = data = source = None
        # without elements, and nothing makes it: an empty constant, as in LiteRT
        if has_data or (not made and 0 in shape and dtype.name not in OBJECTS):
            if table.is_variable:
                raise CorruptModelError(f"a variable with constant data (buffer {table.buffer})")
            stored = shape
            if table.sparsity is not None and has_data:
                sparsity, count = sparsity_of(table.sparsity, shape)
                stored = (count,)
            data, source = self.constants.array(table.buffer, dtype, stored)
        if data is not None or table.is_variable:
            self.ready.add(i)
        return TensorSpec(
            i,
            table.name or "",
            shape,
            dtype.name,
            self.quant(table.quantization, dtype, shape),
            data,
            source,
            tuple(signature) if -1 in signature else None,
            bool(table.is_variable),
            sparsity,
        )

    def quant(self, table: Table | None, dtype: DType, shape: Shape) -> Quant | None:
        if table is None:
            return None
        if table.details is not None:
            return self.quant_details(table.details)
        scales, points, axis = table.scale, table.zero_point, table.quantized_dimension
        count = scales.size
        if not count or (count == 1 and scales[0] == 0):  # so old writers say "not quantised"
            return None
        if not points.size:
            points = np.zeros(count, np.int64)
            points.flags.writeable = False
        if points.size != count or (count > 1 and (axis, count) not in enumerate(shape)):
            raise CorruptModelError(f"{count} scales and {points.size} zero points for dimension {axis} of {few(shape)}")
        if dtype.memory.kind not in "iu":  # nobody reads them
            return Quant(scales, points, axis) if scales.min() > 0 else None
        low = -(1 << dtype.bits - 1) if dtype.memory.kind == "i" else 0
        high = low + (1 << dtype.bits) - 1
        if not 0 <= scales.min() <= scales.max() < np.inf:  # so for NaN
            raise CorruptModelError(f"scales {scales.min()} to {scales.max()} are not finite and positive")
        if not low <= points.min() <= points.max() <= high:
            raise CorruptModelError(f"zero points {points.min()} to {points.max()} are not {low} to {high}")
        return Quant(scales, points, axis)

    def quant_details(self, table: Table) -> Quant:
        none = np.empty(0, np.float32), np.empty(0, np.int64)
        kind = table.kind.removesuffix("Quantization").lower()
        if kind == "custom":
            return Quant(*none, kind=kind, details=table.custom.tobytes())
        self.indices("scales", np.array([table.scales]))
        self.indices("zero points", np.array([table.zero_points]), -1)
        if kind == "blockwise" and table.block_shape.size:
            raise UnsupportedModelError(f"blocks of shape {few(table.block_shape.tolist())}; only block_size is supported")
        axes = tuple(table.quantized_dimensions.tolist()) if kind == "multiaxis" else ()
        if min((table.block_size, *axes)) < 0:
            raise CorruptModelError(f"blocks of {table.block_size} along dimensions {few(axes)}")
        return Quant(*none, 0, kind, table.scales, table.zero_points, table.block_size, axes)

    def node(self, i: int, table: Table) -> Node:
        inside("operator code", table.opcode_index, len(self.codes))
        op, version = self.codes[table.opcode_index]
        inputs = self.indices("input", table.inputs, -1)
        self.check_ready("input", inputs)
        outputs = self.indices("output", table.outputs)
        for place, j in enumerate(outputs):
            if j in self.ready:
                raise CorruptModelError(f"output {place} is {self.name(j)}, which has a value before")
            self.ready.add(j)
        options = self.options(op, table)
        subgraphs = tuple(j for name in options if "subgraph" in name for j in np.ravel(options[name]).tolist())
        for j in subgraphs:
            inside("runs subgraph", j, self.graphs)
        custom = table.custom_options
        if not custom.size:
            custom = self.constants.outside("custom options", table.large_custom_options_offset, table.large_custom_options_size)
        flags = enumerate(zip(inputs, table.mutating_variable_inputs.tolist(), strict=False))
        return Node(
            i,
            op,
            version,
            inputs,
            outputs,
            options,
            custom.tobytes(),
            self.indices("intermediate", table.intermediates, -1),
            frozenset(place for place, (j, flag) in flags if flag and j >= 0 and self.tensors[j].variable),
            subgraphs,
            self.tensors[outputs[0]].name if outputs else "",
        )

    def options(self, op: str, table: Table) -> Mapping[str, Any]:
        if ":" in op:
            return EMPTY
        kind, enums, options = _options_of(op)
        given = {t.kind: t for t in (table.builtin_options, table.builtin_options_2) if t}
        if kind in given:
            stored = {name: _option(name, value, enums) for name, value in given[kind].fields()}
            return MappingProxyType({**options, **stored})
        if given and options:
            raise CorruptModelError(f"has {', '.join(given)}; {op} takes {kind}")
        return options


def _check_calls(graphs: Sequence[Graph]) -> None:
    """No subgraph may run itself, no nest explode."""
    calls = [[j for node in graph.nodes for j in node.subgraphs] for graph in graphs]
    left = 65_536 + len(graphs)

    def visit(i: int, path: tuple[int, ...]) -> None:
        nonlocal left
        left -= 1
        if i in path:
            raise CorruptModelError(f"subgraph {i} runs itself: {few((*path, i))}")
        if len(path) == 64 or left < 0:
            raise UnsupportedModelError(f"subgraph {i} runs inside others: at most 64 deep, 65,536 in all")
        for j in calls[i]:
            visit(j, (*path, i))

    for i in range(len(graphs)):
        visit(i, ())


def _names(what: str, maps: Sequence[Table], ends: Sequence[int]) -> Mapping[str, int]:
    names: dict[str, int] = {}
    known = set(ends)
    for entry in maps:
        name, i = entry.name or "", entry.tensor_index
        if name in names or i not in known:
            why = "there twice" if name in names else f"tensor {i}; the subgraph's {what}s are {few(ends)}"
            raise CorruptModelError(f"{_name(what, name)} is {why}")
        names[name] = i
    return MappingProxyType(dict(sorted(names.items())))


class Constants:
    """The buffers of a model. Each is unpacked once; in all that may read the file four times over."""

    def __init__(self, model: Table, file: memoryview, path: str | None) -> None:
        self._path, self._file = path, np.frombuffer(file, np.uint8)
        self._made: dict[tuple[int, int, str], Array] = {}
        self._left = 4 * file.nbytes
        self._buffers = [
            (b.data, vector_offset(b, "data")) if b.data.size else (self.outside(f"buffer {i}", b.offset, b.size), b.offset)
            for i, b in enumerate(model.buffers)
        ]
        if self._buffers and self._buffers[0][0].size:
            raise CorruptModelError("buffer 0 has data")

    @property
    def nbytes(self) -> int:
        return sum(size for _, size in {(at, raw.size) for raw, at in self._buffers})

    def outside(self, what: str, offset: int, nbytes: int) -> Array:
        total = self._file.size
        if offset < 2:  # not yet written
            return self._file[:0]
        if nbytes > total - offset:
            raise CorruptModelError(f"{what}: {nbytes:,} bytes at {offset:,} run past the end of the file ({total:,} bytes)")
        return self._file[offset : offset + nbytes]

    def buffer(self, index: int, what: str = "") -> tuple[Array, int]:
        """Its bytes and where they lie in the file; 0 stands for no data."""
        if not index:
            return self._file[:0], 0
        inside(f"{what}buffer", index, len(self._buffers))
        return self._buffers[index]

    def array(self, buffer: int, dtype: DType, shape: Shape) -> tuple[Array, Source]:
        """The elements of a constant; a buffer may be longer, as in LiteRT."""
        raw, at = self.buffer(buffer)
        memory, count = dtype.memory, prod(shape)
        nbytes = -(-count * dtype.bits // 8)
        if raw.size < nbytes:
            raise CorruptModelError(f"buffer {buffer} has {raw.size:,} bytes, {count:,} elements of {dtype.name} take {nbytes:,}")
        if memory.kind == "O":
            if dtype.name != "string":
                raise CorruptModelError(f"a {dtype.name} with constant data (buffer {buffer})")
            data, nbytes = self._unpacked(raw, at, dtype), raw.size
            if data.size != count:
                raise CorruptModelError(f"{data.size:,} strings are stored, {few(shape)} holds {count:,}")
        elif dtype.name in PACKED or at % memory.itemsize or (memory.kind == "b" and raw[:nbytes].max(initial=0) > 1):
            data = self._unpacked(raw, at, dtype)[:count]
        else:
            data = raw[:nbytes].view(memory)
        data = data.reshape(shape)
        data.flags.writeable = False
        return data, Source(self._path, at, nbytes)

    def _unpacked(self, raw: Array, at: int, dtype: DType) -> Array:
        key = at, raw.size, dtype.name
        if key not in self._made:
            self._left -= raw.size
            if self._left < 0:
                raise CorruptModelError("constants overlap: they would be far larger than the file")
            self._made[key] = unpack(raw, dtype)
        return self._made[key]


def unpack(raw: Array, dtype: DType) -> Array:
    """All elements in *raw*, uint8 (n,), in memory form.

    Packed integers: the first in the lowest bits. Strings: int32 count n, n + 1 int32 positions in *raw*, the bytes.
    """
    memory, bits = dtype.memory, dtype.bits
    if memory.kind == "O":
        return _unpack_strings(raw)
    if memory.kind == "b":
        return raw.astype(bool)  # any but 0 is true
    if bits >= 8:
        return raw[: raw.size // memory.itemsize * memory.itemsize].copy().view(memory)
    rows: Array = np.empty((raw.size, 8 // bits), memory)
    for place in range(8 // bits):  # up, then down: an arithmetic shift for int8
        np.left_shift(raw, 8 - bits * (place + 1), out=rows[:, place].view(np.uint8))
    rows >>= 8 - bits
    return rows.reshape(-1)


def _unpack_strings(table: Array) -> Array:
    raw = table.tobytes()
    count = int.from_bytes(raw[:4], "little", signed=True)
    fits = 0 <= count <= len(raw) // 4 - 2
    ends = np.frombuffer(raw, "<i4", count + 1, 4).tolist() if fits else [0]
    if not fits or ends[0] < 4 * (count + 2) or ends[-1] > len(raw) or ends != sorted(ends):
        raise CorruptModelError(f"string table of {len(raw)} bytes cannot hold {count} strings in ascending positions")
    texts: Array = np.empty(count, object)
    for i in range(count):
        texts[i] = raw[ends[i] : ends[i + 1]]
    return texts


def inside(what: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise CorruptModelError(f"{what} {number}; the model has {count}")


def few(items: Sequence[object]) -> str:
    return f"[{', '.join(map(str, items[:12]))}{f', ... {len(items):,} in all' if len(items) > 12 else ''}]"


def shape_of(sizes: list[int], dtype: DType) -> Shape:
    if min(sizes, default=0) < -1:
        raise CorruptModelError(f"shape {few(sizes)} has a negative dimension")
    # numpy counts past a 0, too
    if len(sizes) > 32 or abs(prod(size or 1 for size in sizes)) * dtype.bits > 1 << 50:
        raise UnsupportedModelError(f"shape {few(sizes)}; at most 32 dimensions and 2**47 bytes are supported")
    return tuple(1 if size == -1 else size for size in sizes)


def sparsity_of(table: Table, shape: Shape) -> tuple[Sparsity, int]:
    """How a sparse constant is stored, and how many elements."""

    def check(right: object, what: str) -> None:
        if not right:
            raise CorruptModelError(f"sparse storage: {what}")

    order, blocks = tuple(table.traversal_order.tolist()), tuple(table.block_map.tolist())
    levels, rank = table.dim_metadata, len(shape)
    check(
        sorted(order) == [*range(rank + len(blocks))]
        and len(levels) == len(order)
        and len({*blocks} & {*range(rank)}) == len(blocks),
        f"order {few(order)} and blocks of {few(blocks)} for {rank} dimensions, {len(levels)} levels",
    )
    sizes = [*shape, *(levels[order.index(rank + i)].dense_size for i in range(len(blocks)))]
    for whole, size in zip(blocks, sizes[rank:], strict=True):
        check(size > 0 and shape[whole] % size == 0, f"blocks of {size} in dimension {whole} of {few(shape)}")
        sizes[whole] //= size
    dims: list[tuple[Any, ...]] = []
    count = 1
    for dim, level in zip(order, levels, strict=True):
        size, parts = sizes[dim], (level.array_segments, level.array_indices)
        misfit = f"level {len(dims)} of format {level.format}, {level.dense_size} long, for {count:,} rows of {size}"
        if level.format == 0:
            check(level.dense_size == size, misfit)
            dims.append(("dense", size))
            count *= size
            continue
        check(level.format == 1 and dim < rank and None not in parts, misfit)
        segments, indices = (part.values.astype(np.int64) for part in parts)
        check(
            segments.size == count + 1
            and (segments[0], segments[-1]) == (0, indices.size)
            and (np.diff(segments) >= 0).all()
            and (indices >= 0).all()
            and (indices < size).all(),
            misfit,
        )
        segments.flags.writeable = indices.flags.writeable = False
        dims.append(("csr", segments, indices))
        count = indices.size
    return Sparsity(order, blocks, tuple(dims)), count
