"""Take single files out of wheels, sdists and zips. Nothing is built, installed or run, and no name in an archive
decides where anything is written.
"""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .cache import CHUNK, unwritable
from .errors import ToolError, printable

MOST_MEMBERS = 200_000
# Weights hardly shrink: a file that unpacks to so many times its archive is there to fill the disk.
MOST_GROWTH = 200
LEAST_LIMIT = 64 << 20
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)


def extract(archive: Path, wanted: str, target: Path) -> None:
    """Write the file *wanted* of *archive* to *target*.

    wanted: path inside the archive, where an sdist's top folder and a wheel's ``.data`` folder may be left out;
    "inner.zip!path" for an archive in the archive. ToolError if it is not there, is not a plain file, has an
    unsafe neighbour (absolute name, "..") or would unpack to far more than its archive.
    """
    outer, bang, inner = wanted.partition("!")
    if not bang:
        _extract_one(archive, outer, target)
        return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".nested-") as folder:
        nested = Path(folder, "nested")
        _extract_one(archive, outer, nested)
        extract(nested, inner, target)


def _extract_one(archive: Path, wanted: str, target: Path) -> None:
    limit = max(LEAST_LIMIT, MOST_GROWTH * archive.stat().st_size)
    found = 0
    try:
        for stream in (_zip_matches if zipfile.is_zipfile(archive) else _tar_matches)(archive, wanted, limit):
            found += 1
            if found > 1:
                raise ToolError(f"{archive.name}: {wanted!r} is in it twice: refused")
            _copy(stream, target, limit, archive.name, wanted)
    except DAMAGE as error:
        raise ToolError(f"{archive.name}: the archive is damaged: {error}\nfetch it again") from error
    if not found:
        raise ToolError(f"{archive.name}: has no file {wanted!r}\nthe zoo entry and the archive do not fit each other")


def _copy(stream: IO[bytes], target: Path, limit: int, archive: str, wanted: str) -> None:
    done = 0
    try:
        with target.open("wb") as sink:
            while chunk := stream.read(CHUNK):
                done += len(chunk)
                if done > limit:
                    raise _bomb(archive, wanted, limit)
                sink.write(chunk)
    except OSError as error:
        raise unwritable(target, error) from error


def _bomb(archive: str, wanted: str, limit: int) -> ToolError:
    return ToolError(f"{archive}: {wanted!r} unpacks to more than {limit:,} bytes, {MOST_GROWTH} times its archive: refused")


def _zip_matches(archive: Path, wanted: str, limit: int) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        _check_count(archive.name, len(members))
        for member in members:
            _check_name(archive.name, member.filename)
        for member in members:
            if _is(member.filename, wanted):
                kind = stat.S_IFMT(member.external_attr >> 16)
                if member.is_dir() or kind not in (0, stat.S_IFREG):
                    raise ToolError(f"{archive.name}: {wanted!r} is not a plain file: refused")
                if member.file_size > limit:
                    raise _bomb(archive.name, wanted, limit)
                with opened.open(member) as stream:
                    yield stream


def _tar_matches(archive: Path, wanted: str, limit: int) -> Iterator[IO[bytes]]:
    with tarfile.open(archive, "r|*") as opened:
        for count, member in enumerate(opened):
            _check_count(archive.name, count)
            _check_name(archive.name, member.name)
            if opened.offset > 4 * limit:
                raise _bomb(archive.name, "all of it", 4 * limit)
            if _is(member.name, wanted):
                if not member.isreg():
                    raise ToolError(f"{archive.name}: {wanted!r} is not a plain file: refused")
                stream = opened.extractfile(member)
                if stream is not None:
                    yield stream


def _check_count(archive: str, count: int) -> None:
    if count > MOST_MEMBERS:
        raise ToolError(f"{archive}: more than {MOST_MEMBERS:,} members: refused")


def _check_name(archive: str, name: str) -> None:
    """Refuse names that would lie outside the archive's folder: no honest archive has one."""
    if name.startswith("/") or "\\" in name or "\0" in name or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        raise ToolError(f"{archive}: member {printable(name)!r} points outside the archive: refused")


def _is(name: str, wanted: str) -> bool:
    parts, asked = name.split("/"), wanted.split("/")
    if len(parts) > 2 and parts[0].endswith(".data"):
        return parts[2:] == asked
    return parts == asked or parts[1:] == asked
