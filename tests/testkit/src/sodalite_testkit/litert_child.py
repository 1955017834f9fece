# SPDX-License-Identifier: Apache-2.0
"""The child process of ``oracle``: reads questions on standard input, answers on what was standard output.

A message is its length (8 bytes, little endian) and a pickle, exchanged with the parent alone. LiteRT's own prints go
to standard error.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import IO, Any

import numpy as np


def send(stream: IO[bytes], message: Any) -> None:
    """Write one message. OSError if the other side is gone."""
    raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(len(raw).to_bytes(8, "little") + raw)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message. EOFError if the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    raw = stream.read(int.from_bytes(head, "little"))
    return pickle.loads(raw)


def run(interpreters: Any, model: bytes, runs: list[list[Any]], resolver: str) -> list[list[Any]]:
    """Run *model* once for each list of inputs in *runs*, keeping its state; the outputs of each run."""
    kinds = interpreters.OpResolverType
    chosen = {
        "ref": kinds.BUILTIN_REF,
        "opt": kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "default": kinds.AUTO,
    }[resolver]
    lite = interpreters.Interpreter(model_content=model, experimental_op_resolver_type=chosen, num_threads=1)
    given = lite.get_input_details()
    # LiteRT takes the address of a scalar string for its text: give it a vector of one
    runs = [[a.reshape(1) if a.dtype == object and not a.ndim else a for a in inputs] for inputs in runs]
    if runs:
        for detail, array in zip(given, runs[0], strict=True):
            if tuple(detail["shape"]) != array.shape:
                lite.resize_tensor_input(detail["index"], array.shape)
    lite.allocate_tensors()
    answers = []
    for inputs in runs:
        for detail, array in zip(given, inputs, strict=True):
            lite.set_tensor(detail["index"], array)
        lite.invoke()
        answers.append([_plain(lite.get_tensor(d["index"])) for d in lite.get_output_details()])
    return answers


def _plain(array: Any) -> Any:
    """A copy in a dtype that numpy itself has: bfloat16 and float8 as their bits."""
    made = np.array(array)
    if made.dtype.kind == "V" or made.dtype.name.startswith(("bfloat", "float8")):
        return made.view(f"u{made.dtype.itemsize}")
    return made


def main() -> None:
    """Answer until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from ai_edge_litert import interpreter as interpreters

    send(answers, "ready")
    while True:
        try:
            question = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            reply: tuple[str, Any] = ("ok", run(interpreters, *question))
        except Exception as error:  # noqa: BLE001  whatever LiteRT raises is the answer
            reply = ("error", f"{type(error).__name__}: {error}")
        send(answers, reply)


if __name__ == "__main__":
    main()
