"""``Interpreter``: the interface of TensorFlow Lite's, its promises and its errors, over a handful of kernels."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest
import sodalite
from core_kernels import count
from sodalite import Interpreter, KernelSet, Mode, OpResolverType, Prepared, Quality, Registry, hookimpl
from sodalite.build import Builder
from sodalite.errors import (
    DelegateError,
    KernelError,
    ModelError,
    NoValueError,
    PluginError,
    ShapeError,
    UnsupportedOpError,
)

gate = threading.Event()  # custom:Wait runs until it is set
waiting = threading.Event()  # ... and sets this one when it begins
prepared = []  # shapes that custom:Double was prepared for


def kernels(quality=Quality.PORTABLE):
    made = KernelSet(quality=quality)

    @made.prepare("custom:Double")
    def double(node):
        shape = node.inputs[0].shape
        prepared.append(shape)
        return Prepared((shape,), lambda b: lambda: np.add(b.inputs[0], b.inputs[0], out=b.outputs[0]))

    @made.add("ADD")
    def add(x, y, out):
        np.add(x, y, out=out)

    made.register("custom:Count", count)

    @made.prepare("custom:Nonzero")
    def nonzero(node):
        return Prepared((None,), lambda b: lambda: b.emit(0, b.inputs[0][b.inputs[0] != 0]))

    @made.prepare("custom:Strings")
    def strings(node):
        shape = node.inputs[0].shape
        return Prepared(
            (shape,), lambda b: lambda: b.emit(0, np.array([s + b"!" for s in b.inputs[0].flat], object))
        )

    @made.add("custom:Wait")
    def wait(x, out):
        waiting.set()
        assert gate.wait(20)
        out[...] = x

    @made.add("custom:Boom")
    def boom(x, out):
        if x.flat[0] < 0:
            raise ZeroDivisionError("below zero")
        out[...] = x

    return made


class Plugin:
    """Kernels and a delegate called "doubler" that takes custom:Double."""

    def __init__(self, name="mine", quality=Quality.PORTABLE):
        self.name = name
        self.quality = quality
        self.made = []

    @hookimpl
    def sodalite_kernels(self):
        return kernels(self.quality)

    @hookimpl
    def sodalite_delegates(self, name, options):
        if name not in ("doubler", "auto"):
            return None
        if options.get("broken"):
            return sodalite.Unavailable("no device here")
        self.made.append(Doubler(options))
        return self.made[-1]


class Doubler:
    name = "doubler"
    min_nodes = 1
    max_partitions = 0

    def __init__(self, options):
        self.options = options
        self.closed = 0

    def refuses(self, node):
        return None if node.op == "custom:Double" else sodalite.Unsupported("only doubles")

    def compile(self, group):
        return Prepared(
            tuple(t.shape for t in group.outputs),
            lambda b: lambda: np.multiply(b.inputs[0], 2, out=b.outputs[0]),
        )

    def close(self):
        self.closed += 1


def chain(*ops, shape=(1, 4), dtype="float32", **how):
    """One operator after another; every tensor of one shape and type."""
    g = Builder()
    x = g.input("x", shape, dtype, **how)
    fixed = tuple(1 if n == -1 else n for n in shape)
    for place, op in enumerate(ops):
        y = g.op(op, [x, x] if op == "ADD" else [x], [(f"y{place}", fixed, dtype)])
        x = y
    g.output(x)
    return g.finish()


def interpreter(model, *, plugin=None, **arguments):
    return Interpreter(model_content=model, registry=Registry.of([plugin or Plugin()]), **arguments)


@pytest.fixture
def two():
    """x -> Double -> y0 -> Double -> y1, allocated."""
    it = interpreter(chain("custom:Double", "custom:Double"))
    it.allocate_tensors()
    return it


# Construction


def test_sources(tmp_path):
    """A path as str or PathLike, or any buffer; an empty path beside content is no path, as in TFLite."""
    model = chain("custom:Double")
    file = tmp_path / "m.tflite"
    file.write_bytes(model)
    registry = Registry.of([Plugin()])
    for arguments in (
        {"model_path": file},
        {"model_path": str(file)},
        {"model_content": bytearray(model)},
        {"model_content": memoryview(model)},
        {"model_path": "", "model_content": model},
        {"model_path": file, "copy": True},
    ):
        with Interpreter(**arguments, registry=registry) as it:
            assert it.num_subgraphs() == 1
    with Interpreter(str(file), registry=registry) as it:
        assert it.get_input_details()[0]["name"] == "x"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give either model_path or model_content; got neither"),
        ({"model_path": "a", "model_content": b"b"}, "give either model_path or model_content; got both"),
        ({"model_content": b"", "num_threads": 0}, "num_threads is an int >= 1, got 0"),
        ({"model_content": b"", "num_threads": "2"}, "num_threads is an int >= 1, got '2'"),
        (
            {"model_content": b"", "experimental_op_resolver_type": 1},
            "experimental_op_resolver_type is one of OpResolverType.AUTO, ",
        ),
        (
            {"model_content": b"", "on_delegate_error": "x"},
            "on_delegate_error is one of fallback, raise; got 'x'",
        ),
        (
            {"model_content": b"", "arithmetic": "x"},
            "arithmetic is one of litert-2.3, tflite-2.14, tflm; got 'x'",
        ),
        ({"model_content": b""}, "model: "),
        ({"model_path": "/nowhere/m.tflite"}, "/nowhere/m.tflite: there is no such file"),
    ],
)
def test_arguments_that_cannot_be(arguments, said):
    """Every one is a ValueError that says what would do."""
    with pytest.raises(ValueError) as error:
        Interpreter(**arguments, registry=Registry.of([]))
    assert str(error.value).startswith(said)


def test_settings_reach_the_kernels(monkeypatch):
    """mode, threads, limits, kernels, pins and checks arrive as they were given."""
    monkeypatch.setenv("SODALITE_CHECK", "1")
    it = interpreter(
        chain("custom:Double"),
        num_threads=3,
        mode=Mode(precise=True),
        arithmetic="tflm",
        kernels="mine",
        pin={0: "mine"},
        limits=sodalite.Limits(memory=9),
        strict=True,
        on_delegate_error="raise",
        experimental_preserve_all_tensors=True,
    )
    settings = it._settings
    assert settings.mode == Mode("tflm", precise=True, threads=3)
    assert (settings.kernels, settings.pin, settings.limits.memory) == (("mine",), {0: "mine"}, 9)
    assert (settings.strict, settings.on_delegate_error, settings.keep_all, settings.check) == (
        True,
        "raise",
        True,
        True,
    )
    it = interpreter(chain("custom:Double"), mode=Mode(threads=5))
    assert it._settings.mode.threads == 5


def test_reference_kernels_on_request():
    """BUILTIN_REF leaves out plugins with SIMD kernels, and keeps those that only offer other things."""
    registry = Registry.of([Plugin("fast", Quality.SIMD), Plugin("plain", Quality.REFERENCE)])
    for resolver, owner in ((OpResolverType.AUTO, "fast"), (OpResolverType.BUILTIN_REF, "plain")):
        it = Interpreter(
            model_content=chain("custom:Double"), registry=registry, experimental_op_resolver_type=resolver
        )
        assert it.explain().owners == {owner: 1}


# Running


def test_one_run(two):
    """Set, invoke, get; nothing is returned but values."""
    (x,), (y,) = two.get_input_details(), two.get_output_details()
    assert two.set_tensor(x["index"], np.array([[1, 2, 3, 4]], np.float32)) is None
    assert two.invoke() is None
    result = two.get_tensor(y["index"])
    assert result.tolist() == [[4, 8, 12, 16]]
    result[...] = 0
    assert two.get_tensor(y["index"]).tolist() == [[4, 8, 12, 16]]


def test_indices_of_numpy(two):
    """Index arguments may be numpy integers."""
    two.set_tensor(np.int64(0), [[1, 2, 3, 4]])
    assert two.get_tensor(np.int32(0)).tolist() == [[1, 2, 3, 4]]


def test_shapeless_values():
    """A tensor of shape () is read as a numpy scalar, as in TFLite."""
    it = interpreter(chain("custom:Double", shape=()))
    it.allocate_tensors()
    it.set_tensor(0, 3)
    it.invoke()
    assert type(it.get_tensor(1)) is np.float32
    assert it.get_tensor(1) == 6


def test_allocating_again_keeps_values(two):
    """With nothing changed, allocate_tensors does nothing."""
    two.set_tensor(0, [[1, 2, 3, 4]])
    two.allocate_tensors()
    assert two.get_tensor(0).tolist() == [[1, 2, 3, 4]]


def test_observing(two):
    """Each step is shown with its outputs and time; the result is the same."""
    seen = []
    two.set_tensor(0, [[1, 2, 3, 4]])
    two.invoke(observe=lambda choice, outputs, ns: seen.append((choice.op, outputs[0].tolist(), ns >= 0)))
    assert seen == [("custom:Double", [[2, 4, 6, 8]], True), ("custom:Double", [[4, 8, 12, 16]], True)]
    assert two.get_tensor(2).tolist() == [[4, 8, 12, 16]]


def test_strings():
    """bytes come out as they went in; a str goes in as UTF-8."""
    it = interpreter(chain("custom:Strings", shape=(2,), dtype="string"))
    it.allocate_tensors()
    assert it.get_input_details()[0]["dtype"] is np.bytes_
    it.set_tensor(0, ["a", b"\0b"])
    it.invoke()
    assert it.get_tensor(0).tolist() == [b"a", b"\0b"]
    assert it.get_tensor(1).tolist() == [b"a!", b"\0b!"]
    view = it.tensor(0)()
    view[0] = b"c"
    assert it.get_tensor(0).tolist() == [b"c", b"\0b"]


def test_a_shape_known_only_after_running():
    """Details and value of a dynamic output follow each run."""
    g = Builder()
    x = g.input("x", (4,), "float32")
    g.output(g.op("custom:Nonzero", [x], [("y", (1,), "float32")]))
    it = interpreter(g.finish())
    it.allocate_tensors()
    for value in ([1, 0, 2, 0], [0, 0, 0, 0], [1, 2, 3, 4]):
        it.set_tensor(0, value)
        it.invoke()
        wanted = [v for v in value if v]
        assert it.get_tensor(1).tolist() == wanted
        assert it.get_output_details()[0]["shape"].tolist() == [len(wanted)]


def test_variables():
    """They keep their value from run to run, can be set and read, and are reset on demand."""
    g = Builder()
    x = g.input("x", (2,), "float32")
    v = g.tensor("v", (2,), "float32", variable=True)
    g.output(g.op("custom:Count", [v, x], [("y", (2,), "float32")], writes=[v]))
    it = interpreter(g.finish())
    it.allocate_tensors()
    it.set_tensor(x.index, [1, 2])
    it.invoke()
    it.invoke()
    assert it.get_tensor(2).tolist() == [2, 4]
    it.set_tensor(v.index, [10, 10])
    it.invoke()
    assert it.get_tensor(v.index).tolist() == [11, 12]
    it.reset_all_variables()
    assert it.get_tensor(v.index).tolist() == [0, 0]


def test_intermediate_results():
    """They are read when kept; else reading overwritten memory is an error, not yesterday's numbers."""
    model = chain("custom:Double", "custom:Double", "custom:Double", "custom:Double")
    it = interpreter(model, experimental_preserve_all_tensors=True)
    it.allocate_tensors()
    it.set_tensor(0, [[1, 2, 3, 4]])
    it.invoke()
    assert [it.get_tensor(i)[0, 0] for i in range(5)] == [1, 2, 4, 8, 16]
    it = interpreter(model)
    it.allocate_tensors()
    it.invoke()
    for read in (it.get_tensor, lambda i: it.tensor(i)()):
        with pytest.raises(NoValueError, match=r'tensor 1 "y0".*experimental_preserve_all_tensors=True'):
            read(1)


def test_constants():
    """They are read without allocating, as a copy, and never written."""
    g = Builder()
    x = g.input("x", (2,), "float32")
    g.output(g.op("ADD", [x, g.constant("c", [1.0, 2.0], "float32")], [("y", (2,), "float32")]))
    it = interpreter(g.finish())
    it.get_tensor(1)[...] = 7
    assert it.get_tensor(1).tolist() == [1, 2]
    assert not it.tensor(1)().flags.writeable
    it.allocate_tensors()
    with pytest.raises(
        ShapeError, match=r'tensor 1 "c" is no input or variable; there are: input 0 "x"'
    ):
        it.set_tensor(1, [0.0, 0.0])


# Shapes


def test_resizing():
    """A resize needs a new allocation; the same shape again does not."""
    it = interpreter(chain("custom:Double", shape=(-1, 4)))
    assert it.get_input_details()[0]["shape_signature"].tolist() == [-1, 4]
    it.allocate_tensors()
    it.resize_tensor_input(0, [1, 4])
    it.invoke()
    it.resize_tensor_input(0, np.array([3, 4]))
    assert it.get_input_details()[0]["shape"].tolist() == [3, 4]
    assert it.get_input_details()[0]["shape_signature"].tolist() == [-1, 4]
    for early in (it.invoke, lambda: it.get_tensor(0), lambda: it.set_tensor(0, np.ones((3, 4), np.float32))):
        with pytest.raises(
            NoValueError, match=r"call allocate_tensors\(\) first, and again after each resize"
        ):
            early()
    it.allocate_tensors()
    it.set_tensor(0, np.ones((3, 4), np.float32))
    it.invoke()
    assert it.get_tensor(1).shape == (3, 4)
    assert it.get_output_details()[0]["shape"].tolist() == [3, 4]
    it.resize_tensor_input(0, [0, 4])
    it.allocate_tensors()
    it.invoke()
    assert it.get_tensor(1).shape == (0, 4)


def test_strict_resizing():
    """Only what the signature leaves open may change."""
    it = interpreter(chain("custom:Double", shape=(-1, 4)))
    it.resize_tensor_input(0, [5, 4], strict=True)
    for shape in ([5, 5], [5], [5, 4, 1]):
        with pytest.raises(
            ShapeError, match=r'input 0 "x": shape is \(-1, 4\), got .*; only -1 may change'
        ):
            it.resize_tensor_input(0, shape, strict=True)
    fixed = interpreter(chain("custom:Double"))
    with pytest.raises(ShapeError, match=r"shape is \(1, 4\), got \(2, 4\)"):
        fixed.resize_tensor_input(0, [2, 4], strict=True)


# Errors: where, what, what next

CALLS = {
    "no such tensor": (
        lambda it: it.get_tensor(9),
        ShapeError,
        "no tensor 9; there are 3, from 0",
    ),
    "negative index": (
        lambda it: it.set_tensor(-1, 0),
        ShapeError,
        "no tensor -1; there are 3, from 0",
    ),
    "a name for an index": (
        lambda it: it.set_tensor("x", 0),
        TypeError,
        "a tensor is named by its index, got 'x'; get_tensor_details() lists them",
    ),
    "no such subgraph": (
        lambda it: it.get_tensor(0, 3),
        ValueError,
        "no subgraph 3; there are 1, from 0",
    ),
    "details of no subgraph": (
        lambda it: it.get_tensor_details(1),
        ValueError,
        "no subgraph 1; there are 1, from 0",
    ),
    "an output": (
        lambda it: it.set_tensor(2, 0),
        ShapeError,
        'tensor 2 "y1" is no input or variable; there are: input 0 "x"',
    ),
    "dtype": (
        lambda it: it.set_tensor(0, np.zeros((1, 4))),
        ShapeError,
        "input 0 \"x\": takes float32, got float64; pass value.astype('float32')",
    ),
    "shape": (
        lambda it: it.set_tensor(0, np.zeros((2, 4), np.float32)),
        ShapeError,
        'input 0 "x": shape is (1, 4), got (2, 4); call resize_tensor_input(0, [2, 4]) and allocate_tensors() first',
    ),
    "rank": (
        lambda it: it.set_tensor(0, np.zeros(4, np.float32)),
        ShapeError,
        'input 0 "x": shape is (1, 4), got (4,); pass value.reshape((1, 4))',
    ),
    "resizing an output": (
        lambda it: it.resize_tensor_input(2, [1, 4]),
        ShapeError,
        'tensor 2 "y1" is not an input: only inputs [0] can be resized',
    ),
    "a shape of floats": (
        lambda it: it.resize_tensor_input(0, [1.5, 4]),
        ShapeError,
        'input 0 "x": a shape is a list of ints, got [1.5, 4]',
    ),
    "a shape that is no list": (
        lambda it: it.resize_tensor_input(0, 4),
        ShapeError,
        'input 0 "x": a shape is a list of ints, got 4',
    ),
    "a negative shape": (
        lambda it: it.resize_tensor_input(0, [-1, 4]),
        ShapeError,
        'input 0 "x" cannot be resized to [-1, 4]: up to 32 dimensions, each >= 0',
    ),
    "rank 300": (
        lambda it: it.resize_tensor_input(0, [1] * 300),
        ShapeError,
        'input 0 "x" cannot be resized to rank 300: up to 32 dimensions, each >= 0',
    ),
    "no signatures": (
        lambda it: it.get_signature_runner(),
        ValueError,
        "a signature_key is wanted; the model's signatures: none; use set_tensor, invoke and get_tensor",
    ),
    "no such signature": (
        lambda it: it.get_signature_runner("f"),
        ValueError,
        'no signature "f"; the model\'s signatures: none; use set_tensor, invoke and get_tensor',
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_errors(two, name):
    """Each has the class that TFLite raises there; the interpreter works afterwards."""
    call, kind, said = CALLS[name]
    with pytest.raises(kind) as error:
        call(two)
    assert str(error.value) == said
    two.set_tensor(0, [[1, 1, 1, 1]])
    two.invoke()
    assert two.get_tensor(2).tolist() == [[4, 4, 4, 4]]


def test_before_allocating():
    """Values and runs need memory; descriptions, reports and constants do not."""
    it = interpreter(chain("custom:Double"))
    for call, kind in (
        (it.invoke, RuntimeError),
        (lambda: it.get_tensor(0), ValueError),
        (it.tensor(0), ValueError),
    ):
        with pytest.raises(kind, match=r"memory is not allocated: call allocate_tensors\(\) first"):
            call()
    assert it.memory().arena > 0
    assert it.explain().owners == {"mine": 1}
    assert len(it.get_tensor_details()) == 2


def test_an_operator_nobody_runs():
    """UnsupportedOpError is a ValueError and a RuntimeError; another interpreter is not troubled."""
    it = interpreter(chain("custom:Unheard"))
    with pytest.raises(UnsupportedOpError, match="Unheard"):
        it.allocate_tensors()
    with pytest.raises(RuntimeError):
        it.invoke()


def test_a_failing_run():
    """The error names the node; the next run is a new one."""
    it = interpreter(chain("custom:Boom"))
    it.allocate_tensors()
    it.set_tensor(0, [[-1, 0, 0, 0]])
    with pytest.raises((KernelError, PluginError), match=r'node 0 custom:Boom "y0"'):
        it.invoke()
    it.set_tensor(0, [[1, 0, 0, 0]])
    it.invoke()
    assert it.get_tensor(1).tolist() == [[1, 0, 0, 0]]


def test_a_file_changed_before_allocating(tmp_path):
    """It is noticed, not read."""
    file = tmp_path / "m.tflite"
    file.write_bytes(chain("custom:Double"))
    it = Interpreter(file, registry=Registry.of([Plugin()]))
    with file.open("ab") as out:
        out.write(b"more")
    with pytest.raises(ModelError, match="the file was changed while it is open"):
        it.allocate_tensors()


# Views


def test_writing_and_reading_through_views(two):
    """Without copies; the function that tensor() returns may be kept."""
    x, y = two.tensor(0), two.tensor(2)
    for n in range(3):
        x().fill(n)
        two.invoke()
        assert (y() == 4 * n).all()
    assert type(x()) is np.ndarray


@pytest.mark.parametrize(
    "made", [lambda v: v, lambda v: v[0, 1:], lambda v: v.reshape(4), memoryview, lambda v: v.T[1:]]
)
def test_held_views_block(two, made):
    """As long as a view, or anything made from it, is held, memory does not move under it."""
    held = made(two.tensor(0)())
    moves = {
        "run": two.invoke,
        "allocate": two.allocate_tensors,
        "resize": lambda: two.resize_tensor_input(0, [2, 4]),
    }
    for doing, move in moves.items():
        with pytest.raises(
            RuntimeError, match=rf'cannot {doing}: views of tensor 0 "x" are held; keep the function'
        ):
            move()
    two.set_tensor(0, [[1, 2, 3, 4]])
    assert two.get_tensor(0).tolist() == [[1, 2, 3, 4]]
    del held
    two.invoke()


def test_all_held_tensors_are_named(two):
    held = [two.tensor(0)(), two.tensor(2)(), two.tensor(2)()]
    with pytest.raises(RuntimeError, match='views of tensor 0 "x", tensor 2 "y1" are held'):
        two.invoke()
    del held


def test_views_in_dead_cycles_do_not_block(two):
    """Garbage is collected before anything is refused."""
    cycle = [two.tensor(0)()]
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        two.invoke()
    finally:
        gc.enable()


def test_views_outlive_the_interpreter(two):
    """Closing is not refused: views keep their memory, and stay what they were."""
    view = two.tensor(0)()
    view[...] = 7
    two.close()
    del two
    gc.collect()
    assert (view == 7).all()


# Signatures


def signed():
    """double(x) in the first subgraph, and add(x, y) with a second output in another."""
    g = Builder()
    x = g.input("x_0", (-1,), "float32")
    y = g.op("custom:Double", [x], [("y_0", (1,), "float32")])
    g.output(y)
    g.signature("double", {"x": x}, {"y": y})
    s = g.subgraph("sum")
    a, b = s.input("b_0", (-1,), "float32"), s.input("a_0", (-1,), "float32")
    c = s.op("ADD", [a, b], [("c_0", (1,), "float32")])
    d = s.op("custom:Double", [c], [("d_0", (1,), "float32")])
    s.output(c, d)
    s.signature("add", {"y": a, "x": b}, {"twice": d, "once": c})
    return g.finish()


def test_signature_lists():
    """Keys in the file's order, names in that of the alphabet, as TFLite lists them."""
    it = interpreter(signed())
    listed = it.get_signature_list()
    assert listed == {
        "add": {"inputs": ["x", "y"], "outputs": ["once", "twice"]},
        "double": {"inputs": ["x"], "outputs": ["y"]},
    }
    assert list(listed) == ["double", "add"]
    assert it._get_full_signature_list()["add"] == {
        "inputs": {"x": 1, "y": 0},
        "outputs": {"once": 2, "twice": 3},
    }
    assert interpreter(chain("custom:Double")).get_signature_list() == {}


def test_signature_runners():
    """Called by name, they follow the shapes they are given; details are by name too."""
    it = interpreter(signed())
    double, add = it.get_signature_runner("double"), it.get_signature_runner("add")
    assert double(x=np.array([1, 2], np.float32))["y"].tolist() == [2, 4]
    result = add(x=[1.0, 2.0, 3.0], y=np.ones(3, np.float32))
    assert {k: v.tolist() for k, v in result.items()} == {"once": [2, 3, 4], "twice": [4, 6, 8]}
    assert list(result) == ["once", "twice"]
    assert add.get_input_details()["x"]["name"] == "a_0"
    assert add.get_input_details()["x"]["shape"].tolist() == [3]
    assert add.get_output_details()["twice"]["index"] == 3
    assert it.get_tensor(2, 1).tolist() == [2, 3, 4]
    assert repr(add) == '<signature "add": x, y -> once, twice>'


def test_a_runner_plans_only_for_new_shapes():
    """Calls of the same shape plan nothing."""
    run = interpreter(signed()).get_signature_runner("double")
    run(x=np.ones(5, np.float32))
    prepared.clear()
    for _ in range(3):
        run(x=np.ones(5, np.float32))
    assert prepared == []
    run(x=np.ones(6, np.float32))
    assert prepared == [(6,)]


def test_a_live_runner_blocks_nothing():
    """Unlike TFLite, whose invoke() fails while a runner exists. Both share the first subgraph's memory."""
    it = interpreter(signed())
    run = it.get_signature_runner("double")
    run(x=np.ones(5, np.float32))
    it.set_tensor(0, np.zeros(5, np.float32))
    it.invoke()
    assert it.get_tensor(1).tolist() == [0] * 5
    assert run(x=[3.0])["y"].tolist() == [6]


@pytest.mark.parametrize(
    ("inputs", "kind", "said"),
    [
        ({}, ValueError, 'signature "add": missing or unknown: "x", "y"; inputs: "x", "y"'),
        (
            {"x": [1.0], "z": [1.0]},
            ValueError,
            'signature "add": missing or unknown: "y", "z"; inputs: "x", "y"',
        ),
        (
            {"x": np.ones(1), "y": np.ones(1, np.float32)},
            ValueError,
            "input 1 \"a_0\": takes float32, got float64; pass value.astype('float32')",
        ),
    ],
)
def test_a_runner_called_wrongly(inputs, kind, said):
    run = interpreter(signed()).get_signature_runner("add")
    with pytest.raises(kind) as error:
        run(**inputs)
    assert str(error.value) == said
    with pytest.raises(TypeError):
        run([1.0])


def test_which_signature():
    """Without a key there must be exactly one."""
    with pytest.raises(
        ValueError, match='a signature_key is wanted; the model\'s signatures: "double", "add"'
    ):
        interpreter(signed()).get_signature_runner()


# Threads


def _in_thread(function, name="worker"):
    """(thread, box): the box gets the function's result or error."""
    box = []

    def run():
        try:
            box.append(function())
        except Exception as error:  # noqa: BLE001  whatever it is, the test looks at it
            box.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread, box


def test_two_threads_at_once():
    """The second gets an error that names the first, whatever it asks for; the first is not disturbed."""
    gate.clear()
    waiting.clear()
    it = interpreter(chain("custom:Wait"))
    it.allocate_tensors()
    it.set_tensor(0, [[1, 2, 3, 4]])
    thread, box = _in_thread(it.invoke)
    assert waiting.wait(20)
    try:
        for call in (
            it.invoke,
            it.allocate_tensors,
            it.tensor(0),
            it.close,
            it.reset_all_variables,
            lambda: it.set_tensor(0, [[0, 0, 0, 0]]),
            lambda: it.get_tensor(1),
            lambda: it.resize_tensor_input(0, [2, 4]),
        ):
            with pytest.raises(
                RuntimeError, match='the interpreter is in use by thread "worker": give each its own'
            ):
                call()
    finally:
        gate.set()
        thread.join()
    assert box == [None]
    assert it.get_tensor(1).tolist() == [[1, 2, 3, 4]]


def test_one_thread_after_another(two):
    """An interpreter may change hands between calls."""
    for n in range(4):
        thread, box = _in_thread(lambda n=n: (two.set_tensor(0, [[n] * 4]), two.invoke()))
        thread.join()
        assert box == [(None, None)]
        assert two.get_tensor(2).tolist() == [[4 * n] * 4]


def test_many_threads_with_their_own():
    """Side by side, each gets its own results."""
    model = chain(*["custom:Double"] * 8, shape=(1, 64))

    def work(n):
        it = interpreter(model)
        it.allocate_tensors()
        for k in range(50):
            it.set_tensor(0, np.full((1, 64), n + k, np.float32))
            it.invoke()
            assert (it.get_tensor(8) == 256 * (n + k)).all()
        return "done"

    threads = [_in_thread(lambda n=n: work(n)) for n in range(8)]
    for thread, _ in threads:
        thread.join()
    assert [box for _, box in threads] == [["done"]] * 8


def test_running_inside_a_run(two):
    """An observer cannot start a run, or move memory, in the one it observes."""
    said = []

    def observe(*_):
        for call in (two.invoke, two.allocate_tensors, two.close):
            try:
                call()
            except RuntimeError as error:
                said.append(str(error))

    two.invoke(observe=observe)
    assert len(said) == 6
    assert said[0] == "cannot run inside invoke()"
    two.invoke()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_in_the_middle_of_a_run():
    """The child may go on with the interpreter that a thread of its parent was using."""
    gate.clear()
    waiting.clear()
    it = interpreter(chain("custom:Wait"))
    it.allocate_tensors()
    thread, box = _in_thread(it.invoke)
    assert waiting.wait(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        child = os.fork()
    if child == 0:
        code = 1
        try:
            gate.set()
            it.set_tensor(0, [[1, 2, 3, 4]])
            it.invoke()
            code = 0 if it.get_tensor(1).tolist() == [[1, 2, 3, 4]] else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    gate.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert box == [None]


# Delegates


def test_delegates_by_name():
    """As names, pairs or objects; the interpreter closes what it made, once."""
    plugin = Plugin()
    model = chain("custom:Double", "ADD")
    for wanted, options in (
        ("doubler", {}),
        (["doubler"], {}),
        ([("doubler", {"a": 1})], {"a": 1}),
        (["auto"], {}),
    ):
        it = interpreter(model, plugin=plugin, delegates=wanted)
        it.allocate_tensors()
        it.set_tensor(0, [[1, 2, 3, 4]])
        it.invoke()
        assert it.get_tensor(2).tolist() == [[4, 8, 12, 16]]
        assert it.explain().owners == {"doubler": 1, "mine": 1}
        assert plugin.made[-1].options == options
        it.close()
        it.close()
        assert plugin.made[-1].closed == 1


def test_delegates_of_the_caller():
    """Through experimental_delegates as in TFLite; whoever made them closes them."""
    mine = Doubler({})
    it = interpreter(chain("custom:Double"), experimental_delegates=[mine])
    assert it.explain().owners == {"doubler": 1}
    it.close()
    assert mine.closed == 0


def test_delegates_from_the_environment(monkeypatch):
    """SODALITE_DELEGATES counts where the caller says nothing, and not with ..._WITHOUT_DEFAULT_DELEGATES."""
    monkeypatch.setenv("SODALITE_DELEGATES", " doubler, ")
    model = chain("custom:Double")
    without = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    assert interpreter(model).explain().owners == {"doubler": 1}
    assert interpreter(model, delegates=[]).explain().owners == {"mine": 1}
    assert interpreter(model, experimental_op_resolver_type=without).explain().owners == {"mine": 1}


def test_a_delegate_that_is_not_there():
    """The error says who offers what; it is a DelegateError and, as in TFLite, a ValueError. "auto" takes what is there."""
    model = chain("custom:Double")
    with pytest.raises(DelegateError, match="delegate 'nnapi' is not available"):
        interpreter(model, delegates=["nnapi"])
    with pytest.raises(ValueError, match="plugin 'mine': no device here"):
        interpreter(model, delegates=[("doubler", {"broken": True})])
    with pytest.raises(ValueError, match=r"a delegate is a name, .* got 3"):
        interpreter(model, delegates=[3])
    it = interpreter(model, delegates=[("auto", {"broken": True})])
    assert it.explain().owners == {"mine": 1}


@pytest.mark.parametrize("library", ["libedgetpu.so.1", "/usr/lib/libgpu.so", "delegate.dll", "./libx.dylib"])
def test_c_delegate_libraries(library):
    """They are not loaded; the error says what to do, and a script that falls back on ValueError does."""
    with pytest.raises(
        DelegateError, match=r"is a C delegate library: name a plugin"
    ) as error:
        sodalite.load_delegate(library)
    assert isinstance(error.value, ValueError)


def test_a_failed_constructor_releases_what_it_made():
    """Delegates made before the one that is missing are closed."""
    plugin = Plugin()
    with pytest.raises(DelegateError):
        interpreter(chain("custom:Double"), plugin=plugin, delegates=["doubler", "missing"])
    assert [d.closed for d in plugin.made] == [1]


# The end


def test_closing(two):
    """Twice is once; every later use says that it is closed."""
    two.close()
    two.close()
    for call in (
        two.invoke,
        two.allocate_tensors,
        two.get_input_details,
        lambda: two.set_tensor(0, 0),
        two.explain,
    ):
        with pytest.raises(RuntimeError, match="the interpreter is closed: make a new one"):
            call()
    assert repr(two) == "<sodalite.Interpreter (closed)>"


def test_with():
    with interpreter(chain("custom:Double")) as it:
        assert repr(it) == "<sodalite.Interpreter model>"
    assert "closed" in repr(it)


def test_forgetting_is_closing():
    """An interpreter that nobody holds releases its delegates and memory at once."""
    plugin = Plugin()
    it = interpreter(chain("custom:Double"), plugin=plugin, delegates="doubler")
    it.allocate_tensors()
    it.invoke()
    gone = weakref.ref(it)
    del it
    gc.collect()
    assert gone() is None
    assert plugin.made[0].closed == 1


def test_the_end_of_the_process_is_closing(tmp_path):
    """Delegates are released at exit, before what they work with, whether or not anyone called close()."""
    (tmp_path / "m.tflite").write_bytes(chain("custom:Double"))
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import test_interpreter as t
class Loud(t.Doubler):
    def close(self):
        print("closed")
it = t.Interpreter({str(tmp_path / "m.tflite")!r}, registry=t.Registry.of([t.Plugin()]), delegates="doubler")
it.allocate_tensors()
it.invoke()
it._settings.delegates[0].__class__ = Loud
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("closed\n", "", 0)


@pytest.mark.slow
def test_making_many_grows_nothing():
    """A thousand interpreters, made and forgotten, leave no memory behind."""
    resource = pytest.importorskip("resource")
    model = chain(*["custom:Double"] * 4, shape=(1, 1000))
    plugin = Plugin()

    def some(n):
        for _ in range(n):
            it = interpreter(model, plugin=plugin)
            it.allocate_tensors()
            it.invoke()
            prepared.clear()

    some(100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    some(500)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 4 << 20
