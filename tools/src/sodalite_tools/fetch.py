"""Fetch one pinned archive from the places that pip's settings name, checking its sha256 on the way."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .cache import CHUNK, unwritable
from .cache import sha256 as file_sha256
from .errors import ToolError, os_message, printable
from .pipconf import PipSettings

if TYPE_CHECKING:
    from unearth import Link, PackageFinder

    from .zoo import ZooEntry

Report = Callable[[int, "int | None"], None]
TRIES = 3
LARGEST_ARCHIVE = 4 << 30


def fetch(entry: ZooEntry, target: Path, settings: PipSettings, report: Report, environ: Mapping[str, str]) -> None:
    """Download the archive of *entry* to *target*, which may hold the beginning of it from an earlier try.

    Find-links come first, then the index, then the extra indexes; the first place whose file has the right sha256
    is taken. ToolError that lists every place and what was wrong there. report(done, total or None) in bytes.
    """
    troubles: list[str] = []
    with _session(settings, environ) as session:
        for place, finder in _places(settings, session):
            try:
                link = _asked(lambda finder=finder: _locate(entry, finder), session)  # type: ignore[misc]
                if link is None:
                    troubles.append(f"{place}: has no file {entry.archive}")
                    continue
                _download(link, entry.sha256, target, session, report)
            except Exception as error:
                if not isinstance(error, (_Trouble, OSError, ValueError, *_http_errors(session))):
                    raise
                troubles.append(f"{place}: {_plain(error)}")
            else:
                return
    said = "".join(f"  {trouble}\n" for trouble in troubles or ["pip's settings say no-index and name no find-links"])
    raise ToolError(
        f"cannot fetch {entry.archive} of {entry.package} {entry.version}:\n{said}"
        "see that the network is up, or name a mirror or folder that has it in pip's settings "
        "(index-url, find-links, proxy)"
    )


class _Trouble(Exception):  # noqa: N818  an answer of one place, not the end
    """One place cannot deliver; the next is asked."""


def _asked(ask: Callable[[], Link | None], session: Any) -> Link | None:
    """ask(), again if the connection breaks; not if there is none at all."""
    http = _http(type(session))
    for _ in range(TRIES - 1):
        with contextlib.suppress(http.ReadError, http.RemoteProtocolError, http.ReadTimeout):
            return ask()
    return ask()


def _plain(error: BaseException) -> str:
    """*error* in one line; a connection's failure says so."""
    text = printable(str(error) or type(error).__name__, 400)
    return f"cannot connect: {text}" if type(error).__name__ in ("ConnectError", "ConnectTimeout") else text


def _places(settings: PipSettings, session: Any) -> Iterator[tuple[str, PackageFinder]]:
    """(name to print, finder that asks it alone) for each place, in order."""
    from unearth import PackageFinder  # noqa: PLC0415  300 ms with its HTTP client

    def finder(**place: list[str]) -> PackageFinder:
        # A wheel for another Python or machine is as good as any: only one file of it is wanted.
        options: dict[str, Any] = {"ignore_compatibility": True, "trusted_hosts": settings.trusted_hosts, **place}
        return PackageFinder(session, **options)

    for link in settings.find_links:
        yield _without_password(link), finder(find_links=[link])
    if settings.no_index:
        return
    # unearth knows the default index, so that its name stands nowhere here.
    first = settings.index_url or PackageFinder().sources[0]["url"]
    for url in (first, *settings.extra_index_urls):
        yield _without_password(url), finder(index_urls=[url])


def _without_password(url: str) -> str:
    from unearth import Link  # noqa: PLC0415

    return printable(Link(url).redacted if "://" in url else url)


def _locate(entry: ZooEntry, finder: PackageFinder) -> Link | None:
    """The link to the archive of *entry*, or None."""
    complaints = _Complaints()
    logger = logging.getLogger("unearth")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        for found in finder.find_matches(f"{entry.package}=={entry.version}", allow_yanked=True):
            if found.link.filename == entry.archive:
                return found.link
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate
    if complaints.lines and "Client Error(404)" not in complaints.lines[0]:
        raise _Trouble(complaints.lines[0])
    return None


class _Complaints(logging.Handler):
    """What unearth only logs: an index that answers with an error, a host that is not trusted."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _download(link: Link, sha256: str, target: Path, session: Any, report: Report) -> None:
    """Fill *target* from *link*. A broken connection is taken up where it broke."""
    for attempt in range(1, TRIES + 1):
        try:
            got = _attempt(link, target, session, report)
        except _http_errors(session):
            if attempt == TRIES:
                raise
            continue
        if got.digest == sha256:
            return
        target.unlink(missing_ok=True)
        if not got.resumed:
            raise _Trouble(f"sha256 of {link.filename} is {got.digest}, not {sha256}: the file was changed")
    raise _Trouble(f"{link.filename} came out different each time")


class _Got:
    def __init__(self, digest: str, *, resumed: bool) -> None:
        self.digest = digest
        self.resumed = resumed


def _attempt(link: Link, target: Path, session: Any, report: Report) -> _Got:
    if link.is_file:
        with _opened(link.file_path) as source:
            chunks = iter(lambda: source.read(CHUNK), b"")
            return _Got(_save(chunks, target, 0, link.file_path.stat().st_size, report), resumed=False)
    start = target.stat().st_size if target.exists() else 0
    # Bytes as they lie there: a server that calls a .tar.gz "gzip-encoded" must not have it unpacked on the way.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with session.get_stream(link.normalized, headers=headers) as response:
        if response.status_code == 416:  # an earlier try got all of it, or more than there is
            return _Got(file_sha256(target), resumed=True)
        if response.status_code >= 400:
            raise _Trouble(f"{link.filename}: HTTP {response.status_code} {response.reason_phrase}")
        said = str(response.headers.get("Content-Range", ""))
        resumed = response.status_code == 206 and said.startswith(f"bytes {start}-")
        length = response.headers.get("Content-Length", "")
        first = start if resumed else 0
        total = first + int(length) if length.isdigit() else None
        return _Got(_save(response.iter_raw(), target, first, total, report), resumed=resumed)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise _Trouble(os_message(error)) from error


def _save(chunks: Iterator[bytes], target: Path, done: int, total: int | None, report: Report) -> str:
    """Write *chunks* after the first *done* bytes that *target* has; the sha256 of all of it."""
    digest = hashlib.sha256()
    if done:
        with target.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    with contextlib.closing(_Sink(target, "ab" if done else "wb")) as sink:
        for chunk in chunks:
            done += len(chunk)
            if done > LARGEST_ARCHIVE:
                raise _Trouble(f"more than {LARGEST_ARCHIVE:,} bytes")
            digest.update(chunk)
            sink.write(chunk)
            report(done, total)
    return digest.hexdigest()


class _Sink:
    """A file whose write errors name it, so that a full disk is not taken for a broken connection."""

    def __init__(self, target: Path, mode: str) -> None:
        self._target = target
        try:
            self._file: IO[bytes] = target.open(mode)
        except OSError as error:
            raise unwritable(target, error) from error

    def write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except OSError as error:
            raise unwritable(self._target, error) from error

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise unwritable(self._target, error) from error


def _http(client: type) -> Any:
    """The HTTP package of unearth's client: httpx, or httpx2 since unearth 0.19."""
    return sys.modules[client.__mro__[1].__module__.partition(".")[0]]


def _http_errors(session: Any) -> tuple[type[Exception], ...]:
    http = _http(type(session))
    return (http.HTTPError, http.InvalidURL, http.StreamError)


@contextlib.contextmanager
def _session(settings: PipSettings, environ: Mapping[str, str]) -> Iterator[Any]:
    """unearth's HTTP client with pip's certificates, proxy, trusted hosts, time-out and credentials."""
    from unearth.auth import MultiDomainBasicAuth  # noqa: PLC0415
    from unearth.fetchers import PyPIClient  # noqa: PLC0415

    verify: Any = True
    bundle = settings.cert or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    if bundle:
        try:
            where = {"capath" if Path(bundle).is_dir() else "cafile": bundle}
            verify = ssl.create_default_context(**where)  # type: ignore[arg-type]
        except (OSError, ssl.SSLError) as error:
            raise ToolError(f"{bundle}: not a file of certificates: {error}\nmend `cert` in pip's settings") from error
    options: dict[str, Any] = {}
    if settings.proxy:
        options["proxy"] = settings.proxy if "://" in settings.proxy else f"http://{settings.proxy}"
        http = _http(PyPIClient)
        # unearth's own transport for trusted hosts knows no proxy.
        past = http.HTTPTransport(verify=False, cert=settings.client_cert, proxy=options["proxy"])
        options["mounts"] = {f"all://{host}": past for host in settings.trusted_hosts}
    with PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=verify,
        cert=settings.client_cert,
        timeout=settings.timeout_s,
        follow_redirects=True,
        **options,
    ) as session:
        urls = [url for url in (settings.index_url, *settings.extra_index_urls) if url]
        session.auth = MultiDomainBasicAuth(prompting=False, index_urls=urls)
        yield session
