"""cpu_ref: a numpy kernel for every operator, the definition of right.

This module is a list. It loads no kernel: each is imported when a node first asks for its operator.
"""

from __future__ import annotations

from sodalite.hookspecs import hookimpl
from sodalite.kernel import KernelSet, Quality

# (operator, highest version, module:prepare), by operator
TABLE: tuple[tuple[str, int, str], ...] = (
    ("CONV_2D", 8, "conv:conv_2d"),
    ("DEPTHWISE_CONV_2D", 7, "depthwise:depthwise_conv_2d"),
    ("FULLY_CONNECTED", 14, "fully_connected:fully_connected"),
)

kernels = KernelSet(quality=Quality.REFERENCE)
for _op, _versions, _target in TABLE:
    kernels.lazy(_op, f"{__name__}.{_target}", versions=_versions)


@hookimpl
def sodalite_kernels() -> KernelSet:
    """Offer the reference kernels."""
    return kernels
