# SPDX-License-Identifier: Apache-2.0
"""Turn schema.fbs into src/sodalite_schema/_tables.py.

Run it after every change to schema.fbs. With --check it writes nothing and fails if the committed file is stale.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "schema.fbs"
TARGET = HERE / "src" / "sodalite_schema" / "_tables.py"

_DECLARATION = re.compile(r"(enum|union|table)\s+(\w+)\s*(?::\s*(\w+)\s*)?\{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"(\w+)\s*:\s*(\[?\w+\]?)\s*(?:=\s*([\w.+-]+)\s*)?(?:\(([^)]*)\))?")
_SCALARS = ("bool", "byte", "ubyte", "short", "ushort", "int", "uint", "long", "ulong", "float", "double")

_HEADER = '''\
# SPDX-License-Identifier: Apache-2.0
# Made by generate.py from schema.fbs: change that file and run it again.
"""The format's tables as text, one declaration a line; `_types.py` reads them.

ENUMS: name, base type, members counted from 0; :n after an operator is the tag of its options table, negative in
BuiltinOptions2. UNIONS: name, members counted from 1. TABLES: name, then field:type[=default][@alignment] in slot
order, where a union takes two slots. BUILTIN_OPTIONS, BUILTIN_OPTIONS_2: tables that are a union's members, in its order.
"""
'''


def strip_comments(text: str) -> str:
    """*text* without its // comments (the format has no strings that contain //)."""
    return re.sub(r"//[^\n]*", "", text)


def parse(text: str) -> dict[str, list[str]]:
    """schema.fbs -> the lines of each text of _tables.py."""
    declarations = _DECLARATION.findall(strip_comments(text))
    enums = {name: _members(name, body) for what, name, _, body in declarations if what == "enum"}
    unions = {name: re.findall(r"\w+", body) for what, name, _, body in declarations if what == "union"}
    known = {name for _, name, _, _ in declarations} | set(_SCALARS) | {"string"}
    tables = {
        name: " ".join([name, *_fields(name, body, enums, known)])
        for what, name, _, body in declarations
        if what == "table"
    }
    first, second = unions.pop("BuiltinOptions"), unions.pop("BuiltinOptions2")
    tags = {kind: f":{i}" for i, kind in enumerate(first, 1)} | {
        kind: f":-{i}" for i, kind in enumerate(second, 1)
    }
    operators = re.findall(r"^  (\w+) = \d+,  // (\w+)$", text, re.MULTILINE)
    suffix = {op: tags[kind] for op, kind in operators}
    return {
        "ENUMS": [
            " ".join(
                [
                    name,
                    base,
                    *(item + suffix.get(item, "") * (name == "BuiltinOperator") for item in enums[name]),
                ]
            )
            for what, name, base, _ in declarations
            if what == "enum"
        ],
        "UNIONS": [" ".join([name, *members]) for name, members in unions.items()],
        "TABLES": [line for kind, line in tables.items() if kind not in tags],
        "BUILTIN_OPTIONS": [tables[kind] for kind in first],
        "BUILTIN_OPTIONS_2": [tables[kind] for kind in second],
    }


def _members(name: str, body: str) -> list[str]:
    """The names of an enum; their values must be 0, 1, 2, ..."""
    pairs = re.findall(r"(\w+)\s*=\s*(-?\d+)", body)
    if [int(value) for _, value in pairs] != list(range(len(pairs))):
        raise SystemExit(f"enum {name}: values must be 0, 1, 2, ... in order")
    return [member for member, _ in pairs]


def _fields(table: str, body: str, enums: dict[str, list[str]], known: set[str]) -> list[str]:
    """The fields of a table as `name:type[=default][@alignment]`."""
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
        value = str(enums[bare].index(default)) if bare in enums and default else default
        fields.append(
            f"{name}:{kind}"
            + (f"={value}" if value not in (None, "0", "false") else "")
            + (f"@{align[1]}" if align else "")
        )
    return fields


def render(text: str) -> str:
    """The text of _tables.py for the text of schema.fbs."""
    parts = [_HEADER]
    for name, lines in parse(text).items():
        parts.append(f'{name} = """\\\n' + "\n".join(lines) + '\n"""\n')
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
