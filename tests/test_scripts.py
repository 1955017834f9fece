"""What `make test` and `make demo` are made of: finding Pythons, ordering packages, reading outcomes, saying what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import check
import environment
import pytest
import pythons
import siblings
import sizes
import tables
from pythons import Python


def interpreter(path, answer="CPython|3.12.1|final|True", code=0):
    """A program that answers like a Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\necho '{path}'\nexit {code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


posix = pytest.mark.skipif(sys.platform == "win32", reason="the fake interpreters are shell scripts")


@posix
def test_every_python_is_found_once(tmp_path):
    """Oldest first; links to one that is known, shims, other programs and unsupported ones do not count."""
    new = interpreter(tmp_path / "a" / "python3.12")
    (tmp_path / "a" / "python3").symlink_to(new)
    old = interpreter(tmp_path / "b" / "python3.10", "CPython|3.10.2|final|True")
    interpreter(tmp_path / "b" / "python3.9", "CPython|3.9.1|final|True")
    interpreter(tmp_path / "b" / "python3.13", "CPython|3.13.0|final|False")
    interpreter(tmp_path / "b" / "python3.14", "CPython|3.14.0|candidate|True")
    interpreter(tmp_path / "b" / "python3", "PyPy|3.11.0|final|True")
    interpreter(tmp_path / "b" / "python3-config")
    found, broken = pythons.find([tmp_path / "b", tmp_path / "a"])
    assert found == [Python((3, 10, 2), old), Python((3, 12, 1), new)]
    assert not broken


@posix
def test_a_python_that_does_not_start_is_told_of(tmp_path):
    path = interpreter(tmp_path / "python3.11", code=1)
    found, broken = pythons.find([tmp_path])
    assert (found, broken) == ([], [(path, "no answer")])


def test_where_pythons_are_looked_for(tmp_path):
    """PATH without shims, pyenv's versions wherever its root is, the system's folders."""
    for name in ("path", "shims", "root/versions/3.12.1/bin", "home/.pyenv/versions/3.11.0/bin"):
        (tmp_path / name).mkdir(parents=True)
    environment = {
        "PATH": f"{tmp_path}/path:{tmp_path}/shims",
        "PYENV_ROOT": f"{tmp_path}/root",
        "HOME": f"{tmp_path}/home",
    }
    if sys.platform == "win32":
        environment["PATH"] = environment["PATH"].replace(":", ";")
    found = [p.relative_to(tmp_path).as_posix() for p in pythons.folders(environment) if tmp_path in p.parents]
    assert found == ["path", "root/versions/3.12.1/bin", "home/.pyenv/versions/3.11.0/bin"]


def some(*versions):
    return sorted(Python(tuple(map(int, v.split("."))), Path(f"/p/{v}")) for v in versions)


def test_the_newest_with_an_oracle_runs_everything_and_all_others_something():
    work = check.plan(some("3.10.13", "3.11.2", "3.11.7", "3.12.1", "3.15.0"))
    assert str(work.whole) == "3.12.1"
    assert [str(p) for p in work.units] == ["3.10.13", "3.11.7", "3.15.0"]
    assert str(work.oldest) == "3.11.2"
    assert not work.twins
    names = check.environments(work, ["core"])
    assert names == ["mixed", "oldest", "core", "py310", "py311", "py315", "types", "lint", "size"]


def test_one_python_is_enough():
    work = check.plan(some("3.15.1"))
    assert (str(work.whole), work.units, work.oldest) == ("3.15.1", (), None)
    assert check.environments(work, []) == ["mixed", "types", "lint", "size"]


def test_a_second_python_of_a_series_is_named_as_such():
    assert [str(p) for p in check.plan(some("3.12.1", "3.12.4")).twins] == ["3.12.1"]


REPORT = """<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"><testcase name="a"><skipped
message="no models" type="pytest.skip"/></testcase></testsuite></testsuites>"""
RAN = {"python": {"version_info": [3, 12, 1, "final", 0]}, "test": [{"retcode": 0, "elapsed": 1.5}]}


def test_counts_come_from_the_report(tmp_path):
    report = tmp_path / "core.xml"
    report.write_text(REPORT, encoding="utf-8")
    got = check.outcome("core", report, RAN)
    assert (got.python, got.passed, got.failed, got.skipped, got.wrong) == ("3.12.1", 2, 2, 1, "failed")
    assert dict(got.reasons) == {"no models": 1}


@pytest.mark.parametrize(
    ("report", "result", "wrong"),
    [
        (None, None, "did not run"),
        (None, RAN, "left no report"),
        ("<testsuite tests='2' skipped='2'/>", RAN, "ran no test"),
        ("<testsuite tests='2'/>", {**RAN, "test": [{"retcode": 1}]}, "failed"),
        ("<testsuite tests='2'/>", RAN, ""),
    ],
)
def test_an_environment_that_did_not_do_its_work_is_wrong(tmp_path, report, result, wrong):
    path = tmp_path / "x.xml"
    if report:
        path.write_text(report, encoding="utf-8")
    assert check.outcome("core", path, result).wrong == wrong


def test_tools_without_tests_are_judged_by_their_exit_code(tmp_path):
    assert check.outcome("lint", tmp_path / "none", RAN).wrong == ""
    assert check.outcome("lint", tmp_path / "none", {**RAN, "test": [{"retcode": 1}]}).wrong == "failed"


def package(key, *dependencies, test=()):
    return siblings.Package(key, f"sodalite-{key}", "", Path(key), dependencies, test, (), "", ())


def test_siblings_come_before_who_needs_them():
    """The test needs of what is needed are not needed."""
    known = {
        p.key: p
        for p in (
            package("a", "sodalite-b>=1", "numpy", test=("sodalite_d", "pytest")),
            package("b", "Sodalite.C", test=("sodalite-e",)),
            package("c"),
            package("d", "sodalite-a"),
            package("e"),
        )
    }
    assert [p.key for p in siblings.closure([known["a"]], known)] == ["c", "b", "a"]
    assert [p.key for p in siblings.closure([known["a"]], known, test=True)] == ["c", "b", "a", "d"]


def test_a_circle_of_packages_is_told():
    known = {p.key: p for p in (package("a", "sodalite-b"), package("b", "sodalite-a"))}
    with pytest.raises(siblings.Trouble, match="in a circle: a -> b -> a"):
        siblings.closure([known["a"]], known)


def test_a_name_that_is_no_package_is_told_with_those_that_are():
    with pytest.raises(siblings.Trouble, match=r"no package called cpu_rfe; there are: .*cpu_ref"):
        siblings.chosen(["cpu_rfe"], siblings.packages())


def test_no_package_needs_a_sibling_at_one_version_only():
    """Ranges, so that a fix in one package need not release all."""
    names = {p.name for p in siblings.packages().values()}
    for found in siblings.packages().values():
        for line in (*found.dependencies, *found.test):
            if siblings.requirement_name(line) in names:
                assert "==" not in line, f"{found.folder}: {line}"


def test_the_oldest_release_is_the_one_that_all_claim():
    known = {p.key: p for p in (package("a", "numpy>=1.24", "sodalite-b>=0.1"), package("b", "numpy>=1.9,<3", "pluggy>=1.0"))}
    assert siblings.oldest_releases(known) == ["numpy==1.24", "pluggy==1.0"]
    with pytest.raises(siblings.Trouble, match="'click<9' does not say from which release on"):
        siblings.oldest_releases({"c": package("c", "click<9")})


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("Failed to establish a new connection: [Errno -2] Name or service not known", "HTTPS_PROXY"),
        ("No module named pip", "has no pip"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("SSLError(SSLCertVerificationError)", "PIP_CERT"),
        ("something else", "see the lines above"),
    ],
)
def test_a_failed_installation_says_what_to_do(output, advice):
    assert advice in siblings.advice(output)


def test_uv_is_told_what_pip_knows():
    """Its settings and environment, the environment first."""
    config = (
        ":env:.find-links='/wheels'\n"
        "global.cert='/c.pem'\nglobal.extra-index-url='https://one\\nhttps://two'\n"
        "global.find-links='/other'\nglobal.index-url='https://main'\nglobal.timeout='5'\n"
    )
    assert environment.uv_settings(config) == {
        "UV_DEFAULT_INDEX": "https://main",
        "UV_INDEX": "https://one https://two",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels",
        "SSL_CERT_FILE": "/c.pem",
    }
    assert environment.uv_settings("") == {}


def test_leftovers_are_no_sources(tmp_path):
    for name in ("src/p/a.py", "src/p/a.pyc", "build/lib/p/old.py", "src/p.egg-info/x", ".hidden", "tests/test_p.py", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    found = siblings.sources(siblings.Package("p", "p", "", tmp_path, (), (), (), "", ()))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["README.md", "src/p/a.py"]


def test_the_budgets_are_of_packages_that_exist():
    assert all(key in siblings.packages() for keys, _, _ in sizes.BUDGETS for key in keys)


def test_a_size_may_be_a_little_off_and_a_name_may_not():
    old = "| [a](a) | text | 45 | 100 |\n"
    assert tables.same(old, "| [a](a) | text | 46 | 105 |\n")
    assert not tables.same(old, "| [a](a) | text | 55 | 100 |\n")
    assert not tables.same(old, "| [b](b) | text | 45 | 100 |\n")


def test_the_coverage_table_holds_what_agreed(tmp_path):
    """A case that was declined as expected fills no cell; one that is known to be wrong empties its cell."""
    record = tmp_path / "r.jsonl"
    line = '{{"plugin": "{}", "op": "{}", "types": "{}", "said": "{}", "passed": true}}\n'.format
    record.write_text(
        line("cpu_ref", "ADD", "int8", "agrees")
        + line("cpu_ref", "ADD", "float32", "agrees")
        + line("cpu_ref", "ADD", "int64", "declined")
        + line("cpu_ref", "CAST", "int8", "agrees")
        + line("cpu_ref", "CAST", "int8-bool", "agrees")
        + line("cpu_ref", "SUM", "int8", "agrees")
        + line("cpu_ref", "SUM", "int8", "wrong")
        + line("other", "MUL", "int8", "agrees"),
        encoding="utf-8",
    )
    assert tables.coverage_table([record]).splitlines()[2:] == ["| ADD | float32; int8 |", "| CAST | int8 → int8, bool |"]


@posix
@pytest.mark.slow
def test_make_says_what_to_do_without_a_python(tmp_path):
    """No traceback of make, shell or Python: the version that is needed and how to name one."""
    interpreter(tmp_path / "old", "2.7", code=1)
    done = subprocess.run(
        ["make", f"PYTHON={tmp_path / 'old'}", "demo"], cwd=siblings.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert "needs Python 3.10 or later" in done.stderr
    assert "make PYTHON=/path/to/python3 demo" in done.stderr


@posix
@pytest.mark.slow
def test_make_says_what_to_do_without_venv(tmp_path):
    path = tmp_path / "bare"
    path.write_text('#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\nexit 0\n', encoding="utf-8")
    path.chmod(0o755)
    done = subprocess.run(["make", f"PYTHON={path}", "demo"], cwd=siblings.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "no module venv or ensurepip" in done.stderr


def test_the_back_ends_of_schema_and_core_are_the_same():
    """Each lies inside its package, where a build front end wants it; what one does the other does."""
    mine, theirs = (siblings.ROOT / folder / "_build.py" for folder in ("core", "schema"))
    assert mine.read_text(encoding="utf-8") == theirs.read_text(encoding="utf-8")
