"""The packages of this checkout: list them, build their wheels, install some of them into this Python.

A sibling is never asked of a package index: its wheel is built here and given to the installer as a file.
Needs nothing but the standard library and pip (or uv, if SODALITE_UV names its executable).

    python scripts/siblings.py list
    python scripts/siblings.py build
    python scripts/siblings.py install [--test] [--oldest] NAME...     # a folder's name (cpu_ref) or "all"
    python scripts/siblings.py test NAME... [-- PYTEST ARGUMENTS]
    python scripts/siblings.py pip ARGUMENTS                # pip install, or uv pip install
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import tomllib
except ImportError:  # Python 3.10: pip carries the same parser
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / ".wheels"
STAMPS = WHEELS / "stamps.json"
# What is no part of a package, or was left behind by an earlier build.
LEFT_OUT = frozenset({"build", "dist", "tests", "__pycache__"})
# Wheels name this time for every file in them, so that equal sources make equal wheels.
EPOCH = "1767225600"


class Trouble(Exception):  # noqa: N818  a message to a person
    """Something that the person at the keyboard can put right; the message says how."""


@dataclass(frozen=True)
class Package:
    """One distribution of this checkout. key: the name of its folder; apart: why it is not installed with the others."""

    key: str
    name: str
    description: str
    folder: Path
    dependencies: tuple[str, ...]
    test: tuple[str, ...]
    build: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...]
    apart: str = ""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The project's name in a requirement line such as "numpy>=1.24; python_version<'3.12'"."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.strip())
    return canonical(found[0]) if found else ""


def packages(root: Path = ROOT) -> dict[str, Package]:
    """Every package of the checkout by its key, in the order of their folders."""
    found: dict[str, Package] = {}
    for file in sorted([*root.glob("*/pyproject.toml"), *root.glob("*/*/pyproject.toml")]):
        if any(part.startswith(".") for part in file.relative_to(root).parts):
            continue
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        project = data.get("project", {})
        if not str(project.get("name", "")).startswith("sodalite"):
            continue
        system = data.get("build-system", {})
        key = file.parent.name
        if key in found:
            raise Trouble(f"two packages lie in folders called {key}: {found[key].folder} and {file.parent}")
        found[key] = Package(
            key=key,
            name=canonical(project["name"]),
            description=project.get("description", ""),
            folder=file.parent,
            dependencies=tuple(project.get("dependencies", ())),
            test=tuple(data.get("dependency-groups", {}).get("test", ())),
            build=tuple(system.get("requires", ("setuptools",))),
            backend=system.get("build-backend", "setuptools.build_meta"),
            backend_path=tuple(system.get("backend-path", ())),
            apart=str(data.get("tool", {}).get("sodalite", {}).get("apart", "")),
        )
    return found


def chosen(keys: Sequence[str], known: dict[str, Package]) -> list[Package]:
    """The packages that *keys* name; "all" names every one that can stand beside the others."""
    if list(keys) == ["all"]:
        return [package for package in known.values() if not package.apart]
    wrong = [key for key in keys if key not in known]
    if wrong or not keys:
        raise Trouble(
            f"no package called {', '.join(wrong) or '(none named)'}; there are: {', '.join(known)}, all"
        )
    return [known[key] for key in keys]


def closure(wanted: Iterable[Package], known: dict[str, Package], *, test: bool = False) -> list[Package]:
    """*wanted* and every sibling that they need, what is needed first.

    test: also what the tests of *wanted* (not those of what they need) need.
    """
    by_name = {package.name: package for package in known.values()}
    order: dict[str, Package] = {}

    def visit(package: Package, requirements: Iterable[str], path: tuple[str, ...]) -> None:
        if package.key in path:
            raise Trouble(f"packages need each other in a circle: {' -> '.join((*path, package.key))}")
        for requirement in requirements:
            sibling = by_name.get(requirement_name(requirement))
            if sibling is not None and sibling.key not in order:
                visit(sibling, sibling.dependencies, (*path, package.key))
        order.setdefault(package.key, package)

    wanted = list(wanted)
    for package in wanted:
        visit(package, package.dependencies, ())
    if test:
        for package in wanted:
            for requirement in package.test:
                sibling = by_name.get(requirement_name(requirement))
                if sibling is not None:
                    visit(sibling, sibling.dependencies, ())
    return list(order.values())


# -- wheels


def sources(package: Package) -> Iterator[Path]:
    """The files that a package's wheel is made from, sorted."""
    for path in sorted(package.folder.rglob("*")):
        parts = path.relative_to(package.folder).parts
        if path.is_file() and not any(
            part in LEFT_OUT or part.startswith(".") or part.endswith((".egg-info", ".pyc", ".so"))
            for part in parts
        ):
            yield path


def digest(package: Package) -> str:
    total = hashlib.sha256()
    for path in sources(package):
        total.update(f"{path.relative_to(package.folder).as_posix()}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def build(wanted: Iterable[Package] | None = None, *, quiet: bool = False) -> dict[str, Path]:
    """Build the wheels whose sources changed since they were last built; every wanted wheel by package key."""
    known = packages()
    wanted = list(known.values() if wanted is None else wanted)
    stamps = read_json(STAMPS)
    fresh = {package.key: digest(package) for package in wanted}
    stale = [
        package
        for package in wanted
        if stamps.get(package.key, {}).get("digest") != fresh[package.key]
        or not (WHEELS / stamps[package.key]["wheel"]).is_file()
    ]
    if stale:
        if not quiet:
            print(f"building {', '.join(package.name for package in stale)}", flush=True)
        WHEELS.mkdir(exist_ok=True)
        tools = build_tools(stale)
        # A copy without leftovers: setuptools puts whatever it finds in build/ into the wheel. All packages are
        # copied, each to its place, because one may be built from files of another.
        with tempfile.TemporaryDirectory() as scratch:
            for package in known.values():
                for path in sources(package):
                    target = Path(scratch) / path.relative_to(ROOT)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            for package in stale:
                wheel = build_one(package, Path(scratch), tools)
                old = stamps.get(package.key, {}).get("wheel")
                if old and old != wheel.name:
                    (WHEELS / old).unlink(missing_ok=True)
                os.replace(wheel, WHEELS / wheel.name)
                stamps[package.key] = {"digest": fresh[package.key], "wheel": wheel.name}
        write_json(STAMPS, stamps)
    return {package.key: WHEELS / stamps[package.key]["wheel"] for package in wanted}


BACKEND = """
import importlib, sys
name, out, *path = sys.argv[1:]
sys.path[:0] = path
module, _, attribute = name.partition(":")
backend = importlib.import_module(module)
for part in filter(None, attribute.split(".")):
    backend = getattr(backend, part)
backend.build_wheel(out)
"""


def build_one(package: Package, scratch: Path, tools: Path) -> Path:
    """Call the package's PEP 517 back end on its copy under *scratch*; the wheel's path."""
    folder = scratch / package.folder.relative_to(ROOT)
    out = WHEELS / f"new-{package.key}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tools), "SOURCE_DATE_EPOCH": EPOCH}
    path = [str(folder / part) for part in package.backend_path]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BACKEND, package.backend, str(out), *path],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    wheels = list(out.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise Trouble(f"{package.folder.relative_to(ROOT)}: the wheel cannot be built\n{tail(done.stdout)}")
    wheel = out.parent / f"{wheels[0].name}"
    os.replace(wheels[0], wheel)
    shutil.rmtree(out)
    return wheel


def build_tools(stale: Iterable[Package]) -> Path:
    """A folder with the back ends that *stale* need, for PYTHONPATH; made once for a kind of Python."""
    known = {package.name for package in packages().values()}
    lines = {line for package in stale for line in package.build if requirement_name(line) not in known}
    # setuptools before 70.1 needs the package wheel beside it, which no pyproject.toml should have to name
    wanted = sorted(lines | {"setuptools>=70.1"})
    folder = WHEELS / f"tools-{sys.implementation.cache_tag}"
    stamp = folder / "requirements.json"
    if read_json(stamp).get("requirements") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        pip_install(["--target", str(folder), *wanted])
        write_json(stamp, {"requirements": wanted})
    return folder


# -- installing


def pip_command() -> list[str]:
    uv = os.environ.get("SODALITE_UV")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]


def pip_install(arguments: Sequence[str]) -> None:
    """pip install, silent unless it fails; then the last lines of what it said, and what to do."""
    done = subprocess.run(
        [*pip_command(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise Trouble(f"packages could not be installed\n{tail(done.stdout)}\n{advice(done.stdout)}")


OFFLINE = re.compile(
    r"name resolution|getaddrinfo|ConnectionError|ConnectTimeout|NewConnectionError|connection broken|error sending request"
    r"|Network is unreachable|Connection refused|dns error|timed out|Failed to establish|nodename nor servname",
    re.IGNORECASE,
)


def advice(output: str) -> str:
    """What to do about a failed installation, in plain words, from what the installer printed."""
    if OFFLINE.search(output):
        return (
            "the package index did not answer: this step needs the network once (later runs use what it fetched).\n"
            "Check the connection; behind a proxy set HTTPS_PROXY; with an index of your own set PIP_INDEX_URL, or\n"
            "pip config set global.index-url; with a folder of wheels set PIP_FIND_LINKS. Then run the command again"
        )
    if "No module named pip" in output:
        return (
            f"{sys.executable} has no pip: install it (Debian, Ubuntu: apt install python3-pip python3-venv)"
        )
    if "No space left" in output:
        return "the disk is full: about 1 GB is needed"
    if "SSL" in output or "certificate" in output.lower():
        return (
            "the index's certificate is not trusted: set PIP_CERT to your organisation's certificate bundle"
        )
    return "see the lines above; run the command again when that is put right"


def oldest_releases(known: dict[str, Package]) -> list[str]:
    """For everything from outside that the packages need to run, the oldest release that all of them claim will do."""
    names = {package.name for package in known.values()}
    found: dict[str, tuple[int, ...]] = {}
    for line in (line for package in known.values() for line in package.dependencies):
        name, bound = requirement_name(line), re.search(r">=\s*([\d.]+)", line)
        if name in names:
            continue
        if bound is None:
            raise Trouble(f"the requirement {line!r} does not say from which release on")
        found[name] = max(found.get(name, ()), tuple(map(int, bound[1].split("."))))
    return [f"{name}=={'.'.join(map(str, version))}" for name, version in sorted(found.items())]


def install(keys: Sequence[str], *, test: bool = False, oldest: bool = False, quiet: bool = False) -> None:
    """Install the named packages and the siblings they need into this Python; does nothing if they are there.

    test: also what their tests need (the dependency group "test" of each one's pyproject.toml). oldest: with the
    oldest releases that they claim to work with.
    """
    known = packages()
    wanted = chosen(keys, known)
    names = {package.name for package in known.values()}
    wheels = build(closure(wanted, known, test=test), quiet=quiet)
    others = sorted(
        {
            line
            for package in wanted
            for line in (package.test if test else ())
            if requirement_name(line) not in names
        }
    )
    others += oldest_releases(known) if oldest else []
    stamp = Path(sys.prefix) / "sodalite-siblings.json"
    hashes = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in wheels.items()}
    old = read_json(stamp)
    if old == {"wheels": hashes, "others": others}:
        return
    files = [str(path) for path in wheels.values()]
    again = [
        f
        for key, f in zip(wheels, files, strict=True)
        if old.get("wheels", {}).get(key, hashes[key]) != hashes[key]
    ]
    stamp.unlink(missing_ok=True)
    pip_install([*files, *others])
    if again:  # an installer leaves a package alone if its version is there already
        pip_install(
            ["--no-deps", "--reinstall" if os.environ.get("SODALITE_UV") else "--force-reinstall", *again]
        )
    write_json(stamp, {"wheels": hashes, "others": others})


def run_tests(keys: Sequence[str], arguments: Sequence[str]) -> int:
    """Run pytest on the tests of the named packages; its exit code. Trouble if one of them has no tests."""
    wanted = chosen(keys, packages())
    folders = [(package.folder / "tests").relative_to(ROOT).as_posix() for package in wanted]
    bare = [folder for folder in folders if not (ROOT / folder).is_dir()]
    if bare:
        raise Trouble(f"there are no tests in {', '.join(bare)}")
    reports = os.environ.get("SODALITE_REPORTS")
    if reports and any(requirement_name(line) == "sodalite-testkit" for p in wanted for line in p.test):
        # what the coverage table is made from
        record = Path(reports) / f"{os.environ.get('TOX_ENV_NAME', 'tests')}.jsonl"
        arguments = [*arguments, f"--sodalite-record={record}"]
    return subprocess.run([sys.executable, "-m", "pytest", *folders, *arguments], cwd=ROOT, check=False).returncode


# -- small things


NOISE = re.compile(r"WARNING: (Retrying|Location .* is ignored)|Looking in (indexes|links)")


def tail(text: str, lines: int = 25) -> str:
    """The last lines of what a program printed, without pip's chatter."""
    told = [line for line in text.strip().splitlines() if not NOISE.match(line)]
    return "\n".join(f"  | {line}" for line in told[-lines:])


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(new, path)


def main(arguments: Sequence[str]) -> int:
    command, *rest = arguments or ["help"]
    if command == "list":
        for package in packages().values():
            print(f"{package.key:12} {package.name:22} {package.folder.relative_to(ROOT)}")
    elif command == "build":
        for wheel in build().values():
            print(wheel.relative_to(ROOT))
    elif command == "install":
        names = [word for word in rest if not word.startswith("--")]
        install(names, test="--test" in rest, oldest="--oldest" in rest)
    elif command == "test":
        cut = rest.index("--") if "--" in rest else len(rest)
        return run_tests(rest[:cut], rest[cut + 1 :])
    elif command == "pip":
        return subprocess.run([*pip_command(), "--quiet", *rest], check=False).returncode
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        sys.exit(1)
