# SPDX-License-Identifier: Apache-2.0
"""cpu_ref against LiteRT's reference kernels, by every case of the testkit."""

from sodalite_testkit import conformance

test_ops = conformance("cpu_ref")
