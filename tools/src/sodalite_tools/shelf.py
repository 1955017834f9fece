"""Files of the zoo on this machine: fetched once, checked at each use, each entry in a folder of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from .archive import extract
from .cache import CHUNK, cache_dir, locked, made, sha256, unwritable, written
from .errors import ToolError
from .zoo import ZooEntry, find

Report = Callable[[str, int, "int | None"], None]  # what is happening, bytes done, bytes in all
MANIFEST = "manifest.json"
STALE_S = 3600


@dataclass(frozen=True, slots=True)
class Shelved:
    """A zoo entry whose files are here. path: the model or photo; labels: its label file, or None."""

    name: str
    entry: ZooEntry
    path: Path
    labels: Path | None


def shelved(name: str, report: Report = lambda *_: None) -> Shelved:
    """The zoo entry *name*, fetched if it is not here yet. ToolError if it cannot be."""
    entry = find(name)
    short = name.rpartition("/")[2]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", short):
        raise ToolError(f"zoo entry {name!r}: a name has letters, digits, '.', '_' and '-' only")
    home = _home(short, entry)
    here = _on_shelf(short, entry, home)
    if here is not None:
        return here
    made(home.parent)
    waiting = f"waiting for another process that fetches {short}"
    with locked(home.parent / f".{short}.lock", lambda: report(waiting, 0, None)):
        here = _on_shelf(short, entry, home)
        if here is None:
            _fill(short, entry, home, report)
            here = _on_shelf(short, entry, home)
    if here is None:
        raise ToolError(f"{home}: files change while they are read\nsee who else writes there")
    return here


def is_here(name: str, entry: ZooEntry) -> bool:
    """Whether the files of *entry* are on this machine (they are not read)."""
    return (_home(name, entry) / MANIFEST).is_file()


def copied(item: Shelved, folder: Path, *, force: bool = False) -> list[Path]:
    """Copy the files of *item* into *folder*. ToolError if another file of that name is there, unless *force*."""
    targets = []
    for source in filter(None, (item.path, item.labels)):
        target = folder / source.name
        if not (target.is_file() and sha256(target) == sha256(source)):
            if target.exists() and not force:
                raise ToolError(f"{target}: is there already and differs\nmove it away, or say --force")
            written(target, _chunks(source))
        targets.append(target)
    return targets


def _home(name: str, entry: ZooEntry) -> Path:
    """The folder of this very entry: another archive, file or build function has another folder."""
    said = {f.name: getattr(entry, f.name) for f in fields(entry) if f.name not in ("note", "licence", "build")}
    if entry.build is not None:
        said["build"] = f"{entry.build.__module__}:{entry.build.__qualname__}"
    return cache_dir() / "zoo" / name / hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _on_shelf(name: str, entry: ZooEntry, home: Path) -> Shelved | None:
    """The entry's files if all are there and as they were written."""
    try:
        known = json.loads((home / MANIFEST).read_text(encoding="utf-8"))
        whole = all(sha256(home / file) == digest for file, digest in known.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    path, labels = home / f"{name}{entry.suffix}", home / f"{name}.labels.txt"
    if not whole or path.name not in known:
        return None
    return Shelved(name, entry, path, labels if labels.name in known else None)


def _fill(name: str, entry: ZooEntry, home: Path, report: Report) -> None:
    from .fetch import fetch  # noqa: PLC0415  needs unearth: 300 ms
    from .pipconf import pip_settings  # noqa: PLC0415

    for left in home.parent.glob(".new-*"):  # by a process that was killed; a young one may be at work without locks
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    partial = made(cache_dir() / "partial") / entry.sha256
    fetch(
        entry,
        partial,
        pip_settings(),
        lambda done, total: report(f"fetching {name}", done, total),
        os.environ,
    )
    # extract() tells the name of the archive in its messages.
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as work:
        archive = Path(work, entry.archive)
        new = Path(work, "files")
        try:
            partial.replace(archive)
            new.mkdir()
            path = new / f"{name}{entry.suffix}"
            _unpack(entry, archive, path)
            _write_labels(entry, path, new / f"{name}.labels.txt")
            manifest = {file.name: sha256(file) for file in sorted(new.iterdir())}
            (new / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            if home.exists():  # damaged
                home.replace(Path(work, "old"))
            new.replace(home)
        except OSError as error:
            raise unwritable(home, error) from error


def _unpack(entry: ZooEntry, archive: Path, path: Path) -> None:
    if entry.build is None:
        extract(archive, entry.file, path)
        return
    parts: dict[str, bytes] = {}
    for wanted in (entry.file, *entry.needs):
        extract(archive, wanted, path)
        parts[wanted] = path.read_bytes()
    path.write_bytes(entry.build(parts))


def _write_labels(entry: ZooEntry, path: Path, target: Path) -> None:
    """The labels that the model's own file holds, else those of the entry, one a line."""
    labels = entry.labels
    if path.suffix == ".tflite":
        from .metadata import labels_in  # noqa: PLC0415

        labels = labels_in(path) or labels
    if labels:
        target.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
