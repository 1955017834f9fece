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
    made = table(
        "plugin", "distribution", "version", "operators", "fused", "delegates", "entry point", "state",
        right=("operators", "fused"),
    )  # fmt: skip
    for row in rows:
        ready = row["state"] == "ready"
        made.add_row(
            printable(row["name"]),
            printable(row["distribution"]),
            printable(row["version"]),
            str(row["operators"]) if ready else "",
            str(row["fused"]) if ready and row["fused"] else "",
            "yes" if row["delegates"] else "",
            printable(row["entry_point"]),
            row["state"] if ready else f"{row['state']}: {printable(row['why'])}",
        )
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
