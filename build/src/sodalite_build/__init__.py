# SPDX-License-Identifier: Apache-2.0
"""Write .tflite models: `Builder` makes one from names, shapes and arrays, `write` turns tables into bytes.

Also to be had as `sodalite.build.Builder` and `sodalite_schema.write`, where the rest of a program is.
"""

from .builder import Builder, Subgraph, Tensor
from .writer import write

__all__ = ["Builder", "Subgraph", "Tensor", "write"]
