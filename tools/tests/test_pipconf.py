"""pip's settings: the files and variables that pip reads, in its order."""

import os
import subprocess
import sys

import pytest
from sodalite_tools import pipconf
from sodalite_tools.errors import ToolError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home and a site of one's own; write(path, text) in it."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "site"))
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "etc"), "XDG_CONFIG_HOME": str(tmp_path / "cfg")}

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    return environ, write


posix = pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="paths of other systems")


def test_nothing_set(home):
    environ, _ = home
    environ["PIP_CONFIG_FILE"] = os.devnull
    assert pipconf.pip_settings(environ) == pipconf.PipSettings()


@posix
def test_later_files_win_and_variables_win_over_all(home):
    environ, write = home
    write("etc/pip/pip.conf", "[global]\nindex-url = https://a\nproxy = p:1\n")
    write("cfg/pip/pip.conf", "[global]\nindex-url = https://b\ncert = /c\nextra-index-url = https://x https://y\n")
    write("site/pip.conf", "[global]\nextra-index-url =\n    https://z\n    file:///w\n")
    settings = pipconf.pip_settings(environ)
    assert settings.index_url == "https://b"
    assert settings.extra_index_urls == ("https://z", "file:///w")
    assert (settings.proxy, settings.cert) == ("p:1", "/c")
    environ["PIP_CONFIG_FILE"] = write("own.conf", "[global]\nindex_url = https://c\n")
    assert pipconf.pip_settings(environ).index_url == "https://c"
    environ |= {"PIP_INDEX_URL": "https://d", "PIP_FIND_LINKS": "~/w /v", "PIP_NO_INDEX": "true"}
    settings = pipconf.pip_settings(environ)
    assert settings.index_url == "https://d"
    assert settings.find_links == (os.path.expanduser("~/w"), "/v")
    assert settings.no_index


@posix
def test_the_section_of_a_command_wins_over_global(home):
    environ, write = home
    write("cfg/pip/pip.conf", "[download]\nindex-url = https://b\n[global]\nindex-url = https://a\n[list]\nindex-url = x\n")
    assert pipconf.pip_settings(environ).index_url == "https://b"


@posix
def test_devnull_turns_files_off(home):
    environ, write = home
    write("cfg/pip/pip.conf", "[global]\nindex-url = https://b\n")
    environ["PIP_CONFIG_FILE"] = os.devnull
    assert pipconf.pip_settings(environ).index_url is None


def test_the_rest(home):
    environ, _ = home
    environ |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_TRUSTED_HOST": "a b:8080",
        "PIP_CLIENT_CERT": "~/c.pem",
        "PIP_DEFAULT_TIMEOUT": "180",
    }
    settings = pipconf.pip_settings(environ)
    assert settings.trusted_hosts == ("a", "b:8080")
    assert settings.client_cert == os.path.expanduser("~/c.pem")
    assert settings.timeout_s == 180.0


@posix
@pytest.mark.parametrize("text", ["index-url = x\n", "[global]\nnonsense\n", "[global\n"])
def test_a_file_that_cannot_be_read_is_named(home, text):
    environ, write = home
    path = write("cfg/pip/pip.conf", text)
    with pytest.raises(ToolError, match="cannot be read") as caught:
        pipconf.pip_settings(environ)
    assert path in str(caught.value)


@posix
def test_the_same_files_as_pip(tmp_path, monkeypatch):
    """`pip config debug` lists them; the order is ours to keep."""
    pytest.importorskip("pip")
    monkeypatch.delenv("PIP_CONFIG_FILE")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "debug"], capture_output=True, text=True, check=False, timeout=60
    )
    listed = [line.split(", exists:")[0].strip() for line in done.stdout.splitlines() if ", exists:" in line]
    ours = [str(path) for path in pipconf.config_files(os.environ)]
    assert set(listed) == set(ours), done.stdout
