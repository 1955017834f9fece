"""Deflate a wheel again, as small as the format allows: 3 % off every download, for a second when it is built.

    python scripts/deflate.py WHEEL     # with the package zopfli on the path
"""

from __future__ import annotations

import os
import sys
import zipfile

from zopfli.zlib import compress


class Deflate:
    """The compressor object that zipfile asks for."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def compress(self, data: bytes) -> bytes:
        self._parts.append(bytes(data))
        return b""

    def flush(self) -> bytes:
        return bytes(compress(b"".join(self._parts))[2:-4])  # a zip holds the stream without zlib's header and checksum


def main(path: str) -> None:
    """Write the files of the wheel at *path* again, in their order, with their dates and modes."""
    zipfile._get_compressor = lambda *_: Deflate()  # type: ignore[attr-defined]  # noqa: SLF001  zipfile has no public way
    smaller = f"{path}.new"
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as small:
        for item in plain.infolist():
            small.writestr(item, plain.read(item))
    with zipfile.ZipFile(smaller) as small:
        if small.testzip() is not None:
            raise OSError(f"{smaller}: does not read back")
    if os.path.getsize(smaller) < os.path.getsize(path):
        os.replace(smaller, path)
    else:
        os.remove(smaller)


if __name__ == "__main__":
    main(sys.argv[1])
