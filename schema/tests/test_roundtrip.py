# SPDX-License-Identifier: Apache-2.0
"""What is written reads back equal."""

from __future__ import annotations

import numpy as np

from sodalite_schema import Table, read, vector_offset, write


def small_model() -> Table:
    """One ADD of a constant."""
    tensor = dict(shape=[1, 2], type=9)
    return Table(
        "Model",
        version=3,
        operator_codes=[Table("OperatorCode", builtin_code=0, version=2)],
        subgraphs=[
            Table(
                "SubGraph",
                name="main",
                tensors=[
                    Table("Tensor", name=n, buffer=b, **tensor) for n, b in (("x", 0), ("c", 1), ("y", 0))
                ],
                inputs=[0],
                outputs=[2],
                operators=[
                    Table(
                        "Operator",
                        inputs=[0, 1],
                        outputs=[2],
                        builtin_options=Table("AddOptions", pot_scale_int16=False),
                    )
                ],
            )
        ],
        buffers=[Table("Buffer"), Table("Buffer", data=b"\x01\x02")],
    )


def test_a_built_model_reads_back_equal() -> None:
    data = write(small_model())
    model = read(data)
    assert model == small_model()
    assert model.subgraphs[0].operators[0].builtin_options_type == 11
    assert model.subgraphs[0].operators[0].builtin_options.pot_scale_int16 is False
    assert model.subgraphs[0].tensors[0].shape.dtype == np.int32
    start = vector_offset(model.buffers[1], "data")
    assert start % 16 == 0
    assert data[start : start + 2] == b"\x01\x02"
