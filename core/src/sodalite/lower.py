"""Tables of a file -> Graphs: every index, order, count and range that later stages rely on is checked here.

A file that breaks the format's rules is a CorruptModelError; one that follows them, but asks for what this version
does not know, an UnsupportedModelError. Where a file is odd in something nobody reads, it passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import sodalite_schema as schema
from sodalite_schema import ENUMS, Table

from .constants import Constants, few, shape_of, sparsity_of
from .dtypes import DTYPES, OBJECTS, DType
from .errors import CorruptModelError, UnsupportedModelError, printable
from .graph import EMPTY, Graph, Node, Quant, Shape, Signature, Sparsity, TensorSpec

_VERSION = 3
# Subgraphs inside subgraphs: how deep, and how many in all if each call had its own copy.
_DEEPEST, _MOST_CALLS = 64, 1 << 16
_TYPES = tuple(DTYPES[name.lower()] for name in ENUMS["TensorType"])
_ZEROS = np.zeros(1, np.int64)
_ZEROS.flags.writeable = False


class Lowered(NamedTuple):
    """A model as plain values. metadata: name -> the bytes; weights_nbytes: of all its constants in the file."""

    graphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, memoryview]
    weights_nbytes: int


class _Code(NamedTuple):
    op: str
    version: int


def lower(model: Table, file: memoryview, path: str | None = None) -> Lowered:
    """The graphs of a verified `Model` table; *file*: all bytes of the file it was read from."""
    if model.version != _VERSION:
        raise UnsupportedModelError(f"schema version {model.version}; only version {_VERSION} is supported")
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
        if entry.buffer >= len(constants.raw):
            raise CorruptModelError(
                f'metadata "{printable(entry.name)}": buffer {entry.buffer}; the model has {len(constants.raw)}'
            )
        raw = constants.raw[entry.buffer]
        metadata[entry.name or ""] = memoryview(b"") if raw is None else raw[0].data
    return Lowered(graphs, _signatures(model, graphs), MappingProxyType(metadata), constants.nbytes)


def _code(index: int, code: Table) -> _Code:
    # The byte field came first and ends at 127; later files have the number in both, or only in the int field.
    number = max(code.deprecated_builtin_code, code.builtin_code)
    if number < 0:
        raise CorruptModelError(f"operator code {index} is {number}")
    op = schema.enum_name("BuiltinOperator", number)
    if op == "CUSTOM":
        if not code.custom_code:
            raise CorruptModelError(f"operator code {index} is a custom operator without a name")
        op = f"custom:{code.custom_code}"
    return _Code(f"builtin:{op}" if op.isdecimal() else op, code.version)


class _Options(NamedTuple):
    """How to read the options of one operator."""

    kind: str | None = None
    field: str = ""
    enums: Mapping[str, tuple[str, ...]] = EMPTY  # options of enum type -> the members' names
    subgraphs: tuple[str, ...] = ()  # options that are subgraph indices
    defaults: Mapping[str, Any] = EMPTY


@cache
def _options_of(op: str) -> _Options:
    kind = None if ":" in op else schema.options_kind(op)
    if kind is None:
        return _Options()
    raw = schema.field_defaults(kind)
    enums = {}
    for name in raw:
        enum = schema.field_enum(kind, name)
        if enum is not None:
            enums[name] = (
                tuple(m.lower() for m in ENUMS[enum]) if enum == "TensorType" else tuple(ENUMS[enum])
            )
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

    def __init__(self, model: Table, index: int, codes: Sequence[_Code], constants: Constants) -> None:
        self.index = index
        self.table = model.subgraphs[index]
        self.graphs = len(model.subgraphs)
        self.codes = codes
        self.constants = constants
        self.count = len(self.table.tensors)
        self.inputs = self._io("input", self.table.inputs)
        self.outputs = self._io("output", self.table.outputs)
        self.producer: dict[int, int] = {}

    def tensor_where(self, i: int) -> str:
        return f'subgraph {self.index} tensor {i} "{printable(self.table.tensors[i].name)}"'

    def node_where(self, i: int) -> str:
        node = self.table.operators[i]
        op = self.codes[node.opcode_index].op if node.opcode_index < len(self.codes) else "operator"
        out = next((j for j in node.outputs.tolist() if 0 <= j < self.count), -1)
        name = "" if out < 0 else f' "{printable(self.table.tensors[out].name)}"'
        return f"subgraph {self.index} node {i} {printable(op)}{name}"

    def _bad_node(self, i: int, what: str) -> NoReturn:
        raise CorruptModelError(f"{self.node_where(i)}: {what}")

    def _name(self, i: int) -> str:
        return f'tensor {i} "{printable(self.table.tensors[i].name)}"'

    def _io(self, what: str, indices: Any) -> tuple[int, ...]:
        for place, i in enumerate(indices.tolist()):
            if not 0 <= i < self.count:
                raise CorruptModelError(
                    f"subgraph {self.index}: {what} {place} is tensor {i}; the subgraph has {self.count} tensors"
                )
        return tuple(indices.tolist())

    def graph(self) -> Graph:
        produced = self._produced()
        free = set(self.inputs)
        tensors = tuple(
            self._tensor(i, t, i in free, i in produced) for i, t in enumerate(self.table.tensors)
        )
        ready = [t.data is not None or t.variable or t.index in free for t in tensors]
        nodes = []
        readers: dict[int, list[int]] = {}
        for i, operator in enumerate(self.table.operators):
            node = self._node(i, operator, tensors)
            for place, j in enumerate(node.inputs):
                if j < 0:
                    continue
                if not ready[j]:
                    self._not_ready(i, place, j)
                users = readers.setdefault(j, [])
                if not users or users[-1] != i:
                    users.append(i)
            for place, j in enumerate(node.outputs):
                if ready[j]:
                    kind = (
                        "constant"
                        if tensors[j].data is not None
                        else "variable"
                        if tensors[j].variable
                        else "input"
                    )
                    self._bad_node(
                        i,
                        f"output {place} is {self._name(j)}, {'an' if kind == 'input' else 'a'} {kind} of the subgraph",
                    )
            for j in node.outputs:
                ready[j] = True
            nodes.append(node)
        for place, j in enumerate(self.outputs):
            if not ready[j]:
                raise CorruptModelError(
                    f"subgraph {self.index}: output {place} is {self._name(j)}, which nothing makes"
                )
        return Graph(
            self.index,
            self.table.name or "",
            tensors,
            tuple(nodes),
            self.inputs,
            self.outputs,
            MappingProxyType(self.producer),
            MappingProxyType({j: tuple(users) for j, users in readers.items()}),
        )

    def _not_ready(self, i: int, place: int, j: int) -> NoReturn:
        maker = self.producer.get(j)
        if maker is None:
            self._bad_node(i, f"input {place} is {self._name(j)}, which nothing makes")
        when = "itself" if maker == i else f"only node {maker}"
        self._bad_node(
            i, f"input {place} is {self._name(j)}, which {when} makes; nodes must be in execution order"
        )

    def _produced(self) -> dict[int, int]:
        """tensor -> the node that makes it."""
        for i, operator in enumerate(self.table.operators):
            for place, j in enumerate(operator.outputs.tolist()):
                if not 0 <= j < self.count:
                    self._bad_node(i, f"output {place} is tensor {j}; the subgraph has {self.count} tensors")
                if j in self.producer:
                    self._bad_node(
                        i, f"output {place} is {self._name(j)}, which node {self.producer[j]} makes too"
                    )
                self.producer[j] = i
        return self.producer

    def _tensor(self, i: int, table: Table, free: bool, produced: bool) -> TensorSpec:
        if not 0 <= table.type < len(_TYPES):
            where = self.tensor_where(i)
            raise UnsupportedModelError(
                f"{where}: element type {table.type} is none this version knows (0 to {len(_TYPES) - 1})"
            )
        dtype = _TYPES[table.type]
        sizes = table.shape.tolist()
        buffers = self.constants.raw
        if table.buffer >= len(buffers) and table.buffer:
            raise CorruptModelError(
                f"{self.tensor_where(i)}: buffer {table.buffer}; the model has {len(buffers)}"
            )
        has_data = table.buffer != 0 and buffers[table.buffer] is not None
        try:
            shape = shape_of("", sizes, dtype)
            signature = self._signature(table.shape_signature.tolist(), sizes)
            quant = None if table.quantization is None else self._quant(table.quantization, dtype, shape)
            sparsity: Sparsity | None = None
            if table.external_buffer:
                raise UnsupportedModelError(
                    ": its data lie in another file (external_buffer), which is not supported"
                )
            for sub in table.variant_tensors:
                if not 0 <= sub.type < len(_TYPES):
                    raise UnsupportedModelError(
                        f": its variant holds element type {sub.type}, which this version does not know"
                    )
            data = source = None
            if table.sparsity is not None and has_data:
                sparsity = sparsity_of("", table.sparsity, shape)
            # nothing need be stored for no elements: LiteRT reads such a tensor as an empty constant, made or not
            empty = (
                not (produced or free or table.is_variable or has_data)
                and 0 in shape
                and dtype.name not in OBJECTS
            )
            if has_data or empty:
                if table.is_variable:
                    raise CorruptModelError(f": a variable with constant data (buffer {table.buffer})")
                data, source = self.constants.array(
                    "", table.buffer if has_data else 0, dtype, shape, sparsity
                )
        except (CorruptModelError, UnsupportedModelError) as error:
            raise type(error)(f"{self.tensor_where(i)}: {str(error).removeprefix(': ')}") from None
        return TensorSpec(
            i,
            table.name or "",
            shape,
            dtype.name,
            quant,
            data,
            source,
            signature,
            bool(table.is_variable),
            sparsity,
        )

    @staticmethod
    def _signature(signature: list[int], sizes: list[int]) -> Shape | None:
        if signature and len(signature) != len(sizes):
            raise CorruptModelError(f"shape signature {few(signature)} for shape {sizes}")
        if min(signature, default=0) < -1:
            raise CorruptModelError(
                f"shape signature {few(signature)}: -1 stands for an unknown size, and nothing below it"
            )
        found = signature or sizes
        return tuple(found) if -1 in found else None

    def _quant(self, table: Table, dtype: DType, shape: Shape) -> Quant | None:
        if table.details is not None:
            return self._quant_details(table.details)
        scales, points = table.scale, table.zero_point
        # one scale of 0 is how old writers say "not quantised"
        if not scales.size or (scales.size == 1 and scales[0] == 0):
            return None
        if not points.size:
            points = _ZEROS if scales.size == 1 else np.zeros(scales.size, np.int64)
            points.flags.writeable = False
        axis, count = table.quantized_dimension, scales.size
        if points.size != count:
            raise CorruptModelError(f"{count} scales but {points.size} zero points")
        if count > 1 and not (0 <= axis < len(shape) and shape[axis] == count):
            length = f"{shape[axis]} long" if 0 <= axis < len(shape) else f"of a tensor of rank {len(shape)}"
            raise CorruptModelError(
                f"{count} scales for dimension {axis}, {length}; one, or one a channel, is right"
            )
        low, high = scales.min(), scales.max()
        if not (0 <= low <= high < np.inf):  # false for NaN too
            if dtype.memory.kind not in "iu":
                return None  # on a float or string tensor nobody reads them
            raise CorruptModelError(f"quantisation scales must be finite and positive, got {low} to {high}")
        if dtype.bits < 32 and dtype.memory.kind in "iu":
            smallest = -(1 << dtype.bits - 1) if dtype.memory.kind == "i" else 0
            largest = smallest + (1 << dtype.bits) - 1
            if points.min() < smallest or points.max() > largest:
                raise CorruptModelError(
                    f"zero points {points.min()} to {points.max()} outside {dtype.name}, {smallest} to {largest}"
                )
        return Quant(scales, points, axis)

    def _quant_details(self, details: Table) -> Quant:
        nothing = np.empty(0, np.float32), np.empty(0, np.int64)
        if details.kind == "CustomQuantization":
            return Quant(*nothing, kind="custom", details=details.custom.tobytes())
        scales, points = details.scales, details.zero_points
        if not 0 <= scales < self.count or not -1 <= points < self.count:
            raise CorruptModelError(
                f"quantisation by tensors {scales} (scales) and {points} (zero points); the subgraph has {self.count}"
            )
        blockwise = details.kind == "BlockwiseQuantization"
        axes = () if blockwise else tuple(details.quantized_dimensions.tolist())
        if details.block_size < 0 or min(axes, default=0) < 0:
            raise CorruptModelError(
                f"quantisation in blocks of {details.block_size} along dimensions {few(axes)}"
            )
        kind = "blockwise" if blockwise else "multiaxis"
        return Quant(*nothing, 0, kind, scales, points, details.block_size, axes)

    def _node(self, i: int, table: Table, tensors: Sequence[TensorSpec]) -> Node:
        if table.opcode_index >= len(self.codes):
            self._bad_node(i, f"operator code {table.opcode_index}; the model has {len(self.codes)}")
        code = self.codes[table.opcode_index]
        inputs, outputs = tuple(table.inputs.tolist()), tuple(table.outputs.tolist())
        between = tuple(table.intermediates.tolist())
        for what, indices in (("input", inputs), ("intermediate", between)):
            for place, j in enumerate(indices):
                if not -1 <= j < self.count:
                    self._bad_node(i, f"{what} {place} is tensor {j}; the subgraph has {self.count} tensors")
        how = _options_of(code.op)
        options = how.defaults
        if how.kind is not None:
            given = getattr(table, how.field)
            if given is None:
                given = (
                    table.builtin_options if table.builtin_options is not None else table.builtin_options_2
                )
            if given is not None and given.kind == how.kind:
                values = dict(options)
                try:
                    for name, value in given.fields():
                        values[name] = _option(name, value, how)
                except UnsupportedModelError as error:
                    raise UnsupportedModelError(f"{self.node_where(i)}: {error}") from None
                options = MappingProxyType(values)
            elif given is not None and options:
                self._bad_node(i, f"has {given.kind}; {code.op} takes {how.kind}")
        custom: bytes = table.custom_options.tobytes()
        if table.large_custom_options_offset > 1 and not custom:
            custom = self.constants.outside(
                self.node_where(i), table.large_custom_options_offset, table.large_custom_options_size
            ).tobytes()
        writes = frozenset(
            place
            for place, flag in enumerate(table.mutating_variable_inputs.tolist()[: len(inputs)])
            if flag and inputs[place] >= 0 and tensors[inputs[place]].variable
        )
        return Node(
            i, code.op, code.version, inputs, outputs, options, custom, between, writes,
            self._subgraphs(i, options, how.subgraphs), tensors[outputs[0]].name if outputs else "",
        )  # fmt: skip

    def _subgraphs(self, i: int, options: Mapping[str, Any], names: tuple[str, ...]) -> tuple[int, ...]:
        found: list[int] = []
        for name in names:
            value = options[name]
            indices = value if isinstance(value, tuple) else (value,)
            for j in indices:
                if not 0 <= j < self.graphs:
                    self._bad_node(i, f"{name} is {j}; the model has {self.graphs} subgraphs")
            found += indices
        return tuple(found)


def _check_calls(graphs: Sequence[Graph]) -> None:
    """Refuse subgraphs that call themselves, and nests that would explode."""
    calls = [[j for node in graph.nodes for j in node.subgraphs] for graph in graphs]
    size = [0] * len(graphs)  # subgraphs run by one run of each, if every call counted; 0: not yet known
    depth = [0] * len(graphs)
    for root in range(len(graphs)):
        path = [root]  # from the root down, each called by the one before it
        todo = [iter(calls[root])] if not size[root] else []
        while todo:
            here = path[-1]
            below = next((j for j in todo[-1] if not size[j]), None)
            if below is None:
                size[here] = 1 + sum(size[j] for j in calls[here])
                depth[here] = 1 + max((depth[j] for j in calls[here]), default=0)
                path.pop()
                todo.pop()
            elif below in path:
                loop = " -> ".join(map(str, [*path[path.index(below) :], below]))
                node = next(node for node in graphs[here].nodes if below in node.subgraphs)
                raise CorruptModelError(
                    f'subgraph {here} node {node.index} {node.op} "{printable(node.name)}": '
                    f"subgraphs call each other in a circle: {loop}"
                )
            else:
                path.append(below)
                todo.append(iter(calls[below]))
        if depth[root] > _DEEPEST or size[root] > _MOST_CALLS:
            raise UnsupportedModelError(
                f"subgraph {root} runs {size[root]:,} subgraphs, nested {depth[root]} deep; "
                f"at most {_MOST_CALLS:,} and {_DEEPEST} are supported"
            )


def _signatures(model: Table, graphs: Sequence[Graph]) -> tuple[Signature, ...]:
    found: dict[str, Signature] = {}
    for table in model.signature_defs:
        key = table.signature_key or ""
        where = f'signature "{printable(key)}"'
        if key in found:
            raise CorruptModelError(f"{where} is there twice")
        if table.subgraph_index >= len(graphs):
            raise CorruptModelError(f"{where}: subgraph {table.subgraph_index}; the model has {len(graphs)}")
        graph = graphs[table.subgraph_index]
        ins = _names(where, "input", table.inputs, graph.inputs, graph)
        outs = _names(where, "output", table.outputs, graph.outputs, graph)
        found[key] = Signature(key, graph.index, ins, outs)
    return tuple(found.values())


def _names(
    where: str, what: str, maps: Sequence[Table], ends: Sequence[int], graph: Graph
) -> Mapping[str, int]:
    names: dict[str, int] = {}
    for entry in maps:
        name, i = entry.name or "", entry.tensor_index
        if name in names:
            raise CorruptModelError(f'{where}: {what} "{printable(name)}" is there twice')
        if i not in ends:
            raise CorruptModelError(
                f'{where}: {what} "{printable(name)}" is tensor {i}, which is no {what} of subgraph {graph.index} '
                f"({few(ends) if ends else 'it has none'})"
            )
        names[name] = i
    return MappingProxyType(names)
