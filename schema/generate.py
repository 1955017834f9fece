# SPDX-License-Identifier: Apache-2.0
"""Turn schema.fbs into src/sodalite_schema/_tables.py.

Run it after every change to schema.fbs. With --check it writes nothing and fails if the committed file is stale.

What it writes, for `format.py` to read, has one declaration a line:

OPERATORS, in the order of their codes: `name`, or `name:[tag][=Kind] fields` if there is a table of options. The tag is its
number in BuiltinOptions, counted on through BuiltinOptions2 (FIRST_UNION is how many are in the first); without one it is
one more than on the last line that had any. The table is called KindOptions, or after its first operator (CONV_2D:
Conv2DOptions), where its fields stand. ENUMS: name, base type, members from 0. UNIONS: name, members from 1. TABLES: name,
fields. A field is `name[:type][=default]`, in slot order; without a type it is an int, and a union takes two slots.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "schema.fbs"
TARGET = HERE / "src" / "sodalite_schema" / "_tables.py"

_DECLARATION = re.compile(r"(enum|union|table)\s+(\w+)\s*(?::\s*(\w+)\s*)?\{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"(\w+)\s*:\s*(\[?\w+\]?)\s*(?:=\s*([\w.+-]+)\s*)?(?:\(([^)]*)\))?")
_SCALARS = ("bool", "byte", "ubyte", "short", "ushort", "int", "uint", "long", "ulong", "float", "double")

_HEADER = '''\
"""The format, a declaration a line. Made by generate.py, which explains it, from schema.fbs: change that."""
'''


def strip_comments(text: str) -> str:
    """*text* without its // comments (the format has no strings that contain //)."""
    return re.sub(r"//[^\n]*", "", text)


def parse(text: str) -> dict[str, Any]:
    """schema.fbs -> the values of _tables.py."""
    declarations = _DECLARATION.findall(strip_comments(text))
    enums = {name: _members(name, body) for what, name, _, body in declarations if what == "enum"}
    unions = {name: re.findall(r"\w+", body) for what, name, _, body in declarations if what == "union"}
    known = {name for _, name, _, _ in declarations} | set(_SCALARS) | {"string"}
    tables = {
        name: _fields(name, body, enums, known) for what, name, _, body in declarations if what == "table"
    }
    first, options = len(unions["BuiltinOptions"]), unions.pop("BuiltinOptions") + unions.pop("BuiltinOptions2")
    kinds = dict(re.findall(r"^  (\w+) = \d+,  // (\w+)$", text, re.MULTILINE))
    return {
        "FIRST_UNION": first,
        "TABLES": [" ".join([kind, *fields]) for kind, fields in tables.items() if kind not in options],
        "UNIONS": [" ".join([name, *members]) for name, members in unions.items()],
        "OPERATORS": _operators(enums.pop("BuiltinOperator"), kinds, options, tables),
        "ENUMS": [
            " ".join([name, base, *enums[name]])
            for what, name, base, _ in declarations
            if what == "enum" and name in enums
        ],
    }


def _operators(
    names: list[str], kinds: dict[str, str], options: list[str], tables: dict[str, list[str]]
) -> list[str]:
    """The lines of OPERATORS."""
    unused = set(options) - set(kinds.values())
    if unused:
        raise SystemExit(f"tables of options that no operator names: {', '.join(sorted(unused))}")
    lines, last, seen = [], 0, set()
    for name in names:
        if name not in kinds:
            lines.append(name)
            continue
        kind, number = kinds[name], options.index(kinds[name]) + 1
        head, fields = f"{name}:" + (str(number) if kind in seen or number != last + 1 else ""), []
        if kind not in seen:
            fields = tables[kind]
            if kind != name.title().replace("_", "") + "Options":
                head += f"={kind.removesuffix('Options')}"
        lines.append(" ".join([head, *fields]))
        last = number
        seen.add(kind)
    return lines


def _members(name: str, body: str) -> list[str]:
    """The names of an enum; their values must be 0, 1, 2, ..."""
    pairs = re.findall(r"(\w+)\s*=\s*(-?\d+)", body)
    if [int(value) for _, value in pairs] != list(range(len(pairs))):
        raise SystemExit(f"enum {name}: values must be 0, 1, 2, ... in order")
    return [member for member, _ in pairs]


def _fields(table: str, body: str, enums: dict[str, list[str]], known: set[str]) -> list[str]:
    """The fields of a table as `name[:type][=default]`; a forced alignment is the writer's business."""
    fields = []
    for statement in filter(str.strip, body.split(";")):
        match = _FIELD.fullmatch(statement.strip())
        if match is None:
            raise SystemExit(f"table {table}: cannot read {statement.strip()!r}")
        name, kind, default, attributes = match.groups()
        bare = kind.strip("[]")
        if bare not in known:
            raise SystemExit(f"table {table}: field {name} has the unknown type {bare}")
        align = re.fullmatch(r"force_align:\s*(\d+)", attributes) if attributes else None
        if attributes and align is None:
            raise SystemExit(f"table {table}: field {name} has the unknown attribute ({attributes})")
        value = str(enums[bare].index(default)) if bare in enums and default else default or "0"
        value = {"true": "1", "false": "0"}.get(value, value)
        if str(int(value)) != value:
            raise SystemExit(f"table {table}: field {name} has the default {value}, which is no integer")
        fields.append(name + f":{kind}" * (kind != "int") + f"={value}" * (value != "0"))
    return fields


def render(text: str) -> str:
    """The text of _tables.py for the text of schema.fbs."""
    values = parse(text)
    parts = [_HEADER, f"FIRST_UNION = {values.pop('FIRST_UNION')}\n"]
    parts += [f'{name} = """\\\n' + "\n".join(lines) + '\n"""\n' for name, lines in values.items()]
    return "\n".join(parts)


def main() -> int:
    """Write _tables.py, or compare it with --check."""
    wanted = render(SOURCE.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        if TARGET.read_text(encoding="utf-8") != wanted:
            print(f"{TARGET.name} is stale: run python {Path(__file__).name}")
            return 1
        return 0
    TARGET.write_text(wanted, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
