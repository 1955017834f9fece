"""setuptools' back end, and then the wheel deflated as small as the format allows: 3 % off every download."""

from __future__ import annotations

import os
import zipfile
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  the other hooks as they are
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


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build, then write the same files again, in their order, with their dates and modes."""
    name = str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))
    path = os.path.join(wheel_directory, name)
    usual = zipfile._get_compressor  # type: ignore[attr-defined]  # noqa: SLF001  zipfile has no public way
    zipfile._get_compressor = lambda *_: Deflate()  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        with zipfile.ZipFile(path) as plain, zipfile.ZipFile(f"{path}.new", "w", zipfile.ZIP_DEFLATED) as small:
            for item in plain.infolist():
                small.writestr(item, plain.read(item))
    finally:
        zipfile._get_compressor = usual  # type: ignore[attr-defined]  # noqa: SLF001
    os.replace(f"{path}.new", path)
    return name
