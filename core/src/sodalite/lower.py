"""Tables of a file -> Graphs: every index, order, count and range that later stages rely on is checked here.

A file that breaks the format's rules is a CorruptModelError; one that follows them, but asks for what this version
does not know, an UnsupportedModelError. What is odd where nobody reads it passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import sodalite_schema as schema
from sodalite_schema import ENUMS, Table

from .constants import Constants, few, shape_of, sparsity_of
from .dtypes import DTYPES, OBJECTS, DType
from .errors import CorruptModelError, ModelError, UnsupportedModelError, printable
from .graph import EMPTY, Graph, Node, Quant, Shape, Signature, TensorSpec

# Subgraphs inside subgraphs: how deep, and how many in all if each call had a copy of its own.
_DEEPEST, _MOST_CALLS = 64, 1 << 16
_TYPES = tuple(DTYPES[name.lower()] for name in ENUMS["TensorType"])


class Lowered(NamedTuple):
    """A model as plain values."""

    graphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, memoryview]
    weights_nbytes: int


def lower(model: Table, file: memoryview, path: str | None = None) -> Lowered:
    """The graphs of a verified `Model` table; *file*: all bytes of the file it was read from."""
    if model.version != 3:
        raise UnsupportedModelError(f"schema version {model.version}; only version 3 is supported")
    if not model.subgraphs:
        raise CorruptModelError("the model has no subgraphs: there is nothing to run")
    constants = Constants(model, file, path)
    if constants.raw and constants.raw[0] is not None:
        raise CorruptModelError("buffer 0 has data; it stands for 'no data' and must be empty")
    codes = [_code(i, code) for i, code in enumerate(model.operator_codes)]
    graphs = tuple(_Lowering(model, i, codes, constants).graph() for i in range(len(model.subgraphs)))
    _check_calls(graphs)
    metadata = {}
    for entry in model.metadata:
        try:
            raw = constants.buffer(entry.buffer)
        except ModelError as error:
            raise _at(f'metadata "{printable(entry.name)}"', error) from None
        metadata[entry.name or ""] = memoryview(b"") if raw is None else raw[0].data
    return Lowered(graphs, _signatures(model, graphs), MappingProxyType(metadata), constants.nbytes)


def _at(place: str, error: ModelError) -> ModelError:
    return type(error)(f"{place}: {error}")


def _code(index: int, code: Table) -> tuple[str, int]:
    """The operator's name and version."""
    # The byte field came first and ends at 127; later files have the number in both, or only in the int field.
    number = max(code.deprecated_builtin_code, code.builtin_code)
    op = schema.enum_name("BuiltinOperator", number)
    if number < 0 or (op == "CUSTOM" and not code.custom_code):
        raise CorruptModelError(
            f"operator code {index} is {number if number < 0 else 'custom and has no name'}"
        )
    if op == "CUSTOM":
        op = f"custom:{code.custom_code}"
    return f"builtin:{op}" if op.isdecimal() else op, code.version


class _Options(NamedTuple):
    """How to read the options of one operator."""

    kind: str = ""
    field: str = ""
    enums: Mapping[str, tuple[str, ...]] = EMPTY  # options of enum type -> the members' names
    subgraphs: tuple[str, ...] = ()  # options that are subgraph indices
    defaults: Mapping[str, Any] = EMPTY


@cache
def _options_of(op: str) -> _Options:
    kind = schema.options_kind(op)
    if kind is None:
        return _Options()
    raw = schema.field_defaults(kind)
    enums = {}
    for name in raw:
        enum = schema.field_enum(kind, name)
        if enum is not None:
            enums[name] = tuple(m.lower() if enum == "TensorType" else m for m in ENUMS[enum])
    subgraphs = tuple(name for name in raw if name == "subgraph" or "subgraph_ind" in name)
    how = _Options(kind, str(schema.options_field(op)), enums, subgraphs)
    return how._replace(
        defaults=MappingProxyType({name: _option(name, value, how) for name, value in raw.items()})
    )


def _option(name: str, value: Any, how: _Options) -> Any:
    """The value of an option in the form that Node describes."""
    if isinstance(value, np.ndarray):
        if name in how.enums:
            return tuple(_option(name, item, how) for item in value.tolist())
        return value.tobytes() if value.dtype == np.uint8 else tuple(value.tolist())
    if name in how.enums:
        names = how.enums[name]
        if not 0 <= value < len(names):
            raise UnsupportedModelError(
                f"option {name} is {value}; this version knows 0 to {len(names) - 1} ({', '.join(names)})"
            )
        return names[value]
    return "" if value is None else value


class _Lowering:
    """One subgraph on its way."""

    def __init__(
        self, model: Table, index: int, codes: Sequence[tuple[str, int]], constants: Constants
    ) -> None:
        self.where = f"subgraph {index}"
        self.index, self.table, self.codes, self.constants = index, model.subgraphs[index], codes, constants
        self.graphs, self.count = len(model.subgraphs), len(self.table.tensors)
        self.producer: dict[int, int] = {}
        self.readers: dict[int, list[int]] = {}
        self.free: frozenset[int] = frozenset()  # its inputs
        self.tensors: list[TensorSpec] = []
        self.ready: list[bool] = []  # has a value when the next node runs

    def name(self, i: int) -> str:
        return f'tensor {i} "{printable(self.table.tensors[i].name)}"'

    def indices(self, what: str, array: Any, lowest: int = 0) -> tuple[int, ...]:
        found = array.tolist()
        if found and not lowest <= min(found) <= max(found) < self.count:
            place = next(p for p, i in enumerate(found) if not lowest <= i < self.count)
            raise CorruptModelError(
                f"{what} {place} is tensor {found[place]}; the subgraph has {self.count} tensors"
            )
        return tuple(found)

    def graph(self) -> Graph:
        table = self.table
        try:
            inputs = self.indices("input", table.inputs)
            outputs = self.indices("output", table.outputs)
        except ModelError as error:
            raise _at(self.where, error) from None
        self.free = frozenset(inputs)
        self._each(table.operators, self._produce, self._node_name)
        self._each(table.tensors, self._tensor, self.name)
        self.ready = [t.data is not None or t.variable or t.index in self.free for t in self.tensors]
        nodes = self._each(table.operators, self._node, self._node_name)
        for place, i in enumerate(outputs):
            if not self.ready[i]:
                raise CorruptModelError(
                    f"{self.where}: output {place} is {self.name(i)}, which nothing makes"
                )
        return Graph(
            self.index,
            table.name or "",
            tuple(self.tensors),
            tuple(nodes),
            inputs,
            outputs,
            MappingProxyType(self.producer),
            MappingProxyType({i: tuple(users) for i, users in self.readers.items()}),
        )

    def _each(self, tables: Sequence[Table], work: Any, name: Any) -> list[Any]:
        done = []
        for i, table in enumerate(tables):
            try:
                done.append(work(i, table))
            except ModelError as error:
                raise _at(f"{self.where} {name(i)}", error) from None
        return done

    def _node_name(self, i: int) -> str:
        node = self.table.operators[i]
        op = self.codes[node.opcode_index][0] if node.opcode_index < len(self.codes) else "operator"
        out = next((j for j in node.outputs.tolist() if 0 <= j < self.count), None)
        name = "" if out is None else f' "{printable(self.table.tensors[out].name)}"'
        return f"node {i} {printable(op)}{name}"

    def _produce(self, i: int, table: Table) -> None:
        for place, j in enumerate(self.indices("output", table.outputs)):
            if j in self.producer:
                raise CorruptModelError(
                    f"output {place} is {self.name(j)}, which node {self.producer[j]} makes too"
                )
            self.producer[j] = i

    def _tensor(self, i: int, table: Table) -> None:
        if not 0 <= table.type < len(_TYPES):
            raise UnsupportedModelError(
                f"element type {table.type}; this version knows 0 to {len(_TYPES) - 1}"
            )
        dtype, sizes, constants = _TYPES[table.type], table.shape.tolist(), self.constants
        shape = shape_of(sizes, dtype)
        signature = table.shape_signature.tolist() or sizes
        if len(signature) != len(sizes) or min(signature, default=0) < -1:
            raise CorruptModelError(f"shape signature {few(signature)} for shape {few(sizes)}")
        if table.external_buffer:
            raise UnsupportedModelError(
                "its data lie in another file (external_buffer), which is not supported"
            )
        for sub in table.variant_tensors:
            if not 0 <= sub.type < len(_TYPES):
                raise UnsupportedModelError(f"a variant of element type {sub.type}")
        has_data = constants.buffer(table.buffer) is not None
        made = table.is_variable or i in self.producer or i in self.free
        sparsity = data = source = None
        # nothing need be stored for no elements: LiteRT takes such a tensor for an empty constant
        if has_data or (not made and 0 in shape and dtype.name not in OBJECTS):
            if table.is_variable:
                raise CorruptModelError(f"a variable with constant data (buffer {table.buffer})")
            if table.sparsity is not None and has_data:
                sparsity = sparsity_of(table.sparsity, shape)
            data, source = constants.array(table.buffer, dtype, shape, sparsity)
        self.tensors.append(
            TensorSpec(
                i,
                table.name or "",
                shape,
                dtype.name,
                None if table.quantization is None else self._quant(table.quantization, dtype, shape),
                data,
                source,
                tuple(signature) if -1 in signature else None,
                bool(table.is_variable),
                sparsity,
            )
        )

    def _quant(self, table: Table, dtype: DType, shape: Shape) -> Quant | None:
        if table.details is not None:
            return self._quant_details(table.details)
        scales, points, axis = table.scale, table.zero_point, table.quantized_dimension
        count = scales.size
        # one scale of 0 is how old writers say "not quantised"
        if not count or (count == 1 and scales[0] == 0):
            return None
        if not points.size:
            points = np.zeros(count, np.int64)
            points.flags.writeable = False
        if points.size != count:
            raise CorruptModelError(f"{count} scales but {points.size} zero points")
        if count > 1 and (not 0 <= axis < len(shape) or shape[axis] != count):
            raise CorruptModelError(
                f"{count} scales for dimension {axis} of {few(shape)}: one, or one a channel, is right"
            )
        if dtype.memory.kind not in "iu":
            # on a float or string tensor nobody reads them
            return Quant(scales, points, axis) if scales.min() > 0 else None
        if not 0 <= scales.min() <= scales.max() < np.inf:  # so for NaN
            raise CorruptModelError(
                f"scales must be finite and positive, got {scales.min()} to {scales.max()}"
            )
        low = -(1 << dtype.bits - 1) if dtype.memory.kind == "i" else 0
        high = low + (1 << dtype.bits) - 1
        if points.min() < low or points.max() > high:
            raise CorruptModelError(
                f"zero points {points.min()} to {points.max()} outside {dtype.name}, {low} to {high}"
            )
        return Quant(scales, points, axis)

    def _quant_details(self, details: Table) -> Quant:
        none = np.empty(0, np.float32), np.empty(0, np.int64)
        if details.kind == "CustomQuantization":
            return Quant(*none, kind="custom", details=details.custom.tobytes())
        self.indices("scales", np.array([details.scales]))
        self.indices("zero points", np.array([details.zero_points]), -1)
        blockwise = details.kind == "BlockwiseQuantization"
        axes = () if blockwise else tuple(details.quantized_dimensions.tolist())
        if details.block_size < 0 or min(axes, default=0) < 0:
            raise CorruptModelError(
                f"quantisation in blocks of {details.block_size} along dimensions {few(axes)}"
            )
        kind = "blockwise" if blockwise else "multiaxis"
        return Quant(*none, 0, kind, details.scales, details.zero_points, details.block_size, axes)

    def _node(self, i: int, table: Table) -> Node:
        if table.opcode_index >= len(self.codes):
            raise CorruptModelError(f"operator code {table.opcode_index}; the model has {len(self.codes)}")
        op, version = self.codes[table.opcode_index]
        inputs = self.indices("input", table.inputs, -1)
        outputs = tuple(table.outputs.tolist())
        for place, j in enumerate(inputs):
            if j >= 0:
                if not self.ready[j]:
                    maker = self.producer.get(j)
                    who = (
                        "nothing makes"
                        if maker is None
                        else f"only node {maker} makes: nodes must be in order"
                    )
                    raise CorruptModelError(f"input {place} is {self.name(j)}, which {who}")
                users = self.readers.setdefault(j, [])
                if not users or users[-1] != i:
                    users.append(i)
        for place, j in enumerate(outputs):
            if self.ready[j]:
                raise CorruptModelError(f"output {place} is {self.name(j)}: an input, constant or variable")
            self.ready[j] = True
        options, subgraphs = self._options(op, table)
        custom: bytes = table.custom_options.tobytes()
        if not custom:
            custom = self.constants.outside(
                "custom options", table.large_custom_options_offset, table.large_custom_options_size
            ).tobytes()
        flags = table.mutating_variable_inputs.tolist()[: len(inputs)]
        writes = {
            p for p, flag in enumerate(flags) if flag and inputs[p] >= 0 and self.tensors[inputs[p]].variable
        }
        between = self.indices("intermediate", table.intermediates, -1)
        name = self.tensors[outputs[0]].name if outputs else ""
        return Node(
            i, op, version, inputs, outputs, options, custom, between, frozenset(writes), subgraphs, name
        )

    def _options(self, op: str, table: Table) -> tuple[Mapping[str, Any], tuple[int, ...]]:
        how = _Options() if ":" in op else _options_of(op)
        if not how.kind:
            return EMPTY, ()
        given = getattr(table, how.field) or table.builtin_options or table.builtin_options_2
        options = how.defaults
        if given is not None and given.kind == how.kind:
            options = {**options, **{name: _option(name, value, how) for name, value in given.fields()}}
            options = MappingProxyType(options)
        elif given is not None and options:
            raise CorruptModelError(f"has {given.kind}; {op} takes {how.kind}")
        subgraphs: tuple[int, ...] = ()
        for name in how.subgraphs:
            value = options[name]
            subgraphs += value if isinstance(value, tuple) else (value,)
        for j in subgraphs:
            if not 0 <= j < self.graphs:
                raise CorruptModelError(f"runs subgraph {j}; the model has {self.graphs}")
        return options, subgraphs


def _check_calls(graphs: Sequence[Graph]) -> None:
    """Refuse subgraphs that run themselves, and nests that would explode."""
    calls = [[j for node in graph.nodes for j in node.subgraphs] for graph in graphs]
    callers: list[list[int]] = [[] for _ in graphs]
    for i, called in enumerate(calls):
        for j in called:
            callers[j].append(i)
    waiting = [len(called) for called in calls]
    size, depth = [1] * len(graphs), [1] * len(graphs)
    done = [i for i, called in enumerate(calls) if not called]
    for j in done:  # grows: a subgraph is done after all that it runs
        if depth[j] > _DEEPEST or size[j] > _MOST_CALLS:
            raise UnsupportedModelError(
                f"subgraph {j} runs too many subgraphs inside each other: at most {_DEEPEST} deep, {_MOST_CALLS:,} in all"
            )
        for i in callers[j]:
            size[i] += size[j]
            depth[i] = max(depth[i], depth[j] + 1)
            waiting[i] -= 1
            if not waiting[i]:
                done.append(i)
    here = next((i for i, left in enumerate(waiting) if left), None)
    path: dict[int, None] = {}
    while (
        here is not None and here not in path
    ):  # each of these runs one that is not done: it ends in a circle
        path[here] = None
        here = next(j for j in calls[here] if waiting[j])
    if here is not None:
        steps = list(path)
        raise CorruptModelError(
            f"subgraph {here} runs itself, by way of {few(steps[steps.index(here) + 1 :])}"
        )


def _signatures(model: Table, graphs: Sequence[Graph]) -> tuple[Signature, ...]:
    found: dict[str, Signature] = {}
    for table in model.signature_defs:
        key = table.signature_key or ""
        try:
            if key in found:
                raise CorruptModelError("is there twice")
            if table.subgraph_index >= len(graphs):
                raise CorruptModelError(f"subgraph {table.subgraph_index}; the model has {len(graphs)}")
            graph = graphs[table.subgraph_index]
            inputs = _names("input", table.inputs, graph.inputs)
            outputs = _names("output", table.outputs, graph.outputs)
        except ModelError as error:
            raise _at(f'signature "{printable(key)}"', error) from None
        found[key] = Signature(key, graph.index, inputs, outputs)
    return tuple(found.values())


def _names(what: str, maps: Sequence[Table], ends: Sequence[int]) -> Mapping[str, int]:
    names: dict[str, int] = {}
    known = set(ends)
    for entry in maps:
        name, i = entry.name or "", entry.tensor_index
        if name in names or i not in known:
            why = (
                "there twice"
                if name in names
                else f"tensor {i}, not one of the subgraph's {what}s {few(ends)}"
            )
            raise CorruptModelError(f'{what} "{printable(name)}" is {why}')
        names[name] = i
    return MappingProxyType(names)
