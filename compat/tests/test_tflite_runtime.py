"""Code written for tflite_runtime runs unchanged."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sodalite
import tflite_runtime
import tflite_runtime.interpreter as tflite
from PIL import Image
from sodalite.build import Builder
from sodalite_testkit.whole import FLOAT, folder, golden, recorded

HERE = Path(__file__).parent
COLOURS = ["red", "lime", "blue", "white", "black"]
# The arguments of tflite_runtime 2.14's Interpreter, in order
ARGUMENTS = [
    "model_path",
    "model_content",
    "experimental_delegates",
    "num_threads",
    "experimental_op_resolver_type",
    "experimental_preserve_all_tensors",
    "experimental_disable_delegate_clustering",
]


def colours(dtype="float32"):
    """A classifier of 8 x 8 images by their mean colour: one convolution over all of it."""
    weights = (
        np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.7, 0.7, 0.7], [-0.7, -0.7, -0.7]], np.float32) / 64
    )
    bias = np.array([0, 0, 0, 0, 0], np.float32)
    kernel = np.ascontiguousarray(np.broadcast_to(weights[:, None, None, :], (5, 8, 8, 3)))
    g = Builder()
    if dtype == "uint8":
        x = g.input("image", (1, 8, 8, 3), "uint8", scale=1 / 127.5, zero_point=128)
        level = np.rint(kernel * 64 * 100 + 100).astype(np.uint8)
        w = g.constant("w", level, "uint8", scale=1 / 6400, zero_point=100)
        b = g.constant("b", np.zeros(5, np.int32), "int32", scale=1 / 6400 / 127.5, zero_point=0)
        out = {"name": "scores", "shape": (1, 1, 1, 5), "dtype": "uint8", "scale": 1 / 60, "zero_point": 128}
    else:
        x = g.input("image", (1, 8, 8, 3), "float32")
        w, b = g.constant("w", kernel), g.constant("b", bias)
        out = {"name": "scores", "shape": (1, 1, 1, 5), "dtype": "float32"}
    g.output(g.op("CONV_2D", [x, w, b], [out], padding="VALID", stride_w=1, stride_h=1))
    return g.finish()


@pytest.fixture
def script(tmp_path):
    """run(dtype, colour, *arguments) -> what the script prints."""
    (tmp_path / "labels.txt").write_text("\n".join(COLOURS) + "\n", encoding="utf-8")

    def run(dtype, colour, *arguments):
        (tmp_path / "model.tflite").write_bytes(colours(dtype))
        Image.new("RGB", (20, 16), colour).save(tmp_path / "image.png")
        command = [
            sys.executable,
            HERE / "label_image.py",
            "-m",
            "model.tflite",
            "-i",
            "image.png",
            "-l",
            "labels.txt",
        ]
        done = subprocess.run(
            [*map(str, command), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_classifier_script(script, dtype, colour):
    """The right label is first; scores and time are printed."""
    lines = script(dtype, colour, "--num_threads", "2").splitlines()
    assert lines[0].endswith(f": {colour}")
    assert len(lines) == 6
    assert lines[5].startswith("time: ")


def test_a_script_that_asks_for_an_accelerator(script):
    """A C delegate library is refused as a ValueError, so that the script's own fall-back takes over."""
    lines = script("float32", "lime", "-e", "libedgetpu.so.1", "-o", "device: usb;x: 1").splitlines()
    assert lines[0].startswith(
        'no delegate: "libedgetpu.so.1" is a C delegate library: name a plugin'
    )
    assert lines[1].endswith(": lime")


def test_the_names_are_sodalites():
    """Not copies: errors and types are shared."""
    for name in ("Interpreter", "Delegate", "load_delegate", "OpResolverType", "SignatureRunner"):
        assert getattr(tflite, name) is getattr(sodalite, name)


def test_custom_operators_come_from_plugins():
    """InterpreterWithCustomOps is an Interpreter, and says so when it is given C++ functions."""
    it = tflite.InterpreterWithCustomOps(model_content=colours())
    it.allocate_tensors()
    assert isinstance(it, sodalite.Interpreter)
    with pytest.raises(ValueError, match=r"custom_op_registerers are C\+\+ functions \('Register_Mine'\)"):
        tflite.InterpreterWithCustomOps(custom_op_registerers=["Register_Mine"], model_content=colours())


def test_the_arguments_are_those_of_the_original():
    """Same names in the same places."""
    assert list(inspect.signature(tflite.Interpreter).parameters)[: len(ARGUMENTS)] == ARGUMENTS
    assert list(inspect.signature(tflite.load_delegate).parameters)[:2] == ["library", "options"]
    assert [(t.name, t.value) for t in tflite.OpResolverType] == [
        ("AUTO", 0),
        ("BUILTIN", 1),
        ("BUILTIN_REF", 2),
        ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", 3),
    ]


def test_the_version():
    """The last release of the original."""
    assert tflite_runtime.__version__ == "2.14.0"
    assert tflite_runtime.__git_version__.startswith("v2.14")


@pytest.mark.models
def test_a_classifier_script_on_a_real_model_and_photo():
    """Google's MobileNet, quantised, sees a cat."""
    root = folder()
    if root is None:
        pytest.skip("SODALITE_MODELS names no folder of real models")
    files = {
        "-m": "derived/mobilenet_v1_1.0_224_quant.rejoined.tflite",
        "-i": "images/cat.bmp",
        "-l": "labels/imagenet_labels.txt",
    }
    arguments = [str(item) for flag, name in files.items() for item in (flag, root / name)]
    command = [sys.executable, str(HERE / "label_image.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["0.847059: Egyptian cat", "0.098039: tiger cat"]


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.filterwarnings("ignore")  # what librosa and its friends say on import is not ours
def test_basic_pitch():
    """A released package that imports tflite_runtime runs unchanged; its network gives the recorded results."""
    inference = pytest.importorskip(
        "basic_pitch.inference",
        reason="basic-pitch is not installed: pip install --no-deps basic-pitch, and what it needs",
    )
    root = folder()
    if root is None:
        pytest.skip("SODALITE_MODELS names no folder of real models")
    model = inference.Model(root / "basic_pitch" / "nmp.tflite")
    assert model.model_type is inference.Model.MODEL_TYPES.TFLITE
    assert isinstance(model.interpreter, sodalite.Interpreter)

    (path,) = (root / "goldens").glob("savedmodel__basic_pitch_nmp.npz")
    with np.load(path) as tensorflow:
        result = model.predict(tensorflow["in:input_2"])
        for name in ("note", "onset", "contour"):
            assert FLOAT.complaint(result[name], tensorflow[f"out:{name}"]) is None

    litert = recorded(golden(root, "basic_pitch/nmp.tflite"))
    result = model.predict(litert.inputs[0][0])
    places = [d["index"] for d in model.interpreter.get_output_details()]
    for name, index in model.interpreter._get_full_signature_list()["serving_default"]["outputs"].items():
        assert FLOAT.complaint(result[name], litert.outputs[0][places.index(index)]) is None

    output, _, notes = inference.predict(root / "audio" / "yes_1000ms.wav", model)
    assert output["note"].shape[1] == 88
    assert all(start < end for start, end, *_ in notes)
