"""``sodalite run``: photos, labels, arrays; and every bad input as a user meets it."""

import os
import sys

import numpy as np
import pytest
from PIL import Image
from sodalite import build
from sodalite_tools import preprocess
from sodalite_tools.errors import ToolError
from sodalite_tools.values import real

LABELS = ("red", "green", "blue")


def rows(text):
    """The words of each line, by the first of them."""
    return {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}


def test_the_best_label_comes_first(sodalite, toy, colours, picture):
    result = sodalite("run", colours(labels=LABELS), "--image", picture((200, 50, 0)))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "photo.png: 20 x 10 stretched to 8 x 8, pixels as they are"
    place = next(i for i, line in enumerate(lines) if "label" in line)
    best = [line.split() for line in lines[place + 2 : place + 5]]
    assert [row[:3] for row in best] == [["0", "red", "0.8000"], ["1", "green", "0.2000"], ["2", "blue", "0.0000"]]
    assert best[0][3].startswith("█" * 19)
    stages = rows(result.stdout)
    for stage in ("open", "allocate", "preprocess", "run"):
        assert stages[stage][1] == "ms"
        assert float(stages[stage][0].replace(",", "")) >= 0


def test_top(sodalite, toy, colours, picture):
    result = sodalite("run", colours(labels=LABELS), "--image", picture(), "--top", 1)
    assert "red" in result.stdout
    assert "green" not in result.stdout


def test_labels_from_a_file(sodalite, toy, colours, picture, tmp_path):
    file = tmp_path / "names.txt"
    for text in ("rot\r\ngrün\r\nblau\r\n", "0 rot\n1 grün\n2 blau\n", "2: blau\n0: rot\n1: grün"):
        file.write_text(text, encoding="utf-8")
        result = sodalite("run", colours(), "--image", picture((0, 90, 0)), "--labels", file)
        assert result.exit_code == 0, result.stderr
        assert rows(result.stdout)["1"][:2] == ["grün", "1.0000"]


def test_labels_that_do_not_fit(sodalite, toy, colours, picture, tmp_path, told):
    file = tmp_path / "names.txt"
    file.write_text("background\nred\ngreen\nblue\n")
    told(sodalite("run", colours(), "--image", picture(), "--labels", file), "4 lines", "share has 3", "background class")


def test_without_labels_outputs_are_described(sodalite, toy, colours, picture):
    result = sodalite("run", colours(metadata=False), "--image", picture((255, 0, 0)))
    assert rows(result.stdout)["share"] == ["1", "x", "3", "float32", "0", "0.333333", "1"]


@pytest.mark.parametrize(
    ("dtype", "quant", "options", "mean", "said", "expected"),
    [
        ("uint8", {}, [], None, "pixels as they are", [250, 100, 0]),
        ("uint8", {"scale": 0.5, "zero_point": 3}, [], None, "pixels as they are", [250, 100, 0]),
        ("uint8", {}, [], 127.0, "pixels as they are", [250, 100, 0]),
        ("uint8", {"scale": 1.0, "zero_point": 3}, ["--mean", "1", "--std", "2"], None, "(pixel - 1) / 2 (options), quantised", [128, 53, 2]),
        ("int8", {}, [], None, "pixels - 128", [122, -28, -128]),
        ("int8", {"scale": 1.0, "zero_point": -128}, ["--std", "1"], None, "quantised", [122, -28, -128]),
        ("float32", {}, [], None, "(pixel - 127.5) / 127.5 (default", [122.5 / 127.5, -27.5 / 127.5, -1]),
        ("float32", {}, ["--mean", "0", "--std", "255"], None, "(pixel - 0) / 255", [250 / 255, 100 / 255, 0]),
        ("float32", {}, ["--mean", "1,2,3", "--std", "1,2,4"], None, "(pixel - [1, 2, 3]) / [1, 2, 4]", [249, 49, -0.75]),
        ("float32", {}, [], 100.0, "(pixel - 100) / 50 (the model's metadata)", [3, 0, -2]),
        ("float16", {}, ["--mean", "0", "--std", "1"], None, "(pixel - 0) / 1", [250, 100, 0]),
    ],
)
def test_how_pixels_become_an_input(sodalite, toy, tmp_path, picture, describe, dtype, quant, options, mean, said, expected):
    """Seen through a model that only copies its input."""
    builder = build.Builder()
    x = builder.input("photo", (1, 4, 4, 3), dtype, **quant)
    builder.output(builder.op("custom:Echo", [x], [("copy", (1, 4, 4, 3), dtype)]))
    if mean is not None:
        builder.metadata("TFLITE_METADATA", describe(mean=(mean,), std=(50.0,)))
    path, out = tmp_path / "echo.tflite", tmp_path / "out.npz"
    path.write_bytes(builder.finish())
    result = sodalite("run", path, "--image", picture((250, 100, 0)), "--output", out, *options)
    assert result.exit_code == 0, result.stderr
    assert said in result.stdout
    with np.load(out) as saved:
        assert saved["copy"].dtype == np.dtype(dtype)
        np.testing.assert_allclose(saved["copy"][0, 2, 2], expected, rtol=1e-3)


def test_a_grey_input_takes_a_grey_photo(sodalite, toy, colours, picture):
    """And a photo of another mode is converted, transparency dropped."""
    for mode, colour in (("RGBA", (255, 0, 0, 9)), ("L", 7), ("P", 1), ("1", 1), ("CMYK", (0, 0, 0, 0))):
        path = picture(colour, mode=mode, name="p.tiff" if mode == "CMYK" else "p.png")
        assert sodalite("run", colours(shape=(1, 8, 8, 1)), "--image", path).exit_code == 0
        assert sodalite("run", colours(shape=(1, 8, 8, 4)), "--image", path).exit_code == 0


def test_channels_first(tmp_path, picture):
    detail = {"name": "x", "dtype": np.uint8, "shape": [1, 3, 4, 6], "shape_signature": [1, 3, 4, 6]}
    layout = preprocess.layout_of(detail)
    array, _ = preprocess.as_input(preprocess.pixels(preprocess.photo(picture((1, 2, 3))), layout), detail, layout, None)
    assert array.shape == (1, 3, 4, 6)
    assert array[0, :, 3, 5].tolist() == [1, 2, 3]


@pytest.mark.parametrize("shape", [(1, 8), (1, 8, 8, 5), (2, 8, 8, 3), (1, 1, 1, 3), (), (1, 2, 3, 4, 3)])
def test_what_does_not_look_like_an_image(shape):
    assert preprocess.layout_of({"shape": shape, "shape_signature": shape}) is None


def test_an_open_size_is_the_photo_s_own(sodalite, toy, colours, picture):
    result = sodalite("run", colours(shape=(1, -1, -1, 3), labels=LABELS), "--image", picture(size=(7, 5)))
    assert result.exit_code == 0, result.stderr
    assert "photo.png: 7 x 5, pixels as they are" in result.stdout


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    picture = Image.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert preprocess.photo(tmp_path / "turned.jpg").size == (2, 4)


def test_shrinking_averages(tmp_path):
    """Bilinear with antialiasing: a fine pattern becomes grey, not noise."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    layout = preprocess.Layout(8, 8, 1, channels_first=False, batched=True)
    made = preprocess.pixels(Image.fromarray(board.astype(np.uint8)), layout)
    assert np.abs(made.astype(int) - 128).max() <= 2


@pytest.mark.parametrize(
    ("mean", "std", "why"), [((1.0, 2.0), (1.0,), "2 values for 3 channels"), ((0.0,), (0.0,), "std is not 0"), ((float("nan"),), (1.0,), "finite")]
)
def test_a_normalisation_that_cannot_be(mean, std, why):
    detail = {"name": "x", "dtype": np.float32}
    layout = preprocess.Layout(2, 2, 3, channels_first=False, batched=True)
    with pytest.raises(ToolError, match=why):
        preprocess.as_input(np.zeros((2, 2, 3), np.uint8), detail, layout, preprocess.Normalisation(mean, std, "options"))


def test_integers_without_a_rule_want_one():
    layout = preprocess.Layout(2, 2, 3, channels_first=False, batched=True)
    with pytest.raises(ToolError, match="say --mean and --std"):
        preprocess.as_input(np.zeros((2, 2, 3), np.uint8), {"name": "x", "dtype": np.int32}, layout, None)


# ---------------------------------------------------------------- arrays


def save(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: folder / f"{name}.npy" for name in arrays}


def test_arrays_by_name_place_and_signature(sodalite, toy, adder, tmp_path):
    files = save(tmp_path, a=np.ones((1, 4), np.float32), b=np.full((1, 4), 2, np.float32))
    out = tmp_path / "out.npz"
    for a, b, key, extra in (("x", "y", "z", []), ("0", "1", "z", []), ("a", "b", "c", ["--signature", "sums"])):
        words = ["run", adder, "--input", f"{a}={files['a']}", "--input", f"{b}={files['b']}", "--output", out, *extra]
        result = sodalite(*words)
        assert result.exit_code == 0, result.stderr
        assert rows(result.stdout)[key] == ["1", "x", "4", "float32", "-5", "-5", "-5"]
        with np.load(out) as saved:
            assert saved[key].tolist() == [[-5.0] * 4]


def test_an_open_dimension_is_resized(sodalite, toy, adder, tmp_path):
    files = save(tmp_path, a=np.ones((3, 4), np.float32))
    result = sodalite("run", adder, "--input", f"x={files['a']}", "--input", f"y={files['a']}")
    assert rows(result.stdout)["z"][:3] == ["3", "x", "4"]


def test_random_values_only_when_asked(sodalite, toy, adder, told):
    told(sodalite("run", adder), "nothing was given for these inputs", "x: float32 ? x 4", "y: float32 ? x 4", "--random")
    first = sodalite("run", adder, "--random")
    assert first.exit_code == 0, first.stderr
    assert "random values for x, y (seed 0)" in first.stdout
    same, other = sodalite("run", "--random", adder), sodalite("run", adder, "--random", "--seed", 7)
    assert rows(first.stdout)["z"] == rows(same.stdout)["z"] != rows(other.stdout)["z"]


def test_text(sodalite, toy, tmp_path):
    builder = build.Builder()
    x = builder.input("sentence", (1,), "string")
    builder.output(builder.op("custom:Echo", [x], [("again", (1,), "string")]))
    path = tmp_path / "text.tflite"
    path.write_bytes(builder.finish())
    result = sodalite("run", path, "--text", "how are you", "--output", tmp_path / "out.npz")
    assert result.exit_code == 0, result.stderr
    assert "'how are you'" in result.stdout
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["again"].tolist() == [b"how are you"]
    files = save(tmp_path, s=np.array(["abc"]))
    assert "'abc'" in sodalite("run", path, "--input", f"sentence={files['s']}").stdout


def test_real_numbers_of_quantised_values():
    detail = {"quantization_parameters": {"scales": np.array([0.5, 2.0]), "zero_points": np.array([1, 0]), "quantized_dimension": 1}}
    assert real(np.array([[3, 3]], np.int8), detail).tolist() == [[1.0, 6.0]]


# ---------------------------------------------------------------- bad input


def bad_models(folder):
    """Name -> (path, words of the message)."""
    good = build.Builder()
    good.output(good.op("NEG", [good.input("x", (1, 4), "float32")], [("y", (1, 4), "float32")]))
    blob = good.finish()
    unknown = build.Builder()
    x = unknown.input("x", (1, 4), "float32")
    y = unknown.op("custom:Mystery", [x], [("y", (1, 4), "float32")])
    unknown.output(unknown.op("SIN", [y], [("z", (1, 4), "float32")]))
    wrong_type = build.Builder()
    wrong_type.output(wrong_type.op("NEG", [wrong_type.input("x", (4,), "int32")], [("y", (4,), "int32")]))
    contents = {
        "empty": (b"", "empty"),
        "truncated": (blob[: len(blob) // 2], "cut short"),
        "png": (b"\x89PNG\r\n\x1a\n" + bytes(64), "PNG image"),
        "unknown": (unknown.finish(), "custom:Mystery", "SIN"),
        "declined": (wrong_type.finish(), "NEG", "float32 only, got int32"),
    }
    made = {}
    for name, (data, *words) in contents.items():
        made[name] = (folder / f"{name}.tflite", words)
        made[name][0].write_bytes(data)
    (folder / "dir").mkdir()
    made["folder"] = (folder / "dir", ["folder"])
    made["missing"] = (folder / "emptz.tflite", ["no such file", "near it: empty.tflite"])
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        made["pipe"] = (folder / "pipe", ["pipe"])
    return made


CASES = ["empty", "truncated", "png", "unknown", "declined", "folder", "missing", "pipe"]


@pytest.mark.parametrize("command", ["run", "show --check", "explain", "bench"])
@pytest.mark.parametrize("case", CASES)
def test_a_bad_model_is_told_on_one_screen(sodalite, toy, tmp_path, told, case, command):
    models = bad_models(tmp_path)
    if case not in models:
        pytest.skip("this system has no pipes with names")
    path, words = models[case]
    more = ["--random"] if command == "run" else []
    told(sodalite(*command.split(), path, *more), *words, path.name if case not in ("unknown", "declined") else "node 0")


def test_a_model_larger_than_memory(sodalite, toy, tmp_path, told):
    b = build.Builder()
    huge = (1 << 22, 1 << 22)
    x = b.input("x", huge, "float32")
    b.output(b.op("NEG", [x], [("y", huge, "float32")]))
    path = tmp_path / "huge.tflite"
    path.write_bytes(b.finish())
    for command in ("run --random", "bench"):
        told(sodalite(*command.split(), path), "memory")


def test_in_a_process_of_its_own(sodalite_process, toy, tmp_path, told):
    """As a shell sees it: code 2, nothing on standard output."""
    path, words = bad_models(tmp_path)["truncated"]
    result = sodalite_process("run", path, "--random")
    told(result, *words)
    assert result.stdout == ""


def test_no_plugin_at_all(sodalite, shop, adder, told, monkeypatch):
    monkeypatch.setenv("SODALITE_PLUGINS", "")
    told(sodalite("run", adder, "--random"), "ADD", "NEG", "sodalite-cpu-ref")


def test_a_needed_plugin_that_failed_to_load(sodalite_process, shop, adder, told, monkeypatch):
    shop.offer("bad-kit", "sodalite.plugin.v1", {"bad": "bad_kit"}, "raise ImportError('no libbad here')")
    monkeypatch.setenv("SODALITE_PLUGINS", "bad")
    text = told(sodalite_process("run", adder, "--random"), "no libbad here", "ADD")
    assert "bad-kit 1.0" in text


def test_a_broken_plugin_nobody_needs_is_a_warning(sodalite_process, toy, adder, monkeypatch):
    toy.offer("bad-kit", "sodalite.plugin.v1", {"bad": "bad_kit"}, "raise ImportError('no libbad here')")
    monkeypatch.setenv("SODALITE_PLUGINS", "toy,bad")
    result = sodalite_process("run", adder, "--random")
    assert result.returncode == 0
    assert result.stderr.count("\n") == 1
    assert "warning: plugin 'bad' (bad-kit 1.0)" in result.stderr


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((1, 4)), ["x: float32 ? x 4", "holds float64", "astype"]),
        (np.ones((1, 5), np.float32), ["x: float32 ? x 4", "has the shape 1 x 5"]),
        (np.ones(4, np.float32), ["x: float32 ? x 4", "has the shape 4"]),
        (np.array(["a"]), ["holds <U1"]),
    ],
)
def test_an_array_of_the_wrong_kind(sodalite, toy, adder, tmp_path, told, array, words):
    files = save(tmp_path, a=array)
    told(sodalite("run", adder, "--input", f"x={files['a']}", "--random"), "input", "a.npy", *words)


def test_an_array_for_an_input_that_is_not_there(sodalite, toy, adder, tmp_path, told):
    files = save(tmp_path, a=np.ones((1, 4), np.float32))
    told(sodalite("run", adder, "--input", f"q={files['a']}"), "has no input 'q'", "x: float32", "y: float32")
    told(sodalite("run", adder, "--input", f"2={files['a']}"), "has no input '2'")
    told(sodalite("run", adder, "--input", f"x={files['a']}", "--input", f"0={files['a']}"), "given already")
    told(sodalite("run", adder, "--input", "x"), "write NAME=FILE.npy")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x93NUMPY\x01\x00v\x00{'descr': 'O', 'fortran_order': False, 'shape': (1,)}", b"PK\x03\x04"])
def test_a_file_that_is_no_array(sodalite, toy, adder, tmp_path, told, data):
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    told(sodalite("run", adder, "--input", f"x={path}"), "a.npy", "not a .npy file", "numpy.save")


def test_an_array_with_objects_is_not_unpickled(sodalite, toy, adder, tmp_path, told):
    np.save(tmp_path / "a.npy", np.array([print, 1], dtype=object), allow_pickle=True)
    told(sodalite("run", adder, "--input", f"x={tmp_path / 'a.npy'}"), "not a .npy file of plain values")


def bad_images(folder):
    folder.joinpath("text.png").write_text("hello")
    folder.joinpath("empty.png").write_bytes(b"")
    Image.effect_noise((99, 99), 50).save(folder / "whole.png")
    folder.joinpath("cut.png").write_bytes((folder / "whole.png").read_bytes()[:500])
    (folder / "dir.png").mkdir()
    made = {
        "text.png": "not a picture",
        "empty.png": "not a picture",
        "cut.png": "damaged",
        "dir.png": "is a folder",
        "holw.png": "near it: whole.png",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
        made["pipe.png"] = "is a pipe"
    return made


@pytest.mark.parametrize("name", ["text.png", "empty.png", "cut.png", "dir.png", "holw.png", "pipe.png"])
def test_a_bad_image(sodalite, toy, colours, tmp_path, told, name):
    made = bad_images(tmp_path)
    if name not in made:
        pytest.skip("this system has no pipes with names")
    told(sodalite("run", colours(), "--image", tmp_path / name), f"image {tmp_path / name}", made[name])


def test_an_image_for_a_model_that_takes_none(sodalite, toy, adder, picture, told):
    told(sodalite("run", adder, "--image", picture()), "no input of the model looks like an image", "x: float32 ? x 4")


def test_bad_labels(sodalite, toy, colours, picture, tmp_path, told):
    told(sodalite("run", colours(), "--image", picture(), "--labels", tmp_path / "no.txt"), "labels", "no such file")
    (tmp_path / "none.txt").write_text("\n")
    told(sodalite("run", colours(), "--image", picture(), "--labels", tmp_path / "none.txt"), "no lines")


def test_a_name_that_is_neither_file_nor_zoo(sodalite, toy, picture, colours, told):
    told(sodalite("run", "efficientnet-lite", "--image", picture()), "no such file", "did you mean efficientnet-lite0")
    told(sodalite("run", colours(), "--image", "dog"), "image 'dog'", "sodalite get --list")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--mean", "x"], "write a number"),
        (["--signature", "nope"], "nope"),
        (["--kernels", "cpu_xyz"], "there is no plugin 'cpu_xyz'"),
        (["--pin", "NEG"], "write OPERATOR=PLUGIN"),
        (["--pin", "NEG=cpu_xyz"], "there is no plugin 'cpu_xyz'"),
        (["--delegate", "nothing"], "delegate"),
        (["--delegate", "./libedgetpu.so.1"], "C delegate library"),
        (["--delegate", "x:y"], "NAME:KEY=VALUE"),
        (["--threads", "0"], "--threads"),
        (["--top", "0"], "--top"),
        (["--output", "/nowhere/at/all.npz"], "cannot write"),
    ],
)
def test_bad_options(sodalite, toy, adder, told, words, why):
    if "/nowhere/at/all.npz" in words and (sys.platform == "win32" or os.geteuid() == 0):
        pytest.skip("may be written here")
    told(sodalite("run", adder, "--random", *words), why)


def test_names_from_a_file_are_escaped(sodalite, toy, tmp_path):
    """A tensor's name may hold anything, terminal commands too."""
    builder = build.Builder("dirty \x1b[2J words")
    x = builder.input("in\x1b[31m[bold]", (1, 4), "float32")
    builder.output(builder.op("NEG", [x], [("out\n\x07", (1, 4), "float32")]))
    path = tmp_path / "dirty.tflite"
    path.write_bytes(builder.finish())
    for command in (["run", path, "--random"], ["show", path, "--check", "--tensors"], ["explain", path], ["bench", path, "--runs", 1, "--min-seconds", 0]):
        result = sodalite(*command)
        assert result.exit_code == 0, result.stderr
        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout


def test_metadata_that_is_damaged_is_left_out(sodalite, toy, colours, picture, tmp_path):
    builder = build.Builder()
    x = builder.input("photo", (1, 8, 8, 3), "uint8")
    builder.output(builder.op("custom:ChannelMeans", [x], [("share", (1, 3), "float32")]))
    builder.metadata("TFLITE_METADATA", b"\xff\xff\xff\x7fM001" + bytes(8))
    path = tmp_path / "bad.tflite"
    path.write_bytes(builder.finish())
    result = sodalite("run", path, "--image", picture())
    assert result.exit_code == 0
    assert "metadata is left out" in result.stderr


def test_a_model_of_the_zoo_brings_its_labels(sodalite, toy, colours, picture, archives, tmp_path, monkeypatch):
    wheel, _ = archives
    data = wheel({"m/colours.tflite": colours(labels=LABELS).read_bytes(), "m/photo.png": picture((0, 0, 9)).read_bytes()})
    tmp_path.joinpath("links").mkdir()
    tmp_path.joinpath("links/m-1-py3-none-any.whl").write_bytes(data)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    toy.zoo("colours", "m-1-py3-none-any.whl", data, "m/colours.tflite")
    toy.zoo("blue-photo", "m-1-py3-none-any.whl", data, "m/photo.png", suffix=".png")
    result = sodalite("run", "colours", "--image", "blue-photo")
    assert result.exit_code == 0, result.stderr
    assert rows(result.stdout)["2"][:2] == ["blue", "1.0000"]
