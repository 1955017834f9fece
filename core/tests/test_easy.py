"""``sodalite.load``: a model as a callable."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import sodalite
from core_kernels import count
from sodalite import KernelSet, Prepared, Registry, hookimpl
from sodalite.build import Builder
from sodalite.errors import ModelNotFoundError, ShapeError

packed = []  # one entry each time weights are packed


class Plugin:
    name = "mine"

    @hookimpl
    def sodalite_kernels(self):
        made = KernelSet()

        @made.add("ADD")
        def add(x, y, out):
            np.add(x, y, out=out)

        @made.prepare("custom:Packing")
        def packing(node):
            def bind(b):
                weights = node.packed("w", lambda: packed.append(1) or np.float32(3))
                return lambda: np.multiply(b.inputs[0], weights, out=b.outputs[0])

            return Prepared((node.inputs[0].shape,), bind)

        made.register("custom:Count", count)

        @made.prepare("custom:Visits")
        def visits(node):
            def bind(b):
                def step():
                    node.state["visits"] = node.state.get("visits", 0) + 1
                    b.outputs[0][...] = node.state["visits"]

                return step

            return Prepared((node.inputs[0].shape,), bind, effects=True)

        return made


def load(g, **arguments):
    return sodalite.load(g.finish() if isinstance(g, Builder) else g, registry=Registry.of([Plugin()]), **arguments)


def adder(dtype="float32", shape=(2,), out=(2,), **how):
    """y = x + x, one input, one output."""
    g = Builder()
    x = g.input("x", shape, dtype, **how)
    g.output(g.op("ADD", [x, x], [{"name": "y", "shape": out, "dtype": dtype, **how}]))
    return g


def pair():
    """total = a + b, twice = total + total."""
    g = Builder()
    a, b = g.input("a", (2,), "float32"), g.input("b", (2,), "float32")
    total = g.op("ADD", [a, b], [("total", (2,), "float32")])
    g.output(total, g.op("ADD", [total, total], [("twice", (2,), "float32")]))
    return g


def test_sources(tmp_path):
    """A path, bytes, another buffer, or an open file."""
    blob = adder().finish()
    file = tmp_path / "m.tflite"
    file.write_bytes(blob)
    with file.open("rb") as opened:
        for source in (file, str(file), blob, bytearray(blob), memoryview(blob), opened, io.BytesIO(blob)):
            with load(source) as model:
                assert model([1, 2]).tolist() == [2, 4]
    assert load(file, copy=True)([1, 2]).tolist() == [2, 4]
    with pytest.raises(ModelNotFoundError, match=r"n\.tflite: there is no such file; near it: m\.tflite"):
        load(tmp_path / "n.tflite")


def test_one_input_and_one_output():
    """An array in, an array out; by position or by name."""
    model = load(adder())
    assert model(np.array([1, 2], np.float32)).tolist() == [2, 4]
    assert model(x=[1, 2]).tolist() == [2, 4]
    assert model({"x": [1, 2]}).tolist() == [2, 4]
    assert model(np.array([1, 2])).dtype == np.float32


def test_several_inputs_and_outputs():
    """By name; several outputs come as a dictionary."""
    model = load(pair())
    result = model(a=[1, 2], b=[10, 20])
    assert {k: v.tolist() for k, v in result.items()} == {"total": [11, 22], "twice": [22, 44]}
    assert model({"a": [1, 2]}, b=[0, 0])["total"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "named", "said"),
    [
        (([1, 2],), {}, 'model has 2 inputs; pass each by its name: "a", "b"'),
        ((), {"a": [1, 2]}, 'model: missing or unknown: "b"; inputs: "a", "b"'),
        ((), {"a": [1, 2], "b": [1, 2], "c": 1}, 'model: missing or unknown: "c"; inputs: "a", "b"'),
        ((), {"a": [1, 2], "b": ["x", "y"]}, "input 1 \"b\": takes float32, got <U1; pass value.astype('float32')"),
        (
            (),
            {"a": [1, 2], "b": [1, 2, 3]},
            'input 1 "b": shape is (2,), got (3,); load(..., resize=True) lets the model try others',
        ),
        ((), {"a": [1, 2], "b": [[1, 2]]}, 'input 1 "b": shape is (2,), got (1, 2); pass value.reshape((2,))'),
    ],
)
def test_what_does_not_fit(arguments, named, said):
    """The error lists the names, or says what the tensor takes."""
    with pytest.raises(ShapeError) as error:
        load(pair())(*arguments, **named)
    assert str(error.value) == said


def test_quantised_models():
    """Real numbers in and out; raw=True for the integers, of a call or of the model."""
    g = adder("int8", scale=0.5, zero_point=0)
    model = load(g)
    assert model([1.0, -2.5]).tolist() == [2, -5]
    assert model([1.0, -2.5]).dtype == np.float32
    assert model([1.0, -2.5], raw=False).tolist() == [2, -5]
    assert model(np.array([2, -5], np.int8)).tolist() == [2, -5]
    raw = model(np.array([2, -5], np.int8), raw=True)
    assert (raw.tolist(), raw.dtype) == ([4, -10], np.int8)
    assert load(g, raw=True)([2, -5]).tolist() == [4, -10]
    with pytest.raises(ShapeError, match="takes int8, got float64"):
        model([1.0, -2.5], raw=True)


def test_an_input_called_raw():
    """Its name wins over the flag, which load() takes too."""
    g = Builder()
    x = g.input("raw", (2,), "int8", scale=0.5, zero_point=0)
    g.output(g.op("ADD", [x, x], [("y", (2,), "int8")]))
    assert load(g)(raw=[1.0, 2.0]).tolist() == [4, 8]


def test_numbers_for_one_element():
    """A number will do where a tensor has one element."""
    model = load(adder(shape=(1, 1), out=(1, 1)))
    assert model(0.5).tolist() == [[1]]
    assert load(adder("int8", shape=(1, 1), out=(1, 1), scale=0.5, zero_point=0))(1.5).tolist() == [[3]]


def test_open_dimensions_follow_the_input():
    """Those that the signature leaves open; resize=True lets the others follow too."""
    model = load(adder(shape=(-1, 2), out=(1, 2)))
    assert model([[1, 2], [3, 4], [5, 6]]).tolist() == [[2, 4], [6, 8], [10, 12]]
    assert model([[1, 2]]).tolist() == [[2, 4]]
    with pytest.raises(ShapeError, match=r"shape is \(-1, 2\), got \(1, 3\); -1 may be any size"):
        model([[1, 2, 3]])
    with pytest.raises(ShapeError, match=r"got \(2,\); pass value.reshape\(\(-1, 2\)\)"):
        model([1, 2])
    assert load(adder(), resize=True)([1, 2, 3]).tolist() == [2, 4, 6]


def test_names_that_are_none():
    """Without usable names, inputs and outputs are numbered."""
    g = Builder()
    a, b = g.input("", (2,), "float32"), g.input("", (2,), "float32")
    g.output(g.op("ADD", [a, b], [("y", (2,), "float32")]))
    assert load(g)(input_0=[1, 2], input_1=[3, 4]).tolist() == [4, 6]


def signed(*keys):
    g = Builder()
    for place, key in enumerate(keys):
        s = g if place == 0 else g.subgraph(key)
        x = s.input(f"{key}_x", (2,), "float32")
        y = s.op("ADD", [x, x], [(f"{key}_y", (2,), "float32")])
        if place:
            y = s.op("ADD", [y, y], [(f"{key}_z", (2,), "float32")])
        s.output(y)
        s.signature(key, {"x": x}, {"y": y})
    return g


def test_signatures():
    """One is called as the model; of several, "serving_default", or the one that is named."""
    assert load(signed("f"))(x=[1, 2]).tolist() == [2, 4]
    model = load(signed("f", "serving_default"))
    assert model(x=[1, 2]).tolist() == [4, 8]
    assert model.signature("f")([1, 2]).tolist() == [2, 4]
    model = load(signed("f", "g"))
    assert model.signature("g")(x=[1, 2]).tolist() == [4, 8]
    with pytest.raises(ValueError, match=r'has several; call model.signature\(name\).*: "f", "g"'):
        model([1, 2])
    with pytest.raises(ValueError, match='no signature "h"; the model\'s signatures: "f", "g"'):
        model.signature("h")


def test_what_is_shown():
    """Inputs and outputs by name, with shape, type and quantisation."""
    model = load(adder("int8", shape=(-1, 2), out=(1, 2), scale=0.5, zero_point=3))
    assert repr(model) == (
        "<sodalite LoadedModel model\n"
        '  in  "x" int8 [-1, 2], real = 0.5 * (q-3)\n'
        '  out "y" int8 [1, 2], real = 0.5 * (q-3)>'
    )
    assert model.inputs["x"].dtype == "int8"
    assert list(model.outputs) == ["y"]
    both = load(signed("f", "g"))
    assert 'signature "g"\n  in  "x" float32 [2]\n  out "y" float32 [2]' in repr(both)
    assert repr(both.signature("g")).startswith('<sodalite LoadedModel model\nsignature "g"\n  in  "x" float32 [2]')
    assert model.explain().owners == {"mine": 1}
    assert model.memory().arena > 0


def packing():
    g = Builder()
    x = g.input("x", (2,), "float32")
    g.output(g.op("custom:Packing", [x], [("y", (2,), "float32")]))
    return g


def test_sessions_share_packed_weights():
    """Memory and state are their own; weights are packed once."""
    packed.clear()
    model = load(packing())
    with model.session() as one, model.session() as two:
        assert one([1, 2]).tolist() == two([1, 2]).tolist() == [3, 6]
    assert len(packed) == 1


def test_sessions_outlive_the_model(tmp_path):
    """A session keeps what it needs; the model itself is closed."""
    file = tmp_path / "m.tflite"
    file.write_bytes(packing().finish())
    model = load(file)
    session = model.session()
    model.close()
    model.close()
    assert session([1, 2]).tolist() == [3, 6]
    session.close()
    for call in (lambda: model([1, 2]), model.session, model.explain):
        with pytest.raises(RuntimeError, match=r"m\.tflite is closed: load it again"):
            call()
    with pytest.raises(RuntimeError, match="the interpreter is closed"):
        session([1, 2])


def _together(count, function):
    """function(n) in *count* threads at once; their results."""
    barrier = threading.Barrier(count)
    results = [None] * count

    def run(n):
        barrier.wait()
        try:
            results[n] = function(n)
        except Exception as error:  # noqa: BLE001  the test looks at it
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_many_threads():
    """Calls from several threads do not disturb each other, nor pack weights again."""
    packed.clear()
    model = load(packing())

    def work(n):
        return all(model([n, k]).tolist() == [3 * n, 3 * k] for k in range(100))

    assert _together(8, work) == [True] * 8
    assert len(packed) == 1
    assert len(model._idle) <= 8


def counter():
    g = Builder()
    x = g.input("x", (1,), "float32")
    v = g.tensor("v", (1,), "float32", variable=True)
    g.output(g.op("custom:Count", [v, x], [("y", (1,), "float32")], writes=[v]))
    return g


def test_state_is_one_for_all_threads():
    """A model with variables has one state: calls wait for each other, none is lost."""
    model = load(counter())
    results = _together(4, lambda _: [float(model(1)[0]) for _ in range(25)])
    assert sorted(n for some in results for n in some) == list(range(1, 101))
    model.reset()
    assert model(1).tolist() == [1]
    with model.session() as session:
        assert session(5).tolist() == [5]
        session.reset()
        assert session(5).tolist() == [5]
    assert model(1).tolist() == [2]


def test_reset_forgets_resources():
    """What kernels keep in the interpreter's state goes too."""
    g = Builder()
    x = g.input("x", (1,), "float32")
    g.output(g.op("custom:Visits", [x], [("y", (1,), "float32")]))
    session = load(g).session()
    assert [session(0)[0] for _ in range(3)] == [1, 2, 3]
    session.reset()
    assert session(0)[0] == 1


def test_a_session_is_for_one_thread():
    """A session that is busy refuses a second thread, as an interpreter does."""
    session = load(adder()).session()
    refused = []

    def observe(*_):
        thread = threading.Thread(target=lambda: refused.append(_error(lambda: session([1, 2]))))
        thread.start()
        thread.join()

    with session._borrow() as interpreter:
        interpreter.allocate_tensors()
        interpreter.invoke(observe=observe)
    assert "is in use by thread" in refused[0]


def _error(call):
    try:
        return call()
    except RuntimeError as error:
        return str(error)


def test_closing_during_a_call():
    """The call under way finishes; the next one is refused."""
    model = load(adder())
    with model._borrow() as interpreter:
        model.close()
        interpreter.allocate_tensors()
        interpreter.invoke()
    with pytest.raises(RuntimeError, match="the interpreter is closed"):
        interpreter.invoke()
