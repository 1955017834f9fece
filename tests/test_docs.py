"""The documentation is true: its listings run, its tables and signatures are those of the code, its links lead somewhere."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import venv

import pytest
import tables
from listings import listings, marked, matches
from siblings import ROOT, packages
from sodalite import hookspecs
from sodalite.kernel import Delegate, Prepared, Quality, Reason

PAGES = tables.pages()
PAGE_NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
RUN = list(marked(PAGES))
WRAPPERS = {"sodalite": "from sodalite_tools.main import main; main()", "pytest": "import pytest; pytest.console_main()"}


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A virtual environment that sees everything that this one has, and can be installed into."""
    folder = tmp_path_factory.mktemp("docs") / "venv"
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    python = programs / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    for name, code in WRAPPERS.items():
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{python}" -c "{code}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    keep = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    path = os.pathsep.join([str(programs), "/usr/bin", "/bin"])
    return keep | {"PATH": path, "VIRTUAL_ENV": str(folder), "COLUMNS": "110", "NO_COLOR": "1"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="listings are for a POSIX shell")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_listings_run_and_print_what_the_page_says(page, environment, tmp_path):
    """Each runs in a process of its own, in one folder a page, in the order of the page."""
    printed = ""
    for listing in listings(page):
        where = f"{page.relative_to(ROOT)}:{listing.line}"
        if listing.kind == "file":
            target = tmp_path / listing.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(listing.text, encoding="utf-8")
        elif listing.kind == "output":
            assert matches(listing.text, printed), f"{where}: printed\n{printed}\nthe page says\n{listing.text}"
        else:
            assert listing.language in ("python", "sh"), f"{where}: what runs {listing.language}?"
            command = ["python", "-W", "error", "-c"] if listing.language == "python" else ["sh", "-euc"]
            done = subprocess.run(
                [*command, listing.text], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{where}:\n{done.stdout}\n{done.stderr}"
            printed = done.stdout


def test_a_listing_that_prints_something_else_is_noticed():
    assert matches("a\n...c", "a  \nb\nc\n")
    assert not matches("a\nc", "a\nb\nc")
    assert not matches("...1 passed...", "1 failed")


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_links_lead_somewhere(page):
    """Relative links name files that exist, and headings that the file has."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    wrong = []
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    assert not wrong


def anchors(page):
    """The anchors that headings of a page get where it is shown."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def signature(function, *, method=False):
    """As a heading writes it: name(argument: type, ...) -> type."""
    said = inspect.signature(function)
    arguments = [f"{p.name}: {p.annotation}" for p in list(said.parameters.values())[method:]]
    return f"{function.__name__}({', '.join(arguments)}) -> {said.return_annotation}"


def headings(page):
    return re.findall(r"^### `(\w+\(.*)`$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_heading_of_each_hook_is_its_signature():
    hooks = [value for name, value in vars(hookspecs).items() if name.startswith("sodalite_") and callable(value)]
    assert [h for h in headings("kernel-contract.md") if h.startswith("sodalite_")] == [signature(h) for h in hooks]


def test_the_heading_of_each_method_of_a_delegate_is_its_signature():
    methods = [value for name, value in vars(Delegate).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert headings("delegate-contract.md") == [signature(m, method=True) for m in methods]


def first_column(page, heading):
    """The code in the first column of the table under *heading*."""
    _, _, rest = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"\n{heading}\n")
    return re.findall(r"^\| `(\w+)` \|", rest.partition("\n## ")[0], re.MULTILINE)


def test_every_reason_quality_and_field_of_prepared_is_described():
    fields = re.findall(r"^\| `(\w+)", section("kernel-contract.md", "### `Prepared`"), re.MULTILINE)
    assert first_column("kernel-contract.md", "## Declining") == list(Reason.__members__)
    assert first_column("kernel-contract.md", "## Quality") == [q.name for q in sorted(Quality, reverse=True)]
    assert set(fields) == set(Prepared._fields)


def section(page, heading):
    return (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"\n{heading}\n")[2].partition("\n##")[0]


def test_every_environment_variable_is_described():
    """Those that the installed packages read, and no others."""
    folders = [package.folder / "src" for package in packages().values() if package.key != "testkit"]
    text = "".join(file.read_text(encoding="utf-8") for folder in folders for file in folder.rglob("*.py"))
    read = set(re.findall(r"[\"'](SODALITE_\w+)[\"']", text))
    assert set(first_column("plugins.md", "## Environment variables")) == read


def test_generated_tables_are_what_the_code_says():
    stale = [(page.name, name) for page in PAGES for name in tables.update(page, TABLES_HERE, write=False)]
    assert not stale, "bring them up to date with: python scripts/tables.py --write"


# The table of packages is compared by the environment `size`, which builds the wheels
TABLES_HERE = {name: make for name, make in tables.TABLES.items() if name != "packages"}


@pytest.mark.parametrize("key", packages())
def test_every_package_says_what_it_is(key):
    """A README, a changelog, a description and py.typed."""
    package = packages()[key]
    readme = package.folder / "README.md"
    assert package.description
    assert readme.read_text(encoding="utf-8").startswith(f"# {package.name}\n")
    assert (package.folder / "CHANGELOG.md").exists()
    for source in (package.folder / "src").iterdir():
        if source.is_dir() and not source.name.endswith(".egg-info"):
            assert (source / "py.typed").exists()


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    decisions = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        assert page.name == "README.md" or f"]({page.name})" in decisions, page.name


