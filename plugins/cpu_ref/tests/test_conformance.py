# SPDX-License-Identifier: Apache-2.0
"""cpu_ref against LiteRT's reference kernels, by every case of the testkit."""

from pathlib import Path

from sodalite_testkit import conformance
from sodalite_testkit.cases import all_cases
from sodalite_testkit.suite import kernels_of

test_ops = conformance("cpu_ref")

# A case is one operator. These want several, a subgraph, a sparse constant or many runs: tested by models of their own.
MODELS = {
    "test_control.py": "ASSIGN_VARIABLE CALL CALL_ONCE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE IF "
    "READ_VARIABLE STABLEHLO_CASE STABLEHLO_COMPOSITE STABLEHLO_WHILE VAR_HANDLE WHILE",
    "test_densify.py": "DENSIFY",
    "test_random.py": "MULTINOMIAL RANDOM_STANDARD_NORMAL RANDOM_UNIFORM STABLEHLO_RNG_BIT_GENERATOR",
    "test_stablehlo.py": "STABLEHLO_REDUCE_WINDOW STABLEHLO_SCATTER",
}


def test_every_operator_has_a_case_or_a_model() -> None:
    """One that runs; the list of models is no longer than it must be."""
    offered = {kernel.op for kernel in kernels_of("cpu_ref") if not kernel.pattern}
    without = offered - {case.op for case in all_cases() if not case.raises}
    assert sorted(without) == sorted(op for ops in MODELS.values() for op in ops.split())
    for file, ops in MODELS.items():
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert [op for op in ops.split() if f'"{op}"' not in text] == []
