"""``sodalite plugins``: what is installed, and in which state."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from typing import Any

import click

from ..errors import printable


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(as_json: bool) -> None:
    """List the installed plugins: version, state, how many operators they offer, and why one failed to load.

    SODALITE_PLUGINS=a,b allows only these; the others are listed as left out. A broken plugin never stops this command.
    """
    rows = _rows()
    if as_json:
        click.echo(json.dumps({"schema": "sodalite.plugins.v1", "plugins": rows}, indent=1))
        return
    from ..console import out, table  # noqa: PLC0415

    screen = out()
    if not rows:
        screen.print("no plugin is installed, so no model can run\npip install sodalite-cpu-ref brings the reference kernels")
        return
    fused, delegates = (any(row[what] for row in rows) for what in ("fused", "delegates"))
    columns = ["plugin", "distribution", "operators", *["fused"] * fused, *["delegates"] * delegates, "entry point", "state"]
    made = table(*columns, right=("operators", "fused"))
    for row in rows:
        ready = row["state"] == "ready"
        cells = {
            "plugin": row["name"],
            "distribution": f"{row['distribution']} {row['version']}",
            "operators": row["operators"] if ready else "",
            "fused": row["fused"] or "",
            "delegates": "yes" if row["delegates"] else "",
            "entry point": row["entry_point"],
            "state": "ready" if ready else f"{row['state']}: {row['why']}",
        }
        made.add_row(*(printable(cells[column]) for column in columns))
    screen.print(made)


def _rows() -> list[dict[str, Any]]:
    """One dict a plugin, by name."""
    from sodalite import Registry  # noqa: PLC0415

    # Here a broken plugin is a row, not a warning and not an error.
    strict = os.environ.pop("SODALITE_STRICT_PLUGINS", None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            registry = Registry.load()
    finally:
        if strict is not None:
            os.environ["SODALITE_STRICT_PLUGINS"] = strict
    operators = Counter(offer.plugin for op in registry.operators for offer in registry.offers(op))
    fused = Counter(offer.plugin for offer in registry.offers("fused:"))
    with_delegates = set(registry.with_delegates)
    return [
        {
            "name": info.name,
            "distribution": info.distribution,
            "version": info.version,
            "entry_point": info.entry,
            "state": info.state,
            "why": info.why,
            "operators": operators[info.name],
            "fused": fused[info.name],
            "delegates": info.name in with_delegates,
        }
        for info in sorted(registry.plugins, key=lambda info: info.name)
    ]
