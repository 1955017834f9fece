# SPDX-License-Identifier: Apache-2.0
"""How far a result may be from the one it is compared with: a value with a name, chosen by the operator.

``EXACT`` means the same bits, and NaN where NaN is wanted. It is what every integer, quantised and copying kernel
is held to. Float kernels choose from the names at the end, or make one of their own beside their cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sodalite.graph import Array


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|got - want| <= abs + rel * |want| + peak * max|want|, or ulps steps of the type from *want*.

    Infinities and NaN must be where they are wanted, whatever the tolerance. All zero: the same bits.
    """

    abs: float = 0.0
    rel: float = 0.0
    peak: float = 0.0
    ulps: int = 0

    def complaint(self, got: Array, want: Array) -> str | None:
        """What is wrong with *got*, in one line; None if it is within the tolerance."""
        if got.shape != want.shape:
            return f"shape is {got.shape}, wanted {want.shape}"
        if got.dtype != want.dtype:
            return f"dtype is {got.dtype}, wanted {want.dtype}"
        bad = self._bad(got, want)
        count = int(np.count_nonzero(bad))
        if not count:
            return None
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        worst = _worst(got, want)
        return (
            f"{count} of {got.size} elements differ by more than {self} "
            f"(largest difference {worst}); first at {where}: {got[where]!r}, wanted {want[where]!r}"
        )

    def _bad(self, got: Array, want: Array) -> npt.NDArray[np.bool_]:
        if got.dtype == object or got.dtype == np.bool_:
            return np.asarray(got != want, dtype=np.bool_)
        if got.dtype.kind == "c":
            return self._bad(got.real, want.real) | self._bad(got.imag, want.imag)
        if got.dtype.kind != "f":
            if self == EXACT:
                return np.asarray(got != want)
            return np.abs(got.astype(np.float64) - want.astype(np.float64)) > self._allowed(want)
        got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
        same = (_bits(got) == _bits(want)) | (np.isnan(got) & np.isnan(want))
        if self == EXACT:
            return np.asarray(~same)
        with np.errstate(all="ignore"):
            near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= self._allowed(want)
        if self.ulps:
            near |= np.abs(_ordered(got) - _ordered(want)) <= self.ulps
        return np.asarray(~(same | (near & np.isfinite(got) & np.isfinite(want))))

    def _allowed(self, want: Array) -> npt.NDArray[np.float64]:
        size = np.abs(want.astype(np.float64))
        finite = size[np.isfinite(size)]
        top = float(finite.max()) if finite.size else 0.0
        with np.errstate(invalid="ignore"):
            return np.asarray(self.abs + self.rel * size + self.peak * top)

    def __str__(self) -> str:
        named = (("abs", self.abs), ("rel", self.rel), ("peak", self.peak), ("ulps", self.ulps))
        parts = [f"{name} {value:g}" for name, value in named if value]
        return ", ".join(parts) or "nothing"


def _bits(a: Array) -> Array:
    return a.view(f"i{a.dtype.itemsize}")


def _ordered(a: Array) -> npt.NDArray[np.int64]:
    """Floats as integers in the same order, one step apart where the floats are neighbours."""
    bits = _bits(a).astype(np.int64)
    lowest = -(1 << (8 * a.dtype.itemsize - 1))
    return np.where(bits < 0, lowest - bits, bits)


def _worst(got: Array, want: Array) -> str:
    if got.dtype.kind not in "iufc" or not got.size:
        return "of kind, not of size"
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        gap = np.abs(got.astype(wide) - want.astype(wide))
    return f"{np.nanmax(gap):g}" if not np.isnan(gap).all() else "nan"


EXACT = Tolerance()


def ULPS(n: int) -> Tolerance:  # noqa: N802  reads as the name of a tolerance
    """At most *n* representable numbers away."""
    return Tolerance(ulps=n)


def NEAR(abs: float = 0.0, rel: float = 0.0, peak: float = 0.0) -> Tolerance:  # noqa: A002, N802  see ULPS
    """|got - want| <= abs + rel * |want| + peak * max|want|."""
    return Tolerance(abs=abs, rel=rel, peak=peak)


def LEVELS(n: int) -> Tolerance:  # noqa: N802  see ULPS
    """At most *n* quantised levels away: only where the reference itself is not one fixed formula."""
    return Tolerance(abs=n)


# Sums of products in another order: the error grows with the terms, not with a sum that cancels.
SUMS = NEAR(abs=1e-6, rel=1e-5, peak=1e-6)
# exp, log, tanh, ... of another mathematics library.
LIBM = ULPS(4)
# A few roundings in another order: normalisation, interpolation.
ROUNDINGS = NEAR(abs=1e-6, rel=1e-5)
# float16 and bfloat16 storage around float32 arithmetic.
HALF = NEAR(abs=1e-3, rel=2e-3)
