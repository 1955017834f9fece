"""The command group: cheap help, commands of plugins, and how every failure is told."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from importlib.metadata import entry_points

import pytest
from sodalite_tools import entries as module
from sodalite_tools.entries import COMMANDS, Entry, choose, entries, summary
from sodalite_tools.errors import ToolError

HELLO = """
import click

@click.command()
@click.argument("word", default="world")
def hello(word):
    \"\"\"Say hello. Politely.\"\"\"
    click.echo(f"hello {word}")
"""


def test_help_lists_every_command_with_a_sentence(sodalite):
    result = sodalite("--help")
    assert result.exit_code == 0
    for name in ("bench", "explain", "get", "plugins", "run", "show"):
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"  {name} ")]
        assert len(line.split()) > 3, line


def test_help_imports_no_command(sodalite_process):
    """Nor numpy, rich, or the interpreter."""
    program = (
        "import sys, json\nfrom sodalite_tools.main import main\nsys.argv = ['sodalite', '--help']\n"
        "main()\nprint(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = json.loads(done.stdout.splitlines()[-1])
    heavy = {"numpy", "rich", "PIL", "unearth", "pluggy", "sodalite.interpreter", "sodalite_tools.commands"}
    assert not heavy & set(loaded)


def test_help_is_quick():
    """In CPU time of the child, less what Python itself takes; the best of ten, for machines that are busy."""
    resource = pytest.importorskip("resource")

    def seconds(*words):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], capture_output=True, check=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare = min(seconds("-c", "pass") for _ in range(3))
    assert any(seconds("-m", "sodalite_tools", "--help") - bare < 0.15 for _ in range(10))


def test_a_plugin_adds_a_command(sodalite, shop):
    shop.offer("hello-kit", COMMANDS, {"hello": "hello_kit:hello"}, HELLO)
    assert "  hello    Say hello\n" in sodalite("--help").stdout
    assert "hello_kit" not in sys.modules
    assert sodalite("hello", "you").stdout == "hello you\n"


def test_a_broken_command_says_so_when_used_and_only_then(sodalite, shop, told):
    shop.offer("bad-kit", COMMANDS, {"bad": "bad_kit:bad", "gone": "bad_kit.gone:gone"}, '1/0\ndef bad():\n  """Be bad."""')
    listed = sodalite("--help")
    assert listed.exit_code == 0
    assert "Be bad" in listed.stdout
    assert "broken: bad-kit has no module bad_kit.gone" in " ".join(listed.stdout.split())
    assert sodalite("get", "--list").stderr == ""
    told(sodalite("bad"), "command 'bad' of bad-kit 1.0 cannot be loaded", "ZeroDivisionError", "reinstall or remove bad-kit")


def test_a_command_that_is_no_command(sodalite, shop, told):
    shop.offer("int-kit", COMMANDS, {"int": "int_kit:x"}, "x = 3")
    told(sodalite("int"), "int-kit 1.0 is a int, not a click command")


def test_two_commands_of_one_name(sodalite, shop):
    """The command's own comes first; the other has its distribution's name in front."""
    shop.offer("hello-kit", COMMANDS, {"get": "hello_kit:hello"}, HELLO)
    assert "hello-kit/get" in sodalite("--help").stdout
    assert sodalite("hello-kit/get").stdout == "hello world\n"
    assert "cat" in sodalite("get", "--list").stdout


def test_an_unknown_command(sodalite, told):
    told(sodalite("shwo"), "there is no command 'shwo'", "did you mean show?")


def test_an_unknown_option(sodalite, told):
    told(sodalite("get", "--lost"), "No such option", "--list")


ANGRY = """
import click, sys, warnings

@click.command()
@click.argument("how")
def angry(how):
    \"\"\"Fail as told.\"\"\"
    from sodalite.errors import ModelError, ModelNotFoundError, PluginWarning
    if how == "model":
        raise ModelError("x.tflite: not a model\\x1b[31m\\nfetch it again")
    if how == "lost":
        raise ModelNotFoundError("x.tflite: no such file")
    if how == "long":
        raise ModelError("\\n".join(f"line {i}" for i in range(100)))
    if how == "defect":
        raise KeyError("spam")
    if how == "memory":
        raise MemoryError
    if how == "os":
        open("/nowhere/at/all")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "pipe":
        raise BrokenPipeError
    if how == "warn":
        warnings.warn("plugin 'x' is left out", PluginWarning)
    if how == "exit":
        sys.exit(3)
    if how == "sleep":
        import time
        print("ready", flush=True)
        time.sleep(60)
    if how == "flood":
        for i in range(100000):
            print("line", i)
"""


@pytest.fixture
def angry(shop):
    shop.offer("angry-kit", COMMANDS, {"angry": "angry_kit:angry"}, ANGRY)


def test_an_expected_error_is_its_message(sodalite, angry, told):
    text = told(sodalite("angry", "model"))
    assert text == "sodalite: x.tflite: not a model\\x1b[31m\nfetch it again\n"
    assert told(sodalite("angry", "lost")) == "sodalite: x.tflite: no such file\n"


def test_a_long_error_is_cut_to_a_screen(sodalite, angry, told):
    text = told(sodalite("angry", "long"), "line 0", "line 99", "more lines")
    assert "line 50" not in text


def test_an_error_of_the_system_names_the_path(sodalite, angry, told):
    told(sodalite("angry", "os"), "/nowhere/at/all: no such file or directory")


def test_a_defect_says_so(sodalite, angry, told):
    told(sodalite("angry", "defect"), "unexpected KeyError: 'spam'", "--debug")


def test_out_of_memory(sodalite, angry, told):
    told(sodalite("angry", "memory"), "out of memory")


@pytest.mark.parametrize("words", [("--debug", "angry", "defect"), ("angry", "--debug", "defect"), ("angry", "defect", "--debug")])
def test_debug_shows_the_traceback(sodalite, angry, words):
    result = sodalite(*words)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert 'raise KeyError("spam")' in result.stderr


def test_exit_codes(sodalite, angry):
    assert sodalite("angry", "interrupt").exit_code == 130
    assert sodalite("angry", "exit").exit_code == 3
    assert sodalite("angry", "nothing").exit_code == 0


def test_a_warning_is_one_line(sodalite_process, angry):
    result = sodalite_process("angry", "warn")
    assert result.returncode == 0
    assert result.stderr == "sodalite: warning: plugin 'x' is left out\n"


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_ends_cleanly(angry):
    process = subprocess.Popen(
        [sys.executable, "-m", "sodalite_tools", "angry", "sleep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert text.strip() == "interrupted"


@pytest.mark.skipif(os.name == "nt", reason="needs head")
def test_a_reader_that_goes_away_is_no_error(angry):
    writer = subprocess.Popen(
        [sys.executable, "-m", "sodalite_tools", "angry", "flood"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    writer.stdout.readline()
    writer.stdout.close()
    text = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(timeout=30) == 1
    assert text == b""


def test_letters_that_the_terminal_lacks_are_escaped(sodalite_process, shop):
    shop.offer("hello-kit", COMMANDS, {"hello": "hello_kit:hello"}, HELLO)
    result = sodalite_process("hello", "žluťoučký", env={**os.environ, "PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "hello \\u017elu\\u0165ou\\u010dký\n"


def test_version(sodalite):
    assert sodalite("--version").stdout.startswith("sodalite 0.")


def test_every_command_has_help(sodalite):
    for name in ("bench", "explain", "get", "plugins", "run", "show"):
        result = sodalite(name, "--help")
        assert result.exit_code == 0, result.stderr
        assert f"Usage: sodalite {name}" in result.stdout


def test_the_sentence_from_the_source_is_that_of_the_command():
    for entry in entries(COMMANDS):
        if entry.distribution == module.OURS:
            whole = " ".join((entry.load().help or "").split())
            assert summary(entry)
            assert whole.startswith(summary(entry)), entry.name


# ---------------------------------------------------------------- entry points


def test_entries_are_those_of_importlib():
    ours = {(e.name, e.target) for e in entries(COMMANDS)}
    assert ours == {(e.name, e.value) for e in entry_points(group=COMMANDS)}


def test_the_first_distribution_on_the_path_counts(tmp_path):
    for folder, version in (("a", "1.0"), ("b", "2.0")):
        info = tmp_path / folder / f"some_kit-{version}.dist-info"
        info.mkdir(parents=True)
        info.joinpath("entry_points.txt").write_text("[g]\nx = m:x [extra]\n# no = m:no\n[other]\ny = m:y\n")
    assert entries("g", [str(tmp_path / "a"), str(tmp_path / "b")]) == [Entry("x", "m:x", "some-kit", "1.0")]


def test_entries_of_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "kit.zip", "w") as file:
        file.writestr("some_kit-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-kit\nVersion: 1.0\n")
        file.writestr("some_kit-1.0.dist-info/entry_points.txt", "[g]\nx = m:x\n")
    assert entries("g", [str(tmp_path / "kit.zip")]) == [Entry("x", "m:x", "some-kit", "1.0")]


def test_a_folder_that_is_not_there_is_skipped(tmp_path):
    assert entries("g", [str(tmp_path / "no")]) == []


def test_choosing_from_none():
    with pytest.raises(ToolError, match="none is installed"):
        choose("no.such.group", "x", "thing")


def test_summaries_of_odd_sources(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    tmp_path.joinpath("odd.py").write_text(
        textwrap.dedent('''
        def none(): pass
        def long():
            """One
            two. Three."""
        def version():
            """Reads 1.5 and 2."""
        ''')
    )
    tmp_path.joinpath("bad_syntax.py").write_text("def (")
    said = {name: summary(Entry("x", name, "kit", "1")) for name in ("odd:none", "odd:long", "odd:version", "bad_syntax:x", "math:x")}
    assert said == {"odd:none": "", "odd:long": "One two", "odd:version": "Reads 1.5 and 2", "bad_syntax:x": "", "math:x": ""}
