"""``sodalite get``: from pip's places, checked, unpacked, kept; and what is refused."""

import hashlib
import io
import os
import random
import shutil
import ssl
import subprocess
import sys
import tarfile
import zipfile

import pytest
from sodalite_tools import progress

MODEL = bytes(range(256)) * 40
SDIST = "tiny-models-1.2.tar.gz"


@pytest.fixture
def tiny(shop, archives):
    """A zoo entry 'tiny' for MODEL in an sdist; the sdist's bytes."""
    _, sdist = archives
    data = sdist({"tiny-models-1.2/setup.py": b"1/0", "tiny-models-1.2/tiny/model.bin": MODEL})
    shop.zoo("tiny", SDIST, data, "tiny/model.bin", suffix=".bin", note="a small one")
    return data


@pytest.fixture
def links(tmp_path, monkeypatch):
    """A find-links folder, in use."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def only_path(result):
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return line


def content(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_file_of_an_sdist_from_find_links(sodalite, tiny, links):
    links.joinpath(SDIST).write_bytes(tiny)
    path = only_path(sodalite("get", "tiny"))
    assert content(path) == MODEL
    assert os.path.basename(path) == "tiny.bin"


def test_a_wheel_for_another_python_is_as_good(sodalite, shop, links, archives):
    """The file lies under .data/purelib, in an archive of its own."""
    wheel, _ = archives
    inner = wheel({"deep/model.tflite.bin": MODEL, "other": b""})
    data = wheel({"odd-2.0.data/purelib/odd/pack.zip": inner, "odd/__init__.py": b"1/0"})
    name = "odd-2.0-cp27-cp27mu-win_arm64.whl"
    links.joinpath(name).write_bytes(data)
    shop.zoo("odd", name, data, "odd/pack.zip!deep/model.tflite.bin", suffix=".bin")
    assert content(only_path(sodalite("get", "odd"))) == MODEL


def test_from_an_index(sodalite, tiny, index):
    index.files[SDIST] = tiny
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_the_second_time_nothing_is_asked(sodalite, tiny, index):
    index.files[SDIST] = tiny
    first = only_path(sodalite("get", "tiny"))
    index.asked.clear()
    assert only_path(sodalite("get", "tiny")) == first
    assert index.asked == []


def test_a_damaged_file_in_the_cache_is_fetched_again(sodalite, tiny, index):
    index.files[SDIST] = tiny
    path = only_path(sodalite("get", "tiny"))
    with open(path, "r+b") as file:
        file.write(b"!")
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_extra_indexes_come_after_the_index(sodalite, tiny, index, monkeypatch):
    index.files[SDIST] = tiny
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index.url)
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("/simple/", "/nothing/"))
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_a_tampered_archive_is_refused(sodalite, tiny, links, told, tmp_path):
    changed = bytearray(tiny)
    changed[-1] ^= 1
    links.joinpath(SDIST).write_bytes(changed)
    told(sodalite("get", "tiny"), "sha256", "the file was changed", str(links))
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert left == []


def test_a_good_place_after_a_tampered_one(sodalite, tiny, links, index):
    links.joinpath(SDIST).write_bytes(b"something else")
    index.files[SDIST] = tiny
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_offline(sodalite, tiny, told, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    told(sodalite("get", "tiny"), "http://127.0.0.1:9/simple/", "cannot connect", "see that the network is up")


def test_no_place_at_all(sodalite, tiny, told):
    told(sodalite("get", "tiny"), "no-index", "find-links")


def test_a_folder_that_is_not_there(sodalite, tiny, told, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere/at/all")
    told(sodalite("get", "tiny"), "/nowhere/at/all")


def test_an_index_without_the_package(sodalite, tiny, index, told):
    told(sodalite("get", "tiny"), f"has no file {SDIST}")


def test_an_index_that_fails(sodalite, tiny, index, told):
    index.status = 503
    told(sodalite("get", "tiny"), "503")


def test_passwords_are_never_printed(sodalite, tiny, index, told, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("127.0.0.1", "me:secret@127.0.0.1"))
    for status in (None, 403, 500):
        index.status = status
        assert "secret" not in told(sodalite("get", "tiny"))


def test_an_index_that_hangs_up_is_asked_again(sodalite, tiny, index):
    index.files[SDIST] = tiny
    index.broken = 2
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_through_a_proxy(sodalite, tiny, index, monkeypatch):
    """The host has no address here; the proxy, which is the index itself, answers for it. Trusted hosts too."""
    index.files[SDIST] = tiny
    monkeypatch.setenv("PIP_PROXY", index.url.removeprefix("http://").partition("/")[0])
    monkeypatch.setenv("PIP_INDEX_URL", "http://packages.invalid/simple/")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "packages.invalid")
    assert content(only_path(sodalite("get", "tiny"))) == MODEL
    assert all(path.startswith("http://packages.invalid/") for path, _ in index.asked)


def test_a_plain_http_host_must_be_trusted(sodalite, tiny, told, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://packages.invalid/simple/")
    told(sodalite("get", "tiny"), "not being trusted")


@pytest.fixture
def certificate(index, tmp_path):
    """The index speaks TLS, with a certificate that only this file vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, file = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*words.split(), "-keyout", key, "-out", file], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    index.server.socket = context.wrap_socket(index.server.socket, server_side=True)
    return file


def test_certificates_are_those_that_pip_is_told(sodalite, tiny, index, certificate, told, monkeypatch):
    index.files[SDIST] = tiny
    url = index.url.replace("http:", "https:")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    told(sodalite("get", "tiny"), "certificate verify failed")
    monkeypatch.setenv("PIP_CERT", str(certificate))
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_a_trusted_host_needs_no_certificate(sodalite, tiny, index, certificate, monkeypatch):
    index.files[SDIST] = tiny
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("http:", "https:"))
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_a_certificate_file_that_is_none(sodalite, tiny, index, told, tmp_path, monkeypatch):
    for path in (tmp_path / "no.pem", tmp_path / "bad.pem"):
        monkeypatch.setenv("PIP_CERT", str(path))
        (tmp_path / "bad.pem").write_text("hello")
        told(sodalite("get", "tiny"), str(path), "not a file of certificates")


def test_a_broken_connection_is_taken_up_where_it_broke(sodalite, shop, index, archives):
    wheel, _ = archives
    noise = random.Random(0).randbytes(300_000)  # so that the archive does not shrink to one packet
    data = wheel({"big/model.bin": noise})
    name = "big-1-py3-none-any.whl"
    shop.zoo("big", name, data, "big/model.bin", suffix=".bin")
    index.files[name] = data
    index.cut = 200_000
    assert content(only_path(sodalite("get", "big"))) == noise
    ranges = [asked for path, asked in index.asked if path.startswith("/files/")]
    assert len(ranges) == 2
    assert ranges[0] is None
    assert ranges[1].startswith("bytes=")


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("beginning", ["right", "wrong", "whole", "longer"])
def test_what_an_earlier_try_left(sodalite, tiny, index, tmp_path, ranges, beginning):
    """A part is completed; one that does not fit is thrown away. The result is right in any case."""

    index.files[SDIST] = tiny
    index.ranges = ranges
    left = {"right": tiny[:100], "wrong": b"x" * 100, "whole": tiny, "longer": tiny + b"x"}[beginning]
    partial = tmp_path / "cache/partial"
    partial.mkdir(parents=True)
    partial.joinpath(hashlib.sha256(tiny).hexdigest()).write_bytes(left)
    assert content(only_path(sodalite("get", "tiny"))) == MODEL


def test_what_a_killed_process_left_is_removed(sodalite, tiny, links, tmp_path):
    links.joinpath(SDIST).write_bytes(tiny)
    old, young = (tmp_path / f"cache/zoo/tiny/.new-{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "files").mkdir(parents=True)
    os.utime(old, (0, 0))
    assert sodalite("get", "tiny").exit_code == 0
    assert not old.exists()
    assert young.exists()


def test_two_at_once(tiny, index):
    """Both come to the same file; it is fetched once."""
    index.files[SDIST] = tiny
    command = [sys.executable, "-m", "sodalite_tools", "get", "tiny"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(paths) == 1
    assert sum(path.startswith("/files/") for path, _ in index.asked) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk(tiny, links, told):
    """The message names the place and says what to do."""
    links.joinpath(SDIST).write_bytes(tiny)
    program = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "runpy.run_module('sodalite_tools', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, "get", "tiny"], capture_output=True, text=True, check=False, timeout=60
    )
    told(done, "file too large", "SODALITE_CACHE")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(sodalite, tiny, links, told, tmp_path):
    links.joinpath(SDIST).write_bytes(tiny)
    (tmp_path / "cache").mkdir(mode=0o500)
    told(sodalite("get", "tiny"), "cannot write", "SODALITE_CACHE")


def test_a_cache_that_is_a_file(sodalite, tiny, links, told, tmp_path):
    links.joinpath(SDIST).write_bytes(tiny)
    (tmp_path / "cache").write_text("")
    told(sodalite("get", "tiny"), "cannot write", "SODALITE_CACHE")


def link_to(target, kind):
    info = tarfile.TarInfo("tiny-models-1.2/tiny/model.bin")
    info.type, info.linkname = kind, target
    return info


def zip_link(target):
    info = zipfile.ZipInfo("tiny/model.bin")
    info.external_attr = 0o120777 << 16
    return {info: target}


SAFE = {"tiny-models-1.2/tiny/model.bin": MODEL}
HOSTILE = {
    "zip slip": ("whl", {"tiny/model.bin": MODEL, "../../evil": b""}, "points outside"),
    "zip absolute": ("whl", {"tiny/model.bin": MODEL, "/etc/evil": b""}, "points outside"),
    "zip drive": ("whl", {"tiny/model.bin": MODEL, "C:evil": b""}, "points outside"),
    "zip backslash": ("whl", {"tiny/model.bin": MODEL, "..\\evil": b""}, "points outside"),
    "zip link": ("whl", zip_link(b"/etc/passwd"), "not a plain file"),
    "zip bomb": ("whl", {"tiny/model.bin": bytes(70 << 20)}, "unpacks to more than"),
    "tar slip": ("tar.gz", {**SAFE, "tiny-models-1.2/../../evil": b""}, "points outside"),
    "tar absolute": ("tar.gz", {**SAFE, "/etc/evil": b""}, "points outside"),
    "tar link": ("tar.gz", {"x": link_to("/etc/passwd", tarfile.SYMTYPE)}, "not a plain file"),
    "tar hard link": ("tar.gz", {"x": link_to("/etc/passwd", tarfile.LNKTYPE)}, "not a plain file"),
    "tar device": ("tar.gz", {"x": link_to("", tarfile.CHRTYPE)}, "not a plain file"),
    "tar bomb": ("tar.gz", {"tiny-models-1.2/tiny/model.bin": bytes(70 << 20)}, "unpacks to more than"),
    "absent": ("tar.gz", {"tiny-models-1.2/other": b""}, "has no file 'tiny/model.bin'"),
    "twice": ("whl", {"tiny/model.bin": b"1", "other/tiny/model.bin": b"2"}, "is in it twice"),
    "no archive": ("tar.gz", b"hello", "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(sodalite, shop, links, archives, told, tmp_path, case):
    """Even one with the right sha256: entries of the zoo come from packages that anybody may write."""
    kind, members, why = HOSTILE[case]
    wheel, sdist = archives
    data = members if isinstance(members, bytes) else (wheel if kind == "whl" else sdist)(members)
    name = "tiny_models-1.2-py3-none-any.whl" if kind == "whl" else SDIST
    links.joinpath(name).write_bytes(data)
    shop.zoo("tiny", name, data, "tiny/model.bin", suffix=".bin")
    told(sodalite("get", "tiny"), why)
    assert not list(tmp_path.rglob("evil"))
    assert not list((tmp_path / "cache").rglob("tiny.bin"))


def test_a_damaged_member_is_noticed(sodalite, shop, links, archives, told):
    wheel, _ = archives
    data = bytearray(wheel({"tiny/model.bin": random.Random(1).randbytes(5000)}))
    data[2000] ^= 0xFF
    name = "tiny_models-1.2-py3-none-any.whl"
    links.joinpath(name).write_bytes(data)
    shop.zoo("tiny", name, bytes(data), "tiny/model.bin", suffix=".bin")
    told(sodalite("get", "tiny"), "damaged")


def test_nothing_in_an_archive_is_run(sodalite, tiny, links, tmp_path, monkeypatch):
    """Its setup.py would raise ZeroDivisionError."""
    monkeypatch.chdir(tmp_path)
    links.joinpath(SDIST).write_bytes(tiny)
    assert sodalite("get", "tiny").exit_code == 0
    assert not list((tmp_path / "cache").rglob("setup.py"))


def test_output_copies_and_does_not_overwrite(sodalite, tiny, links, tmp_path, told):
    links.joinpath(SDIST).write_bytes(tiny)
    target = tmp_path / "out/tiny.bin"
    assert only_path(sodalite("get", "tiny", "--output", target.parent)) == str(target)
    assert target.read_bytes() == MODEL
    assert sodalite("get", "tiny", "--output", target.parent).exit_code == 0  # the same file
    target.write_bytes(b"mine")
    told(sodalite("get", "tiny", "--output", target.parent), "differs", "--force")
    assert target.read_bytes() == b"mine"
    assert sodalite("get", "tiny", "--output", target.parent, "--force").exit_code == 0
    assert target.read_bytes() == MODEL


def test_labels_of_the_entry_are_written(sodalite, shop, links, archives):
    wheel, _ = archives
    data = wheel({"m.bin": MODEL})
    links.joinpath("m-1-py3-none-any.whl").write_bytes(data)
    shop.zoo("m", "m-1-py3-none-any.whl", data, "m.bin", suffix=".bin", labels=("yes", "no"))
    _, labels = sodalite("get", "m").stdout.splitlines()
    assert content(labels) == b"yes\nno\n"


def test_a_build_function_makes_the_model(sodalite, shop, links, archives):
    """For a model that is published in parts."""
    wheel, _ = archives
    data = wheel({"m/a": b"one ", "m/b": b"two"})
    links.joinpath("m-1-py3-none-any.whl").write_bytes(data)

    source = f"""
from sodalite_tools.zoo import ZooEntry
def join(parts):
    return b"".join(parts.values())
ENTRY = ZooEntry(package="m", version="1", archive="m-1-py3-none-any.whl", file="m/a", needs=("m/b",), licence="CC0",
                 sha256="{hashlib.sha256(data).hexdigest()}", suffix=".bin", build=join)
"""
    shop.offer("joined", "sodalite.zoo.v1", {"joined": "joined:ENTRY"}, source)
    assert content(only_path(sodalite("get", "joined"))) == b"one two"


def test_the_list_names_the_four_and_asks_nobody(sodalite, index):
    result = sodalite("get", "--list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for name, licence in {
        "cat": "CC0",
        "efficientnet-lite0": "MIT",
        "smart-reply": "Apache-2.0",
        "visual-wake-words": "Zlib",
    }.items():
        (place,) = [i for i, line in enumerate(lines) if line.startswith(f"{name} ")]
        assert lines[place + 1].strip().startswith(f"{licence}, from ")
    assert index.asked == []


def test_the_list_survives_a_broken_entry(sodalite, shop):
    shop.offer("bad-zoo", "sodalite.zoo.v1", {"bad": "bad_zoo:ENTRY"}, "1/0")
    result = sodalite("get", "--list")
    assert result.exit_code == 0
    assert "bad-zoo 1.0" in result.stderr
    assert "efficientnet-lite0" in result.stdout


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("1/0", "ZeroDivisionError"),
        ("ENTRY = 3", "not a ZooEntry"),
        ("ENTRY = {'package': 'x'}", "missing"),
        ("ENTRY = {'colour': 'x'}", "unknown keys ['colour']"),
    ],
)
def test_a_broken_entry_names_its_distribution(sodalite, shop, told, source, why):
    shop.offer("bad-zoo", "sodalite.zoo.v1", {"bad": "bad_zoo:ENTRY"}, source)
    told(sodalite("get", "bad"), "bad-zoo 1.0", why)


def test_an_entry_without_a_sum_is_refused(sodalite, shop, told, archives):
    shop.zoo("tiny", SDIST, b"", "x", sha256="")
    told(sodalite("get", "tiny"), "64 hexadecimal digits")


def test_an_unknown_name(sodalite, told):
    told(sodalite("get", "efficientnet"), "there is no zoo entry 'efficientnet'", "did you mean efficientnet-lite0?")


def test_a_name_that_is_no_file_name(sodalite, shop, told, archives):
    _, sdist = archives
    shop.zoo("../up", SDIST, sdist(SAFE), "tiny/model.bin")
    told(sodalite("get", "../up"))


def test_no_name(sodalite, told):
    told(sodalite("get"), "which one?", "cat")


def test_distribution_and_name_choose_between_two(sodalite, shop, links, archives):
    """Two packages may use one name; neither hides the other."""
    wheel, _ = archives
    data = wheel({"m.bin": MODEL})
    links.joinpath("m-1-py3-none-any.whl").write_bytes(data)
    shop.zoo("cat", "m-1-py3-none-any.whl", data, "m.bin", suffix=".bin")
    assert content(only_path(sodalite("get", "zoo-cat/cat"))) == MODEL


def test_a_bar_is_drawn_on_a_terminal(tiny, links, monkeypatch):
    """Progress goes to standard error, and is gone at the end."""
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.progress() as report:
        report("fetching [x]", 10, 100)
        report("fetching [x]", 100, 100)
    assert "fetching [x]" in screen.getvalue()
