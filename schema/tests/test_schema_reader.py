# SPDX-License-Identifier: Apache-2.0
"""The reader believes nothing: each hostile file is refused by a SchemaError that names the place, soon and cheaply."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sodalite_schema import (
    ReadLimits,
    SchemaError,
    Table,
    field_names,
    read,
    table_kinds,
    vector_offset,
    write,
)
from sodalite_schema.format import TABLE, TABLES, UNION, UNIONS, fields_of


def refusal(data: Any, **limits: Any) -> str:
    """The text with which *data* is refused."""
    with pytest.raises(SchemaError) as info:
        read(data, limits=ReadLimits(**limits))
    return str(info.value)


def slot(data: bytes, table: Table, field: str) -> int:
    """Where in *data* the vtable of *table* holds the place of *field*."""
    names = field_names(table.kind)
    return table.position - struct.unpack_from("<i", data, table.position)[0] + 4 + 2 * names.index(field)


def place(data: bytes, table: Table, field: str) -> int:
    """Where in *data* the number or offset of *field* lies."""
    return int(table.position + struct.unpack_from("<H", data, slot(data, table, field))[0])


def patched(data: bytes, form: str, at: int, value: int) -> bytes:
    """*data* with one number replaced."""
    out = bytearray(data)
    struct.pack_into(form, out, at, value)
    return bytes(out)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "it looks like a PNG image"),
        (b"PK\x03\x04" + bytes(20), "it looks like a ZIP archive"),
        (b"\n<html>" + bytes(20), "it looks like an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1c\x00\x00\x00TFL", "bytes 4 to 7 are b'TFL', not b'TFL3' (file 7 bytes)"),
        (b"\x1c\x00\x00\x00TFL2" + bytes(30), "bytes 4 to 7 are b'TFL2', not b'TFL3' (file 38 bytes)"),
    ],
)
def test_what_is_no_model(data: bytes, message: str) -> None:
    """A wrong identifier is answered with what the file is instead, if that is plain."""
    assert refusal(data).startswith("not a .tflite file: ")
    assert message in refusal(data)


@pytest.mark.parametrize("root", [0, 4, 6, 9, 29, 1 << 20, 2**32 - 4])
def test_a_root_outside_the_file(root: int) -> None:
    """The first offset of all."""
    assert refusal(struct.pack("<I4s28x", root, b"TFL3")).startswith(
        f"root table at offset {root:,} is outside"
    )


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_many_buffers_are_read_and_never_written(kind: Callable[[bytes], Any], small: Table) -> None:
    """Views are read-only, also of memory that is not."""
    model = read(kind(write(small)))
    assert model == small
    with pytest.raises(ValueError, match="read-only"):
        model.buffers[1].data[0] = 0


def test_what_is_no_buffer() -> None:
    """A wrong argument is a SchemaError too."""
    assert refusal("model.tflite").startswith("cannot read a model from str: ")
    assert refusal(np.zeros(100, np.uint8)[::2]).startswith("cannot read a model from ndarray: ")
    assert refusal(np.zeros(0, np.uint8)) == "not a .tflite file: it is empty"


def test_bytes_after_the_flatbuffer_are_no_business_of_the_reader(small: Table) -> None:
    """Metadata tools append ZIP archives."""
    assert read(write(small) + b"PK\x03\x04 anything at all") == small


def test_the_error_of_the_brochure(small: Table) -> None:
    """Path, what is wrong, and where."""
    data = write(small)
    tensor = read(data).subgraphs[0].tensors[2]
    at = vector_offset(tensor, "shape") - 4
    assert refusal(patched(data, "<I", at, 4096)) == (
        f"subgraphs[0].tensors[2].shape: length 4,096 runs past the end of the file "
        f"(offset {at:,}, file {len(data):,} bytes)"
    )


@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize(
    ("path", "find"),
    [
        ("description", lambda m: (m, "description")),
        ("subgraphs", lambda m: (m, "subgraphs")),
        (
            "subgraphs[0].tensors[1].quantization.scale",
            lambda m: (m.subgraphs[0].tensors[1].quantization, "scale"),
        ),
        ("buffers[1].data", lambda m: (m.buffers[1], "data")),
    ],
)
def test_huge_lengths(
    small: Table, length: int, path: str, find: Callable[[Table], tuple[Table, str]]
) -> None:
    """Compared with what is left of the file before anything is made."""
    data = write(small)
    at = place(data, *find(read(data)))
    at += struct.unpack_from("<I", data, at)[0]
    text = refusal(patched(data, "<I", at, length))
    assert text.startswith(f"{path}: length {length:,} runs past the end of the file")


@pytest.mark.parametrize("offset", [0, 1, 2, 2**20, 2**31, 2**32 - 4])
def test_offsets_that_lead_astray(small: Table, offset: int) -> None:
    """Out of the file, to themselves, or between words."""
    data = write(small)
    model = read(data)
    at = place(data, model.subgraphs[0].tensors[1], "quantization")
    assert refusal(patched(data, "<I", at, offset)).startswith(
        f"subgraphs[0].tensors[1].quantization: offset leads to byte {at + offset:,}, outside the file, to itself or mis"
    )
    at = place(data, model, "buffers")
    at += struct.unpack_from("<I", data, at)[0] + 8
    assert refusal(patched(data, "<I", at, offset)).startswith(
        f"buffers[1]: offset leads to byte {at + offset:,}"
    )


def test_vtables_that_lead_astray(small: Table) -> None:
    """Out of the file at either end, or at an odd place."""
    data = write(small)
    at = read(data).subgraphs[0].operators[0].position
    for offset in (2**31 - 1, -(2**31), at + 4, at - len(data) + 2, 1):
        text = refusal(patched(data, "<i", at, offset))
        assert text == (
            f"subgraphs[0].operators[0]: vtable at offset {at - offset:,} is outside the file or misaligned "
            f"(table at {at:,})"
        )


def test_vtables_that_lie(small: Table) -> None:
    """Too short, odd, past the end of the file, or for a table without room for its own offset."""
    data = write(small)
    model = read(data)
    vtable = slot(data, model, "version") - 4
    for at, value in ((vtable, 2), (vtable, 7), (vtable, 65534), (vtable + 2, 3)):
        assert "vtable of " in refusal(patched(data, "<H", at, value))
    assert "bytes runs past the end of the file" in refusal(patched(data, "<H", vtable + 2, 65535))


def test_fields_outside_their_table(small: Table) -> None:
    """Past the file's end, over the table's vtable offset, over another field, or misaligned."""
    data = write(small)
    tensor = read(data).subgraphs[0].tensors[1]
    name = place(data, tensor, "name") - tensor.position
    for value, message in (
        (1, "lies at byte 1 of its table, over another field or the table's start"),
        (2000, "table of 2004 bytes runs past the end of the file"),
        (name, "over another field"),
    ):
        text = refusal(patched(data, "<H", slot(data, tensor, "shape"), value))
        assert text.startswith("subgraphs[0].tensors[1]")
        assert message in text
    options = read(data).subgraphs[0].operators[0]
    at = slot(data, options, "inputs")
    wrong = struct.unpack_from("<H", data, at)[0] + 1
    assert "over another field" in refusal(patched(data, "<H", at, wrong)) or "misaligned" in refusal(
        patched(data, "<H", at, wrong)
    )


def test_a_table_whose_size_is_understated(small: Table) -> None:
    """FlatBuffers 2.0 for Python writes such files; the fields count, as they do for C++ readers."""
    data = write(small)
    vtable = slot(data, read(data), "version") - 4
    assert read(patched(data, "<H", vtable + 2, 4)) == small


def test_misaligned_vectors_and_tables(small: Table) -> None:
    """Elements of 8 bytes at multiples of 8; tables with 8-byte fields likewise."""
    small.subgraphs[0].tensors[0].quantization = Table("QuantizationParameters", zero_point=[1, 2])
    small.buffers[1] = Table("Buffer", offset=16, size=2)
    data = write(small)
    model = read(data)
    at = place(data, model.subgraphs[0].tensors[0].quantization, "zero_point")
    offset = struct.unpack_from("<I", data, at)[0]
    text = refusal(patched(data, "<I", at, offset + 4))
    assert text.startswith("subgraphs[0].tensors[0].quantization.zero_point: ")
    assert "misaligned" in text or "runs past" in text
    at = slot(data, model.buffers[1], "size")
    assert "buffers[1].size: lies at byte" in refusal(patched(data, "<H", at, 6))


def test_bad_union_tags(small: Table) -> None:
    """NONE with a table, a tag past the last member; a tag alone is as good as no options."""
    data = write(small)
    node = read(data).subgraphs[0].operators[0]
    at = place(data, node, "builtin_options_type")
    for tag in (0, 127, 255):
        assert refusal(patched(data, "<B", at, tag)) == (
            f"subgraphs[0].operators[0].builtin_options_type: {tag} is no member of BuiltinOptions (1 to 126)"
        )
    lone = read(patched(data, "<H", slot(data, node, "builtin_options"), 0)).subgraphs[0].operators[0]
    assert (lone.builtin_options, lone.builtin_options_type) == (None, 11)


def test_another_member_s_table_is_read_as_the_tag_says(small: Table) -> None:
    """A tag within the union decides; the table's fields must fit it."""
    data = write(small)
    at = place(data, read(data).subgraphs[0].operators[0], "builtin_options_type")
    options = read(patched(data, "<B", at, 21)).subgraphs[0].operators[0].builtin_options
    assert options.kind == "MulOptions"
    assert "builtin_options.stride_w: lies at byte" in refusal(patched(data, "<B", at, 1))


def test_bad_strings(small: Table) -> None:
    """Not UTF-8, or without the zero byte at their end."""
    data = write(small)
    model = read(data)
    at = place(data, model, "description")
    at += struct.unpack_from("<I", data, at)[0]
    assert refusal(patched(data, "<B", at + 5, 0xFF)) == (
        f"description: string is not UTF-8: invalid start byte at byte 1 (offset {at:,})"
    )
    assert refusal(patched(data, "<B", at + 9, 1)) == (
        f"description: string of 5 bytes does not end in a zero byte (offset {at:,})"
    )


def test_bools_that_are_not_0_or_1() -> None:
    """FlatBuffers calls every other byte true; numpy would be confused by them."""
    node = Table("Operator", mutating_variable_inputs=[False, True, False])
    data = write(Table("Model", subgraphs=[Table("SubGraph", operators=[node])]))
    at = vector_offset(read(data).subgraphs[0].operators[0], "mutating_variable_inputs")
    bad = read(patched(data, "<B", at, 2)).subgraphs[0].operators[0].mutating_variable_inputs
    assert bad.tolist() == [True, True, False]
    assert bad.view(np.uint8).tolist() == [1, 1, 0]
    assert not bad.flags.writeable


def test_fields_of_a_newer_schema_are_skipped(small: Table) -> None:
    """A vtable longer than ours, with fields that we do not know."""
    data = write(small)
    model = read(data)
    old = model.buffers[0].position
    # A Buffer of 4 fields, of which the last, at byte 4, is new; placed after the file, its vtable before it.
    table = len(data) + -len(data) % 4 + 12
    data += (
        bytes(table - 12 - len(data)) + struct.pack("<HHHHHH", 12, 8, 0, 0, 0, 4) + struct.pack("<iI", 12, 7)
    )
    at = place(data, model, "buffers")
    at += struct.unpack_from("<I", data, at)[0] + 4
    assert at + struct.unpack_from("<I", data, at)[0] == old
    again = read(patched(data, "<I", at, table - at))
    assert again.buffers[0].position == table
    assert again == small


def test_depth_is_limited(full: Table) -> None:
    """The format itself nests six deep: Model, SubGraph, Tensor, SparsityParameters, DimensionMetadata, Int32Vector."""
    data = write(full)
    assert read(data, limits=ReadLimits(depth=6)) == full
    text = refusal(data, depth=5)
    assert "sparsity.dim_metadata[0].array_" in text
    assert text.endswith(": tables are nested more than 5 deep")


def test_the_format_cannot_nest_in_itself() -> None:
    """No kind of table can reach itself, so that no file can make the reader recurse for ever."""

    def depth(kind: str, above: tuple[str, ...]) -> int:
        assert kind not in above
        below = [0]
        for field in fields_of(kind):
            kinds = UNIONS[field.target] if field.sort == UNION else (field.target,)
            if field.sort in (TABLE, TABLES, UNION):
                below += [depth(child, (*above, kind)) for child in kinds]
        return 1 + max(below)

    assert max(depth(kind, ()) for kind in table_kinds()) == depth("Model", ()) == 6


def test_limits_count_tables_and_bytes(small: Table) -> None:
    """Exactly what the model has: 1 + 1 + 2 + 1 + 3 + 3 + 1 + 1 tables."""
    data = write(small)
    assert read(data, limits=ReadLimits(tables=13)) == small
    assert "passes the limit on tables (see ReadLimits)" in refusal(data, tables=12)
    assert "passes the limit on nbytes (see ReadLimits)" in refusal(data, nbytes=60)


# A file up to its `buffers`: offset of the root table (24), identifier, its vtable, the table, offset of the vector (32).
HEAD = struct.pack("<I4s 7H 2x iI", 24, b"TFL3", 14, 8, 0, 0, 0, 0, 4, 16, 4)


def bomb(references: int) -> bytes:
    """A model whose `buffers` are all one empty table."""
    first = len(HEAD) + 4
    table = first + 4 * references + 4
    offsets = table - np.arange(first, first + 4 * references, 4)
    return (
        HEAD + struct.pack("<I", references) + offsets.astype("<u4").tobytes() + struct.pack("<HHi", 4, 4, 4)
    )


def test_a_table_shared_a_million_times() -> None:
    """Refused before the first of them is read; a few are read as they are."""
    assert read(bomb(3)).buffers == (Table("Buffer"),) * 3
    start = time.process_time()
    tracemalloc.start()
    text = refusal(bomb(1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text.startswith("buffers: the file of 4,000,044 bytes passes the limit on tables")
    assert peak < 20_000_000
    assert time.process_time() - start < 1


def test_a_long_string_shared_by_many() -> None:
    """1,000 descriptions of 1 MB in a file of 1 MB would be 1 GB."""
    names = [Table("Metadata", name="x") for _ in range(1000)]
    data = bytearray(write(Table("Model", metadata=names, description="y" * 1_000_000)))
    model = read(bytes(data))
    at = place(data, model, "description")
    target = at + struct.unpack_from("<I", data, at)[0]
    for table in model.metadata:
        at = place(data, table, "name")
        if target > at:
            struct.pack_into("<I", data, at, target - at)
    text = refusal(bytes(data))
    assert text.startswith("metadata[")
    assert "passes the limit on nbytes" in text


def test_a_square_of_shared_tables() -> None:
    """n subgraphs that are one, with n tensors that are one: n * n tables in a file of 8 n bytes."""
    n = 2000
    graphs = [
        Table("SubGraph", tensors=[Table("Tensor") for _ in range(n)]),
        *(Table("SubGraph") for _ in range(n)),
    ]
    data = bytearray(write(Table("Model", subgraphs=graphs)))
    model = read(bytes(data))
    big = model.subgraphs[0].position
    vector = place(data, model, "subgraphs")
    vector += struct.unpack_from("<I", data, vector)[0]
    for i in range(n + 1):
        at = vector + 4 + 4 * i
        struct.pack_into("<I", data, at, (big - at) % 2**32)
    start = time.process_time()
    refusal(bytes(data))
    assert time.process_time() - start < 2


def test_many_different_vtables() -> None:
    """Compiling plans is bounded too."""
    n = 5000
    first = len(HEAD) + 4
    offsets = np.arange(n) * 8 + (first + 4 * n + 4) - (first + 4 * np.arange(n))
    tables = b"".join(struct.pack("<HHi", 4, 4 + i, 4) for i in range(n))  # each table one byte longer
    data = HEAD + struct.pack("<I", n) + offsets.astype("<u4").tobytes() + tables + bytes(n)
    start = time.process_time()
    assert refusal(data, nbytes=1 << 30).endswith("more than 4,096 different vtables")
    assert time.process_time() - start < 2


def check(data: bytes) -> bool:
    """Whether *data* is read; if it is, everything in it can be walked, printed, compared and written."""
    try:
        model = read(data)
    except SchemaError as error:
        assert str(error)
        return False
    assert repr(model)
    nodes = [node for graph in model.subgraphs for node in graph.operators]
    outside = [buffer.offset for buffer in model.buffers] + [
        node.large_custom_options_offset for node in nodes
    ]
    again = read(write(model))
    assert any(outside) or again == model
    return True


def test_every_truncation(small: Table, full: Table) -> None:
    """At every byte of the small model, at every 100th of the full one."""
    data = write(small)
    assert [check(data[:size]) for size in range(len(data))] == [False] * len(data)
    data = write(full)
    for size in range(0, len(data), 100):
        check(data[:size])


@pytest.mark.slow
def test_every_bit_flip(small: Table) -> None:
    """Each bit of the small model."""
    data = write(small)
    read_anyway = 0
    for at in range(len(data)):
        for bit in range(8):
            read_anyway += check(patched(data, "<B", at, data[at] ^ 1 << bit))
    assert 0 < read_anyway < 8 * len(data)


@pytest.mark.slow
def test_random_words(full: Table) -> None:
    """Words of the full model replaced by others; and noise behind a right identifier."""
    data = write(full)
    rng = np.random.default_rng(20240607)
    for _ in range(300):
        words = np.frombuffer(data[: len(data) & ~3], "<u4").copy()
        for at in rng.integers(0, words.size, rng.integers(1, 4)):
            old = int(words[at])
            new = [0, 1, 4, 2**31, 2**32 - 1, old + 4, old - 4, int(rng.integers(0, 2**32))]
            words[at] = new[rng.integers(0, len(new))] % 2**32
        check(words.tobytes())
    for _ in range(300):
        check(
            struct.pack("<I4s", 8 + 4 * int(rng.integers(0, 30)), b"TFL3")
            + rng.integers(0, 16, 200, np.uint8).tobytes()
        )


def test_reading_is_fast() -> None:
    """2,000 tensors with quantisation and data, 1,000 operators: 8,000 tables in well under half a second."""
    quant = Table("QuantizationParameters", scale=[0.5], zero_point=[3])
    tensors = [
        Table("Tensor", name=f"t{i}", shape=[1, 2], buffer=i + 1, quantization=quant) for i in range(2000)
    ]
    nodes = [
        Table("Operator", inputs=[i], outputs=[i + 1], builtin_options=Table("Conv2DOptions", stride_w=1))
        for i in range(1000)
    ]
    buffers = [Table("Buffer", data=bytes(16)) for _ in range(2001)]
    data = write(
        Table("Model", subgraphs=[Table("SubGraph", tensors=tensors, operators=nodes)], buffers=buffers)
    )
    start = time.process_time()
    model = read(data)
    assert time.process_time() - start < 0.5
    assert len(model.subgraphs[0].tensors) == 2000
