"""A package index, a zoo and a cache of a test's own: nothing here leaves the machine."""

import hashlib
import http.server
import inspect
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
import urllib.parse
import zipfile

import flatbuffers
import pytest
from click.testing import CliRunner
from PIL import Image
from sodalite import build
from sodalite_tools.cli import cli


@pytest.fixture(autouse=True)
def own_settings(monkeypatch, tmp_path):
    """No setting of the machine's owner counts in a test, and no folder of theirs is touched."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.lower().endswith("_proxy") or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # until a test names an index
    monkeypatch.setenv("SODALITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def sodalite():
    """Run the command in this process; the click Result."""

    # click before 8.2 puts both streams into one unless it is told not to
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}

    def run(*words, **how):
        return CliRunner(**apart).invoke(cli, [str(word) for word in words], **how)

    return run


@pytest.fixture
def sodalite_process():
    """Run the command in a process of its own; the CompletedProcess."""

    def run(*words, **how):
        options = {"capture_output": True, "text": True, "timeout": 120, **how}
        return subprocess.run([sys.executable, "-m", "sodalite_tools", *map(str, words)], check=False, **options)

    return run


def wheel(members):
    """A zip in memory: name -> bytes, or a ZipInfo -> bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return buffer.getvalue()


def sdist(members):
    """A .tar.gz in memory: name -> bytes, or name -> TarInfo for links and devices."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, data in members.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            opened.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return buffer.getvalue()


class Shop:
    """Makes distributions that offer commands, zoo entries and plugins, on sys.path and in child processes."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))

    def offer(self, distribution, group, points, source="", version="1.0"):
        """Install *distribution* with entry points name -> target in *group*, and its module's *source*."""
        name = distribution.replace("-", "_")
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = "".join(f"{point} = {target}\n" for point, target in points.items())
        with info.joinpath("entry_points.txt").open("a") as file:
            file.write(f"[{group}]\n{lines}\n")
        if source:
            self.folder.joinpath(f"{name}.py").write_text(source)

    def zoo(self, name, archive, data, file, **more):
        """A zoo entry *name* for *file* in an archive with the bytes *data*; its sha256 unless *more* says one."""
        package, version = re.fullmatch(r"(.+?)-(\d[^-]*?)(?:\.tar\.gz|\.zip|-.*\.whl)", archive).groups()
        entry = {
            "package": package.replace("_", "-"),
            "version": version,
            "archive": archive,
            "sha256": hashlib.sha256(data).hexdigest(),
            "file": file,
            "licence": "CC0",
            **more,
        }
        module = "zoo_" + re.sub(r"\W", "_", name)
        self.offer(module.replace("_", "-"), "sodalite.zoo.v1", {name: f"{module}:ENTRY"}, f"ENTRY = {entry!r}\n")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    made = Shop(tmp_path / "site", monkeypatch)
    yield made
    for source in made.folder.glob("*.py"):
        sys.modules.pop(source.stem, None)


class Index:
    """A simple index on 127.0.0.1. files: name -> bytes. asked: (path, Range header) of each request.

    ranges: whether it answers Range; cut: after so many bytes the connection breaks, once; status: an error for every
    request; broken: so many pages are not answered at all.
    """

    def __init__(self):
        self.files = {}
        self.asked = []
        self.ranges = True
        self.cut = None
        self.status = None
        self.broken = 0
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.answer(self)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        # A proxy is asked for a whole URL.
        _, kind, name, *_ = [*urllib.parse.urlsplit(request.path).path.split("/"), ""]
        if self.status is not None:
            request.send_error(self.status)
        elif kind == "simple" and self.broken:
            self.broken -= 1
            request.close_connection = True
        elif kind == "simple":
            page = "".join(
                f'<a href="/files/{file}">{file}</a>\n'
                for file in self.files
                if file.replace("_", "-").startswith(name + "-")
            ).encode()
            request.send_response(200)
            request.send_header("Content-Type", "text/html")
            request.send_header("Content-Length", str(len(page)))
            request.end_headers()
            request.wfile.write(page)
        elif name not in self.files:
            request.send_error(404)
        else:
            data, start = self.files[name], 0
            if wanted and self.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= len(data):
                    request.send_error(416)
                    return
                request.send_response(206)
                request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                request.send_response(200)
            request.send_header("Content-Type", "application/octet-stream")
            request.send_header("Content-Length", str(len(data) - start))
            request.end_headers()
            if self.cut is not None:
                cut, self.cut = self.cut, None
                request.wfile.write(data[start : start + cut])
                request.close_connection = True
            else:
                request.wfile.write(data[start:])


@pytest.fixture
def index(monkeypatch):
    made = Index()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def told():
    """Check a failure as the user sees it: exit code 2, one screen, no traceback; its text."""

    def check(result, *words):
        code = result.exit_code if hasattr(result, "exit_code") else result.returncode
        text = result.stderr
        assert code == 2, (code, result.stdout, text)
        assert "Traceback" not in text
        assert text.count("\n") <= 22
        for word in words:
            assert word in text
        return text

    return check


@pytest.fixture
def archives():
    """The makers of archives: (wheel, sdist)."""
    return wheel, sdist


TOY = '''
"""Kernels of a test: no package that offers real ones is needed."""
import numpy as np
import sodalite

kernels = sodalite.KernelSet()


def _means(x):
    return (1, x[-1])


@kernels.add("custom:ChannelMeans", shape=_means)
def channel_means(x, out):
    """The mean of each channel, as a share of all."""
    real = x.astype(np.float64).reshape(-1, x.shape[-1]).mean(axis=0)
    real = real - (-128 if x.dtype == np.int8 else 0)
    out[...] = real / real.sum() * (255 if out.dtype == np.uint8 else 1)


@kernels.add("ADD", types="float32")
def add(a, b, out, fused_activation_function="NONE"):
    np.add(a, b, out=out)


@kernels.add("custom:Echo")
def echo(x, out):
    out[...] = x


@kernels.prepare("NEG")
def negative(node):
    if node.inputs[0].dtype != "float32":
        raise sodalite.Unsupported(f"float32 only, got {node.inputs[0].dtype}", code=sodalite.Reason.TYPE)
    return sodalite.Prepared((node.inputs[0].shape,), lambda b: lambda: np.negative(b.inputs[0], out=b.outputs[0]))


@sodalite.hookimpl
def sodalite_kernels():
    return kernels
'''


@pytest.fixture
def toy(shop, monkeypatch):
    """The plugin 'toy', and no other: ADD, NEG in float32, custom:ChannelMeans, custom:Echo."""
    shop.offer("toy-kit", "sodalite.plugin.v1", {"toy": "toy_kit"}, TOY)
    monkeypatch.setenv("SODALITE_PLUGINS", "toy")
    return shop


def described(labels=None, mean=(), std=(), name="a toy"):
    """A TFLITE_METADATA FlatBuffer: one image input with its normalisation, one output with a label file."""
    b = flatbuffers.Builder()

    def vector(offsets):
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    def floats(numbers):
        b.StartVector(4, len(numbers), 4)
        for number in reversed(numbers):
            b.PrependFloat32(number)
        return b.EndVector()

    def table(slots, fields):
        b.StartObject(slots)
        for slot, (kind, value) in fields.items():
            if kind == "offset":
                b.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                getattr(b, f"Prepend{kind}Slot")(slot, value, 0)
        return b.EndObject()

    def text(value):
        return ("offset", b.CreateString(value))

    said = {0: text("photo")}
    properties = table(2, {0: ("Int8", 1)})
    said[3] = ("offset", table(3, {0: ("Uint8", 2), 1: ("offset", properties)}))
    if mean:
        options = table(2, {0: ("offset", floats(mean)), 1: ("offset", floats(std))})
        unit = table(2, {0: ("Uint8", 1), 1: ("offset", options)})
        said[4] = ("offset", vector([unit]))
    inputs = ("offset", vector([table(7, said)]))
    said = {0: text("share")}
    if labels:
        file = table(5, {0: text(labels), 2: ("Int8", 2)})
        said[6] = ("offset", vector([file]))
    outputs = ("offset", vector([table(7, said)]))
    graph = ("offset", vector([table(10, {2: inputs, 3: outputs})]))
    root = table(8, {0: text(name), 1: text("colours of a photo"), 2: text("v1"), 3: graph, 4: text("me"), 5: text("CC0")})
    b.Finish(root, b"M001")
    return bytes(b.Output())


@pytest.fixture
def describe():
    """Makes metadata."""
    return described


@pytest.fixture
def colours(tmp_path):
    """Make a toy classifier whose classes are a photo's channels; where it lies."""

    def make(dtype="uint8", shape=(1, 8, 8, 3), labels=None, mean=(), std=(), metadata=True, name="colours.tflite", **quant):
        builder = build.Builder("toy")
        x = builder.input("photo", shape, dtype, **quant)
        y = builder.op("custom:ChannelMeans", [x], [("share", (1, shape[-1]), "float32")])
        builder.output(y)
        if metadata:
            builder.metadata("TFLITE_METADATA", described("labels.txt" if labels else None, mean, std))
        data = builder.finish()
        path = tmp_path / name
        path.write_bytes(data)
        if labels:
            with zipfile.ZipFile(path, "a") as file:
                file.writestr("labels.txt", "".join(f"{label}\n" for label in labels))
        return path

    return make


@pytest.fixture
def picture(tmp_path):
    """Make a picture of one colour; where it lies."""

    def make(colour=(250, 0, 0), size=(20, 10), name="photo.png", mode="RGB"):
        path = tmp_path / name
        Image.new(mode, size, colour).save(path)
        return path

    return make


@pytest.fixture
def adder(tmp_path):
    """A model of three steps: z = -(x + y + y), float32 (?, 4); where it lies."""
    builder = build.Builder("adder")
    x = builder.input("x", (-1, 4), "float32")
    y = builder.input("y", (-1, 4), "float32")
    once = builder.op("ADD", [x, y], [("once", (1, 4), "float32")])
    twice = builder.op("ADD", [once, y], [("twice", (1, 4), "float32")])
    z = builder.op("NEG", [twice], [("z", (1, 4), "float32")])
    builder.output(z)
    builder.signature("sums", {"a": x, "b": y}, {"c": z})
    path = tmp_path / "adder.tflite"
    path.write_bytes(builder.finish())
    return path
