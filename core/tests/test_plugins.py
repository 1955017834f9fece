"""Finding plugins, guarding against broken ones, and the order in which kernels are asked."""

from __future__ import annotations

import sys
import textwrap
import warnings

import numpy as np
import pytest
from core_graphs import Rows, feed, plugin, runner
from core_kernels import basic
from sodalite.errors import DelegateError, PluginError, PluginWarning, UnsupportedOpError
from sodalite.kernel import KernelSet, Mode, Prepared, Quality, Reason, Unavailable, Unsupported
from sodalite.plugins import Registry, entry_points

GOOD = """
    import sodalite.hookspecs as hs
    from sodalite.kernel import KernelSet
    kernels = KernelSet()
    kernels.lazy("NEG", "{name}_kernels:neg")

    @hs.hookimpl
    def sodalite_kernels():
        return kernels
"""


class Site:
    """A folder like site-packages, in which distributions can be put."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))

    def add(self, name: str, source: str, *, group: str = "sodalite.plugin.v1", version: str = "1.2", **modules: str):
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[console_scripts]\nx = y:z\n\n[{group}]\n{name} = {name}_plugin\n")
        (self.folder / f"{name}_plugin.py").write_text(textwrap.dedent(source.replace("{name}", name)))
        for module, text in modules.items():
            (self.folder / f"{module}.py").write_text(textwrap.dedent(text))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site folder ahead of everything; only plugins that tests put there are allowed."""
    before = set(sys.modules)
    yield Site(tmp_path, monkeypatch)
    for name in set(sys.modules) - before:
        if name.endswith(("_plugin", "_kernels")):
            del sys.modules[name]


def load(monkeypatch, *names: str) -> Registry:
    monkeypatch.setenv("SODALITE_PLUGINS", ",".join(names))
    return Registry.load()


def state(registry: Registry, name: str) -> tuple[str, str]:
    info = registry.info(name)
    return info.state, info.why


def test_a_plugin_is_found_by_its_entry_point_and_its_kernels_wait(site, monkeypatch):
    site.add("good", GOOD)
    registry = load(monkeypatch, "good")
    info = registry.info("good")
    assert (info.distribution, info.version, info.state) == ("good", "1.2", "ready")
    assert [o.plugin for o in registry.offers("NEG")] == ["good"]
    assert "good_kernels" not in sys.modules


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("this is no python", "SyntaxError"),
        ("raise RuntimeError('bad day')", "RuntimeError: bad day"),
        ("import sys; sys.exit(7)", "SystemExit: 7"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import sodalite.hookspecs as hs\n@hs.hookimpl\ndef sodalite_kernels():\n    return 3", "returned int, not a sodalite.KernelSet"),
        ("import sodalite.hookspecs as hs\n@hs.hookimpl\ndef sodalite_kernels():\n    1 / 0", "ZeroDivisionError"),
        ("import sodalite.hookspecs as hs\n@hs.hookimpl\ndef sodalite_kernels(what):\n    pass", "what"),
        ("import sodalite.hookspecs as hs\n@hs.hookimpl\ndef sodalite_kernel():\n    pass", "unknown hook 'sodalite_kernel'"),
        (
            "from sodalite.kernel import KernelSet\nkernels = KernelSet()\nkernels.register('A', print)\nkernels.register('A', print)",
            "A is claimed twice by one plugin",
        ),
    ],
)
def test_a_broken_plugin_is_left_out_with_one_warning_and_stops_nobody(site, monkeypatch, source, said):
    site.add("broken", source)
    site.add("good", GOOD)
    with pytest.warns(PluginWarning) as caught:
        registry = load(monkeypatch, "broken", "good")
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith("plugin 'broken' (broken 1.2) cannot be used: ")
    assert said in text
    assert state(registry, "broken")[0] == "failed"
    assert state(registry, "good") == ("ready", "")


def test_strict_plugins_makes_it_an_error(site, monkeypatch):
    site.add("broken", "raise RuntimeError('bad day')")
    monkeypatch.setenv("SODALITE_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"plugin 'broken' \(broken 1.2\) cannot be used: RuntimeError: bad day"):
        load(monkeypatch, "broken")


def test_a_plugin_for_another_api_says_both_numbers(site, monkeypatch):
    site.add("future", GOOD, group="sodalite.plugin.v2")
    with pytest.warns(PluginWarning, match="it speaks plugin API 2, this sodalite speaks 1"):
        registry = load(monkeypatch, "future")
    assert registry.operators == frozenset()


def test_an_allow_list_imports_nothing_else(site, monkeypatch):
    site.add("good", GOOD)
    site.add("broken", "raise RuntimeError('bad day')")
    registry = load(monkeypatch, "good")
    assert state(registry, "broken") == ("left out", "SODALITE_PLUGINS does not list it")
    assert load(monkeypatch, "").operators == frozenset()


def test_a_lazy_kernel_that_cannot_be_loaded_declines_and_warns_once(site, monkeypatch):
    site.add("good", GOOD)
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["y"])
    registry = load(monkeypatch, "good")
    offer = registry.offers("NEG")[0]
    with pytest.warns(PluginWarning, match="its kernel good_kernels:neg cannot be loaded: ModuleNotFoundError"), pytest.raises(PluginError):
        registry.prepare(offer)
    with pytest.raises(PluginError, match="cannot be loaded"):
        registry.prepare(offer)


def test_the_first_distribution_of_a_name_on_the_path_wins(tmp_path):
    for folder, value in (("a", "first"), ("b", "second")):
        info = tmp_path / folder / "My_Plugin-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_text(f"[sodalite.plugin.v1]\nmine = {value}  # why not\n")
    found = list(entry_points("sodalite.plugin.v", [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "none")]))
    assert [f[2].split()[0] for f in found] == ["first"]
    assert found[0][3:] == ("My-Plugin", "1.0")


def test_reading_entry_points_agrees_with_importlib_metadata():
    from importlib import metadata

    mine = {(g, n, v) for g, n, v, *_ in entry_points("pytest11")}
    theirs = {(e.group, e.name, e.value) for e in metadata.entry_points(group="pytest11")}
    assert mine == theirs


def test_zips_go_through_importlib_metadata(tmp_path):
    import zipfile

    archive = tmp_path / "plugin.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped-3.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 3.1\n")
        file.writestr("zipped-3.1.dist-info/entry_points.txt", "[sodalite.plugin.v1]\nzipped = zipped_plugin\n")
    assert list(entry_points("sodalite.plugin.v", [str(archive)])) == [("sodalite.plugin.v1", "zipped", "zipped_plugin", "zipped", "3.1")]


# the order of asking ----------------------------------------------------------------------------------------------------


def maker(name: str, value: float, quality: Quality = Quality.PORTABLE, **how) -> object:
    """A plugin whose NEG writes *value*."""
    kernels = KernelSet(quality=quality)
    kernels.register("NEG", lambda node: Prepared(((4,),), lambda b: lambda: b.outputs[0].fill(value)), **how)
    return plugin(kernels, name=name)


def neg() -> Rows:
    rows = Rows()
    rows.tensor("x")
    rows.op("NEG", ["x"], ["y"])
    return rows


def answer(plugins, **settings) -> float:
    return float(feed(runner(neg().graph(["x"], ["y"]), plugins, **settings), [0])[0][0])


def test_quality_then_name_decide_never_the_order_of_finding():
    a, b, c = maker("a", 1, Quality.REFERENCE), maker("b", 2, Quality.SIMD), maker("c", 3, Quality.SIMD)
    assert answer([a, b, c]) == answer([c, b, a]) == answer([b, c, a]) == 2


def test_the_users_word_beats_all():
    plugins = [maker("a", 1, Quality.REFERENCE), maker("b", 2, Quality.SIMD), maker("c", 3, Quality.TUNED)]
    assert answer(plugins, kernels=("a",)) == 1
    assert answer(plugins, kernels=("b", "a")) == 2
    assert answer(plugins, pin={"NEG": "a"}) == 1
    assert answer(plugins, pin={0: "b", "NEG": "a"}) == 2


def test_a_pin_to_a_plugin_without_the_kernel_says_who_has_it():
    with pytest.raises(UnsupportedOpError, match="pinned, but it offers no such kernel; plugins that do: a"):
        answer([maker("a", 1)], pin={"NEG": "nobody"})


def test_kernels_of_a_plugin_that_is_not_here():
    with pytest.raises(PluginError, match=r"kernels=\['b', 'z'\]: no plugin 'z'; here are: a, b"):
        answer([maker("a", 1), maker("b", 2)], kernels=("b", "z"))


def test_versions_and_arithmetic_decline_with_reasons():
    run = runner(neg().graph(["x"], ["y"]), [maker("old", 1, Quality.TUNED, versions=range(2, 4)), maker("a", 2)])
    (decline,) = run.explain().rows[0].declined
    assert (decline.who, decline.code, decline.why) == ("old", Reason.VERSION, "version 1; up to 3 only")
    both = [maker("a", 1, Quality.TUNED), maker("b", 2, arithmetic=("tflm",))]
    assert answer(both) == 1
    assert answer(both, mode=Mode(arithmetic="tflm")) == 2


def test_a_decline_lets_the_next_one_try():
    def no(node):
        raise Unsupported("not mine", code=Reason.QUANT, detail={"scale": 3})

    kernels = KernelSet(quality=Quality.TUNED)
    kernels.register("NEG", no)
    run = runner(neg().graph(["x"], ["y"]), [plugin(kernels, name="picky"), maker("a", 2)])
    (decline,) = run.explain().rows[0].declined
    assert str(decline) == "picky declined (QUANT): not mine"
    assert decline.detail == {"scale": 3}


def test_choose_kernel_may_prefer_another():
    choose = plugin(name="tuner", sodalite_choose_kernel=lambda self, node, candidates: candidates[-1])
    assert answer([maker("a", 1), maker("b", 2), choose]) == 2
    wrong = plugin(name="tuner", sodalite_choose_kernel=lambda self, node, candidates: "nobody")
    with pytest.raises(PluginError, match="answered 'nobody'; the candidates are a, b"):
        answer([maker("a", 1), maker("b", 2), wrong])


def test_plan_built_sees_the_plan():
    seen = []
    watcher = plugin(name="watcher", sodalite_plan_built=lambda self, plan: seen.append([c.op for c in plan.choices]))
    answer([maker("a", 1), watcher])
    assert seen == [["NEG"]]


def test_two_plugins_of_one_name():
    with pytest.raises(PluginError, match="another distribution has a plugin of this name"):
        Registry.of([maker("a", 1), maker("a", 2)])


def test_a_delegate_that_is_not_there_says_what_each_plugin_said():
    def offers(self, name, options):
        if name == "mine":
            return Unavailable(f"no device (options {sorted(options)})")
        return None

    registry = Registry.of([plugin(name="npu", sodalite_delegates=offers)])
    with pytest.raises(DelegateError, match=r"delegate 'mine' is not available\n  plugin 'npu': no device \(options \['fast'\]\)"):
        registry.delegate("mine", {"fast": "1"})
    with pytest.raises(DelegateError, match="plugins with delegates here: npu"):
        registry.delegate("other")


def test_a_hook_may_leave_arguments_out_and_name_them_in_any_order():
    """As every pluggy hook may."""
    for offers in (lambda self, options: Unavailable(str(options)), lambda self, options, name: Unavailable(f"{options} of {name}")):
        registry = Registry.of([plugin(name="npu", sodalite_delegates=offers)])
        with pytest.raises(DelegateError, match=r"plugin 'npu': \{'fast': '1'\}"):
            registry.delegate("mine", {"fast": "1"})


def test_a_delegate_that_lacks_parts_is_a_plugin_error():
    registry = Registry.of([plugin(name="npu", sodalite_delegates=lambda self, name, options: object())])
    with pytest.raises(PluginError, match="lacks name, min_nodes"):
        registry.delegate("mine")


# plain functions --------------------------------------------------------------------------------------------------------


def custom(raw: bytes = b"", **options) -> Rows:
    rows = Rows()
    rows.tensor("x")
    rows.op("custom:Scale", ["x"], ["y"], custom_options=raw, options=options)
    return rows


def test_a_plain_function_is_a_kernel():
    """Inputs, then out; options by name; dtypes not named are declined; shape by default the first input's."""
    kernels = KernelSet()

    @kernels.add("custom:Scale", types="float32")
    def scale(x, out, *, by=2.0):
        np.multiply(x, np.float32(by), out=out)

    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Float("by", 10.0)
        builder.Int("unknown", 1)
    for raw, wanted in ((b"", 2), (bytes(builder.Finish()), 10)):
        run = runner(custom(raw).graph(["x"], ["y"]), [plugin(kernels)])
        assert feed(run, [1])[0].tolist() == [wanted] * 4


def test_options_that_are_no_flexbuffers_are_declined():
    kernels = KernelSet()
    kernels.add("custom:Scale")(lambda x, out: None)
    with pytest.raises(UnsupportedOpError, match="custom options are"):
        runner(custom(b"\xff\x01rubbish").graph(["x"], ["y"]), [plugin(kernels)])


def test_shape_may_be_a_function():
    kernels = KernelSet()

    @kernels.add("custom:Scale", shape=lambda x: (x[0] * 2,))
    def twice(x, out):
        out[:] = np.concatenate([x, x])

    run = runner(custom().graph(["x"], ["y"]), [plugin(kernels)])
    assert feed(run, [np.arange(4)])[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_wrong_dtype_is_declined_with_both_types():
    kernels = KernelSet()
    kernels.add("custom:Scale", types=("int8", "uint8"))(lambda x, out: None)
    with pytest.raises(UnsupportedOpError, match="int8, uint8 only, got float32"):
        runner(custom().graph(["x"], ["y"]), [plugin(kernels)])


def test_registry_of_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Registry.of([plugin(basic())])
