# SPDX-License-Identifier: Apache-2.0
"""LiteRT as the oracle, in a child process: it aborts on some models, and that must not end the tests.

    answer = oracle().ask(model, [x], "ref")
    answer.kind      # "ok", "error" (it raised), "crash" (the child died) or "hang"
    answer.outputs   # arrays in memory form

One child serves a whole session; the next question after a crash starts another. A question takes about a millisecond,
so answers are remembered in memory alone.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from sodalite.graph import Array

from .litert_child import receive, send

RESOLVERS = ("ref", "opt", "default")
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """kind: "ok", "error", "crash" or "hang"; runs: for each run its outputs; text: what LiteRT said, or the exit code."""

    kind: str
    runs: tuple[tuple[Array, ...], ...] = ()
    text: str = ""

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The outputs of the last run."""
        return self.runs[-1]


def missing() -> str | None:
    """Why there is no oracle here, or None if there is one."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return "ai-edge-litert is not installed: pip install ai-edge-litert"
    return None


class Oracle:
    """A LiteRT child process. close() ends it; a question after that starts a new one."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self._known: dict[bytes, Answer] = {}

    def ask(self, model: bytes, inputs: Sequence[Array], resolver: str = "ref", *, steps: int = 1) -> Answer:
        """Run *model* *steps* times on *inputs*, without a reset between."""
        return self.ask_runs(model, [list(inputs)] * steps, resolver)

    def ask_runs(self, model: bytes, runs: Sequence[Sequence[Array]], resolver: str = "ref") -> Answer:
        """Run *model* once for each list of inputs, without a reset between."""
        key = _key(model, runs, resolver)
        if key not in self._known:
            self._known[key] = self._ask((model, [list(r) for r in runs], resolver))
        return self._known[key]

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, question: Any) -> Answer:
        child = self._started()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(self.patience_s, give_up)
        timer.start()
        try:
            send(_pipe(child.stdin), question)
            kind, said = receive(_pipe(child.stdout))
        except (EOFError, OSError):
            code = child.wait()
            self.close()
            return Answer("hang" if late.is_set() else "crash", text=f"exit code {code}")
        finally:
            timer.cancel()
        if kind == "ok":
            return Answer("ok", tuple(tuple(outputs) for outputs in said))
        return Answer(kind, text=said)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "sodalite_testkit.litert_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
            if receive(_pipe(self._child.stdout)) != "ready":
                raise RuntimeError("the LiteRT child did not start")
        return self._child


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


_ORACLES: dict[int, Oracle] = {}


def oracle() -> Oracle:
    """This process's oracle."""
    pid = os.getpid()
    if pid not in _ORACLES:
        _ORACLES.clear()
        _ORACLES[pid] = Oracle()
        atexit.register(_ORACLES[pid].close)
    return _ORACLES[pid]


def _key(model: bytes, runs: Sequence[Sequence[Array]], resolver: str) -> bytes:
    digest = hashlib.blake2b(model, digest_size=20)
    for inputs in runs:
        for array in inputs:
            raw = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
            digest.update(f"{array.dtype} {array.shape}".encode() + raw)
        digest.update(b"|")
    digest.update(resolver.encode())
    return digest.digest()
