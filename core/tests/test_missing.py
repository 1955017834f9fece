"""The report of missing operators: everything at once, on one screen, with a way out."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from sodalite import resolve as resolve_module
from sodalite.build import Builder
from sodalite.errors import ShapeError, UnsupportedOpError
from sodalite.hookspecs import hookimpl
from sodalite.interpreter import Interpreter
from sodalite.kernel import KernelSet, NodeSpec, Prepared, Reason
from sodalite.model import open_model
from sodalite.plugins import PluginInfo, Registry
from sodalite.resolve import Decline, MissingNode, providers, report

GENERATOR = Path(__file__).resolve().parents[1] / "generate_known.py"


def _missing(*ops: str, declined: tuple[Decline, ...] = (), version: int = 1) -> list[MissingNode]:
    g = Builder()
    x = g.input("x", (2,), "int8")
    for i, op in enumerate(ops):
        g.op(op, [x, None], [(f"y{i}", (2,), "int8")], version=version)
    graph = open_model(g.finish()).graphs[0]
    return [
        MissingNode(n, graph, tuple(None if j < 0 else graph.tensors[j] for j in n.inputs), declined)
        for n in graph.nodes
    ]


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve_module, "_installed", lambda distribution: None)


def test_one_node(nothing_installed: None) -> None:
    """Where, what, who declined and why, and what to install."""
    declined = (Decline("fast", "dilation (2, 2); only (1, 1)", Reason.OPTION),)
    error = report(_missing("CONV_2D", declined=declined, version=2), [])
    assert isinstance(error, UnsupportedOpError)
    assert str(error).splitlines() == [
        'node 0 CONV_2D "y0": no kernel takes it',
        "  CONV_2D version 2 (int8, -); first run by TensorFlow 1.14.0; provided by sodalite-cpu-ref",
        "    fast declined (OPTION): dilation (2, 2); only (1, 1)",
        "pip install sodalite-cpu-ref",
    ]


def test_all_at_once(nothing_installed: None) -> None:
    """Nodes that lack the same thing are one line; each operator is named."""
    lines = str(report(_missing("CONV_2D", "ABS", "CONV_2D", "custom:Mine", "CONV_2D"), [])).splitlines()
    assert lines[0] == "no kernel takes 5 nodes, of 3 operators:"
    assert lines[1].startswith(
        '  CONV_2D version 1 (int8, -); 3 nodes from node 0 CONV_2D "y0" on; first run by'
    )
    assert lines[2].startswith('  ABS version 1 (int8, -); node 1 ABS "y1"; first run by TensorFlow')
    assert lines[3] == '  custom:Mine version 1 (int8, -); node 3 custom:Mine "y3"'
    assert lines[4:] == [
        "pip install sodalite-cpu-ref",
        "custom:Mine is a custom operator: its plugin comes from whoever made the model",
    ]


def test_flex_operators_are_explained(nothing_installed: None) -> None:
    """TensorFlow's own operators come with both ways out, and not with advice for other custom operators."""
    text = str(report(_missing("custom:FlexTanh", "custom:FlexErf"), []))
    assert (
        "convert the model again without SELECT_TF_OPS, or install a plugin that offers custom:FlexTanh"
        in text
    )
    assert "whoever made the model" not in text
    assert "pip install" not in text


def test_a_needed_plugin_that_failed() -> None:
    """A plugin that did not load is named with its reason, and is not advised to be installed."""
    failed = PluginInfo("cpu_ref", "sodalite-cpu-ref", "0.1.0", "x", "failed", "ImportError: no numpy")
    lines = str(report(_missing("ABS"), [failed])).splitlines()
    assert lines[-2:] == [
        "plugin 'cpu_ref' (sodalite-cpu-ref 0.1.0) failed to load: ImportError: no numpy",
        "repair, reinstall or remove sodalite-cpu-ref",
    ]


def test_an_installed_provider_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the package is there and declines, the advice is to look for a newer one."""
    monkeypatch.setattr(resolve_module, "_installed", lambda distribution: "0.1.0")
    text = str(report(_missing("ABS"), []))
    assert "pip install" not in text
    assert "sodalite-cpu-ref 0.1.0 does not run this" in text


def test_nobody_knows(nothing_installed: None) -> None:
    """An operator of the future gets no false promise."""
    text = str(report(_missing("builtin:250", version=9), []))
    assert text.splitlines() == [
        'node 0 builtin:250 "y0": no kernel takes it',
        "  builtin:250 version 9 (int8, -)",
        "no package is known to provide it",
    ]


def test_one_screen(nothing_installed: None) -> None:
    """However much is missing, the report stays on one screen."""
    ops = [f"custom:Op{i}\x1b[0m" for i in range(500)]
    declined = tuple(Decline(f"p{i}", "x" * 1000 + "\nmore", Reason.TYPE) for i in range(50))
    text = str(report(_missing(*ops, declined=declined), []))
    assert len(text.splitlines()) < 50
    assert "  and 492 more: custom:Op8" in text
    assert "    and 47 more reasons" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 500


def test_types_tell_groups_apart(nothing_installed: None) -> None:
    """The same operator with other input types is another line."""
    g = Builder()
    for dtype in ("int8", "float32"):
        x = g.input("x", (2,), dtype)
        g.op("ABS", [x], [("y", (2,), dtype)])
    graph = open_model(g.finish()).graphs[0]
    nodes = [MissingNode(n, graph, (graph.tensors[n.inputs[0]],), ()) for n in graph.nodes]
    text = str(report(nodes, []))
    assert "ABS version 1 (int8)" in text
    assert "ABS version 1 (float32)" in text


def test_what_is_providers() -> None:
    """Releases belong to versions; a version that was never released has none."""
    table = providers()
    assert table["ADD"].releases[0] == "1.5.0"
    assert table["BROADCAST_TO"].releases[:2] == ["-", "2.5.0"]
    for version, told in ((0, False), (1, False), (2, True), (99, False), (-1, False)):
        text = str(report(_missing("BROADCAST_TO", version=version), []))
        assert ("; first run by TensorFlow 2.5.0" in text) == told == ("first run by" in text)
    assert table["custom:Predict"].provider == "sodalite-custom-example"
    assert len(table) > 200


def test_what_the_plugins_of_this_repository_offer_is_listed() -> None:
    """An operator that a plugin here offers is in the file under its name."""
    generator: Any = runpy.run_path(str(GENERATOR))
    table = providers()
    for distribution, module in generator["PLUGINS"].items():
        plugin = pytest.importorskip(module)
        offered = {k.op for k in plugin.kernels if not k.op.startswith("fused:")}
        lost = sorted(op for op in offered if op not in table or table[op].provider != distribution)
        assert not lost, f"run python {GENERATOR.name}: {distribution} offers {lost}"
    assert not generator["NO_OPERATORS"] & table.keys()


def test_the_file_is_what_the_generator_makes() -> None:
    """Lines without names stand in the order of the schema's operators; releases are those of the table by name."""
    pytest.importorskip("sodalite_cpu_ref")
    generator: Any = runpy.run_path(str(GENERATOR))
    text = generator["RELEASES"].read_text(encoding="utf-8")
    assert generator["render"](text) == generator["TARGET"].read_text(encoding="utf-8")
    table = providers()
    for line in text.splitlines():
        op, releases = line.split("\t")
        assert list(table[op].releases) == releases.split()
    lines = generator["render"]("CONV_2D\t2.1.0 -\n").splitlines()
    assert lines[:4] == ["-", "-", "-", "2.1.0 -"]
    assert "custom:Predict sodalite-custom-example" in lines
    with pytest.raises(ValueError, match="no such operators: \\['CONV_9D'\\]"):
        generator["render"]("CONV_9D\t2.1.0\n")


def test_a_stale_shape_does_not_hide_what_is_missing() -> None:
    """After a node nobody runs, shapes are the file's: a kernel that finds them wrong does not have the last word."""
    kernels = KernelSet()

    @kernels.prepare("RELU")
    def prepare(node: NodeSpec) -> Prepared:
        raise ShapeError("input is too small")

    class Plugin:
        name = "picky"

        @hookimpl
        def sodalite_kernels(self) -> KernelSet:
            return kernels

    g = Builder()
    x = g.input("x", (1,), "float32")
    g.output(g.op("RELU", [g.op("SPACE_TO_BATCH_ND", [x], [("y", (1,), "float32")])], [("z", (1,), "float32")]))
    interpreter = Interpreter(model_content=g.finish(), registry=Registry.of([Plugin()]))
    with interpreter, pytest.raises(UnsupportedOpError, match="SPACE_TO_BATCH_ND"):
        interpreter.allocate_tensors()
