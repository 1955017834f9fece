"""The ``sodalite`` command group: commands are entry points, imported when they are used."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from .entries import COMMANDS, Entry, choose, entries, summary
from .errors import ToolError, one_screen, printable, told, warn

WRONG = 2
INTERRUPTED = 130
PIPE_CLOSED = 1  # as click's


class Commands(click.Group):
    """A group whose commands are the entry points of ``sodalite.command.v1``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys(entry.name for entry in entries(COMMANDS)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        entry = choose(COMMANDS, cmd_name, "command")
        command = loaded(entry)
        if not any("--debug" in option.opts for option in command.params):
            command.params.append(debug_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and first sentences, from the sources: a slow or broken package costs nothing here."""
        rows: dict[str, str] = {}
        for entry in entries(COMMANDS):
            name = entry.name if entry.name not in rows else f"{entry.distribution}/{entry.name}"
            rows[name] = summary(entry)
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl([(printable(name), printable(text)) for name, text in rows.items()])

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """As click's, with errors told on one screen: exit code 2, no traceback without --debug."""
        extra.setdefault("prog_name", "sodalite")
        extra["standalone_mode"] = False
        debug = Debug()
        sys.exit(guarded(lambda: super(Commands, self).main(*args, obj=debug, **extra), debug))


class Debug:
    """Whether --debug was given, before or after the command's name."""

    on = False


def debug_option() -> click.Option:
    def turn_on(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        state = ctx.find_root().obj
        if value and isinstance(state, Debug):
            state.on = True

    return click.Option(
        ["--debug"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=turn_on,
        help="Show the traceback of an error.",
    )


def loaded(entry: Entry) -> click.Command:
    """Import the command of *entry*. ToolError naming the distribution if that fails."""
    try:
        command = entry.load()
    except Exception as error:
        raise ToolError(
            f"command {entry.name!r} of {entry.offered_by()} cannot be loaded: "
            f"{type(error).__name__}: {error}\nreinstall or remove {entry.distribution}"
        ) from error
    if not isinstance(command, click.Command):
        raise ToolError(
            f"command {entry.name!r} of {entry.offered_by()} is a {type(command).__name__}, not a click command\n"
            f"update or remove {entry.distribution}"
        )
    return command


def guarded(run: Any, debug: Debug) -> int:
    """Call *run* and return the exit code, telling any error."""
    try:
        with quiet_streams(), plain_warnings():
            code = run()
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr, flush=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader is gone, and so must be what is still in the buffer.
        with contextlib.suppress(Exception):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except click.ClickException as error:
        if isinstance(error, click.UsageError):
            error.show()
        else:
            say(error.format_message())
        return WRONG
    except Exception as error:  # noqa: BLE001  plugins may raise anything
        if debug.on:
            traceback.print_exc()
        say(told(error))
        return WRONG


def say(text: str) -> None:
    """One message on standard error."""
    print(f"sodalite: {one_screen(text)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet_streams() -> Iterator[None]:
    """A character that the terminal's encoding lacks is escaped, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    yield


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings as one line each, without the source line that raised them."""

    def show(message: Any, *_where: Any, **_more: Any) -> None:
        warn(message)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@click.command(
    "sodalite",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[debug_option()],
    epilog="Every command has its own --help. Plugins can add commands.",
)
@click.version_option(None, "--version", package_name="sodalite-tools", message="sodalite %(version)s")
def cli() -> None:
    """Run TensorFlow Lite models with the kernels that are installed as plugins."""
