"""The builder: what it writes is what was asked for, and LiteRT can read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sodalite_build
import sodalite_schema as schema
from sodalite.build import Builder, Tensor
from sodalite.dtypes import DTYPES, DType
from sodalite.errors import ModelError
from sodalite.model import unpack
from sodalite_build.packing import pack, pack_strings


def _read(builder: Builder) -> Any:
    return schema.read(builder.finish())


def test_a_whole_model() -> None:
    """Tensors, options, quantisation, a custom operator and a signature arrive in the file as they were given."""
    g = Builder("made here")
    x = g.input("x", (1, None, 8, 3), "int8", scale=0.5, zero_point=3)
    w = g.constant("w", np.ones((4, 3, 3, 3), np.int8), scale=[0.1, 0.2, 0.3, 0.4], axis=0)
    y = g.op(
        "CONV_2D",
        [x, w, None],
        [("y", (1, 8, 8, 4), "int8")],
        padding="VALID",
        stride_w=2,
        stride_h=1,
        version=3,
    )
    z = g.op("custom:Sinh", [y], [{"name": "z", "shape": (), "dtype": np.float32}], custom_options={"a": 1})
    g.output(z, y)
    g.signature("serving_default", {"x": x}, {"y": y, "z": z})
    model = _read(g)
    graph = model.subgraphs[0]
    assert (model.version, model.description, graph.name) == (3, "made here", "main")
    assert [t.name for t in graph.tensors] == ["x", "w", "y", "z"]
    assert graph.tensors[0].shape.tolist() == [1, 1, 8, 3]
    assert graph.tensors[0].shape_signature.tolist() == [1, -1, 8, 3]
    assert graph.tensors[0].quantization.zero_point.tolist() == [3]
    assert graph.tensors[1].quantization.zero_point.tolist() == [0, 0, 0, 0]
    assert graph.tensors[3].has_rank
    assert graph.tensors[3].shape.size == 0
    conv, sinh = graph.operators
    assert conv.inputs.tolist() == [0, 1, -1]
    assert (conv.builtin_options.padding, conv.builtin_options.stride_w) == (1, 2)
    assert model.operator_codes[0].version == 3
    assert model.operator_codes[1].custom_code == "Sinh"
    assert sinh.custom_options.size
    assert (graph.inputs.tolist(), graph.outputs.tolist()) == ([0], [3, 2])
    signature = model.signature_defs[0]
    assert {m.name: m.tensor_index for m in signature.outputs} == {"y": 2, "z": 3}


def test_operator_codes_above_127() -> None:
    """Both code fields follow the format's rule for late operators, and codes without a name can be written."""
    g = Builder()
    x = g.input("x", (2,), "float32")
    for op in ("ADD", "GELU", "builtin:250", "GELU"):
        g.op(op, [x], [("y", (2,), "float32")])
    codes = _read(g).operator_codes
    assert [(c.deprecated_builtin_code, c.builtin_code) for c in codes] == [(0, 0), (127, 150), (127, 250)]


def test_subgraphs_as_options() -> None:
    """A subgraph stands for its index where an option names one; each has its own tensors."""
    g = Builder()
    x = g.input("x", (), "bool")
    then, other = g.subgraph("then"), g.subgraph("other")
    for sub in (then, other):
        sub.output(sub.constant("one", 1.0))
    g.output(g.op("IF", [x], [("y", (), "float32")], then_subgraph_index=then, else_subgraph_index=other))
    model = _read(g)
    options = model.subgraphs[0].operators[0].builtin_options
    assert (options.then_subgraph_index, options.else_subgraph_index) == (1, 2)
    assert [s.name for s in model.subgraphs] == ["main", "then", "other"]
    assert model.subgraphs[1].tensors[0].buffer == model.subgraphs[2].tensors[0].buffer == 1


def test_options_named_like_arguments_and_bytes_as_flexbuffers() -> None:
    """options={...} takes what a keyword cannot name; a dict becomes FlexBuffers."""
    g = Builder()
    body = g.subgraph("body")
    g.op(
        "STABLEHLO_COMPOSITE",
        [],
        [],
        name="odml.x",
        decomposition_subgraph_index=body,
        composite_attributes={"k": 2},
        options={"version": 7},
    )
    options = _read(g).subgraphs[0].operators[0].builtin_options_2
    assert (options.name, options.version, options.decomposition_subgraph_index) == ("odml.x", 7, 1)
    assert options.composite_attributes.size > 4


def test_types_and_enums_by_name() -> None:
    """Options that are types take dtype names and numpy types."""
    g = Builder()
    x = g.input("x", (2,), "float32")
    g.op("CAST", [x], [("y", (2,), np.int16)], in_data_type=np.float32, out_data_type="int16")
    options = _read(g).subgraphs[0].operators[0].builtin_options
    assert schema.enum_name("TensorType", options.out_data_type) == "INT16"


def test_state_and_intermediates() -> None:
    """Variable tensors, mutating inputs and intermediates are written."""
    g = Builder()
    x = g.input("x", (1, 2), "float32")
    state = g.tensor("state", (1, 2), "float32", variable=True)
    between = g.tensor("between", (0,), "int8", scale=1.0)
    g.op("SVDF", [x, state], [("y", (1, 2), "float32")], writes=[state], intermediates=[between], rank=1)
    graph = _read(g).subgraphs[0]
    assert graph.tensors[state.index].is_variable
    assert graph.operators[0].mutating_variable_inputs.tolist() == [False, True]
    assert graph.operators[0].intermediates.tolist() == [2]


def test_python_numbers_become_the_usual_types() -> None:
    """Numbers without a dtype: float32, int32 (int64 where needed), bool, string; an array's own dtype is kept."""
    g = Builder()
    values = [1.5, [1, 2], [1 << 40], True, ["a", b"\0b\0"], np.float64(2), np.int64([3])]
    kinds = [g.constant(str(i), v).dtype for i, v in enumerate(values)]
    assert kinds == ["float32", "int32", "int64", "bool", "string", "float64", "int64"]


def test_equal_constants_share_a_buffer() -> None:
    """Two constants with the same bytes are stored once."""
    g = Builder()
    for value in (np.ones(5, np.int8), np.ones(5, np.int8), np.zeros(5, np.int8)):
        g.constant("c", value)
    assert len(_read(g).buffers) == 3


def test_metadata_and_external_data(tmp_path: Path) -> None:
    """Constants can lie behind the FlatBuffer; a saved file is what finish() returns."""
    g = Builder()
    value = np.arange(100, dtype=np.int32)
    g.constant("c", value)
    g.metadata("note", b"hello")
    blob = g.finish(external_data=True)
    model = schema.read(blob)
    buffer = model.buffers[1]
    assert not buffer.data.size
    assert np.frombuffer(blob, np.int32, 100, buffer.offset).tolist() == value.tolist()
    assert model.metadata[0].name == "note"
    g.save(tmp_path / "m.tflite", external_data=True)
    assert (tmp_path / "m.tflite").read_bytes() == blob
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("memory", [np.int8, np.uint8])
def test_packing_is_undone_by_unpacking(bits: int, count: int, memory: Any) -> None:
    """pack then unpack gives the same elements, whatever the tail; signs survive."""
    low = -(1 << bits - 1) if memory is np.int8 else 0
    values = np.array([low + i % (1 << bits) for i in range(count)], memory)
    packed = pack(values, bits)
    assert packed.size == -(-count * bits // 8)
    assert unpack(packed, DType("", 0, bits, np.dtype(memory)))[:count].tolist() == values.tolist()


def test_the_first_element_lies_in_the_lowest_bits() -> None:
    """[1, -2] in 4 bits is one byte, 0xE1."""
    assert pack(np.array([1, -2], np.int8), 4).tolist() == [0xE1]
    assert pack(np.array([1, -2, 0, -1], np.int8), 2).tolist() == [0b11001001]


def test_string_tables() -> None:
    """A table of "ab" and "": count, three positions, the bytes."""
    values = np.array([b"ab", b""], object)
    table = pack_strings(values)
    assert table.tobytes() == b"".join(n.to_bytes(4, "little") for n in (2, 16, 18, 18)) + b"ab"
    assert unpack(table, DTYPES["string"]).tolist() == [b"ab", b""]
    assert unpack(pack_strings(np.empty(0, object)), DTYPES["string"]).size == 0


def _try(**what: Any) -> None:
    g = Builder()
    x = g.input("x", (2,), "float32")
    other = g.subgraph().tensor("t", (1,), "int8")
    what["do"](g, x, other)


@pytest.mark.parametrize(
    ("do", "text"),
    [
        (lambda g, x, o: g.op("CONV2D", [x], []), "near it: CONV_2D"),
        (lambda g, x, o: g.op("nonsense", [x], []), '"custom:nonsense"'),
        (
            lambda g, x, o: g.op("CONV_2D", [x], [], stride=1),
            "CONV_2D has no option 'stride'; it has: padding, stride_w",
        ),
        (lambda g, x, o: g.op("ABS", [x], [], axis=1), "ABS has no option 'axis'; it has: none"),
        (lambda g, x, o: g.op("LOGISTIC", [x], [], axis=1), "LOGISTIC has no options, got axis"),
        (lambda g, x, o: g.op("custom:X", [x], [], axis=1), "takes custom_options="),
        (lambda g, x, o: g.op("ADD", [x], [], fused_activation_function="RELU7"), "is one of: NONE, RELU"),
        (lambda g, x, o: g.op("ADD", ["x"], []), "a tensor is wanted, got str"),
        (lambda g, x, o: g.op("ADD", [o], []), 'tensor "t" belongs to subgraph 1, not to subgraph 0'),
        (
            lambda g, x, o: g.op("SVDF", [x], [], writes=[g.tensor("s", (1,), "int8")]),
            "not all inputs of it",
        ),
        (lambda g, x, o: g.tensor("t", (1,), "f32"), "there are: float32, float16"),
        (lambda g, x, o: g.tensor("t", (1,), object()), "no element type"),
        (lambda g, x, o: g.tensor("t", (1 << 40,), "int8"), "32-bit"),
        (lambda g, x, o: g.tensor("t", (1,), "int8", zero_point=1), "no scale"),
        (
            lambda g, x, o: g.tensor("t", (1,), "int8", scale=[1, 2], zero_point=[1, 2, 3]),
            "2 scales but 3 zero",
        ),
        (lambda g, x, o: g.constant("c", [300], "int8"), 'constant "c": values do not all fit int8'),
        (lambda g, x, o: g.constant("c", [1.5], "int32"), "do not all fit int32"),
        (lambda g, x, o: g.constant("c", [float("nan")], "int32"), "do not all fit int32"),
        (lambda g, x, o: g.constant("c", [8], "int4"), "int4 holds -8 to 7, got 8 to 8"),
        (lambda g, x, o: g.constant("c", [-1], "uint4"), "do not all fit uint4"),
        (lambda g, x, o: g.constant("c", [2], "int2"), "int2 holds -2 to 1"),
        (lambda g, x, o: g.constant("c", [1.0], "bfloat16"), "bit patterns as integers"),
        (lambda g, x, o: g.constant("c", [1], "resource"), "no data in a file"),
        (lambda g, x, o: g.constant("c", [1j], "float32"), "takes numbers"),
        (lambda g, x, o: g.constant("c", [1], "string"), "str or bytes, got int"),
        (lambda g, x, o: g.constant("c", ["a"], "int8"), "takes numbers, got <U1"),
    ],
)
def test_mistakes_are_named(do: Any, text: str) -> None:
    """Each mistake gives a ModelError that says what would have been right."""
    with pytest.raises(ModelError) as caught:
        _try(do=do)
    assert text in str(caught.value)


def test_a_value_that_the_format_cannot_hold() -> None:
    """What only the writer can notice is a ModelError too, with the field's path."""
    g = Builder()
    g.op("SPLIT", [], [], num_splits="two")
    with pytest.raises(ModelError, match=r"operators\[0\].*num_splits"):
        g.finish()


def test_litert_runs_what_was_built(litert: Any) -> None:
    """The file means to LiteRT what it means here."""
    g = Builder()
    x = g.input("x", (1, 4), "float32")
    w = g.constant("w", np.eye(4, dtype=np.float32)[::-1])
    y = g.op("FULLY_CONNECTED", [x, w, None], [("y", (1, 4), "float32")])
    g.output(y)
    (result,) = litert(g.finish(), [np.arange(4, dtype=np.float32)[None]])
    assert result.tolist() == [[3, 2, 1, 0]]


def test_handles_are_indices() -> None:
    """A handle can be used where an index is wanted."""
    g = Builder()
    x = g.input("x", (1,), "float32")
    assert isinstance(x, Tensor)
    assert [10, 20][x] == 10
    assert int(x) == 0


@pytest.mark.parametrize(
    "code",
    [
        "import sodalite.build",
        "from sodalite import build",
        "import sodalite; sodalite.build",
        "import sodalite_schema; sodalite_schema.write(sodalite_schema.Table('Model'))",
    ],
)
def test_what_is_missing_without_this_package(code: str) -> None:
    """Where programs look for it, they are told what to install."""
    hide = "import sys; sys.modules['sodalite_build'] = None; "
    done = subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, check=False)
    assert done.returncode
    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
    assert "pip install sodalite-build" in done.stderr


def test_it_is_found_where_programs_look_for_it() -> None:
    """`sodalite.build` and `sodalite_schema.write` are what this package holds."""
    from sodalite import build

    assert build.Builder is sodalite_build.Builder
    assert schema.write(schema.Table("Model", version=3)) == sodalite_build.write(schema.Table("Model", version=3))
