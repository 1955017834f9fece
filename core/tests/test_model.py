"""Opening a model: what it looks like as Graphs, where its constants lie, and how files go wrong."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sodalite_schema as schema
from sodalite.build import Builder
from sodalite.errors import CorruptModelError, ModelError, ModelNotFoundError, UnsupportedModelError
from sodalite.model import Model, open_model
from sodalite_schema import Table


def _small() -> Builder:
    g = Builder("small")
    x = g.input("x", (1, 8, 8, 3), "float32")
    w = g.constant("w", np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3))
    y = g.op(
        "CONV_2D", [x, w, None], [("y", (1, 4, 4, 1), "float32")], padding="VALID", stride_w=2, version=2
    )
    g.op("LOGISTIC", [y], [("z", (1, 4, 4, 1), "float32")])
    g.output(3)
    g.signature("serve", {"x": x}, {"z": 3})
    return g


def _graph(g: Builder) -> Any:
    return open_model(g.finish()).graphs[0]


def test_a_model_as_plain_values() -> None:
    """Names, edges, options and signatures of a small model."""
    model = open_model(_small().finish())
    graph = model.graphs[0]
    conv, logistic = graph.nodes
    assert (conv.op, conv.version, conv.inputs, conv.outputs, conv.name) == (
        "CONV_2D",
        2,
        (0, 1, -1),
        (2,),
        "y",
    )
    assert conv.options == {
        "padding": "VALID",
        "stride_w": 2,
        "stride_h": 0,
        "fused_activation_function": "NONE",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
        "quantized_bias_type": "float32",
    }
    assert dict(graph.producer) == {2: 0, 3: 1}
    assert dict(graph.readers) == {0: (0,), 1: (0,), 2: (1,)}
    assert (graph.inputs, graph.outputs, graph.name) == ((0,), (3,), "main")
    (signature,) = model.signatures
    assert (signature.key, signature.graph, dict(signature.inputs)) == ("serve", 0, {"x": 0})
    assert (model.description, model.version, model.path, model.min_runtime) == ("small", 3, None, "")
    assert model.weights_nbytes == 27 * 4
    assert logistic.options == {}


def test_values_cannot_be_changed() -> None:
    """Options, edges and constants are read-only."""
    graph = _graph(_small())
    with pytest.raises(TypeError):
        graph.nodes[0].options["padding"] = "SAME"
    with pytest.raises(ValueError, match="read-only"):
        graph.tensors[1].data[0] = 1
    with pytest.raises(TypeError):
        graph.producer[0] = 1


def test_options_are_complete_without_a_table() -> None:
    """An operator without an options table has the schema's defaults."""
    g = _small()
    tables = g.tables()
    del tables.subgraphs[0].operators[0].__dict__["builtin_options"]
    del tables.subgraphs[0].operators[0].__dict__["builtin_options_type"]
    options = open_model(schema.write(tables)).graphs[0].nodes[0].options
    assert options["padding"] == "SAME"
    assert options["dilation_w_factor"] == 1


def test_option_forms() -> None:
    """Enums and types by name, vectors as tuples, bytes as bytes, absent text as ""."""
    g = Builder()
    x = g.input("x", (2, 2), "float32")
    body = g.subgraph()
    ten = [("t", (2, 2), "float32")]
    g.op("CAST", [x], ten, in_data_type="float32", out_data_type="bfloat16")
    g.op("SQUEEZE", [x], ten, squeeze_dims=[0, -1])
    g.op("BUCKETIZE", [x], ten, boundaries=[0.5, 1.5])
    g.op("VAR_HANDLE", [], [("v", (), "resource")])
    g.op("STABLEHLO_COMPOSITE", [x], ten, composite_attributes=b"ab", decomposition_subgraph_index=body)
    g.op("STABLEHLO_DOT_GENERAL", [x, x], ten, precision_config=["HIGH", "DEFAULT"])
    g.op("custom:F:lex", [x], ten, custom_options=b"xyz")
    g.op("FULLY_CONNECTED", [x, x], ten, quant_spec=b"spec")
    g.op("FULLY_CONNECTED", [x, x], ten)
    nodes = _graph(g).nodes
    assert nodes[0].options == {"in_data_type": "float32", "out_data_type": "bfloat16"}
    assert nodes[1].options == {"squeeze_dims": (0, -1)}
    assert nodes[2].options == {"boundaries": (0.5, 1.5)}
    assert nodes[3].options == {"container": "", "shared_name": ""}
    assert nodes[4].options["composite_attributes"] == b"ab"
    assert nodes[4].subgraphs == (1,)
    assert nodes[5].options["precision_config"] == ("HIGH", "DEFAULT")
    assert [node.options["quant_spec"] for node in nodes[7:]] == [b"spec", b""]
    assert (nodes[6].op, nodes[6].custom_options, dict(nodes[6].options)) == ("custom:F:lex", b"xyz", {})


def test_subgraph_indices_in_field_order() -> None:
    """WHILE names its condition, then its body; CALL and CASE are found too."""
    g = Builder()
    x = g.input("x", (), "int32")
    a, b = g.subgraph("a"), g.subgraph("b")
    g.op("WHILE", [x], [("y", (), "int32")], body_subgraph_index=a, cond_subgraph_index=b)
    g.op("CALL", [x], [("z", (), "int32")], subgraph=b)
    g.op("STABLEHLO_CASE", [x], [("c", (), "int32")], branch_subgraph_indices=[b, a, b])
    assert [n.subgraphs for n in _graph(g).nodes] == [(2, 1), (2,), (2, 1, 2)]


def test_operators_without_a_name_keep_their_number() -> None:
    """A code that this version does not know is left for the missing-operator report."""
    g = Builder()
    x = g.input("x", (1,), "float32")
    g.op("builtin:250", [x], [("y", (1,), "float32")], version=4)
    assert _graph(g).nodes[0].op == "builtin:250"


def test_the_larger_code_field_counts() -> None:
    """Old files have only the byte field, new ones both."""
    for byte, number, op in ((14, 0, "LOGISTIC"), (127, 150, "GELU"), (0, 14, "LOGISTIC")):
        tables = _small().tables()
        code = tables.operator_codes[1]
        code.deprecated_builtin_code, code.builtin_code = byte, number
        assert open_model(schema.write(tables)).graphs[0].nodes[1].op == op


def test_shapes_and_signatures() -> None:
    """-1 stands for 1 in the shape and stays in the signature; a fixed shape has none."""
    g = Builder()
    g.input("x", (None, 4), "float32")
    g.input("s", (), "float32")
    g.input("u", None, "float32")
    tensors = _graph(g).tensors
    assert (tensors[0].shape, tensors[0].signature) == ((1, 4), (-1, 4))
    assert (tensors[1].shape, tensors[1].signature) == ((), None)
    assert (tensors[2].shape, tensors[2].signature) == ((), None)


def test_quantisation() -> None:
    """Per tensor, per channel, in blocks, custom, and the forms that mean none."""
    g = Builder()
    q = Table(
        "QuantizationParameters",
        details=Table("BlockwiseQuantization", scales=0, zero_points=-1, block_size=32),
    )
    multi = Table("MultiAxisQuantization", scales=0, zero_points=1, quantized_dimensions=[0, 1])
    g.tensor("scales", (2, 2), "float16")
    g.tensor("a", (2, 4), "int8", scale=0.5, zero_point=-3)
    g.tensor("b", (2, 4), "int8", scale=[0.5, 0.25], axis=0)
    g.tensor("c", (2, 64), "int4", quantization=q)
    g.tensor("d", (2, 64), "int8", quantization=Table("QuantizationParameters", details=multi))
    g.tensor("e", (2,), "int32", scale=0.0)
    g.tensor("f", (2,), "float32", scale=float("nan"))
    g.tensor("g", (2,), "int8", quantization=Table("QuantizationParameters", min=[0.0], max=[1.0]))
    t = _graph(g).tensors
    assert (t[1].quant.scale, t[1].quant.zero_point, t[1].quant.per_channel) == (0.5, -3, False)
    assert (t[2].quant.scales.tolist(), t[2].quant.zero_points.tolist(), t[2].quant.axis) == (
        [0.5, 0.25],
        [0, 0],
        0,
    )
    assert (t[3].quant.kind, t[3].quant.scales_tensor, t[3].quant.zero_points_tensor) == ("blockwise", 0, -1)
    assert t[3].quant.block_size == 32
    assert (t[4].quant.kind, t[4].quant.axes) == ("multiaxis", (0, 1))
    assert [t[i].quant for i in (0, 5, 6, 7)] == [None] * 4


def test_constants_in_memory_form() -> None:
    """Packed integers lie one to a byte, strings are bytes, bools are 0 or 1; their source is the file's form."""
    g = Builder()
    g.constant("i4", [[1, -8, 7]], "int4")
    g.constant("u4", [15, 0, 8], "uint4")
    g.constant("i2", [1, -2, 0, -1, 1], "int2")
    g.constant("s", [["a", "bc"]])
    g.constant("b", [True, False])
    g.constant("h", np.array([1.5, 2.5], np.float16))
    g.constant("bf", [0x3F80], "bfloat16")
    g.constant("none", np.zeros((0, 3), np.float32))
    blob = g.finish()
    tensors = open_model(blob).graphs[0].tensors
    assert tensors[0].data.tolist() == [[1, -8, 7]]
    assert tensors[1].data.tolist() == [15, 0, 8]
    assert tensors[2].data.tolist() == [1, -2, 0, -1, 1]
    assert tensors[3].data.tolist() == [[b"a", b"bc"]]
    assert tensors[4].data.tolist() == [True, False]
    assert tensors[5].data.tolist() == [1.5, 2.5]
    assert tensors[6].data.tolist() == [0x3F80]
    assert tensors[7].data.shape == (0, 3)
    for tensor in tensors[:7]:
        source = tensor.source
        assert source.path is None
        assert not tensor.data.flags.writeable
    at = tensors[0].source
    assert at.nbytes == 2
    assert blob[at.offset : at.offset + 2] == bytes([0x81, 0x07])


def test_odd_truth_values_become_true() -> None:
    """A bool stored as 2 is True, as in C++."""
    tables = _small().tables()
    t = tables.subgraphs[0].tensors[1]
    t.type, t.shape = schema.enum_value("TensorType", "BOOL"), np.array([27], np.int32)
    tables.buffers[1].data = np.array([2] * 27, np.uint8)
    data = open_model(schema.write(tables)).graphs[0].tensors[1].data
    assert data is not None
    assert data.tolist() == [True] * 27
    assert data.view(np.uint8).max() == 1


def test_a_longer_buffer_is_allowed() -> None:
    """Only the bytes that the shape needs are read."""
    tables = _small().tables()
    tables.buffers[1].data = np.zeros(27 * 4 + 20, np.uint8)
    tensor = open_model(schema.write(tables)).graphs[0].tensors[1]
    assert tensor.source is not None
    assert tensor.source.nbytes == 27 * 4


def test_nothing_need_be_stored_for_no_elements() -> None:
    """A tensor without elements that nobody makes is an empty constant; LiteRT's converter writes such files."""
    g = Builder()
    x = g.input("x", (1,), "float32")
    empty = g.tensor("empty", (0,), "int32")
    g.output(g.op("RESHAPE", [x, empty], [("y", (), "float32")]))
    data = _graph(g).tensors[empty].data
    assert data is not None
    assert data.shape == (0,)


def test_data_outside_the_flatbuffer() -> None:
    """Constants behind the FlatBuffer are found, with their position in the file."""
    g = _small()
    blob = g.finish(external_data=True)
    tensor = open_model(blob).graphs[0].tensors[1]
    assert tensor.data is not None
    assert tensor.source is not None
    assert tensor.data.reshape(-1).tolist() == list(range(27))
    assert np.frombuffer(blob, np.float32, 27, tensor.source.offset).tolist() == list(range(27))


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_misaligned_constants_are_copied(shift: int) -> None:
    """Data at an odd position of the file can still be used: the arrays are aligned."""
    tables = _small().tables()
    buffer = tables.buffers[1]
    values = np.asarray(buffer.data).tobytes()
    blob = b""
    for _ in range(2):  # the position of the data follows the FlatBuffer, whose length does not depend on it
        at = len(blob) // 16 * 16 + 16 + shift
        tables.buffers[1] = Table("Buffer", offset=at, size=len(values))
        blob = schema.write(tables)
    tensor = open_model(blob + bytes(at - len(blob)) + values).graphs[0].tensors[1]
    assert tensor.data is not None
    assert tensor.data.flags.aligned
    assert tensor.data.reshape(-1).tolist() == list(range(27))


def test_a_sparse_constant_keeps_its_storage() -> None:
    """A 2 x 4 matrix, rows dense, columns compressed: stored elements, segments, indices."""
    g = Builder()
    g.constant("s", [5, 6, 7], "int8", shape=(2, 4), sparsity=_csr())
    tensor = _graph(g).tensors[0]
    assert tensor.sparsity is not None
    assert tensor.data is not None
    assert (tensor.shape, tensor.data.tolist()) == ((2, 4), [5, 6, 7])
    dense, csr = tensor.sparsity.dims
    assert dense == ("dense", 2)
    assert (csr[0], csr[1].tolist(), csr[2].tolist()) == ("csr", [0, 1, 3], [3, 0, 2])


def _csr() -> Table:
    return Table(
        "SparsityParameters",
        traversal_order=[0, 1],
        dim_metadata=[
            Table("DimensionMetadata", format=0, dense_size=2),
            Table(
                "DimensionMetadata",
                format=1,
                array_segments=Table("Uint8Vector", values=[0, 1, 3]),
                array_indices=Table("Int32Vector", values=[3, 0, 2]),
            ),
        ],
    )


def test_state_that_an_operator_writes() -> None:
    """Only variable tensors count as written."""
    g = Builder()
    x = g.input("x", (1,), "float32")
    state = g.tensor("state", (1,), "float32", variable=True)
    g.op("SVDF", [x, state], [("y", (1,), "float32")], writes=[x, state], rank=1)
    node = _graph(g).nodes[0]
    assert node.writes == {1}


def test_metadata_and_the_first_runtime() -> None:
    """Metadata are the file's bytes; the minimum runtime is read from them."""
    g = _small()
    g.metadata("note", b"hello")
    g.metadata("min_runtime_version", b"2.3.0".ljust(16, b"\0"))
    model = open_model(g.finish())
    assert bytes(model.metadata["note"]) == b"hello"
    assert model.min_runtime == "2.3.0"


def test_every_kind_of_source(tmp_path: Path) -> None:
    """A path, bytes, a writable buffer, a view and a file object give the same model."""
    blob = _small().finish()
    path = tmp_path / "m.tflite"
    path.write_bytes(blob)
    changing = bytearray(blob)
    sources: list[Any] = [
        path,
        str(path),
        blob,
        changing,
        memoryview(blob),
        io.BytesIO(blob),
        np.frombuffer(blob, np.uint8),
    ]
    models = [open_model(source) for source in sources]
    changing[:] = bytes(len(blob))
    for model in models:
        data = model.graphs[0].tensors[1].data
        assert data is not None
        assert data.sum() == sum(range(27))
    assert models[0].path == str(path)
    assert models[0].label == str(path)
    assert models[0].graphs[0].tensors[1].source.path == str(path)  # type: ignore[union-attr]
    with path.open("rb") as file:
        assert open_model(file).label == str(path)


def test_constants_outlive_the_model(tmp_path: Path) -> None:
    """A constant stays readable after close, with no other reference to the file."""
    path = tmp_path / "m.tflite"
    _small().save(path)
    with open_model(path) as model:
        data = model.graphs[0].tensors[1].data
    assert model.closed
    assert model.graphs == ()
    model.close()
    del model
    assert data is not None
    assert data.sum() == sum(range(27))


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    """A mapped file that was cut or rewritten in place is refused; a copy and a replaced file are not."""
    path = tmp_path / "m.tflite"
    _small().save(path)
    mapped, copied = open_model(path), open_model(path, copy=True)
    mapped.check_unchanged()
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(
        ModelError, match=r"changed while it is open \([\d,]+ bytes then, [\d,]+ now\): open it again"
    ):
        mapped.check_unchanged()
    copied.check_unchanged()
    fresh = open_model(path)
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    with pytest.raises(ModelError, match="changed while it is open"):
        fresh.check_unchanged()
    fresh = open_model(path)
    if sys.platform != "win32":
        _small().save(path)
        fresh.check_unchanged()
        path.unlink()
        fresh.check_unchanged()


def test_copies_can_be_asked_for_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SODALITE_COPY=1 is copy=True; 0 is not."""
    path = tmp_path / "m.tflite"
    _small().save(path)
    for value, kept in (("1", False), ("0", True), ("", True)):
        monkeypatch.setenv("SODALITE_COPY", value)
        assert (open_model(path)._mapped is not None) == kept  # the one visible difference


def test_a_missing_file(tmp_path: Path) -> None:
    """Not found is its own error, also a FileNotFoundError, and names files that are near."""
    (tmp_path / "mobilenet.tflite").write_bytes(b"")
    with pytest.raises(
        ModelNotFoundError, match=r"there is no such file; near it: mobilenet\.tflite"
    ) as caught:
        open_model(tmp_path / "mobilnet.tflite")
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(ModelNotFoundError, match="its folder is not there either"):
        open_model(tmp_path / "no" / "m.tflite")


def test_folders(tmp_path: Path) -> None:
    """A folder is refused; a SavedModel is called by its name; models inside are listed."""
    with pytest.raises(ModelError, match=r"is a folder, not a model$"):
        open_model(tmp_path)
    (tmp_path / "a.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match=r"it holds a\.tflite"):
        open_model(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"a TensorFlow SavedModel: convert it to \.tflite first"):
        open_model(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_devices_do_not_block(tmp_path: Path) -> None:
    """A FIFO nobody writes to is refused at once."""
    os.mkfifo(tmp_path / "fifo")
    result: list[Any] = []

    def run() -> None:
        for path in (tmp_path / "fifo", Path(os.devnull)):
            try:
                open_model(path)
            except ModelError as error:
                result.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert "is a pipe, device or socket: read it" in result[0]
    assert "is a pipe, device or socket" in result[1]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """A file without read permission says so."""
    path = tmp_path / "m.tflite"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(ModelError, match="cannot be read: Permission denied"):
        open_model(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(9), "looks like a PNG image"),
        (b"PK\x03\x04" + bytes(20), "looks like a ZIP archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(9), "looks like an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "looks like an HTML"),
        (b"\x1f\x8b\x08" + bytes(9), "gzip"),
        (b"\x08\x07\x12\x07pytorch" + bytes(9), "an ONNX model: convert it"),
        (b"\x08\x01\x12\xf0\x03" + bytes(9), "saved_model.pb"),
        (b"\n\x14\n\x05input" + bytes(9), "GraphDef"),
        (b'{"a": 1}  ', "it looks like JSON"),
        (bytes(100), "zero bytes"),
        (b"\x1c\0\0\0TFL2" + bytes(30), "bytes 4 to 7 are b'TFL2', not b'TFL3'"),
        (b"hello world, this is nothing", "bytes 4 to 7 are b'o wo'"),
        (b"TFL", "not a .tflite file"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, content: bytes, text: str) -> None:
    """A file of another kind is called what it is."""
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(CorruptModelError) as caught:
            open_model(source)
        assert text in str(caught.value)
    assert str(caught.value).startswith("model: ")


def test_a_cut_file_is_called_cut() -> None:
    """A truncated model says that it may have been cut short."""
    blob = _small().finish()
    with pytest.raises(CorruptModelError, match="was the file cut short, or damaged"):
        open_model(blob[: len(blob) // 2])


@pytest.mark.parametrize("source", [5, None, 1.5, ["a"]])
def test_things_that_are_no_source(source: Any) -> None:
    """What is neither path, bytes nor file is a TypeError, as for any function."""
    with pytest.raises(TypeError, match="a model is opened from a path, bytes, or a binary file"):
        open_model(source)


def test_a_text_file_object() -> None:
    """A file opened in text mode says how to open it."""
    with pytest.raises(ModelError, match='in mode "rb"'):
        open_model(io.StringIO("x"))  # type: ignore[arg-type]


def test_names_are_escaped() -> None:
    """Control characters of a name never reach the terminal."""
    g = Builder()
    g.op("ABS", [g.tensor("a\x1b[31m\n", (1,), "int8")], [("evil\x1b", (1,), "int8")])
    with pytest.raises(CorruptModelError) as caught:
        open_model(g.finish())
    assert "\x1b" not in str(caught.value)
    assert "\\x1b" in str(caught.value)


REFUSED = {
    "litert_testdata/0_subgraphs.tflite": "no subgraphs",
    "litert_testdata/no_subgraphs.tflite": "no subgraphs",
    "litert_testdata/add_shared_tensors.tflite": "which has a value before",
    "litert_testdata/invalid_model.tflite": "not a .tflite file",
    "litert_testdata/test_model_broken.tflite": "not a .tflite file",
    "litert_testdata/segment_sum_invalid_buffer.tflite": "which nothing makes",
    "litert_testdata/transpose.tflite": "schema version 2",
}


def test_every_real_model_opens(models: Path) -> None:
    """All published models open, but for those that are broken, each refused for its own reason."""
    seen = {}
    for path in sorted(models.rglob("*.tflite")):
        try:
            with open_model(path) as model:
                assert isinstance(model, Model)
        except ModelError as error:
            seen[path.relative_to(models).as_posix()] = str(error)
    assert set(seen) == set(REFUSED)
    for name, text in REFUSED.items():
        assert text in seen[name]


def test_opening_is_quick(models: Path) -> None:
    """Inception v3, 128 nodes and 22 MB, opens in well under 50 ms: nothing reads the weights."""
    path = models / "derived" / "nsfwjs_inception_v3_dyn.tflite"
    times = []
    for _ in range(5):
        start = time.process_time()
        open_model(path)
        times.append(time.process_time() - start)
    assert min(times) < 0.05


def test_a_version_other_than_3() -> None:
    """Only schema version 3 is supported, and it is said which one the file has."""
    tables = _small().tables()
    tables.version = 4
    with pytest.raises(UnsupportedModelError, match="schema version 4; only version 3"):
        open_model(schema.write(tables))
