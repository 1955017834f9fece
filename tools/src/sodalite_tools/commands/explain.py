"""``sodalite explain``: who runs each node, and who declined it and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..errors import printable
from ..models import Asked, Stages, located, opened, with_plugins

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.argument("model")
@click.option("--subgraph", type=click.IntRange(min=0), default=0, show_default=True, help="Which subgraph.")
@click.option("--declined", is_flag=True, help="Only nodes that somebody declined.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_plugins
def explain(model: str, subgraph: int, declined: bool, as_json: bool, asked: Asked) -> None:
    """Say for every node of MODEL which plugin runs it, and which declined it and why.

    Ask for delegates and kernels as in `sodalite run` to see what they would take.
    """
    from ..console import out  # noqa: PLC0415

    _, interpreter = opened(located(model, "model"), asked, Stages())
    with interpreter:
        explanation = interpreter.explain(subgraph)
    rows = [row for row in explanation.rows if row.declined or not declined]
    if as_json:
        click.echo(json.dumps({"schema": "sodalite.explain.v1", "nodes": list(map(_plain, rows))}, indent=1))
    else:
        _print(out(), rows, len(explanation.rows), explanation.owners)


def _plain(row: Any) -> dict[str, Any]:
    return {
        "index": row.index,
        "op": row.op,
        "name": row.name,
        "owner": row.owner,
        "kind": row.kind,
        "step": row.step,
        "declined": [{"who": d.who, "why": d.why, "code": d.code.name} for d in row.declined],
    }


def _print(screen: Console, rows: list[Any], count: int, owners: dict[str, int]) -> None:
    from ..console import table  # noqa: PLC0415

    made = table("node", "operator", "run by", "name", right=("node",))
    for row in rows:
        owner = row.owner if row.kind == "kernel" else f"{row.owner} ({row.kind})" if row.owner else row.kind
        made.add_row(str(row.index), printable(row.op), printable(owner), printable(row.name, 60))
        for no in row.declined:
            made.add_row("", "", f"not {printable(no.who)}", f"{no.code.name}: {printable(no.why)}")
    screen.print(made)
    said = ", ".join(f"{printable(owner) or 'not known before running'} {number}" for owner, number in sorted(owners.items()))
    screen.print(f"{count} nodes: {said}")
