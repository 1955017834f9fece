"""The user's cache folder, a lock between processes, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import ToolError

CHUNK = 1 << 20


def cache_dir() -> Path:
    """Where fetched files are kept: SODALITE_CACHE, else the platform's folder for what can be fetched again."""
    chosen = os.environ.get("SODALITE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local", "sodalite", "Cache")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/sodalite"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules say that a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "sodalite"


def made(folder: Path) -> Path:
    """*folder*, created with its parents. ToolError saying how to choose another place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def unwritable(place: Path, error: OSError) -> ToolError:
    """The message for a failed write: which place, what the system said, what to do."""
    why = (error.strerror or type(error).__name__).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ToolError(f"{place}: {why}\nfree some space, or point SODALITE_CACHE at a folder on a larger disk")
    return ToolError(f"{place}: cannot write: {why}\npoint SODALITE_CACHE at a folder that you may write to")


def sha256(file: Path) -> str:
    """The hexadecimal sha256 of *file*."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold *path* against other processes; ``waiting()`` is called once if another has it.

    The lock goes when its process ends, however it ends. Where the file system has no locks there is none:
    every file is written under a name of its own and renamed, so the worst is work done twice.
    """
    try:
        stream = path.open("a+b")
    except OSError as error:
        raise unwritable(path, error) from error
    with stream:
        told = False
        while not _try_lock(stream.fileno()):
            if not told:
                waiting()
                told = True
            time.sleep(0.1)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EDEADLK)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


def written(target: Path, chunks: Iterator[bytes]) -> None:
    """Write *chunks* to *target* by way of a neighbour that is renamed when it is whole."""
    import tempfile  # noqa: PLC0415  with random: 5 ms

    made(target.parent)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as stream:
            part = Path(stream.name)
            try:
                for chunk in chunks:
                    stream.write(chunk)
                stream.close()
                part.chmod(0o666 & ~_umask())
                part.replace(target)
            except BaseException:
                stream.close()
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise unwritable(target, error) from error


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
