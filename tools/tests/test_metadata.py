"""The reader of TFLITE_METADATA: right on what the tools of its makers wrote, and never astray on what nobody wrote."""

import os
import random
import zipfile
from pathlib import Path

import pytest
from sodalite_tools import metadata
from sodalite_tools.errors import ToolError

MODELS = os.environ.get("SODALITE_MODELS")
needs_models = pytest.mark.skipif(not MODELS, reason="SODALITE_MODELS names no folder of real models")


def test_every_field(describe):
    info = metadata.metadata_in(describe("labels.txt", (1.0, 2.0), (3.0, 4.5), "näme"))
    assert (info.name, info.description, info.version) == ("näme", "colours of a photo", "v1")
    assert (info.author, info.licence) == ("me", "CC0")
    (photo,), (share,) = info.inputs, info.outputs
    assert (photo.name, photo.content, photo.colours) == ("photo", "image", "RGB")
    assert (photo.mean, photo.std, photo.files) == ((1.0, 2.0), (3.0, 4.5), ())
    assert (share.name, share.content, share.mean) == ("share", "", ())
    assert share.files == (metadata.AssociatedFile("labels.txt", "", 2, ""),)


def test_every_cut_and_every_flipped_byte_is_noticed_or_read(describe):
    """ToolError, or a description: never another exception, and never for long."""
    whole = describe("labels.txt", (1.0,), (2.0,))
    rng = random.Random(0)
    broken = [whole[:length] for length in range(len(whole))]
    for place in range(len(whole)):
        broken += [whole[:place] + bytes([value]) + whole[place + 1 :] for value in (0, 0xFF, rng.randrange(256))]
    for data in broken:
        try:
            metadata.metadata_in(data)
        except ToolError as error:
            assert "TFLITE_METADATA" in str(error)


def test_one_table_many_times_is_refused(describe):
    """A vector of a million offsets to one table costs its writer 4 bytes each."""
    import struct

    count = 200_000
    graph_vector = struct.pack("<I", count) + b"".join(struct.pack("<I", 4 * (count - i)) for i in range(count))
    table = struct.pack("<HH", 4, 4)  # the vtable of an empty table
    # root: vtable of 4 fields, the fourth (subgraphs) an offset to the vector
    vtable = struct.pack("<HHHHHH", 12, 8, 0, 0, 0, 4)
    root = struct.pack("<iI", 12, 4)
    head = struct.pack("<I", 8 + 12) + b"M001"
    tail = struct.pack("<i", 4 + 0)
    data = head + vtable + root + graph_vector + tail
    data += table
    with pytest.raises(ToolError):
        metadata.metadata_in(data)


def test_label_lines():
    lines = metadata.label_lines
    assert lines("a\nb\r\n\nc\n\n") == ("a", "b", "", "c")
    assert lines("\ufeffa\nb") == ("a", "b")
    assert lines("0 a\n1 b b\n3: c\n") == ("a", "b b", "", "c")
    assert lines("1 a\n1 b\n") == ("1 a", "1 b")
    assert lines("3 musketeers\ncat\n") == ("3 musketeers", "cat")
    assert lines("900000 far\n") == ("900000 far",)
    assert lines("") == ()


def test_files_behind_a_model(colours):
    path = colours(labels=("a", "b", "c"))
    assert metadata.packed_files(path) == ["labels.txt"]
    assert metadata.packed_file(path, "labels.txt") == b"a\nb\nc\n"
    assert metadata.packed_file(path, "no.txt") is None
    assert metadata.labels_in(path) == ("a", "b", "c")
    plain = colours(name="plain.tflite")
    assert metadata.packed_files(plain) == []
    assert metadata.packed_file(plain, "labels.txt") is None
    assert metadata.labels_in(plain) == ()


def test_a_huge_file_behind_a_model_is_refused(colours):
    path = colours()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("labels.txt", bytes(17 << 20))
    with pytest.raises(ToolError, match="refused"):
        metadata.packed_file(path, "labels.txt")


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "x.tflite"
    for data in (b"", b"hello"):
        path.write_bytes(data)
        with pytest.raises(ToolError, match=r"x\.tflite"):
            metadata.metadata_of(path)


@needs_models
@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "said", "mean", "labels"),
    [
        ("coral/mobilenet_v1_0.25_128_quant.tflite", "image", (127.5,), 1001),
        ("tflite_support/mobilenet_v1_0.25_224_1_metadata_1.tflite", "image", (127.5,), 1001),
        ("mediapipe/selfie_segmentation.tflite", "image", (0.0,), 1),
    ],
)
def test_real_models(name, said, mean, labels):
    path = Path(MODELS) / name
    info = metadata.metadata_of(path)
    assert info is not None
    assert info.inputs[0].content == said
    assert info.inputs[0].mean == mean
    assert len(metadata.labels_in(path)) == labels
