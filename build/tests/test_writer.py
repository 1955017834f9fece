# SPDX-License-Identifier: Apache-2.0
"""What is written reads back equal, is laid out as readers expect, and refuses what the format cannot hold."""

from __future__ import annotations

import array
import mmap
import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from sodalite_build.writer import _RAW
from sodalite_schema import SchemaError, Table, read, vector_offset, write


def test_the_small_model_reads_back(small: Table) -> None:
    """Worked example."""
    model = read(write(small))
    assert model == small
    tensor = model.subgraphs[0].tensors[0]
    assert tensor.shape_signature.tolist() == [-1, 2]
    assert tensor.quantization.zero_point.dtype == np.int64
    assert tensor.quantization.scale.tolist() == [0.5]
    options = model.subgraphs[0].operators[0].builtin_options
    assert (options.kind, options.pot_scale_int16, options.has("fused_activation_function")) == (
        "AddOptions",
        False,
        False,
    )


def test_every_table_reads_back(full: Table) -> None:
    """Each field of each table, each member of each union."""
    assert read(write(full)) == full


def test_writing_is_deterministic(full: Table) -> None:
    """The same values give the same bytes, also after a round trip."""
    data = write(full)
    assert write(full) == data
    assert write(read(data)) == data


@pytest.mark.parametrize("nbytes", [0, 1, 15, 16, 17, 1000])
def test_buffer_data_is_aligned_to_16(nbytes: int) -> None:
    """Whatever lies before it."""
    buffers = [Table("Buffer"), *(Table("Buffer", data=bytes([i]) * nbytes) for i in range(5))]
    model = read(write(Table("Model", buffers=buffers, description="x" * nbytes)))
    for i, buffer in enumerate(model.buffers[1:]):
        assert bytes(buffer.data) == bytes([i]) * nbytes
        assert vector_offset(buffer, "data") % 16 == 0


def test_other_forced_alignments(full: Table) -> None:
    """Custom quantisation at 16, sparse indices at 4."""
    model = read(write(full))
    tensors = model.subgraphs[0].tensors
    assert vector_offset(tensors[0].quantization.details, "custom") % 16 == 0
    for dim in tensors[-1].sparsity.dim_metadata:
        for table in (dim.array_segments, dim.array_indices):
            assert vector_offset(table, "values") % 4 == 0


def test_alignments_are_those_of_the_schema() -> None:
    """The fields that are written at multiples of 16 are those that schema.fbs forces to them."""
    source = Path(__file__).resolve().parents[2] / "schema" / "schema.fbs"
    if not source.exists():
        pytest.skip("schema.fbs is only in a checkout")
    kind, forced = "", {}
    for line in source.read_text(encoding="utf-8").splitlines():
        kind = line.split()[1] if line.startswith("table ") else kind
        found = re.match(r"  (\w+):.*force_align: (\d+)", line)
        if found and int(found[2]) > 4:  # vectors begin with a length of 4 bytes, and lie at 4 anyway
            forced[kind, found[1]] = int(found[2])
    assert forced == dict.fromkeys(_RAW, 16)


def test_defaults_are_left_out_and_empty_vectors_kept() -> None:
    """A stored default says nothing; a stored empty vector or string might."""
    model = read(
        write(Table("Model", version=0, description="", buffers=[Table("Buffer", data=b"", offset=0)]))
    )
    assert [name for name, _ in model.fields()] == ["description", "buffers"]
    assert [name for name, _ in model.buffers[0].fields()] == ["data"]
    assert read(write(Table("Model", description=None, buffers=()))).has("buffers")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\x03",
        bytearray(range(4)),
        memoryview(bytes(range(4))),
        [0, 1, 2, 3],
        (0, 1, 2, 3),
        range(4),
        array.array("B", range(4)),
        np.arange(4, dtype=np.uint8),
        np.arange(4, dtype=np.int8),
        np.arange(8, dtype=np.uint8)[::2] // 2,
        np.arange(4, dtype=np.uint8).reshape(2, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_vectors_of_bytes_come_in_many_forms(data: Any) -> None:
    """All of them mean the bytes 0 1 2 3."""
    assert bytes(read(write(Table("Model", buffers=[Table("Buffer", data=data)]))).buffers[0].data) == bytes(
        range(4)
    )


def test_a_mapped_file_is_a_vector_of_bytes(tmp_path: Path) -> None:
    """And a file to read from."""
    path = tmp_path / "m.tflite"
    path.write_bytes(write(Table("Model", version=3)))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        model = Table("Model", buffers=[Table("Buffer", data=mapped)])
        assert bytes(read(write(model)).buffers[0].data) == path.read_bytes()
        assert read(mapped).version == 3


@pytest.mark.parametrize(
    "shape",
    [
        [1, -2],
        (1, -2),
        np.array([1, -2]),
        np.array([1, -2], ">i4"),
        np.array([1, 7, -2, 7], np.int16)[::2],
        array.array("q", [1, -2]),
    ],
    ids=repr,
)
def test_vectors_of_numbers_come_in_many_forms(shape: Any) -> None:
    """Any integers that fit."""
    model = Table("Model", subgraphs=[Table("SubGraph", tensors=[Table("Tensor", shape=shape)])])
    assert read(write(model)).subgraphs[0].tensors[0].shape.tolist() == [1, -2]


def _tensor(**fields: Any) -> Table:
    graphs = [Table("SubGraph"), Table("SubGraph", tensors=[Table("Tensor"), Table("Tensor", **fields)])]
    return Table("Model", subgraphs=graphs)


def _quant(**fields: Any) -> Table:
    return _tensor(quantization=Table("QuantizationParameters", **fields))


def _buffer(data: Any) -> Table:
    return Table("Model", buffers=[Table("Buffer", data=data)])


def _operator(**fields: Any) -> Table:
    return Table("Model", subgraphs=[Table("SubGraph", operators=[Table("Operator", **fields)])])


BAD = [
    (_tensor(type=128), "subgraphs[1].tensors[1].type: 128 does not fit byte (-128 to 127)"),
    (_tensor(buffer=-1), "subgraphs[1].tensors[1].buffer: -1 does not fit uint (0 to 4294967295)"),
    (_tensor(buffer=1.0), "subgraphs[1].tensors[1].buffer: uint wanted, got float"),
    (_tensor(type="INT8"), "subgraphs[1].tensors[1].type: byte wanted, got str"),
    (_tensor(is_variable=2), "subgraphs[1].tensors[1].is_variable: 2 does not fit bool (0 to 1)"),
    (_tensor(name=7), "subgraphs[1].tensors[1].name: string wanted, got int"),
    (_tensor(name="\ud800"), "subgraphs[1].tensors[1].name: string is not UTF-8"),
    (_tensor(name=b"\xff"), "subgraphs[1].tensors[1].name: string is not UTF-8"),
    (
        _tensor(shape=[1, 2**31]),
        "subgraphs[1].tensors[1].shape[1]: 2147483648 does not fit int (-2147483648 to 2147483647)",
    ),
    (_tensor(shape=[1, 2**70]), f"subgraphs[1].tensors[1].shape[1]: {2**70} does not fit int"),
    (_tensor(shape=[2**63, -1]), f"subgraphs[1].tensors[1].shape[0]: {2**63} does not fit int"),
    (_tensor(shape=np.array([1, 2**40])), f"subgraphs[1].tensors[1].shape[1]: {2**40} does not fit int"),
    (_tensor(shape=[1.5]), "subgraphs[1].tensors[1].shape[0]: int wanted, got float"),
    (_tensor(shape=[1, None]), "subgraphs[1].tensors[1].shape[1]: int wanted, got NoneType"),
    (_tensor(shape=np.array([1.0])), "subgraphs[1].tensors[1].shape: vector of int wanted, got float64"),
    (_tensor(shape=["a"]), "subgraphs[1].tensors[1].shape: vector of int wanted, got <U1"),
    (_tensor(shape="ab"), "subgraphs[1].tensors[1].shape: vector of int wanted, got str"),
    (_tensor(shape=b"ab"), "subgraphs[1].tensors[1].shape: vector of int wanted, got bytes"),
    (_tensor(shape=5), "subgraphs[1].tensors[1].shape: vector of int wanted, got int"),
    (_tensor(shape=[[1, 2]]), "subgraphs[1].tensors[1].shape: vector of int wanted, got 2 dimensions"),
    (_tensor(shape=[[1], [2, 3]]), "subgraphs[1].tensors[1].shape: vector of int wanted, got list"),
    (_tensor(quantization=3), "subgraphs[1].tensors[1].quantization: QuantizationParameters wanted, got int"),
    (
        _tensor(sparsity=Table("Tensor")),
        "subgraphs[1].tensors[1].sparsity: SparsityParameters wanted, got Tensor",
    ),
    (_quant(scale=[1.0, 1e39]), "subgraphs[1].tensors[1].quantization.scale[1]: 1e+39 does not fit float"),
    (_quant(scale=["x"]), "subgraphs[1].tensors[1].quantization.scale: vector of float wanted, got <U1"),
    (
        _quant(zero_point=[2**63]),
        f"subgraphs[1].tensors[1].quantization.zero_point[0]: {2**63} does not fit long",
    ),
    (_quant(details=Table("Tensor")), "quantization.details: CustomQuantization or BlockwiseQuantization or"),
    (_buffer([256]), "buffers[0].data[0]: 256 does not fit ubyte (0 to 255)"),
    (
        _buffer(np.zeros(2, np.float32)),
        "buffers[0].data: float32 array where raw bytes belong; pass array.tobytes()",
    ),
    (_buffer("text"), "buffers[0].data: vector of ubyte wanted, got str"),
    (
        _operator(builtin_options=Table("Tensor")),
        "operators[0].builtin_options: one of the union's tables wanted, got Tensor",
    ),
    (
        _operator(builtin_options=b""),
        "operators[0].builtin_options: one of the union's tables wanted, got bytes",
    ),
    (
        _operator(builtin_options=Table("AddOptions"), builtin_options_type=1),
        "operators[0].builtin_options: AddOptions has the tag 11, but builtin_options_type is 1",
    ),
    (
        _operator(builtin_options=Table("SoftmaxOptions", beta=1e39)),
        "builtin_options.beta: 1e+39 does not fit float",
    ),
    (
        _operator(builtin_options=Table("SoftmaxOptions", beta="x")),
        "builtin_options.beta: float wanted, got str",
    ),
    (_operator(mutating_variable_inputs=[0, 2]), "mutating_variable_inputs[1]: 2 does not fit bool (0 to 1)"),
    (_operator(custom_options=5), "custom_options: vector of ubyte wanted, got int"),
    (Table("Model", buffers=5), "buffers: list of Buffer wanted, got int"),
    (Table("Model", buffers=[Table("Buffer"), None]), "buffers[1]: Buffer wanted, got NoneType"),
    (Table("Model", subgraphs=[5]), "subgraphs[0]: SubGraph wanted, got int"),
    (
        Table("Model", subgraphs=[Table("SubGraph", tensors=Table("Tensor"))]),
        "subgraphs[0].tensors: list of Tensor",
    ),
    (Table("Tensor"), "write() takes a Model table, got Tensor"),
    (b"", "write() takes a Model table, got bytes"),
]


@pytest.mark.parametrize(("model", "message"), BAD, ids=[message for _, message in BAD])
@pytest.mark.parametrize("external", [None, True])
def test_what_does_not_fit_is_named(model: Any, message: str, external: bool | None) -> None:
    """An error says where, what was given, and what would do."""
    with pytest.raises(SchemaError) as info:
        write(model, external_data=external)
    assert message in str(info.value)


def test_numpy_scalars_are_numbers() -> None:
    """Of any numpy type, as long as they fit."""
    table = Table(
        "Tensor", type=np.int64(9), buffer=np.uint8(1), is_variable=np.bool_(True), has_rank=np.int32(1)
    )
    model = read(write(Table("Model", subgraphs=[Table("SubGraph", tensors=[table])])))
    assert model.subgraphs[0].tensors[0] == Table("Tensor", type=9, buffer=1, is_variable=True, has_rank=True)


def _payload(data: bytes, buffer: Table) -> bytes:
    return data[buffer.offset : buffer.offset + buffer.size]


def test_external_data_follows_the_flatbuffer(small: Table) -> None:
    """Aligned to 16, found through offset and size; buffers without data stay as they are."""
    small.buffers += [Table("Buffer", data=b"\x07" * 33), Table("Buffer", data=b"")]
    data = write(small, external_data=True)
    model = read(data)
    assert [(b.has("data"), b.size) for b in model.buffers] == [
        (False, 0),
        (False, 2),
        (False, 33),
        (True, 0),
    ]
    assert [_payload(data, b) for b in model.buffers] == [b"", b"\x01\xfe", b"\x07" * 33, b""]
    assert all(b.offset % 16 == 0 for b in model.buffers)
    assert model.subgraphs == read(write(small)).subgraphs


def test_external_data_survives_a_round_trip(small: Table) -> None:
    """It stays outside, and comes back inside on request; data shared by two buffers is written once."""
    node = small.subgraphs[0].operators[0]
    node.custom_options = b"\x05" * 20
    small.buffers += [Table("Buffer", data=b"\x07" * 33)]
    model = read(write(small, external_data=True))
    model.buffers[0].offset, model.buffers[0].size = model.buffers[2].offset, model.buffers[2].size
    again = write(model)
    back = read(again)
    assert [_payload(again, b) for b in back.buffers] == [b"\x07" * 33, b"\x01\xfe", b"\x07" * 33]
    assert back.buffers[0].offset == back.buffers[2].offset
    inside = read(write(back, external_data=False))
    small.buffers[0].data = b"\x07" * 33
    assert inside == small


def test_large_custom_options_stay_with_their_file(small: Table) -> None:
    """The bytes that large_custom_options_* point at are kept, outside or inside."""
    node = small.subgraphs[0].operators[0]
    head = write(small)
    node.large_custom_options_offset, node.large_custom_options_size = 16, 3
    head = write(small)
    node.large_custom_options_offset = len(head)
    data = write(small) + b"abc"
    again = write(read(data))
    node = read(again).subgraphs[0].operators[0]
    start = node.large_custom_options_offset
    assert again[start : start + node.large_custom_options_size] == b"abc"
    node = read(write(read(data), external_data=False)).subgraphs[0].operators[0]
    assert bytes(node.custom_options) == b"abc"
    assert not node.has("large_custom_options_offset")


def test_weights_are_copied_a_few_times_at_most() -> None:
    """32 MiB of them cost at most four times that, and well under a second or two."""
    nbytes = 1 << 25
    model = Table(
        "Model",
        buffers=[Table("Buffer"), *(Table("Buffer", data=np.ones(nbytes // 4, np.uint8)) for _ in range(4))],
    )
    for external in (False, True):
        tracemalloc.start()
        start = time.process_time()
        data = write(model, external_data=external)
        seconds = time.process_time() - start
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert nbytes < len(data) < nbytes + 1000
        assert peak < 4 * nbytes
        assert seconds < 5


def test_too_much_for_a_flatbuffer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the builder's limit lowered, since 2 GiB are too many for a test."""
    monkeypatch.setattr(flatbuffers.Builder, "MAX_BUFFER_SIZE", 1 << 16)
    with pytest.raises(
        SchemaError, match=r"does not fit in the 2 GiB of a FlatBuffer; try external_data=True"
    ):
        write(Table("Model", buffers=[Table("Buffer", data=bytes(1 << 17))]))
