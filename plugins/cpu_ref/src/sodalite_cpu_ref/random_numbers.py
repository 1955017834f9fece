"""Random numbers from counters: the same ones as LiteRT's, where a seed is given.

Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape
from sodalite.kernel import Buffers, NodeSpec, Prepare, Prepared, Reason, Step, Unsupported

from .nodes import (
    INDEX,
    Arrays,
    called,
    fixed,
    fresh,
    inputs,
    ints,
    only,
    output,
    quiet,
    rank_is,
    scalar,
    types,
    vector,
)
from .shapes import element_count

_32 = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def philox(key: tuple[int, int], counters: Array) -> Array:
    """Philox4x32 with ten rounds: four 32-bit numbers for each row of *counters*, which are uint64 below 2**32."""
    a, b, c, d = counters.T
    k0, k1 = key
    for _ in range(10):
        first, second = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b = (second >> _32) ^ b ^ np.uint64(k0), second & _LOW
        c, d = (first >> _32) ^ d ^ np.uint64(k1), first & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([a, b, c, d], 1)


def threefry(key: tuple[int, int], counters: Array) -> Array:
    """Threefry2x32 with twenty rounds: two 32-bit numbers for each row of *counters*."""
    keys = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    a, b = (counters + np.array(key, np.uint64)).T & _LOW
    for turn in range(1, 6):
        for bits in (13, 15, 26, 6) if turn % 2 else (17, 29, 16, 24):
            a = (a + b) & _LOW
            b = ((b << np.uint64(bits)) | (b >> np.uint64(32 - bits))) & _LOW ^ a
        a = (a + np.uint64(keys[turn % 3])) & _LOW
        b = (b + np.uint64(keys[(turn + 1) % 3] + turn)) & _LOW
    return np.stack([a, b], 1)


def _words(number: int) -> tuple[int, int]:
    """The low and the high 32 bits of a 64-bit number."""
    return number & 0xFFFFFFFF, number >> 32 & 0xFFFFFFFF


class _Generator:
    """Numbers from two 64-bit seeds, each once; from the system's randomness if both are 0."""

    def __init__(self, seed: int, seed2: int) -> None:
        if not seed and not seed2:
            seed, seed2 = (int.from_bytes(os.urandom(8), "little") for _ in range(2))
        self._key = _words(seed)
        self._high = _words(seed2)
        self._next = 0

    def draw(self, count: int) -> Array:
        """*count* 32-bit numbers; what is left of the last four is not used again."""
        turns = -(-count // 4)
        at = np.arange(turns, dtype=np.uint64) + np.uint64(self._next & 0xFFFFFFFFFFFFFFFF)
        high = [np.full(turns, word, np.uint64) for word in self._high]
        self.skip(turns)
        return philox(self._key, np.stack([at & _LOW, at >> _32, *high], 1)).reshape(-1)[:count]

    def skip(self, turns: int) -> None:
        """Leave out so many times four numbers."""
        self._next += turns


def _unit(words: Array) -> Array:
    """float32 in [0, 1) from the low 23 bits."""
    return ((words & np.uint64(0x7FFFFF)) | np.uint64(0x3F800000)).astype(np.uint32).view(np.float32) - np.float32(1)


def _normal(words: Array) -> Array:
    """Two normally distributed numbers from each two words (Box and Muller)."""
    single, double = np.float32, np.float64
    unit = _unit(words)
    angle = (2 * np.pi * unit[1::2].astype(double)).astype(single).astype(double)
    far = np.sqrt(single(-2) * np.log(np.maximum(unit[::2], single(1e-7)).astype(double)).astype(single))
    return np.stack([np.sin(angle).astype(single) * far, np.cos(angle).astype(single) * far], 1).reshape(-1)


def _drawing(
    node: NodeSpec,
    place: int,
    shape: Callable[[Array], Shape],
    draw: Callable[[_Generator, Arrays, Array], None],
) -> Prepared:
    """An output of the shape that follows from the input at *place*, filled by ``draw(generator, inputs, output)``.

    Each binding has a generator of its own, which goes on from run to run.
    """
    wanted = inputs(node, place + 1)[place]
    known = None if wanted.data is None else shape(wanted.data)

    def bind(buffers: Buffers) -> Step:
        seeds = [int(node.options.get(name, 0)) for name in ("seed", "seed2")]
        generator = _Generator(*[(seed + (1 << 31)) % (1 << 32) - (1 << 31) for seed in seeds])  # LiteRT's are int32

        def step() -> None:
            out = buffers.outputs[0]
            if out is None:
                value: Any = buffers.inputs[place]
                out = fresh(shape(value), node.outputs[0].dtype)
            draw(generator, buffers.inputs, out)
            if known is None:
                buffers.emit(0, out)

        return quiet(step)

    return Prepared((known,), bind, effects=True)


def _filled(made: Callable[[Array], Array]) -> Prepare:
    """prepare for independent numbers of the shape in input 0: *made* of 32-bit words, two of two."""

    def prepare(node: NodeSpec) -> Prepared:
        (wanted,) = inputs(node, 1)
        only(types("int32"), wanted)
        only(types("float32"), output(node))
        vector(wanted)

        def shape(value: Array) -> Shape:
            if value.size and value.min() < 0:
                raise ShapeError(f"{called(wanted)} is {ints(value)}: no shape")
            return tuple(ints(value))

        def draw(generator: _Generator, _: Arrays, out: Array) -> None:
            words = generator.draw(out.size + out.size % 2)
            np.copyto(out, made(words)[: out.size].reshape(out.shape))

        return _drawing(node, 0, shape, draw)

    return prepare


random_uniform = _filled(_unit)
random_standard_normal = _filled(_normal)


def multinomial(node: NodeSpec) -> Prepared:
    """Columns drawn for each row of input 0, with probabilities as exp of its elements: as many as input 1 says."""
    logits, number = inputs(node, 2)
    only(types("float32"), logits)
    only(types("int32"), number)
    only(INDEX, output(node))
    scalar(number)
    rows, columns = rank_is(logits, 2)
    if not columns:
        raise ShapeError(f"{called(logits)} has shape {logits.shape}: nothing to draw from")

    def shape(value: Array) -> Shape:
        count = ints(value)[0]
        if count < 0:
            raise ShapeError(f"{called(number)} is {count}: no size")
        return rows, count

    def draw(generator: _Generator, ins: Arrays, out: Array) -> None:
        count = out.shape[1]
        words = generator.draw(2 * out.size).reshape(rows, count, 2)
        generator.skip(rows * -(-count // 4) * 4 * 2 * 256 - -(-2 * out.size // 4))
        bits = (words[..., 0] & np.uint64(0xFFFFF)) << _32 | words[..., 1] | np.uint64(0x3FF << 52)
        parts = bits.view(np.float64) - 1
        for row, chances, part in zip(out, ins[0], parts, strict=True):
            there = np.isfinite(chances)
            most = float(chances[there].max(initial=np.finfo(np.float32).min))
            totals = np.add.accumulate(np.where(there, np.exp(chances.astype(np.float64) - most), 0))
            np.copyto(row, np.searchsorted(totals, part * totals[-1], side="right"), casting="unsafe")

    return _drawing(node, 1, shape, draw)


_WORDS = {"int32": 1, "uint32": 1, "int64": 2, "uint64": 2}


def rng_bit_generator(node: NodeSpec) -> Prepared:
    """The next state after the one in input 0, and the bits between the two, in the shape that the file says."""
    (state,) = inputs(node, 1)
    output(node, 2)
    after, bits = node.outputs
    only(types("uint64"), state, after)
    only(_WORDS, bits)
    if bits.shape is None:
        raise Unsupported(f"the file does not say the shape of {called(bits)}", code=Reason.DYNAMIC)
    algorithm = node.options.get("algorithm", "DEFAULT")
    function: Callable[..., Any] = threefry if algorithm == "THREEFRY" else philox
    length = vector(state)
    if length != 2 and (function is threefry or length != 3):
        raise ShapeError(f"{called(state)} has {length} elements, wanted 2{'' if function is threefry else ' or 3'}")
    width = 2 if function is threefry else 4
    count = element_count(bits.shape) * _WORDS[bits.dtype]

    def work(ins: Arrays, outs: Arrays) -> None:
        key, counter, high = (int(value) for value in (*ins[0][:2], ins[0][2 if length > 2 else 0]))
        turns = -(-count // width)
        at = np.arange(turns, dtype=np.uint64) + np.uint64(counter)
        rows = [at & _LOW, at >> _32, *(np.full(turns, word, np.uint64) for word in _words(high))]
        words = function(_words(key), np.stack(rows[:width], 1)).astype(np.uint32).reshape(-1)[:count]
        np.copyto(outs[1].reshape(-1), words.view(outs[1].dtype))
        np.copyto(outs[0], ins[0])
        outs[0][1] = (counter + turns) & 0xFFFFFFFFFFFFFFFF

    return fixed(node, [(length,), bits.shape], work)
