"""What a command is given as MODEL: found (a path, or a name of the zoo), opened, and made ready with what the user
asked of plugins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .errors import ToolError, close_to, printable

if TYPE_CHECKING:
    from sodalite import Interpreter, Model

    from .zoo import ZooEntry

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Located:
    """A file on this machine, and what the zoo knows of it if it came from there."""

    path: Path
    entry: ZooEntry | None = None
    labels: Path | None = None


def located(given: str, what: str) -> Located:
    """*given* as a path if there is one, else as a name of the zoo, which is fetched.

    what: "model" or "image". ToolError if it is neither and does not look like a path.
    """
    if os.path.lexists(given):
        return Located(Path(given))
    from .zoo import names  # noqa: PLC0415

    known = names()
    if given.rpartition("/")[2] not in known:
        if {os.sep, os.altsep, "."} & set(given):  # a path, for whoever opens it to refuse
            return Located(Path(given))
        raise ToolError(
            f"{what} {printable(given)!r}: no such file, and no such name in the zoo: {close_to(given, known)}\n"
            f"give a path, or a name that `sodalite get --list` shows"
        )
    from .progress import progress  # noqa: PLC0415
    from .shelf import shelved  # noqa: PLC0415

    with progress() as report:
        item = shelved(given, report)
    return Located(item.path, item.entry, item.labels)


@dataclass(slots=True)
class Stages:
    """How long each stage took, in nanoseconds of time.perf_counter_ns, in the order they began."""

    taken: dict[str, int] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)

    def time(self, name: str, run: Callable[[], Any]) -> Any:
        """run(), timed as stage *name*."""
        start = time.perf_counter_ns()
        self.began.setdefault(name, start)
        try:
            return run()
        finally:
            self.taken[name] = self.taken.get(name, 0) + time.perf_counter_ns() - start


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked of plugins: the options that `with_plugins` adds to a command."""

    threads: int | None = None
    kernels: tuple[str, ...] = ()
    pin: tuple[str, ...] = ()
    delegate: tuple[str, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """The same as keyword arguments of sodalite.Interpreter."""
        kernels = [name for item in self.kernels for name in item.split(",") if name]
        said: dict[str, Any] = {"num_threads": self.threads}
        if kernels:
            _check_plugins(kernels)
            said["kernels"] = kernels
        if self.pin:
            said["pin"] = dict(map(_pin, self.pin))
            _check_plugins(list(said["pin"].values()))
        if self.delegate:
            said["delegates"] = [_delegate(item) for item in self.delegate]
        return said


def with_plugins(command: F) -> F:
    """Options --threads, --kernels, --pin and --delegate, which arrive as one Asked called ``asked``."""
    import functools  # noqa: PLC0415

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        threads: int | None,
        kernels: tuple[str, ...],
        pin: tuple[str, ...],
        delegate: tuple[str, ...],
        **more: Any,
    ) -> Any:
        return command(*args, asked=Asked(threads, kernels, pin, delegate), **more)

    options = (
        click.option("--threads", type=click.IntRange(min=1), help="Threads that a kernel may use; 1 by default."),
        click.option(
            "--kernels", multiple=True, metavar="PLUGIN,...", help="Use kernels of these plugins only, in this order."
        ),
        click.option(
            "--pin",
            multiple=True,
            metavar="OP=PLUGIN",
            help="Let this plugin run an operator, such as CONV_2D, or one node, by number.",
        ),
        click.option(
            "--delegate",
            multiple=True,
            metavar="NAME[:KEY=VALUE,...]",
            help='Offer nodes to this delegate first; "auto" for all that offer themselves.',
        ),
    )
    decorated: Any = wrapped
    for option in reversed(options):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def _pin(item: str) -> tuple[str | int, str]:
    what, equals, plugin = item.rpartition("=")
    if not equals or not what or not plugin:
        raise ToolError(f"--pin {printable(item)!r}: write OPERATOR=PLUGIN or NODE=PLUGIN, as in CONV_2D=cpu_ref")
    return (int(what) if what.isdecimal() else what), plugin


def _delegate(item: str) -> Any:
    name, colon, rest = item.partition(":")
    if not colon or "/" in item or "\\" in item:  # a path is for the interpreter to explain
        return item
    options = {}
    for pair in rest.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ToolError(f"--delegate {printable(item)!r}: write NAME:KEY=VALUE,KEY=VALUE")
        options[key] = value
    return name, options


def _check_plugins(wanted: list[str]) -> None:
    from sodalite import Registry  # noqa: PLC0415

    known = Registry.load().plugins
    for name in wanted:
        info = next((info for info in known if info.name == name), None)
        if info is None:
            raise ToolError(f"there is no plugin {printable(name)!r}: {close_to(name, [i.name for i in known])}")
        if info.state != "ready":
            raise ToolError(f"{info} cannot be used: {info.state}: {info.why}")


def opened(place: Located, asked: Asked, stages: Stages) -> tuple[Model, Interpreter]:
    """The model of *place* and an interpreter for it: stage "open"."""

    def both() -> tuple[Model, Interpreter]:
        import sodalite  # noqa: PLC0415  with numpy: 100 ms

        model = sodalite.open_model(place.path)
        return model, sodalite.Interpreter(model, **asked.arguments())

    import sodalite  # noqa: PLC0415
    import sodalite.interpreter  # noqa: F401, PLC0415  importing is not opening

    return stages.time("open", both)  # type: ignore[no-any-return]
