"""Fill a model's inputs from what the user gave: images, .npy files, text, random values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ToolError, printable
from .preprocess import Normalisation, as_input, layout_of, photo, pixels
from .values import Array, as_bytes, load_npy, random_value, shape_text

if TYPE_CHECKING:
    from .metadata import ModelInfo
    from .zoo import ZooEntry

Details = dict[str, dict[str, Any]]  # by input name, in the model's order


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave. arrays: (name, file); mean and std: () if not given; seed: None for no random values."""

    image: Path | None = None
    arrays: tuple[tuple[str, Path], ...] = ()
    text: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    seed: int | None = None


def fed(details: Details, given: Given, info: ModelInfo | None, entry: ZooEntry | None) -> tuple[dict[str, Array], list[str]]:
    """(input name -> array, lines that say what was done). ToolError if something does not fit or is missing."""
    made: dict[str, Array] = {}
    said: list[str] = []
    for name, path in given.arrays:
        key = _named(details, name)
        if key in made:
            raise ToolError(f"--input {printable(name)}: the input was given already")
        made[key] = _array(details[key], path)
    if given.text is not None:
        key = _only(details, made, "--text", "takes text", lambda d: np.dtype(d["dtype"]).kind in "SUO")
        shape = details[key]["shape"]
        made[key] = as_bytes(np.full(tuple(map(int, shape)), given.text.encode()))
    if given.image is not None:
        key = _only(details, made, "--image", "looks like an image", lambda d: layout_of(d) is not None)
        made[key], line = _image(details, key, given, info, entry)
        said.append(line)
    missing = [name for name in details if name not in made]
    if missing and given.seed is not None:
        rng = np.random.default_rng(given.seed)
        for name in missing:
            made[name] = random_value(details[name], np.abs(details[name]["shape"]), rng)
        said.append(f"random values for {', '.join(map(printable, missing))} (seed {given.seed})")
    elif missing:
        lines = "".join(f"  {described(details[name])}\n" for name in missing)
        raise ToolError(f"nothing was given for these inputs:\n{lines}say --image FILE, --input NAME=FILE.npy or --random")
    return {name: made[name] for name in details}, said


def described(detail: Mapping[str, Any]) -> str:
    """An input in one line: its name, type and shape."""
    signature = detail["shape_signature"]
    shape = signature if len(signature) else detail["shape"]
    return f"{printable(detail['name'])}: {type_name(detail['dtype'])} {shape_text(shape)}"


def type_name(dtype: Any) -> str:
    """The name of a detail dictionary's dtype, "string" for text."""
    plain = np.dtype(dtype)
    return "string" if plain.kind in "SUO" else plain.name


def _named(details: Details, name: str) -> str:
    """The input that *name* means: its name in the signature, its tensor's name, or its place."""
    if name in details:
        return name
    for key, detail in details.items():
        if detail["name"] == name:
            return key
    if name.isdecimal() and int(name) < len(details):
        return list(details)[int(name)]
    known = "".join(f"  {described(detail)}\n" for detail in details.values())
    raise ToolError(f"the model has no input {printable(name)!r}; its inputs:\n{known}name one of them, or its place from 0")


def _only(details: Details, taken: Mapping[str, Array], option: str, what: str, fits: Any) -> str:
    found = [name for name, detail in details.items() if name not in taken and fits(detail)]
    if len(found) == 1:
        return found[0]
    inputs = "".join(f"  {described(detail)}\n" for detail in details.values())
    number = "more than one input" if found else "no input"
    raise ToolError(f"{option}: {number} of the model {what}; its inputs:\n{inputs}give them with --input NAME=FILE.npy")


def _array(detail: Mapping[str, Any], path: Path) -> Array:
    array = load_npy(path, "input")
    wanted = np.dtype(detail["dtype"])
    if wanted.kind in "SUO":
        if array.dtype.kind not in "SU":
            raise ToolError(f"input {described(detail)}: {printable(path)} holds {array.dtype}, not text")
        return as_bytes(array)
    if array.dtype != wanted:
        raise ToolError(
            f"input {described(detail)}: {printable(path)} holds {array.dtype}\n"
            f'save it with numpy.save(path, array.astype("{wanted}")), quantised first if the model wants that'
        )
    shape, signature = detail["shape"], detail["shape_signature"]
    allowed = [int(size) for size in (signature if len(signature) else shape)]
    if len(array.shape) != len(allowed) or any(a not in (-1, n) for a, n in zip(allowed, array.shape, strict=True)):
        raise ToolError(f"input {described(detail)}: {printable(path)} has the shape {shape_text(array.shape)}")
    return array


def _image(
    details: Details, key: str, given: Given, info: ModelInfo | None, entry: ZooEntry | None
) -> tuple[Array, str]:
    detail = details[key]
    layout = layout_of(detail)
    if layout is None or given.image is None:
        raise AssertionError(key)
    picture = photo(given.image)
    values = pixels(picture, layout)
    how = _normalisation(given, info, entry, list(details).index(key), np.dtype(detail["dtype"]))
    array, done = as_input(values, detail, layout, how)
    sizes = f"{picture.width} x {picture.height}"
    height, width = values.shape[:2]
    stretched = "" if (width, height) == picture.size else f" stretched to {width} x {height}"
    return array, f"{printable(given.image.name)}: {sizes}{stretched}, {done}"


def _normalisation(
    given: Given, info: ModelInfo | None, entry: ZooEntry | None, place: int, dtype: np.dtype[Any]
) -> Normalisation | None:
    """Who says how: the options, for any type; for floats the metadata, then the zoo."""
    if given.mean or given.std:
        return Normalisation(given.mean or (0.0,), given.std or (1.0,), "options")
    if dtype.kind != "f":
        return None
    tensor = info.inputs[place] if info is not None and place < len(info.inputs) else None
    if tensor is not None and (tensor.mean or tensor.std):
        return Normalisation(tensor.mean or (0.0,), tensor.std or (1.0,), "the model's metadata")
    if entry is not None and (entry.mean or entry.std):
        return Normalisation(entry.mean or (0.0,), entry.std or (1.0,), "the zoo")
    return None


def numbers(text: str | None, option: str) -> tuple[float, ...]:
    """Floats separated by commas; () for None. ToolError if they are none."""
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ToolError(f"{option} {printable(text)!r}: write a number, or one a channel: 127.5 or 0.485,0.456,0.406") from error


def pairs(items: Sequence[str]) -> tuple[tuple[str, Path], ...]:
    """NAME=FILE options."""
    made = []
    for item in items:
        name, equals, path = item.rpartition("=")
        if not equals or not name or not path:
            raise ToolError(f"--input {printable(item)!r}: write NAME=FILE.npy")
        made.append((name, Path(path)))
    return tuple(made)
