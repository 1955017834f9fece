"""``sodalite show``: what is in a model file; with --check, whether it runs here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ToolError, printable
from ..models import Asked, located, with_plugins

if TYPE_CHECKING:
    from rich.console import Console
    from sodalite import Graph, Model, Quant, TensorSpec

LARGEST = 5


@click.command()
@click.argument("model")
@click.option("--tensors", is_flag=True, help="List every tensor.")
@click.option("--check", is_flag=True, help="Say which operators run here, and with whose kernels.")
@with_plugins
def show(model: str, tensors: bool, check: bool, asked: Asked) -> None:
    """Describe MODEL, a file or a name of the zoo: inputs, outputs, operators, sizes, metadata.

    Opening a model verifies it: every offset, length and index. --check also looks for a kernel for every operator, and
    exits with 2 if one has none.
    """
    import sodalite  # noqa: PLC0415  with numpy: 100 ms

    from ..console import out  # noqa: PLC0415

    place = located(model, "model")
    screen = out()
    with sodalite.open_model(place.path) as opened:
        _head(screen, opened, place.path)
        for graph in opened.graphs:
            _graph(screen, opened, graph, tensors=tensors)
        _metadata(screen, opened, place.path)
        if check:
            _check(screen, opened, asked)


def _head(screen: Console, model: Model, path: Path) -> None:
    from ..console import size  # noqa: PLC0415

    screen.print(f"{printable(path, 400)}: {size(model.nbytes)}, weights {size(model.weights_nbytes)}, format {model.version}")
    if model.description:
        screen.print(f"description: {printable(model.description)}")
    if model.min_runtime:
        screen.print(f"needs a runtime of TensorFlow Lite {printable(model.min_runtime)} or later")
    for signature in model.signatures:
        names = (", ".join(map(printable, side)) or "nothing" for side in (signature.inputs, signature.outputs))
        where = f" (subgraph {signature.graph})" if signature.graph else ""
        screen.print(f'signature "{printable(signature.key)}"{where}: {" -> ".join(names)}')


def _graph(screen: Console, model: Model, graph: Graph, *, tensors: bool) -> None:
    from ..console import table  # noqa: PLC0415

    screen.print()
    if len(model.graphs) > 1:
        name = f' "{printable(graph.name)}"' if graph.name else ""
        screen.print(f"subgraph {graph.index}{name}")
    rows = table("", "name", "type", "shape", "quantisation", right=())
    for side, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            rows.add_row(side, *_columns(graph.tensors[index]))
    screen.print(rows)
    screen.print()
    operators = table("operator", "version", "count", "types of inputs", right=("version", "count"))
    kinds: dict[tuple[str, int], Counter[str]] = {}
    for node in graph.nodes:
        types = ", ".join(dict.fromkeys("-" if i < 0 else graph.tensors[i].dtype for i in node.inputs))
        kinds.setdefault((node.op, node.version), Counter())[types] += 1
    for (op, version), found in sorted(kinds.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        said = "; ".join(text if len(found) == 1 else f"{text} ({count})" for text, count in found.most_common())
        operators.add_row(printable(op), str(version), str(sum(found.values())), said)
    screen.print(operators)
    _tensors(screen, graph, every=tensors)


def _tensors(screen: Console, graph: Graph, *, every: bool) -> None:
    from ..console import size, table  # noqa: PLC0415

    constants = [t for t in graph.tensors if t.data is not None]
    variables = sum(t.variable for t in graph.tensors)
    kinds = Counter({t.dtype: 0 for t in constants})
    for tensor in constants:
        kinds[tensor.dtype] += _nbytes(tensor)
    by_type = ", ".join(f"{dtype} {size(nbytes)}" for dtype, nbytes in kinds.most_common())
    state = f", {variables} variables" if variables else ""
    screen.print(f"\n{len(graph.nodes)} nodes, {len(graph.tensors)} tensors, {len(constants)} constant ({by_type or 'none'}){state}")
    if every:
        rows = table("tensor", "name", "type", "shape", "quantisation", "role", right=("tensor",))
        for tensor in graph.tensors:
            rows.add_row(str(tensor.index), *_columns(tensor), _role(graph, tensor))
        screen.print(rows)
    elif constants:
        rows = table("largest constants", "type", "shape", "bytes", right=("bytes",))
        for tensor in sorted(constants, key=_nbytes, reverse=True)[:LARGEST]:
            name, dtype, shape, _ = _columns(tensor)
            rows.add_row(name, dtype, shape, f"{_nbytes(tensor):,}")
        screen.print(rows)


def _nbytes(tensor: TensorSpec) -> int:
    """Bytes of a constant in the file."""
    if tensor.source is not None:
        return tensor.source.nbytes
    return 0 if tensor.data is None else int(tensor.data.nbytes)


def _role(graph: Graph, tensor: TensorSpec) -> str:
    index = tensor.index
    said = [
        word
        for word, true in (
            ("input", index in graph.inputs),
            ("output", index in graph.outputs),
            ("constant", tensor.data is not None),
            ("variable", tensor.variable),
            ("sparse", tensor.sparsity is not None),
        )
        if true
    ]
    return " ".join(said)


def _columns(tensor: TensorSpec) -> tuple[str, str, str, str]:
    from ..values import shape_text  # noqa: PLC0415

    shape = tensor.signature if tensor.signature is not None else tensor.shape
    return (
        printable(tensor.name, 60),
        tensor.dtype,
        "rank not known" if shape is None else shape_text(shape),
        "" if tensor.quant is None else _quant(tensor.quant),
    )


def _quant(quant: Quant) -> str:
    """real = scale * (q - zero point), in words."""
    if quant.kind != "affine":
        return f"{quant.kind}, blocks of {quant.block_size}" if quant.block_size else quant.kind
    if quant.scales.size == 0:
        return ""
    if not quant.per_channel:
        return f"{quant.scale:.6g} * q" if quant.zero_point == 0 else f"{quant.scale:.6g} * (q - {quant.zero_point})"
    low, high = float(quant.scales.min()), float(quant.scales.max())
    zero = "" if not quant.zero_points.any() else ", zero points"
    return f"{quant.scales.size} channels along {quant.axis}, {low:.3g} ... {high:.3g}{zero}"


def _metadata(screen: Console, model: Model, path: Path) -> None:
    from ..console import table  # noqa: PLC0415
    from ..metadata import ENTRY, metadata_in, packed_files  # noqa: PLC0415

    if model.metadata:
        rows = table("metadata", "bytes", right=("bytes",))
        for name, data in model.metadata.items():
            rows.add_row(printable(name), f"{len(data):,}")
        screen.print()
        screen.print(rows)
    if ENTRY in model.metadata:
        try:
            info = metadata_in(model.metadata[ENTRY])
        except ToolError as error:
            screen.print(f"\nthe description is damaged: {error}")
        else:
            screen.print()
            for what in ("name", "description", "version", "author", "licence"):
                if getattr(info, what):
                    screen.print(f"{what}: {printable(getattr(info, what), 400)}")
            for side, items in (("input", info.inputs), ("output", info.outputs)):
                for place, tensor in enumerate(items):
                    said = [tensor.content, tensor.colours]
                    if tensor.mean or tensor.std:
                        said.append(f"(x - {_numbers(tensor.mean)}) / {_numbers(tensor.std)}")
                    said += [printable(file.name) for file in tensor.files]
                    text = f"{side} {place} {printable(tensor.name)}: {', '.join(filter(None, said)) or 'nothing more'}"
                    screen.print(text)
    files = packed_files(path)
    if files:
        screen.print(f"files behind the model: {', '.join(map(printable, files))}")


def _numbers(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _check(screen: Console, model: Model, asked: Asked) -> None:
    """Who runs each operator. The interpreter's own error, which lists all that is missing, ends it."""
    import sodalite  # noqa: PLC0415

    from ..console import table  # noqa: PLC0415

    screen.print("\nthe file is well-formed")
    try:
        with sodalite.Interpreter(model, **asked.arguments()) as interpreter:
            owners: dict[str, Counter[str]] = {}
            for graph in range(len(model.graphs)):
                for row in interpreter.explain(graph).rows:
                    owner = row.owner or ("before running" if row.kind == "folded" else "while running")
                    owners.setdefault(row.op, Counter())[owner] += 1
    except sodalite.UnsupportedOpError:
        offered: Any = sodalite.Registry.load()
        rows = table("operator", "kernels here")
        for op in sorted({node.op for graph in model.graphs for node in graph.nodes}):
            plugins = ", ".join(offer.plugin for offer in offered.offers(op))
            rows.add_row(printable(op), plugins or "none")
        screen.print(rows)
        raise
    rows = table("operator", "run by")
    for op, count in sorted(owners.items()):
        rows.add_row(printable(op), ", ".join(f"{owner} ({number})" for owner, number in count.most_common()))
    screen.print(rows)
    screen.print("every operator runs here")
