"""What scripts do with an interpreter, written once and run with two: Sodalite's here, LiteRT's in a child process.

Each scenario takes a module with an ``Interpreter`` and a model, and returns what the script saw: values that can be
pickled and compared. As a program: reads ``[(scenario, model), ...]`` pickled from a file, appends one pickled answer
each to another, so that the answers before a crash are kept.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np

BUILTINS = (ValueError, RuntimeError, TypeError, AttributeError, OSError)


def attempt(function, *arguments, **named):
    """("ok", its value), or ("error", the names of the built-in classes that catch what it raises)."""
    try:
        return "ok", function(*arguments, **named)
    except BUILTINS as error:
        return "error", sorted(kind.__name__ for kind in BUILTINS if isinstance(error, kind))


def _open(tflite, model, **arguments):
    arguments.setdefault("experimental_op_resolver_type", tflite.OpResolverType.BUILTIN_REF)
    return tflite.Interpreter(model_content=model, **arguments)


def describe(tflite, model):
    """Every description that an interpreter gives, before anything is allocated."""
    it = _open(tflite, model)
    return {
        "inputs": it.get_input_details(),
        "outputs": it.get_output_details(),
        "subgraphs": it.num_subgraphs(),
        "tensors": [it.get_tensor_details(i) for i in range(it.num_subgraphs())],
        "signatures": it.get_signature_list(),
        "full signatures": it._get_full_signature_list(),
        "operators": it._get_ops_details(),
        "runners": {
            key: (
                it.get_signature_runner(key).get_input_details(),
                it.get_signature_runner(key).get_output_details(),
            )
            for key in it.get_signature_list()
        },
    }


def describe_compressed(tflite, model):
    """The same with equal zero points shown once."""
    it = _open(tflite, model, experimental_compress_quantization_zero_points=True)
    return it.get_tensor_details(), it.experimental_compress_quantization_zero_points


def construct(tflite, model):
    """Arguments that a constructor takes or refuses."""
    resolvers = list(tflite.OpResolverType)
    return {
        "none": attempt(lambda: tflite.Interpreter() and None),
        "both": attempt(lambda: tflite.Interpreter("x", model) and None),
        "no threads": attempt(lambda: tflite.Interpreter(model_content=model, num_threads=0) and None),
        "text threads": attempt(lambda: tflite.Interpreter(model_content=model, num_threads="1") and None),
        "two threads": attempt(lambda: tflite.Interpreter(model_content=model, num_threads=2) and None),
        "resolver": attempt(
            lambda: tflite.Interpreter(model_content=model, experimental_op_resolver_type=2) and None
        ),
        "resolvers": [(r.name, r.value) for r in resolvers],
        "missing file": attempt(lambda: tflite.Interpreter("/nowhere/at/all.tflite") and None),
        "not a model": attempt(lambda: tflite.Interpreter(model_content=b"x" * 1000) and None),
        "cut short": attempt(lambda: tflite.Interpreter(model_content=model[: len(model) // 2]) and None),
        "all": attempt(
            lambda: (
                tflite.Interpreter(None, model, None, 1, resolvers[3], False, True, True, True, True, True)
                and None
            )
        ),
    }


def run(tflite, model):
    """Allocate, set, invoke, get: values, their types, and the details afterwards."""
    it = _open(tflite, model)
    seen = {"before": [attempt(it.invoke), attempt(it.get_tensor, it.get_input_details()[0]["index"])]}
    seen["allocate"] = it.allocate_tensors()
    for n, detail in enumerate(it.get_input_details()):
        value = (np.arange(np.prod(detail["shape"])) % 5 + n).reshape(detail["shape"]).astype(detail["dtype"])
        seen["set", n] = it.set_tensor(detail["index"], value)
    seen["invoke"] = it.invoke()
    for detail in (*it.get_input_details(), *it.get_output_details()):
        value = it.get_tensor(detail["index"])
        seen["value", detail["index"]] = (type(value).__name__, value)
        seen["view", detail["index"]] = np.array(it.tensor(detail["index"])())
    seen["again"] = attempt(it.allocate_tensors)
    seen["kept"] = [it.get_tensor(d["index"]) for d in it.get_input_details()]
    seen["inputs"], seen["outputs"] = it.get_input_details(), it.get_output_details()
    return seen


def resize(tflite, model):
    """The first input twice as long: what is refused until it is allocated, and what is there then."""
    it = _open(tflite, model)
    it.allocate_tensors()
    detail = it.get_input_details()[0]
    index, shape = detail["index"], detail["shape"].tolist()
    seen = {"same": attempt(it.resize_tensor_input, index, shape), "still allocated": attempt(it.invoke)}
    seen["strict"] = attempt(it.resize_tensor_input, index, [2 * shape[0], *shape[1:]], strict=True)
    seen["strict rank"] = attempt(it.resize_tensor_input, index, [*shape, 1], strict=True)
    for d in it.get_input_details():
        seen["resize", d["index"]] = attempt(it.resize_tensor_input, d["index"], [2 * shape[0], *shape[1:]])
    seen["invoke"] = attempt(it.invoke)
    seen["set"] = attempt(it.set_tensor, index, np.zeros([2 * shape[0], *shape[1:]], detail["dtype"]))
    seen["get"] = attempt(it.get_tensor, index)
    seen["details"] = it.get_input_details(), it.get_output_details()
    it.allocate_tensors()
    for d in it.get_input_details():
        it.set_tensor(d["index"], np.ones(d["shape"], d["dtype"]))
    it.invoke()
    seen["outputs"] = [it.get_tensor(d["index"]) for d in it.get_output_details()]
    seen["after"] = it.get_input_details(), it.get_output_details()
    seen["negative"] = attempt(it.resize_tensor_input, index, [-2, *shape[1:]])
    seen["no tensor"] = attempt(it.resize_tensor_input, 99, shape)
    seen["scalar"] = attempt(it.resize_tensor_input, index, 5)
    return seen


def misuse(tflite, model):
    """Values, shapes and indices that do not fit."""
    it = _open(tflite, model)
    it.allocate_tensors()
    detail = it.get_input_details()[0]
    index, shape, dtype = detail["index"], detail["shape"].tolist(), detail["dtype"]
    good = np.ones(shape, dtype)
    return {
        "float64": attempt(it.set_tensor, index, good.astype(np.float64)),
        "longer": attempt(it.set_tensor, index, np.ones([*shape[:-1], shape[-1] + 1], dtype)),
        "rank": attempt(it.set_tensor, index, np.ones([1, *shape], dtype)),
        "index 99": attempt(it.set_tensor, 99, good),
        "index -1": attempt(it.set_tensor, -1, good),
        "a name": attempt(it.set_tensor, "x", good),
        "numpy index": attempt(it.set_tensor, np.int64(index), good),
        "layout": attempt(it.set_tensor, index, np.asfortranarray(good)),
        "get 99": attempt(it.get_tensor, 99),
        "get subgraph": attempt(it.get_tensor, index, 7),
        "view 99": attempt(lambda: it.tensor(99)()),
        "details": attempt(it.get_tensor_details, 7),
        "signature": attempt(it.get_signature_runner, "no such"),
    }


def views(tflite, model):
    """What a held view refuses, and what it does not."""
    it = _open(tflite, model)
    it.allocate_tensors()
    for d in it.get_input_details():
        it.set_tensor(d["index"], np.zeros(d["shape"], d["dtype"]))
    detail = it.get_input_details()[0]
    index, shape = detail["index"], detail["shape"].tolist()
    held = it.tensor(index)()
    seen = {
        "type": (type(held).__name__, held.shape, held.dtype, held.flags.writeable),
        "set": attempt(it.set_tensor, index, np.ones(shape, detail["dtype"])),
        "get": attempt(it.get_tensor, index),
        "seen": held.copy(),
        "invoke": attempt(it.invoke),
        "allocate": attempt(it.allocate_tensors),
        "resize": attempt(it.resize_tensor_input, index, shape),
        "reset": attempt(it.reset_all_variables),
    }
    part = held[0]
    del held
    seen["part"] = attempt(it.invoke)
    del part
    seen["free"] = attempt(it.invoke)
    function = it.tensor(index)
    function()[...] = 2
    it.invoke()
    seen["written"] = it.get_tensor(it.get_output_details()[0]["index"])
    return seen


def signatures(tflite, model):
    """Runners by key: called well and wrongly, with another shape, and what they say of themselves."""
    it = _open(tflite, model)
    seen = {"none": attempt(lambda: it.get_signature_runner() and None)}
    for key, names in it.get_signature_list().items():
        call = it.get_signature_runner(key)
        details = call.get_input_details()
        for length in (1, 3, 1):
            values = {
                n: np.full(d["shape"] if -1 not in d["shape_signature"] else [length], 2, d["dtype"])
                for n, d in details.items()
            }
            seen[key, length] = call(**values)
            seen[key, length, "details"] = call.get_input_details(), call.get_output_details()
        seen[key, "order"] = list(call(**values)), list(details), names
        seen[key, "missing"] = attempt(call)
        seen[key, "unknown"] = attempt(call, **{**values, "no such": values[names["inputs"][0]]})
        seen[key, "other"] = attempt(call, **{"no such": values[names["inputs"][0]]})
        seen[key, "positional"] = attempt(call, *values.values())
        seen[key, "dtype"] = attempt(call, **{n: v.astype(np.complex128) for n, v in values.items()})
    return seen


SCENARIOS = {
    f.__name__: f for f in (describe, describe_compressed, construct, run, resize, misuse, views, signatures)
}


def main(questions, answers):
    from ai_edge_litert import interpreter

    with Path(questions).open("rb") as file:
        asked = pickle.load(file)
    with Path(answers).open("ab") as out:
        for name, model in asked:
            try:
                answer = SCENARIOS[name](interpreter, model)
            except Exception as error:  # noqa: BLE001  the parent says which
                answer = error
            try:
                raw = pickle.dumps(answer)
            except Exception:  # noqa: BLE001  an error with C++ inside
                raw = pickle.dumps(RuntimeError(str(answer)))
            out.write(raw)
            out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
