# SPDX-License-Identifier: Apache-2.0
"""Real models: round trips, and agreement with two readers and one writer that are not ours.

The oracles are LiteRT's generated Python classes (from ai-edge-litert) and `flatc`; each test skips without its own.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from sodalite_schema import (
    ENUMS,
    SchemaError,
    Table,
    enum_value,
    field_enum,
    read,
    table_kinds,
    union_members,
    vector_offset,
    write,
)
from sodalite_schema.format import SCALAR, STRING, TABLES, UNION, VECTOR, fields_of

SCHEMA = Path(__file__).resolve().parent.parent / "schema.fbs"
NOT_MODELS = {"invalid_model.tflite": "bytes 4 to 7 are", "test_model_broken.tflite": "bytes 4 to 7 are"}
DEPRECATED = {
    ("SignatureDef", "deprecated_tag"),
    ("ResizeBilinearOptions", "new_height"),
    ("ResizeBilinearOptions", "new_width"),
}


BITS = {"byte": 8, "short": 16, "int": 32, "long": 64}


def model_of(path: Path) -> tuple[bytes, Table]:
    """A file and its model; skips the two that are none, after checking that they are refused."""
    data = path.read_bytes()
    if path.name in NOT_MODELS:
        with pytest.raises(SchemaError, match=NOT_MODELS[path.name]):
            read(data)
        pytest.skip("not a model, and refused")
    return data, read(data)


@pytest.mark.models
def test_real_models_survive_a_round_trip(model_path: Path) -> None:
    """read -> write -> read is equal, buffer data is aligned to 16, and inside <-> outside loses nothing."""
    _, model = model_of(model_path)
    data = write(model)
    again = read(data)
    assert again == model
    for buffer in again.buffers:
        if buffer.data.size:
            start = vector_offset(buffer, "data")
            assert start % 16 == 0
            assert data[start : start + buffer.data.size] == buffer.data.tobytes()
    assert read(write(read(write(model, external_data=True)), external_data=False)) == model


@pytest.fixture(scope="module", name="litert")
def litert_fixture() -> Any:
    """LiteRT's generated classes."""
    return pytest.importorskip("ai_edge_litert.schema_py_generated")


def camel(name: str) -> str:
    """builtin_options_2_type -> builtinOptions2Type."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def same_as_litert(table: Table, other: Any, path: str) -> int:
    """Compare every field of *table* with LiteRT's object; how many fields were compared."""
    assert type(other).__name__ == table.kind + "T", path
    compared = 0
    for field in fields_of(table.kind):
        where = f"{path}.{field.name}"
        if (table.kind, field.name) in DEPRECATED:
            continue
        compared += 1
        ours, theirs = getattr(table, field.name), getattr(other, camel(field.name))
        if field.sort == SCALAR:
            assert ours == theirs or (ours != ours and theirs != theirs), where
        elif field.sort == STRING:
            assert ours == (None if theirs is None else theirs.decode()), where
        elif field.sort == VECTOR:
            assert np.array_equal(
                ours, [] if theirs is None else theirs, equal_nan=field.base == "float"
            ), where
        elif field.sort == TABLES:
            assert len(ours) == len(theirs or ()), where
            for i, (one, their) in enumerate(zip(ours, theirs or (), strict=True)):
                compared += same_as_litert(one, their, f"{where}[{i}]")
        else:
            assert (ours is None) == (theirs is None), where
            if ours is not None:
                compared += same_as_litert(ours, theirs, where)
    return compared


@pytest.mark.oracle
@pytest.mark.models
def test_litert_reads_the_same_from_real_models(model_path: Path, litert: Any) -> None:
    """Every field of every table."""
    data, model = model_of(model_path)
    assert same_as_litert(model, litert.ModelT.InitFromPackedBuf(data, 0), "model") > 10


@pytest.mark.oracle
def test_litert_reads_the_same_from_what_we_write(full: Table, litert: Any) -> None:
    """Every table of the schema."""
    data = write(full)
    assert same_as_litert(read(data), litert.ModelT.InitFromPackedBuf(data, 0), "model") > 1000


@pytest.mark.oracle
def test_we_read_what_litert_s_classes_write(small: Table, litert: Any) -> None:
    """A file by another writer, in another order."""
    builder = flatbuffers.Builder(0)
    builder.Finish(litert.ModelT.InitFromPackedBuf(write(small), 0).Pack(builder), b"TFL3")
    assert read(bytes(builder.Output())) == small


@pytest.mark.oracle
def test_enums_and_unions_are_litert_s(litert: Any) -> None:
    """The same names for the same numbers, in both directions; 'NONE' is not a member of ours."""
    for enum, members in ENUMS.items():
        theirs = {
            name: value for name, value in vars(getattr(litert, enum)).items() if not name.startswith("_")
        }
        assert dict(members) == theirs, enum
    for union in ("BuiltinOptions", "BuiltinOptions2", "QuantizationDetails", "SparseIndexVector"):
        theirs = {
            name: value for name, value in vars(getattr(litert, union)).items() if not name.startswith("_")
        }
        ours = {name: tag for tag, name in enumerate(("NONE", *union_members(union)))}
        assert ours == theirs, union


@pytest.mark.oracle
def test_slots_types_and_defaults_are_litert_s(litert: Any) -> None:
    """Slot, width and default of every field, as LiteRT's writer has them."""
    source = inspect.getsource(litert)
    starts = dict(
        re.findall(r"^def (\w+?)Start\(builder\):\n\s+builder\.StartObject\((\d+)\)", source, re.MULTILINE)
    )
    assert set(starts) == set(table_kinds())
    adds = re.findall(
        r"^def (\w+?)Add(\w+)\(builder, \w+\):\n\s+builder\.Prepend(\w+)Slot\((\d+), .*, ([^,()]+)\)$",
        source,
        re.MULTILINE,
    )
    theirs: dict[tuple[str, int], tuple[str, str, str]] = {}
    for table, name, what, slot, default in adds:
        kind, field = next(
            (kind, (table + "Add" + name)[len(kind) + 3 :])
            for kind in sorted(starts, key=len, reverse=True)
            if (table + "Add" + name).startswith(kind + "Add")
        )
        theirs[kind, int(slot)] = field, what, default
    spelled = {f"u{name}": f"Uint{bits}" for name, bits in BITS.items()} | {
        n: f"Int{bits}" for n, bits in BITS.items()
    }
    spelled |= {"float": "Float32", "double": "Float64", "bool": "Bool"}
    count = 0
    for kind in table_kinds():
        fields = fields_of(kind)
        assert int(starts[kind]) == len(fields), kind
        for slot, field in enumerate(fields):
            if (kind, field.name) in DEPRECATED:
                continue
            name, what, default = theirs.pop((kind, slot))
            assert name == camel("_" + field.name), kind
            assert what == (spelled[field.base] if field.sort == SCALAR else "UOffsetTRelative"), (kind, name)
            if field.sort == SCALAR:
                assert float(field.default) == float({"True": 1, "False": 0}.get(default, default)), (
                    kind,
                    name,
                )
            count += 1
    assert theirs == {}
    assert count > 300


@pytest.fixture(scope="module", name="flatc")
def flatc_fixture() -> str:
    """The FlatBuffers compiler."""
    found = shutil.which("flatc")
    if found is None or not SCHEMA.exists():
        pytest.skip("flatc is not installed (Debian: flatbuffers-compiler), or schema.fbs is not here")
    return found


def run(*command: str) -> None:
    """Run a command; its output in the error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def same_as_json(table: Table, other: dict[str, Any], path: str) -> None:
    """Compare every field of *table* with flatc's JSON, where absent fields are absent."""
    known = {field.name for field in fields_of(table.kind)}
    assert set(other) <= known, path
    for field in fields_of(table.kind):
        where, ours = f"{path}.{field.name}", getattr(table, field.name)
        if field.name not in other:
            assert not table.has(field.name) or ours == field.default, where
            continue
        theirs = other[field.name]
        if field.sort == SCALAR:
            if field.target in ENUMS and isinstance(theirs, str):
                theirs = enum_value(field.target, theirs)
            elif isinstance(theirs, str):  # a union's tag
                theirs = union_members(field.target).index(theirs) + 1
            assert ours == theirs or math.isclose(ours, theirs, rel_tol=1e-6), where
        elif field.sort == STRING:
            assert ours == theirs, where
        elif field.sort == VECTOR:
            enum = field_enum(table.kind, field.name)
            if enum is not None:
                theirs = [enum_value(enum, item) if isinstance(item, str) else item for item in theirs]
            assert ours.shape == (len(theirs),), where
            assert np.allclose(ours, theirs, rtol=1e-6, atol=0), where
        elif field.sort == TABLES:
            assert len(ours) == len(theirs), where
            for i, (one, their) in enumerate(zip(ours, theirs, strict=True)):
                same_as_json(one, their, f"{where}[{i}]")
        else:
            assert (
                field.sort != UNION
                or ours.kind == union_members(field.target)[getattr(table, field.name + "_type") - 1]
            )
            same_as_json(ours, theirs, where)


def test_flatc_accepts_the_schema(flatc: str, tmp_path: Path) -> None:
    """As the grammar that it claims to be."""
    run(flatc, "--python", "-o", str(tmp_path), str(SCHEMA))
    assert (tmp_path / "tflite" / "Model.py").exists()


def test_flatc_reads_the_same_from_what_we_write(
    flatc: str, full: Table, small: Table, tmp_path: Path
) -> None:
    """Every table of the schema, as strict JSON."""
    for name, model in (("full", full), ("small", small)):
        (tmp_path / f"{name}.tflite").write_bytes(write(model))
        run(
            flatc,
            "--json",
            "--raw-binary",
            "--strict-json",
            "-o",
            str(tmp_path),
            str(SCHEMA),
            "--",
            str(tmp_path / f"{name}.tflite"),
        )
        same_as_json(
            read(write(model)), json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")), "model"
        )


def test_we_read_what_flatc_writes(flatc: str, full: Table, tmp_path: Path) -> None:
    """Our file -> JSON -> flatc's file -> our reader."""
    (tmp_path / "m.tflite").write_bytes(write(full))
    run(
        flatc,
        "--json",
        "--raw-binary",
        "--strict-json",
        "-o",
        str(tmp_path),
        str(SCHEMA),
        "--",
        str(tmp_path / "m.tflite"),
    )
    (tmp_path / "m.tflite").unlink()
    run(flatc, "--binary", "-o", str(tmp_path), str(SCHEMA), str(tmp_path / "m.json"))
    again = read((tmp_path / "m.tflite").read_bytes())
    assert again == full
    assert all(vector_offset(buffer, "data") % 16 == 0 for buffer in again.buffers if buffer.has("data"))
