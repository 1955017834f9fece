"""Words and hashes of old text models: SKIP_GRAM, LSH_PROJECTION."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap

import numpy as np
from sodalite.errors import ShapeError
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step, Unsupported

from .farmhash import fingerprint64
from .nodes import STORED, Arrays, fixed, inputs, only, output, rank_is, shape_of, types, vector
from .shapes import element_count

_WHOLE_BYTES = STORED - types("int2 int4 uint4")
_BLANKS = frozenset(b" \t\n\v\f\r")


def _words(sentence: bytes) -> list[bytes]:
    """The words, as LiteRT splits them: of a blank at the very beginning, it makes the first word wrong."""
    words, begin = [], 0
    for i in range(1, len(sentence)):
        if sentence[i] in _BLANKS:
            if i > begin and sentence[begin] not in _BLANKS:
                words.append(sentence[begin:i])
            begin = i + 1
    return [*words, sentence[begin:]] if begin < len(sentence) else words


def _grams(count: int, most: int, skip: int) -> Iterator[list[int]]:
    """Rising numbers below *count*: at most *most* of them, with at most *skip* left out between two. Longer ones come
    before those that they begin with."""
    chosen = [0] * most
    size = 1
    while size >= 0:
        fits = size < most and chosen[size] + 1 < count
        if fits and (size == 0 or chosen[size] - chosen[size - 1] <= skip):
            chosen[size] += 1
            size += 1
            if size < most:
                chosen[size] = chosen[size - 1]
            continue
        if size:
            yield chosen[:size]
        size -= 1


def skip_gram(node: NodeSpec) -> Prepared:
    """Groups of words of a sentence, each joined by blanks."""
    (source,) = inputs(node, 1)
    only({"string"}, source, output(node))
    if not element_count(shape_of(source)):
        raise ShapeError("no sentence to take words of")
    most = int(node.options.get("ngram_size", 0))
    skip = int(node.options.get("max_skip_size", 0))
    every = bool(node.options.get("include_all_ngrams", False))

    def bind(buffers: Buffers) -> Step:
        def step() -> None:
            words = _words(np.asarray(buffers.inputs[0]).reshape(-1)[0])
            found = _grams(len(words), most, skip) if 0 < most <= len(words) else ()
            grams = [b" ".join([words[i] for i in gram]) for gram in found if every or len(gram) == most]
            made = np.empty(len(grams), object)
            made[:] = grams
            buffers.emit(0, made)

        return step

    return Prepared((None,), bind)


def lsh_projection(node: NodeSpec) -> Prepared:
    """Bits that are near for near inputs: the signs of weighted sums of hashes of the elements.

    Inputs: a seed for each bit (one row a hash function), the elements, their weights (or none).
    """
    seeds, source, *weights = inputs(node, 2, 3)
    only(types("float32"), seeds, *weights)
    only(_WHOLE_BYTES, source)
    only(types("int32"), output(node))
    rows, bits = rank_is(seeds, 2)
    shape = shape_of(source)
    if not shape or not shape[0] or bits > 32:
        raise ShapeError(f"{bits} bits of elements of shape {shape}")
    for spec in weights:
        vector(spec, shape[0])
    kind = node.options.get("type")
    if kind not in ("SPARSE", "DENSE"):
        raise Unsupported(f"type {kind}", code=Reason.OPTION)

    def work(ins: Arrays, outs: Arrays) -> None:
        items = [item.tobytes() for item in np.ascontiguousarray(ins[1])]
        scale = ins[2].tolist() if weights else [1.0] * len(items)
        found = np.array([_sign(seed.tobytes(), items, scale) for seed in ins[0].reshape(-1)], np.int64)
        if kind == "SPARSE":
            number = found.reshape(rows, bits) @ (1 << np.arange(bits, dtype=np.int64)[::-1])
            found = number + (np.arange(rows, dtype=np.int64) << bits)
        np.copyto(outs[0], found.astype(np.int32))

    return fixed(node, (rows * bits,) if kind == "DENSE" else (rows,), work)


def _sign(seed: bytes, items: list[bytes], scale: list[float]) -> int:
    hashes = [fingerprint64(seed + item) for item in items]
    signed = [float(value - (value >> 63 << 64)) for value in hashes]
    return int(sum(starmap(float.__mul__, zip(scale, signed, strict=True))) > 0)


