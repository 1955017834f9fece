# SPDX-License-Identifier: Apache-2.0
"""Random models round-trip; random damage gives a SchemaError or a model."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sodalite_schema import SchemaError, Table, read, table_kinds, write
from sodalite_schema.format import SCALAR, STRING, TABLE, TABLES, UNIONS, VECTOR, Field, fields_of

BUDGET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
RANGES = {
    f"{sign}{name}": bits
    for name, bits in (("byte", 8), ("short", 16), ("int", 32), ("long", 64))
    for sign in ("", "u")
}


def numbers(base: str) -> st.SearchStrategy[Any]:
    """Any number of a base type."""
    if base == "bool":
        return st.booleans()
    if base in ("float", "double"):
        return st.floats(width=32 if base == "float" else 64)
    bits = RANGES[base]
    signed = base in ("byte", "short", "int", "long")
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


@st.composite
def tables(draw: st.DrawFn, kind: str) -> Table:
    """Any table of *kind*, with any of its fields."""
    table = Table(kind)
    for field in fields_of(kind):
        if (field.target in UNIONS and field.sort == SCALAR) or (kind == "Buffer" and field.name != "data"):
            continue
        if draw(st.booleans()):
            setattr(table, field.name, draw(values(field)))
    return table


def values(field: Field) -> st.SearchStrategy[Any]:
    """Any value of *field*."""
    if field.sort == SCALAR:
        return numbers(field.base)
    if field.sort == VECTOR:
        return st.binary(max_size=40) if field.base == "ubyte" else st.lists(numbers(field.base), max_size=5)
    if field.sort == STRING:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    if field.sort == TABLE:
        return tables(field.target)
    if field.sort == TABLES:
        return st.lists(tables(field.target), max_size=3)
    return st.sampled_from(UNIONS[field.target]).flatmap(tables)


@BUDGET
@given(tables("Model"), st.sampled_from([None, False, True]))
def test_any_model_reads_back(model: Table, external: bool | None) -> None:
    """Whatever fields it has; data outside the FlatBuffer has the same bytes."""
    again = read(write(model, external_data=external))
    if external:
        again = read(write(again, external_data=False))
        for buffer in again.buffers:
            assert not buffer.has("offset")
    assert again == model


@BUDGET
@given(st.sampled_from([kind for kind in table_kinds() if kind.endswith("Options")]).flatmap(tables))
def test_any_options_read_back(options: Table) -> None:
    """Options of any operator."""
    field = "builtin_options" if options.kind in UNIONS["BuiltinOptions"] else "builtin_options_2"
    model = Table("Model", subgraphs=[Table("SubGraph", operators=[Table("Operator", **{field: options})])])
    assert getattr(read(write(model)).subgraphs[0].operators[0], field) == options


@BUDGET
@given(
    tables("Model"), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_any_damage_is_refused_or_read(model: Table, edits: list[tuple[int, int]]) -> None:
    """Never another exception; what is read can be printed and written."""
    data = bytearray(write(model))
    for at, byte in edits:
        data[at % len(data)] = byte
    try:
        again = read(data)
    except SchemaError:
        return
    assert repr(again)
    write(again)


@BUDGET
@given(st.binary(max_size=400))
def test_noise_is_refused_or_read(noise: bytes) -> None:
    """Behind a right identifier, so that it is looked at."""
    try:
        read(b"\x10\x00\x00\x00TFL3" + noise)
    except SchemaError as error:
        assert str(error)
