"""Resources: variables and hash tables. A resource tensor holds a key into the interpreter's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sodalite.dtypes import memory_dtype
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step, Unsupported

from .nodes import STORED, alike, called, fixed, inputs, only, output, scalar, shape_of
from .shapes import element_count


@dataclass(slots=True)
class _Variable:
    """A variable's value, and the type of its elements."""

    dtype: str
    value: Array


@dataclass(slots=True)
class _Table:
    """A hash table; entries is None until it is filled, once."""

    keys: str
    values: str
    entries: dict[Any, Any] | None = field(default=None)


def var_handle(node: NodeSpec) -> Prepared:
    """The key of the variable that the options container and shared_name name."""
    inputs(node, 0)
    only({"resource"}, output(node))
    return _handle(node, f"variable {node.options.get('container', '')!r} {node.options.get('shared_name', '')!r}")


def _handle(node: NodeSpec, key: str, ready: Callable[[], None] = lambda: None) -> Prepared:
    shape = node.outputs[0].shape
    if shape is None or element_count(shape) != 1:
        shape = ()

    def work(_: Any, outs: Any) -> None:
        ready()
        outs[0][...] = key

    return fixed(node, shape, work)


def _key(buffers: Buffers) -> Any:
    return np.asarray(buffers.inputs[0]).reshape(-1)[0]


def read_variable(node: NodeSpec) -> Prepared:
    """The variable's value. Its shape is the output's, if the file says one, else known only when running."""
    (handle,) = inputs(node, 1)
    only({"resource"}, handle)
    scalar(handle)
    out = output(node)
    only(STORED, out)
    fixed_shape = out.shape if out.shape and out.signature is None else None

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            found = node.state.get(_key(buffers))
            if not isinstance(found, _Variable):
                raise KernelError(f"{called(handle)} is read before anything was assigned to it")
            if found.dtype != out.dtype:
                raise KernelError(f"{called(handle)} holds {found.dtype}, {called(out)} is {out.dtype}")
            if fixed_shape is None:
                buffers.emit(0, found.value.copy())
                return
            if found.value.shape != fixed_shape:
                raise KernelError(f"{called(handle)} holds shape {found.value.shape}, {called(out)} is {fixed_shape}")
            np.copyto(np.asarray(buffers.outputs[0]), found.value)

        return step

    return Prepared((fixed_shape,), bind, effects=True)


def assign_variable(node: NodeSpec) -> Prepared:
    """Keeps a copy of input 1 as the variable's value."""
    handle, value = inputs(node, 2)
    only({"resource"}, handle)
    only(STORED, value)
    scalar(handle)
    if node.outputs:
        raise Unsupported(f"{len(node.outputs)} outputs, wanted none", code=Reason.SHAPE)

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            new, old = np.asarray(buffers.inputs[1]), node.state.get(_key(buffers))
            if isinstance(old, _Variable) and old.dtype == value.dtype and old.value.shape == new.shape:
                np.copyto(old.value, new)
            else:
                node.state[_key(buffers)] = _Variable(value.dtype, new.copy())

        return step

    return Prepared((), bind, effects=True)


_KINDS = (("int64", "string"), ("string", "int64"))


def _check_kinds(keys: str, values: str) -> None:
    if (keys, values) not in _KINDS:
        raise Unsupported(f"a table from {keys} to {values}; only int64 to string and string to int64", code=Reason.TYPE)


def hashtable(node: NodeSpec) -> Prepared:
    """The key of the table with the option table_id, which is made if there is none yet."""
    inputs(node, 0)
    only({"resource"}, output(node))
    keys, values = str(node.options.get("key_dtype")), str(node.options.get("value_dtype"))
    _check_kinds(keys, values)
    key = f"table {node.options.get('table_id', 0)}"

    def ready() -> None:
        node.state.setdefault(key, _Table(keys, values))

    return _handle(node, key, ready)._replace(effects=True)


def _table(node: NodeSpec, buffers: Buffers, keys: str | None = None, values: str | None = None) -> _Table:
    found = node.state.get(_key(buffers))
    if not isinstance(found, _Table):
        raise KernelError(f"{_key(buffers)!r} is not a hash table")
    if keys is not None and (found.keys, found.values) != (keys, values):
        raise KernelError(f"the table is from {found.keys} to {found.values}, not from {keys} to {values}")
    return found


def hashtable_import(node: NodeSpec) -> Prepared:
    """Fills the table with the keys in input 1 and the values in input 2, the first time only; first keys win."""
    handle, keys, values = inputs(node, 3)
    only({"resource"}, handle)
    scalar(handle)
    _check_kinds(keys.dtype, values.dtype)
    if shape_of(keys) != shape_of(values):
        raise ShapeError(f"{called(keys)} has shape {keys.shape}, {called(values)} has {values.shape}")

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            table = _table(node, buffers, keys.dtype, values.dtype)
            if table.entries is None:
                table.entries = {}
                for key, value in zip(np.asarray(buffers.inputs[1]).flat, np.asarray(buffers.inputs[2]).flat, strict=True):
                    table.entries.setdefault(key, value)

        return step

    return Prepared((), bind, effects=True)


def hashtable_find(node: NodeSpec) -> Prepared:
    """For each key in input 1 the table's value, or the first element of input 2 where it has none."""
    handle, keys, default = inputs(node, 3)
    only({"resource"}, handle)
    scalar(handle)
    out = output(node)
    alike(out, default)
    _check_kinds(keys.dtype, out.dtype)
    shape = shape_of(keys)
    if not element_count(shape_of(default)):
        raise ShapeError(f"{called(default)} has no elements, wanted a default")

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            entries = _table(node, buffers, keys.dtype, out.dtype).entries
            if entries is None:
                raise KernelError("the hash table is used before it was filled")
            other = np.asarray(buffers.inputs[2]).reshape(-1)[0]
            found = np.array([entries.get(key, other) for key in np.asarray(buffers.inputs[1]).flat], memory_dtype(out.dtype))
            np.copyto(np.asarray(buffers.outputs[0]), found.reshape(shape))

        return step

    return Prepared((shape,), bind, effects=True)


def hashtable_size(node: NodeSpec) -> Prepared:
    """How many entries the table has: int64 (1,)."""
    (handle,) = inputs(node, 1)
    only({"resource"}, handle)
    only({"int64"}, output(node))
    scalar(handle)

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            entries = _table(node, buffers).entries
            if entries is None:
                raise KernelError("the hash table is used before it was filled")
            np.asarray(buffers.outputs[0])[...] = len(entries)

        return step

    return Prepared(((1,),), bind, effects=True)
