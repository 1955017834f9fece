# SPDX-License-Identifier: Apache-2.0
"""DENSIFY: what is stored comes back in its place, as LiteRT puts it, and sparsity that does not fit is refused."""

import numpy as np
import pytest
import sodalite
from sodalite.build import Builder
from sodalite.errors import SodaliteError
from sodalite.graph import Sparsity, TensorSpec
from sodalite.kernel import Buffers, NodeSpec
from sodalite_cpu_ref.conversion import densify
from sodalite_schema import Table
from sodalite_testkit.oracle import missing, oracle


def compressed(dense, block=None):
    """Stored elements and sparsity: rows dense, columns (or blocks of columns) compressed."""
    rows, columns = dense.shape
    width = block or 1
    parts = dense.reshape(rows, columns // width, width)
    used = (parts != 0).any(-1)
    segments = np.concatenate([[0], np.cumsum(used.sum(1))])
    dims = [("dense", rows), ("csr", segments, np.nonzero(used)[1])]
    order, block_map = [0, 1], []
    if block:
        dims.append(("dense", block))
        order, block_map = [0, 1, 2], [1]
    return parts[used].reshape(-1), Sparsity(tuple(order), tuple(block_map), tuple(dims))


def table(sparsity):
    def level(dim):
        if dim[0] == "dense":
            return Table("DimensionMetadata", format=0, dense_size=dim[1])
        vectors = [Table("Int32Vector", values=np.asarray(v, np.int32)) for v in dim[1:]]
        return Table("DimensionMetadata", format=1, array_segments=vectors[0], array_indices=vectors[1])

    return Table(
        "SparsityParameters",
        traversal_order=np.array(sparsity.traversal_order, np.int32),
        block_map=np.array(sparsity.block_map, np.int32),
        dim_metadata=[level(d) for d in sparsity.dims],
    )


def matrix(dtype, rows=6, columns=8):
    rng = np.random.default_rng(1)
    dense = rng.integers(1, 100, (rows, columns)).astype(dtype)
    dense[rng.random((rows, columns)) < 0.6] = 0
    dense[2] = 0
    return dense


def model(dense, block):
    stored, sparsity = compressed(dense, block)
    g = Builder("sparse")
    x = g.input("x", dense.shape, dense.dtype.name)
    w = g.constant("w", stored, shape=dense.shape, sparsity=table(sparsity))
    d = g.tensor("d", dense.shape, dense.dtype.name)
    g.op("DENSIFY", [w], [d])
    y = g.tensor("y", dense.shape, dense.dtype.name)
    g.op("SUB" if dense.dtype == np.float32 else "MAXIMUM", [x, d], [y])
    g.output(y)
    return g.finish()


@pytest.mark.parametrize("block", [None, 4])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_what_is_stored_comes_back_in_its_place(dtype, block):
    """Through a whole model; LiteRT, where there is one, agrees."""
    dense = matrix(dtype)
    x = np.zeros_like(dense)
    content = model(dense, block)
    want = -dense if dtype == "float32" else np.maximum(dense, 0)
    assert np.array_equal(sodalite.load(content)(x), want)
    if missing() is None:
        answer = oracle().ask(content, [x], "ref")
        assert answer.kind == "ok", answer.text
        assert np.array_equal(answer.outputs[0], want)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_columns_may_come_first(order):
    """The traversal order says which dimension each level is."""
    dense = matrix("float32", 5, 7)
    stored, sparsity = compressed(dense if order == (0, 1) else dense.T.copy())
    made = densified(dense.shape, stored, Sparsity(order, (), sparsity.dims))
    assert np.array_equal(made, dense)


@pytest.mark.parametrize(
    "sparsity",
    [
        Sparsity((0, 0), (), (("dense", 2), ("dense", 3))),
        Sparsity((0, 1), (), (("dense", 3), ("dense", 3))),
        Sparsity((0, 1), (), (("dense", 2), ("csr", np.array([0, 2, 1]), np.array([0, 1])))),
        Sparsity((0, 1), (), (("dense", 2), ("csr", np.array([0, 3, 6]), np.array([0, 1, 2, 0, 1])))),
        Sparsity((0, 1), (), (("dense", 2), ("csr", np.array([0, 3, 6]), np.array([0, 1, 2, 0, 1, 9])))),
        Sparsity((0, 1), (), (("dense", 2), ("csr", np.array([0, 1, 2]), np.array([0, 1])))),
        Sparsity((0, 1, 2), (7,), (("dense", 2), ("dense", 1), ("dense", 3))),
    ],
)
def test_sparsity_that_does_not_fit_is_refused(sparsity):
    """Order, sizes, segments, indices, block map: a SodaliteError, never another."""
    with pytest.raises(SodaliteError):
        densified((2, 3), np.ones(6, np.float32), sparsity)


def densified(shape, stored, sparsity):
    spec = TensorSpec(0, "w", shape, "float32", data=stored, sparsity=sparsity)
    node = NodeSpec("DENSIFY", 1, (spec,), (TensorSpec(1, "d", None, "float32"),))
    prepared = densify(node)
    out = np.full(prepared.outputs[0], np.nan, np.float32)
    prepared.bind(Buffers((stored,), (out,), np.empty(0, np.uint8), lambda i, a: None))()
    return out
