# SPDX-License-Identifier: Apache-2.0
"""A small builder: a .tflite model from Python.

    g = Builder()
    x = g.input("x", (1, -1, 4), "float32")
    w = g.constant("w", np.eye(4, dtype=np.float32))
    y = g.op("FULLY_CONNECTED", [x, w, None], [("y", (1, 4), "float32")], keep_num_dims=True)
    g.output(y)
    blob = g.finish()

It writes what it is told: names, types and options must exist in the format; whether an operator takes them is the
runtime's to say. Every error is a ModelError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sodalite_schema as schema
from sodalite.dtypes import DTYPES, PACKED, DType
from sodalite.errors import ModelError, printable
from sodalite.graph import Array
from sodalite_schema import Table

from .packing import pack, pack_strings
from .writer import write

# The lowest version that runtimes know, where it is not 1.
_FIRST_VERSION = {"BROADCAST_TO": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor of a subgraph being built; it can stand for its index."""

    graph: int
    index: int
    name: str
    shape: tuple[int, ...] | None
    dtype: str

    def __index__(self) -> int:
        return self.index


class Subgraph:
    """A subgraph being built.

    Shapes: -1 or None for a dimension that may change (stored as 1 and in the shape signature); None for an unknown
    rank. Dtypes: names as in `sodalite.dtypes`, or numpy types. Quantisation: scale and zero_point, one number, or one a
    channel along *axis*; or a table of the format in *quantization*. An int stands for a tensor, unchecked.
    """

    def __init__(self, builder: Builder, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self._builder = builder
        self._tensors: list[Table] = []
        self._operators: list[Table] = []
        self._inputs: list[int] = []
        self._outputs: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int | None] | None,
        dtype: Any,
        *,
        signature: Sequence[int] | None = None,
        variable: bool = False,
        scale: Any = None,
        zero_point: Any = None,
        axis: int = 0,
        quantization: Table | None = None,
        sparsity: Table | None = None,
    ) -> Tensor:
        """Declare a tensor: an operator's result, or (variable=True) state that lives on between runs."""
        kind = _dtype(dtype).name
        sizes = None
        if shape is not None:
            given = [-1 if size is None else int(size) for size in shape]
            if signature is None and -1 in given:
                signature = given
            sizes = tuple(1 if size == -1 else size for size in given)
        self._tensors.append(
            Table(
                "Tensor",
                name=name,
                type=_type_code(kind),
                is_variable=variable,
                shape=_int32(sizes),
                has_rank=sizes is not None,
                shape_signature=_int32(signature),
                quantization=quantization or _quantization(name, scale, zero_point, axis),
                sparsity=sparsity,
            )
        )
        return Tensor(self.index, len(self._tensors) - 1, name, sizes, kind)

    def input(self, name: str, shape: Sequence[int | None] | None, dtype: Any, **how: Any) -> Tensor:
        """Declare an input of the subgraph; *how* as in `tensor`."""
        tensor = self.tensor(name, shape, dtype, **how)
        self._inputs.append(tensor.index)
        return tensor

    def constant(
        self, name: str, value: Any, dtype: Any = None, *, shape: Sequence[int] | None = None, **how: Any
    ) -> Tensor:
        """Declare a constant; *how* as in `tensor`.

        value: an array, list or number, strings too, stored as it is, never quantised. dtype: by default the array's;
        for Python's own numbers float32 or int32 (int64 where they need it). bfloat16 and float8 take bit patterns; int4
        and int2 are packed here. shape: if it is not the value's own, as for a sparse constant. An array is kept,
        not copied, until `finish`; equal constants share a buffer.
        """
        kind, elements = _elements(name, value, dtype)
        if kind.name == "string":
            data = pack_strings(elements)
        elif kind.name in PACKED:
            data = pack(elements, kind.bits)
        else:
            data = elements.reshape(-1).view(np.uint8)
        tensor = self.tensor(name, elements.shape if shape is None else shape, kind.name, **how)
        self._tensors[tensor.index].buffer = self._builder._buffer(data)  # noqa: SLF001  made for us
        return tensor

    def op(
        self,
        op: str,
        inputs: Iterable[Tensor | int | None],
        outputs: Iterable[Any],
        *,
        version: int | None = None,
        custom_options: bytes | Mapping[str, Any] | None = None,
        intermediates: Iterable[Tensor | int] = (),
        writes: Iterable[Tensor] = (),
        options: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        """Add an operator; its output, or a tuple of them if it has not exactly one.

        op: "CONV_2D", "custom:Sinh", or "builtin:250" for a code without a name. inputs: None where an optional one
        is left out. outputs: tensors, or ``(name, shape, dtype)`` or a dict of `tensor`'s arguments to declare one.
        Options by schema name: enum members and types by name, subgraphs as they are, bytes also as a dict, for
        FlexBuffers; ``options={...}`` takes those called like an argument here. writes: the inputs it updates.
        """
        outs = [self._declared(item) for item in outputs]
        table = Table(
            "Operator",
            opcode_index=self._builder._opcode(op, version),  # noqa: SLF001  made for us
            inputs=_int32([-1 if item is None else self._index(item) for item in inputs]),
            outputs=_int32(map(self._index, outs)),
            intermediates=_int32(map(self._index, intermediates)),
            custom_options=_flexbuffer(custom_options),
        )
        given = {**(options or {}), **named}
        kind = None if ":" in op else schema.options_kind(op)
        if kind is not None:
            known = schema.field_names(kind)
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ModelError(f"{op} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
            values = {name: _option(kind, name, value) for name, value in given.items() if value is not None}
            setattr(table, str(schema.options_field(op)), Table(kind, **values))
        elif given:
            more = "; a custom operator takes custom_options={...}" if op.startswith("custom:") else ""
            raise ModelError(f"{op} has no options, got {', '.join(given)}{more}")
        written = set(map(self._index, writes))
        if not written <= set(table.inputs.tolist()):
            raise ModelError(f"{op} writes tensors {sorted(written)}, which are not all inputs of it")
        if written:
            table.mutating_variable_inputs = [i in written for i in table.inputs.tolist()]
        self._operators.append(table)
        return outs[0] if len(outs) == 1 else tuple(outs)

    def output(self, *tensors: Tensor | int) -> None:
        """Declare outputs of the subgraph, after those declared before."""
        self._outputs += [self._index(tensor) for tensor in tensors]

    def signature(
        self, key: str, inputs: Mapping[str, Tensor | int], outputs: Mapping[str, Tensor | int]
    ) -> None:
        """Declare a named entry point: input and output names -> tensors."""

        def maps(tensors: Mapping[str, Tensor | int]) -> list[Table]:
            return [Table("TensorMap", name=name, tensor_index=self._index(t)) for name, t in tensors.items()]

        self._builder._signatures.append(  # noqa: SLF001  made for us
            Table(
                "SignatureDef",
                signature_key=key,
                subgraph_index=self.index,
                inputs=maps(inputs),
                outputs=maps(outputs),
            )
        )

    def _index(self, tensor: Tensor | int) -> int:
        if isinstance(tensor, Tensor) and tensor.graph != self.index:
            raise ModelError(
                f'tensor "{printable(tensor.name)}" belongs to subgraph {tensor.graph}, not to subgraph {self.index}'
            )
        if not isinstance(tensor, (Tensor, int, np.integer)):
            raise ModelError(f"a tensor is wanted, got {type(tensor).__name__}")
        return int(tensor)

    def _declared(self, item: Any) -> Any:
        if isinstance(item, Mapping):
            return self.tensor(**item)
        return self.tensor(*item) if isinstance(item, (tuple, list)) else item

    def _table(self) -> Table:
        return Table(
            "SubGraph",
            name=self.name,
            tensors=self._tensors,
            inputs=_int32(self._inputs),
            outputs=_int32(self._outputs),
            operators=self._operators,
        )


class Builder(Subgraph):
    """A model being built; itself its main subgraph."""

    def __init__(self, description: str = "", *, name: str = "main") -> None:
        super().__init__(self, 0, name)
        self.description = description
        self._subgraphs: list[Subgraph] = [self]
        self._buffers = [Table("Buffer")]  # number 0 stands for "no data"
        self._shared: dict[tuple[bytes, int], int] = {}
        self._opcodes: dict[tuple[int, str | None, int], int] = {}
        self._signatures: list[Table] = []
        self._metadata: list[Table] = []

    def subgraph(self, name: str = "") -> Subgraph:
        """Add a subgraph, for IF, WHILE and their like, or for another signature."""
        graph = Subgraph(self, len(self._subgraphs), name)
        self._subgraphs.append(graph)
        return graph

    def metadata(self, name: str, data: bytes) -> None:
        """Attach *data* to the model under *name*."""
        buffer = self._buffer(np.frombuffer(data, np.uint8))
        self._metadata.append(Table("Metadata", name=name, buffer=buffer))

    def tables(self) -> Table:
        """The model as tables of the format, to be edited and written with `sodalite_schema.write`."""
        codes = []
        for code, custom, version in self._opcodes:
            byte = min(code, 127)
            codes.append(
                Table(
                    "OperatorCode",
                    builtin_code=code,
                    deprecated_builtin_code=byte,
                    custom_code=custom,
                    version=version,
                )
            )
        return Table(
            "Model",
            version=3,
            description=self.description,
            operator_codes=codes,
            subgraphs=[graph._table() for graph in self._subgraphs],  # noqa: SLF001  same module
            buffers=list(self._buffers),
            signature_defs=self._signatures,
            metadata=self._metadata,
        )

    def finish(self, *, external_data: bool | None = None) -> bytes:
        """The model as the bytes of a .tflite file.

        external_data: constants behind the FlatBuffer, which holds 2 GiB; None: only if they do not fit.
        """
        try:
            return write(self.tables(), external_data=external_data)
        except schema.SchemaError as error:
            raise ModelError(f"the model cannot be written: {error}") from error

    def save(self, path: str | os.PathLike[str], *, external_data: bool | None = None) -> None:
        """Write the model to *path*: the whole file or none of it."""
        blob = self.finish(external_data=external_data)
        half = f"{os.fspath(path)}.{os.getpid()}.part"
        try:
            with open(half, "wb") as file:
                file.write(blob)
            os.replace(half, path)
        except BaseException:
            if os.path.exists(half):
                os.unlink(half)
            raise

    def _buffer(self, data: Array) -> int:
        """The number of a buffer that holds *data*, uint8 (n,)."""
        from hashlib import blake2b  # noqa: PLC0415  1 ms that only constants need

        key = (blake2b(data.data, digest_size=16).digest(), data.size)
        if key not in self._shared:
            self._shared[key] = len(self._buffers)
            self._buffers.append(Table("Buffer", data=data))
        return self._shared[key]

    def _opcode(self, op: str, version: int | None) -> int:
        """The index of the operator code for *op*, made when it is first asked for."""
        kind, _, custom = op.partition(":")
        name: str | None = None
        if kind == "custom":
            code, name = schema.enum_value("BuiltinOperator", "CUSTOM"), custom
        elif kind == "builtin" and custom.isdecimal():
            code = int(custom)
        elif op in schema.ENUMS["BuiltinOperator"]:
            code = schema.enum_value("BuiltinOperator", op)
        else:
            from difflib import get_close_matches  # noqa: PLC0415  only on the way to an error

            near = get_close_matches(op.upper(), schema.ENUMS["BuiltinOperator"], 5, 0.5)
            hint = f"near it: {', '.join(near)}; " if near else ""
            raise ModelError(f'no operator is called {op!r}; {hint}a custom one is written "custom:{op}"')
        key = (code, name, _FIRST_VERSION.get(op, 1) if version is None else version)
        return self._opcodes.setdefault(key, len(self._opcodes))


def _int32(values: Iterable[int] | None) -> Array | None:
    if values is None:
        return None
    items = list(values)
    try:
        array = np.array(items, np.int64)  # numpy before 1.25 wraps what int32 cannot hold
        if np.any(array != array.astype(np.int32)):
            raise OverflowError("out of range")
        return array.astype(np.int32)
    except (OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{items} are not all 32-bit integers: {error}") from error


def _type_code(dtype: str) -> int:
    return schema.enum_value("TensorType", dtype.upper())


def _dtype(dtype: Any) -> DType:
    """The element type that *dtype*, a name or a numpy type, stands for."""
    name = dtype if isinstance(dtype, str) else None
    if name is None:
        try:
            made = np.dtype(dtype)
        except TypeError as error:
            raise ModelError(f"no element type: {dtype!r}") from error
        name = "string" if made.kind in "SUO" else made.name
    if name not in DTYPES:
        raise ModelError(f"no element type is called {name!r}; there are: {', '.join(DTYPES)}")
    return DTYPES[name]


def _elements(name: str, value: Any, dtype: Any) -> tuple[DType, Array]:
    """*value* in the memory form of its element type, C-contiguous."""
    where = f'constant "{printable(name)}"'
    given = value if isinstance(value, (np.ndarray, np.generic)) else None
    wanted = None if dtype is None else _dtype(dtype)
    source = np.asarray(value, object if wanted is not None and wanted.name == "string" else None)
    if source.dtype.kind in "SUO" and (wanted is None or wanted.name == "string"):
        source = np.asarray(value, object)  # numpy's fixed-width strings drop trailing NULs: ask for objects
        texts = np.empty(source.shape, object)
        for place, text in np.ndenumerate(source):
            if not isinstance(text, (str, bytes)):
                raise ModelError(f"{where}: a string tensor holds str or bytes, got {type(text).__name__}")
            texts[place] = text.encode() if isinstance(text, str) else text
        return DTYPES["string"], texts
    if wanted is None:
        if given is None and source.dtype.kind == "f":
            source = source.astype(np.float32)
        elif given is None and source.dtype.kind == "i" and np.array_equal(source.astype(np.int32), source):
            source = source.astype(np.int32)
        wanted = _dtype(source.dtype)
    memory, kind = wanted.memory, source.dtype.kind
    bits = wanted.name.startswith(("bfloat", "float8"))
    if memory.kind == "O" or kind not in ("iu" if bits else "biufc") or (kind == "c" and memory.kind != "c"):
        takes = (
            "bit patterns as integers" if bits else "numbers" if memory.kind != "O" else "no data in a file"
        )
        raise ModelError(f"{where}: {wanted.name} takes {takes}, got {source.dtype}")
    with np.errstate(all="ignore"):
        elements: Array = np.ascontiguousarray(source, memory).reshape(source.shape)
    if memory.kind in "biu" and source.dtype != memory and not np.array_equal(elements, source):
        raise ModelError(f"{where}: values do not all fit {wanted.name}")
    if wanted.name in PACKED and elements.size:
        low, high = (
            (0, 15) if wanted.name == "uint4" else (-(1 << wanted.bits - 1), (1 << wanted.bits - 1) - 1)
        )
        if elements.min() < low or elements.max() > high:
            raise ModelError(
                f"{where}: {wanted.name} holds {low} to {high}, got {elements.min()} to {elements.max()}"
            )
    return wanted, elements


def _quantization(name: str, scale: Any, zero_point: Any, axis: int) -> Table | None:
    if scale is None:
        if zero_point is not None:
            raise ModelError(f'tensor "{printable(name)}" has a zero point but no scale')
        return None
    scales = np.asarray(scale, np.float32).reshape(-1)
    points = np.asarray(0 if zero_point is None else zero_point, np.int64).reshape(-1)
    if points.size not in (1, scales.size):
        raise ModelError(f'tensor "{printable(name)}" has {scales.size} scales but {points.size} zero points')
    return Table(
        "QuantizationParameters",
        scale=scales,
        zero_point=np.resize(points, scales.size),
        quantized_dimension=axis,
    )


def _flexbuffer(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    from flatbuffers import flexbuffers  # noqa: PLC0415  10 ms, wanted by few

    return bytes(flexbuffers.Dumps(dict(value)))


def _option(kind: str, field: str, value: Any) -> Any:
    """*value* of an option as the format stores it."""
    enum = schema.field_enum(kind, field)
    if isinstance(value, (list, tuple)):
        return [_option(kind, field, item) for item in value]
    if isinstance(value, Subgraph):
        return value.index
    if enum == "TensorType" and not isinstance(value, int):
        return _type_code(_dtype(value).name)
    if enum is not None and isinstance(value, str):
        members = schema.ENUMS[enum]
        if value not in members:
            raise ModelError(f"{kind}.{field} cannot be {value!r}; it is one of: {', '.join(members)}")
        return members[value]
    return _flexbuffer(value)
