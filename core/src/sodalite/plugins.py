"""Find, guard, register and list plugins. One that fails is left out with one warning, and stays listed."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from .errors import DelegateError, PluginError, PluginWarning, cause, printable

if TYPE_CHECKING:
    from .kernel import Delegate, Kernel, NodeSpec, Prepared

API = "1"
FAMILY = "sodalite.plugin.v"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """state: "ready", or "failed" or "left out" and why."""

    name: str
    distribution: str = "-"
    version: str = "-"
    entry: str = "-"
    state: str = "ready"
    why: str = ""

    def __str__(self) -> str:
        return f"plugin '{printable(self.name)}' ({printable(self.distribution)} {printable(self.version)})"


@dataclass(frozen=True, slots=True)
class Offer:
    plugin: str
    kernel: Kernel


def entry_points(group: str, path: Iterable[str] | None = None) -> Iterator[tuple[str, str, str, str, str]]:
    """(group, name, value, distribution, version) of each entry point whose group starts with *group*.

    path: by default sys.path; the first distribution of a name wins. importlib.metadata, ten times as slow, is for zips.
    """
    seen: set[str] = set()
    for folder in sys.path if path is None else path:
        for distribution, version, text in _texts(folder):
            key = distribution.lower().replace("-", "_").replace(".", "_")
            current = ""
            for line in map(str.strip, text.splitlines() if group in text and key not in seen else ()):
                if line.startswith("["):
                    current = line.strip("[] ")
                elif current.startswith(group) and "=" in line and line[0] not in "#;":
                    name, _, value = line.partition("=")
                    yield current, name.strip(), value.partition("[")[0].strip(), distribution.replace("_", "-"), version
            seen.add(key)


def _texts(folder: str) -> Iterator[tuple[str, str, str]]:
    try:
        names = sorted(os.listdir(folder or "."))
    except (OSError, ValueError):
        if os.path.isfile(folder):  # a zip; many installations name one that is not there
            from importlib import metadata

            for found in metadata.distributions(path=[folder]):
                yield found.metadata["Name"] or "?", found.version, found.read_text("entry_points.txt") or ""
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            distribution, _, version = name.rpartition(".")[0].partition("-")
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), "rb", buffering=0) as file:
                    yield distribution, version or "?", file.read().decode("utf-8", "replace")
            except OSError:
                yield distribution, "", ""


class Registry:
    """The plugins of one installation, as a value. ``Registry.load()`` or ``Registry.of([...])``."""

    def __init__(self, found: Iterable[tuple[PluginInfo, object]], *, strict: bool = False) -> None:
        """found: each plugin's facts, and the plugin; None: to be imported."""
        import pluggy

        from . import hookspecs

        self.strict = strict
        self.plugins: tuple[PluginInfo, ...] = ()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._hook = self._manager.hook
        self._offers: dict[str, list[Offer]] = {}
        self._prepare: dict[Kernel, Callable[[Any], Prepared] | str] = {}
        for info, plugin in sorted(found, key=lambda pair: pair[0].name):
            self._take(info, plugin)
        for offers in self._offers.values():
            offers.sort(key=lambda o: (-o.kernel.quality, o.plugin))

    @classmethod
    def load(cls) -> Registry:
        """The installed plugins, found once; SODALITE_PLUGINS=a,b: only these. SODALITE_STRICT_PLUGINS=1: one that
        fails is a PluginError."""
        strict = os.environ.get("SODALITE_STRICT_PLUGINS", "") not in ("", "0")
        with _loading:
            return _loaded(os.environ.get("SODALITE_PLUGINS"), strict, *sys.path)

    @classmethod
    def of(cls, plugins: Iterable[object] | Mapping[str, object], *, strict: bool = True) -> Registry:
        """Objects or modules with hookimpls, by ``name``, ``__name__`` or the mapping's keys."""
        pairs = plugins.items() if isinstance(plugins, Mapping) else ((_name_of(p), p) for p in plugins)
        return cls(((PluginInfo(name), plugin) for name, plugin in pairs), strict=strict)

    def _take(self, info: PluginInfo, plugin: object) -> None:
        try:
            if info.state == "failed":
                raise PluginError(info.why)
            if info.state == "ready":
                if any(p.name == info.name and p.state == "ready" for p in self.plugins):
                    raise PluginError("another distribution has a plugin of this name: uninstall one of the two")
                self._register(info.name, _import(info) if plugin is None else plugin)
        except BaseException as error:
            info = replace(info, state="failed", why=cause(error))
            self._complain(f"{info} cannot be used: {info.why}", error)
        self.plugins += (info,)

    def _complain(self, text: str, error: BaseException) -> None:
        if self.strict:
            raise PluginError(text) from error
        warnings.warn(text, PluginWarning, stacklevel=5)

    def _register(self, name: str, plugin: object) -> None:
        from .kernel import KernelSet

        self._manager.register(plugin, name=name)
        try:
            self._manager.check_pending()
            for hook in self._hook.sodalite_kernels.get_hookimpls():
                if hook.plugin is plugin:
                    kernels = hook.function()
                    if not isinstance(kernels, KernelSet):
                        raise PluginError(f"sodalite_kernels returned {type(kernels).__name__}, not a sodalite.KernelSet")
                    for kernel in kernels:
                        self._offers.setdefault("fused:" if kernel.pattern else kernel.op, []).append(Offer(name, kernel))
        except BaseException:
            self._manager.unregister(plugin)
            raise

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(self._offers) - {"fused:"}

    @property
    def failed(self) -> tuple[PluginInfo, ...]:
        return tuple(p for p in self.plugins if p.state == "failed")

    def offers(self, op: str, only: Sequence[str] | None = None) -> list[Offer]:
        """Who offers *op* ("fused:" for all fused kernels), best first, or *only* these plugins in this order."""
        offers = self._offers.get(op, [])
        if only is None:
            return offers
        return sorted((o for o in offers if o.plugin in only), key=lambda o: only.index(o.plugin))

    def prepare(self, offer: Offer) -> Callable[[Any], Prepared]:
        """Its prepare function, imported if lazy; PluginError if that fails."""
        known = self._prepare.get(offer.kernel)
        if known is None:
            try:
                known = offer.kernel.load()
            except BaseException as error:
                known = f"its kernel {offer.kernel.target} cannot be loaded: {cause(error)}"
                self._complain(f"{self.info(offer.plugin)}: {known}", error)
            self._prepare[offer.kernel] = known
        if isinstance(known, str):
            raise PluginError(known)
        return known

    def info(self, name: str) -> PluginInfo:
        return next(p for p in self.plugins if p.name == name)

    def choose(self, node: NodeSpec, candidates: Sequence[str]) -> str | None:
        chosen: str | None = self._hook.sodalite_choose_kernel(node=node, candidates=tuple(candidates))
        if chosen not in (None, *candidates):
            raise PluginError(f"sodalite_choose_kernel answered {chosen!r}; the candidates are {', '.join(candidates)}")
        return chosen

    def plan_built(self, plan: Any) -> None:
        self._hook.sodalite_plan_built(plan=plan)

    @property
    def with_delegates(self) -> tuple[str, ...]:
        return tuple(sorted(h.plugin_name for h in self._hook.sodalite_delegates.get_hookimpls()))

    def delegate(self, name: str, options: Mapping[str, Any] | None = None) -> Delegate:
        """The delegate called *name*; DelegateError if no plugin offers it, with what each said."""
        from .kernel import Unavailable

        said = []
        given = {"name": name, "options": dict(options or {})}
        for hook in self._hook.sodalite_delegates.get_hookimpls():
            try:
                answer = hook.function(*(given[a] for a in hook.argnames))
            except BaseException as error:
                answer = Unavailable(cause(error))
            if isinstance(answer, Unavailable):
                said.append(f"\n  plugin '{hook.plugin_name}': {answer.why}")
            elif answer is not None:
                parts = ("name", "min_nodes", "max_partitions", "refuses", "compile", "close")
                if missing := [a for a in parts if not hasattr(answer, a)]:
                    raise PluginError(f"plugin '{hook.plugin_name}': its delegate {name!r} lacks {', '.join(missing)}")
                return cast("Delegate", answer)
        said += [f"\n  {p} failed to load: {p.why}" for p in self.failed]
        here = ", ".join(self.with_delegates) or "none"
        said = said or [f"\n  plugins with delegates here: {here}; install the one that offers it"]
        raise DelegateError(f"delegate {printable(name)!r} is not available{''.join(said)}")


_loading = threading.Lock()


@lru_cache(1)
def _loaded(allowed: str | None, strict: bool, *path: str) -> Registry:
    return Registry(_installed(allowed), strict=strict)


def _name_of(plugin: object) -> str:
    name = getattr(plugin, "name", None) or getattr(plugin, "__name__", type(plugin).__name__)
    return str(name).rpartition(".")[2]


def _installed(allowed: str | None) -> Iterator[tuple[PluginInfo, None]]:
    wanted = None if allowed is None else {n.strip() for n in allowed.split(",")}
    for group, name, value, distribution, version in entry_points(FAMILY):
        spoken, said = group[len(FAMILY) :], ("ready", "")
        if wanted is not None and name not in wanted:
            said = "left out", "SODALITE_PLUGINS does not list it"
        elif spoken != API:
            said = "failed", f"it speaks plugin API {printable(spoken)}, this sodalite speaks {API}: install versions that fit"
        yield PluginInfo(name, distribution, version, value, *said), None


def _import(info: PluginInfo) -> object:
    sys.audit("sodalite.plugin_load", info.name, info.distribution, info.entry)
    from pkgutil import resolve_name

    return resolve_name(info.entry if ":" in info.entry else f"{info.entry}:")
