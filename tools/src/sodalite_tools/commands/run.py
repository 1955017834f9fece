"""``sodalite run``: a model once, on a photo or on arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ToolError, warn
from ..models import Asked, Stages, located, opened, with_plugins

if TYPE_CHECKING:
    from rich.console import Console
    from sodalite import Interpreter, Model

    from ..metadata import ModelInfo
    from ..values import Array


@click.command()
@click.argument("model")
@click.option("--image", metavar="FILE", help="A photo, or the name of one in the zoo, for the input that looks like an image.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="Names of the classes, one a line.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many labels to print.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE.npy", help="An array for an input, by name or place.")
@click.option("--text", help="Text, for the input that takes some.")
@click.option("--random", "drawn", is_flag=True, help="Random values for the inputs that are not given.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random values.")
@click.option("--mean", metavar="N[,N...]", help="Image: (pixel - mean) / std goes into the input.")
@click.option("--std", metavar="N[,N...]", help="See --mean.")
@click.option("--signature", metavar="NAME", help="Run this signature of the model.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.npz", help="Write all outputs to this file.")
@with_plugins
def run(
    model: str,
    image: str | None,
    labels: Path | None,
    top: int,
    inputs: tuple[str, ...],
    text: str | None,
    drawn: bool,
    seed: int,
    mean: str | None,
    std: str | None,
    signature: str | None,
    output: Path | None,
    asked: Asked,
) -> None:
    """Run MODEL, a file or a name of the zoo, once. Print labels or outputs, and the time of each stage.

    A photo is stretched to the input's size, bilinear with antialiasing. uint8 inputs take its pixels as they are, int8
    inputs the pixels - 128. Float inputs take (pixel - mean) / std by --mean and --std, else by the model's metadata,
    else 127.5 and 127.5. Labels come from --labels, else from the model's file.
    """
    from ..console import out  # noqa: PLC0415
    from ..feed import Given, fed, numbers, pairs  # noqa: PLC0415

    given = Given(
        image=located(image, "image").path if image is not None else None,
        arrays=pairs(inputs),
        text=text,
        mean=numbers(mean, "--mean"),
        std=numbers(std, "--std"),
        seed=seed if drawn else None,
    )
    place = located(model, "model")
    if image is not None:
        import PIL.ImageOps  # noqa: F401, PLC0415  importing is not preprocessing

    stages = Stages()
    loaded, interpreter = opened(place, asked, stages)
    with interpreter:
        info = _info(loaded)
        names = _Names(interpreter, signature)
        stages.time("allocate", names.allocate)
        arrays, said = stages.time("preprocess", lambda: fed(names.inputs, given, info, place.entry))
        results = stages.time("run", lambda: names.run(arrays))
        screen = out()
        for line in said:
            screen.print(line)
        known = _labels(labels, place.labels, place.path, info)
        _print_results(screen, names.outputs, results, known, top, asked_for_labels=labels is not None)
        _print_stages(screen, stages)
    if output is not None:
        from ..values import save_npz, unique  # noqa: PLC0415

        save_npz(output, dict(zip(unique(list(results), "output"), results.values(), strict=True)))


class _Names:
    """Inputs and outputs by name: those of a signature, or of the main graph."""

    def __init__(self, interpreter: Interpreter, signature: str | None) -> None:
        from ..values import unique  # noqa: PLC0415

        self._interpreter = interpreter
        self._runner = None if signature is None else interpreter.get_signature_runner(signature)
        self.inputs: dict[str, dict[str, Any]]
        self.outputs: dict[str, dict[str, Any]]
        if self._runner is not None:
            self.inputs = self._runner.get_input_details()
            self.outputs = self._runner.get_output_details()
        else:
            for side in ("inputs", "outputs"):
                details = getattr(interpreter, f"get_{side[:-1]}_details")()
                keys = unique([detail["name"] for detail in details], side[:-1])
                setattr(self, side, dict(zip(keys, details, strict=True)))

    def allocate(self) -> None:
        if self._runner is None:
            self._interpreter.allocate_tensors()

    def run(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Outputs by name; inputs are resized where they may be."""
        import numpy as np  # noqa: PLC0415

        if self._runner is not None:
            return self._runner(**arrays)
        resized = False
        for name, array in arrays.items():
            detail = self.inputs[name]
            if array.shape != tuple(detail["shape"]):
                self._interpreter.resize_tensor_input(detail["index"], array.shape, strict=True)
                resized = True
        if resized:
            self._interpreter.allocate_tensors()
        for name, array in arrays.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], array)
        self._interpreter.invoke()
        return {
            name: np.asarray(self._interpreter.get_tensor(detail["index"])) for name, detail in self.outputs.items()
        }


def _info(model: Model) -> ModelInfo | None:
    """The model's own description; a damaged one is told and left out."""
    from ..metadata import ENTRY, metadata_in  # noqa: PLC0415

    data = model.metadata.get(ENTRY)
    if data is None:
        return None
    try:
        return metadata_in(data)
    except ToolError as error:
        warn(f"the model's metadata is left out: {error}")
        return None


def _labels(given: Path | None, shelved: Path | None, model: Path, info: ModelInfo | None) -> list[tuple[int | None, tuple[str, ...]]]:
    """(place of the output or None for any, its labels), from the option, the zoo or the model's file."""
    from ..files import regular  # noqa: PLC0415
    from ..metadata import label_lines, labels_of  # noqa: PLC0415

    file = given or shelved
    if file is not None:
        found = label_lines(regular(file, "labels").read_text(encoding="utf-8", errors="replace"))
        if not found:
            raise ToolError(f"labels {file}: no lines in it")
        return [(None, found)]
    made: list[tuple[int | None, tuple[str, ...]]] = []
    for place, tensor in enumerate(info.outputs if info else ()):
        try:
            found = labels_of(model, tensor)
        except ToolError as error:
            warn(f"labels are left out: {error}")
            continue
        if found:
            made.append((place, found))
    return made


def _print_results(
    screen: Console,
    details: dict[str, dict[str, Any]],
    results: dict[str, Array],
    known: list[tuple[int | None, tuple[str, ...]]],
    top: int,
    *,
    asked_for_labels: bool,
) -> None:
    """The best labels of each output that has some; a line about each other output."""
    from ..console import table  # noqa: PLC0415
    from ..errors import printable  # noqa: PLC0415
    from ..feed import type_name  # noqa: PLC0415
    from ..values import real, shape_text, statistics  # noqa: PLC0415

    plain = []
    labelled = False
    for place, (name, array) in enumerate(results.items()):
        fitting = [found for where, found in known if where in (None, place) and len(found) == array.size > 1]
        if fitting:
            labelled = True
            screen.print(_best(real(array, details[name]).ravel(), fitting[0], top))
        else:
            plain.append((name, array))
    if asked_for_labels and not labelled:
        sizes = ", ".join(f"{printable(name)} has {array.size}" for name, array in results.items())
        near = any(abs(array.size - len(known[0][1])) == 1 for array in results.values())
        background = "\none of the two may count a background class: add or remove the first line" if near else ""
        raise ToolError(f"the label file has {len(known[0][1])} lines, but of the outputs {sizes}{background}")
    if plain:
        rows = table("output", "shape", "type", "min", "mean", "max", right=("min", "mean", "max"))
        for name, array in plain:
            numbers = statistics(real(array, details[name]))
            rows.add_row(printable(name), shape_text(array.shape), type_name(details[name]["dtype"]), *numbers)
        screen.print(rows)


def _best(scores: Array, labels: tuple[str, ...], top: int) -> Any:
    """The best labels as a table with bars: of the score itself if all are in 0 ... 1, else of the best one."""
    import numpy as np  # noqa: PLC0415

    from ..console import bar, table  # noqa: PLC0415
    from ..errors import printable  # noqa: PLC0415

    order = np.argsort(-scores, kind="stable")[:top]
    shares = bool(scores.min() >= 0 and scores.max() <= 1)
    best = float(scores[order[0]])
    rows = table("class", "label", "score", "", right=("class", "score"))
    for index in order:
        score = float(scores[index])
        length = score if shares else score / best if best > 0 else 0.0
        rows.add_row(str(index), printable(labels[index]), f"{score:.4f}" if shares else f"{score:.4g}", bar(length))
    return rows


def _print_stages(screen: Console, stages: Stages) -> None:
    from ..console import milliseconds, table  # noqa: PLC0415

    rows = table("stage", "time", right=("time",))
    for name, taken in stages.taken.items():
        rows.add_row(name, milliseconds(taken))
    screen.print()
    screen.print(rows)
