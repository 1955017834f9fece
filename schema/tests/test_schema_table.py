# SPDX-License-Identifier: Apache-2.0
"""`Table`, the enums and the field tables."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sodalite_schema
from sodalite_schema import (
    ENUMS,
    SchemaError,
    Table,
    enum_name,
    enum_value,
    field_defaults,
    field_enum,
    field_names,
    options_field,
    options_kind,
    read,
    table_kinds,
    union_members,
    vector_offset,
    write,
)

HERE = Path(__file__).resolve().parent


def test_the_generated_tables_are_those_of_schema_fbs() -> None:
    """`_tables.py` is what generate.py makes of schema.fbs today."""
    if not (HERE.parent / "generate.py").exists():
        pytest.skip("generate.py is only in a checkout")
    done = subprocess.run(
        [sys.executable, str(HERE.parent / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_full_model_leaves_nothing_out(full: Table) -> None:
    """The model that the other tests use has every kind of table, with every field present in some table."""
    present: dict[str, set[str]] = {}
    todo = [full]
    while todo:
        table = todo.pop()
        present.setdefault(table.kind, set()).update(name for name, _ in table.fields())
        for _, value in table.fields():
            todo += [
                item
                for item in (value if isinstance(value, (list, tuple)) else [value])
                if isinstance(item, Table)
            ]
    assert {kind: set(field_names(kind)) for kind in table_kinds()} == present


def test_absent_fields_read_as_the_schema_s_defaults() -> None:
    """Numbers as declared, None for one table or string, () for tables, an empty array for numbers."""
    tensor = Table("Tensor")
    assert (tensor.type, tensor.name, tensor.quantization, tensor.variant_tensors) == (0, None, None, ())
    assert tensor.shape.dtype == np.int32
    assert tensor.shape.size == 0
    assert not tensor.shape.flags.writeable
    assert Table("SubGraph").debug_metadata_index == -1
    assert Table("AddOptions").pot_scale_int16 is True
    assert Table("UniqueOptions").idx_out_type == ENUMS["TensorType"]["INT32"]
    assert field_defaults("OperatorCode") == {
        "deprecated_builtin_code": 0,
        "custom_code": None,
        "version": 1,
        "builtin_code": 0,
    }


def test_presence_is_not_the_value() -> None:
    """`has` and `fields` tell what was stored, whatever its value."""
    table = Table("Buffer", offset=0)
    assert table.has("offset")
    assert not table.has("data")
    assert list(table.fields()) == [("offset", 0)]
    del table.offset
    assert list(table.fields()) == []
    assert table.offset == 0


def test_fields_come_in_the_schema_s_order() -> None:
    """However they were set."""
    table = Table("Tensor", name="x", type=1, shape=[2])
    assert [name for name, _ in table.fields()] == ["shape", "type", "name"]


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    """On making, setting, reading and asking."""
    wanted = "Buffer has no field 'bytes'; it has data, offset, size"
    with pytest.raises(SchemaError) as made:
        Table("Buffer", bytes=b"")
    table = Table("Buffer")
    with pytest.raises(SchemaError) as stored:
        table.bytes = b""
    with pytest.raises(AttributeError) as got:
        _ = table.bytes
    with pytest.raises(SchemaError) as asked:
        table.has("bytes")
    assert [str(info.value) for info in (made, stored, got, asked)] == [wanted] * 4
    with pytest.raises(SchemaError, match="it has none"):
        Table("AbsOptions", x=1)
    with pytest.raises(SchemaError, match="no table 'Tenser'"):
        Table("Tenser")


def test_no_field_hides_a_member_of_table() -> None:
    """`kind`, `has`, `fields` and `position` mean the same for every kind."""
    members = {name for name in dir(Table) if not name.startswith("__")}
    assert {(kind, name) for kind in table_kinds() for name in field_names(kind) if name in members} == set()


def test_a_union_field_sets_its_tag() -> None:
    """And a tag that is given wins, so that a contradiction can be seen when it is written."""
    node = Table("Operator", builtin_options=Table("SoftmaxOptions", beta=1.0))
    assert node.builtin_options_type == 9
    node.builtin_options = Table("AddOptions")
    assert node.builtin_options_type == 11
    node.builtin_options = None
    assert node.builtin_options_type == 0
    assert (
        Table("Operator", builtin_options_type=3, builtin_options=Table("AddOptions")).builtin_options_type
        == 3
    )


def test_tables_are_equal_by_value() -> None:
    """Lists, arrays and bytes are equal to each other, an absent field to its default, NaN to NaN."""
    assert Table("Buffer", data=b"\x01\x02") == Table("Buffer", data=np.array([1, 2], np.uint8))
    assert Table("Tensor", shape=[1, 2], type=0) == Table("Tensor", shape=np.array([1, 2], np.int32))
    assert Table("Tensor", shape=[1, 2]) != Table("Tensor", shape=[2, 1])
    assert Table("Tensor", shape=[1]) != Table("Tensor", shape=[1, 1])
    assert Table("Tensor", shape=[]) == Table("Tensor")
    assert Table("Model", buffers=[Table("Buffer")]) == Table("Model", buffers=(Table("Buffer"),))
    assert Table("Model", buffers=[Table("Buffer")]) != Table("Model")
    assert Table("AbsOptions") != Table("AddNOptions")
    assert Table("SoftmaxOptions", beta=float("nan")) == Table("SoftmaxOptions", beta=float("nan"))
    assert Table("QuantizationParameters", scale=[float("nan")]) == Table(
        "QuantizationParameters", scale=[float("nan")]
    )
    assert Table("Tensor", name=None) == Table("Tensor")
    assert Table("Tensor") != "Tensor"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Table("Tensor"))


def test_copies_and_pickles_are_equal_and_apart(small: Table) -> None:
    """Also of tables that are views of a file."""
    model = read(write(small))
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin == model
        twin.version = 4
        assert model.version == 3
        assert twin.position == -1


def test_repr_is_one_line_and_escapes_names() -> None:
    """Whatever a file has put into its strings."""
    table = Table(
        "Tensor", name="a\n\x1b[31m", shape=list(range(100)), quantization=Table("QuantizationParameters")
    )
    assert repr(table).isprintable()
    assert repr(Table("Buffer", data=np.zeros(100, np.uint8))) == "Buffer(data=<100 uint8>)"
    assert repr(Table("Buffer", data=bytes(100))) == "Buffer(data=<100 bytes>)"
    assert (
        repr(Table("Model", version=3, buffers=[Table("Buffer")])) == "Model(version=3, buffers=<1 Buffer>)"
    )
    assert repr(Table("Operator", builtin_options=Table("AbsOptions"))).endswith(
        "builtin_options=AbsOptions())"
    )


def test_vector_offset_finds_views_only(small: Table) -> None:
    """A view of the file has a place in it; a list, a default or a replacement has none."""
    data = write(small)
    model = read(memoryview(data))
    start = vector_offset(model.buffers[1], "data")
    assert data[start : start + 2] == b"\x01\xfe"
    assert start % 16 == 0
    shape = model.subgraphs[0].tensors[0]
    at = vector_offset(shape, "shape")
    assert np.frombuffer(data, "<i4", 2, at).tolist() == [1, 2]
    assert vector_offset(model.buffers[0], "data") == -1
    model.buffers[1].data = np.zeros(2, np.uint8)
    assert vector_offset(model.buffers[1], "data") == -1
    assert vector_offset(small.buffers[1], "data") == -1
    assert vector_offset(model, "description") == -1


def test_enums_by_name_and_number() -> None:
    """In both directions; an unknown number is its digits, an unknown name an error with near ones."""
    assert enum_name("BuiltinOperator", 3) == "CONV_2D"
    assert enum_value("BuiltinOperator", "CONV_2D") == 3
    assert enum_name("BuiltinOperator", 209) == "STABLEHLO_CASE"
    assert len(ENUMS["BuiltinOperator"]) == 210
    assert enum_name("TensorType", 200) == "200"
    assert enum_name("TensorType", -1) == "-1"
    with pytest.raises(SchemaError, match=r"no TensorType member 'INT88' in the schema; near it: INT8"):
        enum_value("TensorType", "INT88")
    with pytest.raises(SchemaError, match="no enum 'TensorTyp' in the schema; near it: TensorType"):
        enum_name("TensorTyp", 0)
    with pytest.raises(TypeError):
        ENUMS["TensorType"]["X"] = 1  # type: ignore[index]


def test_unions_and_options() -> None:
    """Tags are positions from 1; every operator's options are a member of the union that its field holds."""
    assert union_members("BuiltinOptions")[:2] == ("Conv2DOptions", "DepthwiseConv2DOptions")
    assert [len(union_members(union)) for union in ("BuiltinOptions", "BuiltinOptions2")] == [126, 23]
    assert options_kind("MAX_POOL_2D") == "Pool2DOptions"
    assert options_kind("RELU") is None
    assert options_field("RELU") is None
    assert options_field("CONV_2D") == "builtin_options"
    assert options_field("STABLEHLO_CASE") == "builtin_options_2"
    with pytest.raises(SchemaError, match="CONV2D"):
        options_kind("CONV2D")
    for op in ENUMS["BuiltinOperator"]:
        kind, field = options_kind(op), options_field(op)
        assert (kind is None) == (field is None)
        if field is not None:
            assert kind in union_members({"builtin_options": "BuiltinOptions"}.get(field, "BuiltinOptions2"))
    with pytest.raises(SchemaError, match="no union 'Options'"):
        union_members("Options")


def test_fields_know_their_enums() -> None:
    """So that a printer can name values."""
    assert field_enum("Tensor", "type") == "TensorType"
    assert field_enum("Tensor", "shape") is None
    assert field_enum("Operator", "builtin_options") is None
    assert field_enum("StablehloDotGeneralOptions", "precision_config") == "StablehloPrecisionConfig"
    with pytest.raises(SchemaError, match="no field of Tensor 'typ'"):
        field_enum("Tensor", "typ")
    with pytest.raises(SchemaError, match="no table 'Tenso' in the schema; near it: Tensor"):
        field_names("Tenso")


def test_the_package_imports_no_flatbuffers() -> None:
    """Reading needs numpy alone."""
    code = "import sys, sodalite_schema; assert 'flatbuffers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_public_is_there() -> None:
    """`__all__` is sorted and true."""
    assert list(sodalite_schema.__all__) == sorted(sodalite_schema.__all__)
    assert all(hasattr(sodalite_schema, name) for name in sodalite_schema.__all__)


def test_the_readme_s_first_listing_runs() -> None:
    """And prints what the README says."""
    parts = (HERE.parent / "README.md").read_text(encoding="utf-8").split("```")
    done = subprocess.run(
        [sys.executable, "-c", parts[1].removeprefix("python")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == parts[3].removeprefix("text").strip()
