"""pip's own settings for where packages come from, read as pip reads them, so that ``get`` asks the same places.

Order of pip's documentation, later wins: global, user and site files, the file in PIP_CONFIG_FILE, then PIP_*
variables; in a file ``[global]``, then the command's section. PIP_CONFIG_FILE=os.devnull: no files at all.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ToolError

SECTIONS = ("global", "install", "download")
TRUE = {"1", "true", "yes", "on", "y", "t"}


@dataclass(frozen=True, slots=True)
class PipSettings:
    """index_url: None for the default index; no_index: ask find_links only; certificate paths, proxy: None if unset."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout_s: float = 15.0


def config_files(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that pip would read, lowest priority first; they need not exist."""
    chosen = environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~"))
    if os.name == "nt":
        name = "pip.ini"
        shared = [Path(environ.get("ALLUSERSPROFILE", "C:\\ProgramData"), "pip", name)]
        user = [home / "pip" / name, Path(environ.get("APPDATA") or home / "AppData/Roaming", "pip", name)]
    else:
        name = "pip.conf"
        own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", name)
        if sys.platform == "darwin":
            shared = [Path("/Library/Application Support/pip", name)]
            apple = home / "Library/Application Support/pip"
            own = apple / name if apple.is_dir() else home / ".config/pip" / name
        else:
            folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
            shared = [Path(folder, "pip", name) for folder in folders if folder] + [Path("/etc", name)]
        user = [home / ".pip" / name, own]
    files = [*shared, *user, Path(sys.prefix, name)]
    return [*files, Path(chosen)] if chosen else files


def pip_settings(environ: Mapping[str, str] = os.environ) -> PipSettings:
    """Read them all. ToolError if a file that exists cannot be parsed."""
    values: dict[str, str] = {}
    for file in config_files(environ):
        values.update(_file_values(file))
    for key, value in environ.items():
        if key.startswith("PIP_") and value:
            values[key[4:].lower().replace("_", "-")] = value

    def words(key: str) -> tuple[str, ...]:
        return tuple(values.get(key, "").split())

    def path(key: str) -> str | None:
        return os.path.expanduser(values[key]) if values.get(key) else None

    try:
        timeout_s = float(values.get("default-timeout", values.get("timeout", "15")))
    except ValueError:
        timeout_s = 15.0
    return PipSettings(
        index_url=values.get("index-url") or None,
        extra_index_urls=words("extra-index-url"),
        find_links=tuple(os.path.expanduser(link) for link in words("find-links")),
        no_index=values.get("no-index", "").lower() in TRUE,
        trusted_hosts=words("trusted-host"),
        cert=path("cert"),
        client_cert=path("client-cert"),
        proxy=values.get("proxy") or None,
        timeout_s=timeout_s,
    )


def _file_values(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return {}
    except UnicodeDecodeError as error:
        raise ToolError(f"{file}: pip's settings are not UTF-8: {error}\nmend or move the file") from error
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ToolError(f"{file}: pip's settings cannot be read: {error.message}\nmend or move the file") from error
    values: dict[str, str] = {}
    for section in SECTIONS:
        if parser.has_section(section):
            values.update({_option(key): value for key, value in parser.items(section)})
    return values


def _option(key: str) -> str:
    return key.lower().replace("_", "-").removeprefix("--")
