"""From integer sums to output levels: out = clamp(rounded((sum + bias) · multiplier) + zero_point).

The fast form works in float64 and is exact where ``_exact`` says so; everything else goes through
sodalite_cpu_ref.quant in int64. Tests compare the two, and both with big integers, at the ends of every range.

Why float64 is exact. Let the multiplier be M · 2**shift / 2**31 with e = max(-shift, 0), t = sum · M / 2**31 and
v = t / 2**e. The two roundings of TFLite, floor(t + 1/2) and then half away from zero by 2**e, come to

    floor(v + 1/2 + d) for v >= 0,  floor(v + 1/2 - d) for v < 0,  d = 2**(-e - 1), or 0 if e = 0:

the first rounding moves every threshold of the second by half a step of t, away from zero. v is a multiple
of 2**(-31 - e), and so are the terms added; float64 holds them exactly while |v| < 2**(21 - e) or so. Where v is larger
it is rounded, but monotonically, and such a v is clamped anyway if the output's range is narrower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sodalite.graph import Array

from . import quant
from ._columns import Row, largest_piece, pieces, repeated, upto

CHUNK = 16384  # elements requantised at once: the float64 work stays in the L2 cache

Float64s = npt.NDArray[np.float64]
Finish = Callable[[Float64s], None]  # called with the bias of each column

DOUBLE, SINGLE, WIDE, REAL, REAL_WIDE = "double", "single", "wide", "real", "real wide"


class Requant:
    """How the sums of one node become its output.

    reals: the multiplier, one for all or one a column; low, high: the levels that the output may have.
    rounding: DOUBLE, SINGLE: quant.rescale, quant.rescale_single; WIDE: quant.rescale_int64, for 64-bit sums;
    REAL, REAL_WIDE: sum · multiplier in float64, half away from zero; the sums have 32 or 64 bits.
    bound: the largest |sum + bias| there can be, None if it is not known.
    """

    def __init__(
        self,
        reals: Any,
        zero_point: int,
        low: int,
        high: int,
        dtype: str,
        *,
        rounding: str = DOUBLE,
        bound: float | None = None,
    ) -> None:
        self.reals = np.atleast_1d(np.asarray(reals, np.float64))
        self.multiplier, self.shift = quant.multipliers_and_shifts(self.reals)
        if rounding == SINGLE:
            big = self.shift > 30
            self.multiplier[big], self.shift[big] = quant.INT32_MAX, 30
        self.zero_point, self.low, self.high = zero_point, low, high
        self.dtype = np.dtype(dtype)
        self.rounding = rounding
        self._kept: dict[int, tuple[Any, ...]] = {}
        self.exact = bound is not None and self._exact(bound)

    def _exact(self, bound: float) -> bool:
        """Whether the float64 form gives every bit for sums up to *bound*."""
        if self.rounding in (REAL, REAL_WIDE):
            return bound < (2.0**31 if self.rounding == REAL else 2.0**53)
        if self.rounding == SINGLE:
            return False
        wide = self.rounding == WIDE
        shift = self.shift.astype(np.int64)
        bits = 10 if self.dtype.itemsize == 1 else 18  # of a |v| that is not clamped, the offset added
        held = bits + (15 if wide else 31) - shift <= 53
        largest = bound * self.multiplier * 2.0 ** (shift - 31)
        sums = 2.0**31 / 2.0 ** np.maximum(shift, 0)  # beyond these an int32 wraps
        fits = (bound < 2.0**37) & (largest < 2.0**30) if wide else bound < sums
        return bool(np.all(fits & (held | (largest < 0.25))))

    def work(self, columns: int) -> int:
        """float64 elements of scratch that ``bind`` wants."""
        return 2 * largest_piece(columns, CHUNK) if self.exact else 0

    def bind(self, acc: Array, out: Array, work: Float64s) -> Finish:
        """finish(bias): out = requantised acc + bias. acc, out: contiguous (m, o), sums and levels."""
        rows, columns = acc.shape
        parts = list(pieces(rows, columns, CHUNK))
        if not self.exact:
            return self._slow([(acc[p], out[p]) for p, _ in parts])
        half = work.size // 2
        bias = Row(columns, np.float64)
        views: list[tuple[Array, ...]] = []
        for part, shape in parts:
            size = shape[0] * shape[1]
            v, s = work[:size].reshape(shape), work[half : half + size].reshape(shape)
            views.append((acc[part].reshape(shape), v, s, out[part].reshape(shape), bias.values[: shape[1]]))
        finish = (
            self._real(views, columns) if self.rounding in (REAL, REAL_WIDE) else self._fast(views, columns)
        )

        def with_bias(values: Float64s) -> None:
            bias.set(values)
            finish()

        return with_bias

    def _fast(self, views: list[tuple[Array, ...]], columns: int) -> Callable[[], None]:
        signed = self.dtype.kind == "i"
        levels = np.dtype(f"u{self.dtype.itemsize}")
        moved = 1 << (8 * self.dtype.itemsize - 1) if signed else 0
        low, high, sign = self.low + moved, self.high + moved + 0.5, np.array(moved, levels)
        by_sign, *operands = self._operands(columns, moved)
        parts = [
            (acc, v, s, out.view(levels), bias, *(upto(x, v.shape[1]) for x in operands))
            for acc, v, s, out, bias in views
        ]

        def finish() -> None:
            for acc, v, s, out, bias, factor, nudge, offset in parts:
                np.copyto(v, acc)
                np.add(v, bias, out=v)
                np.multiply(v, factor, out=v)
                if by_sign:
                    np.copysign(nudge, v, out=s)
                    np.add(v, s, out=v)
                np.add(v, offset, out=v)
                np.clip(v, low, high, out=v)
                np.copyto(out, v, casting="unsafe")  # truncates what is not negative: floor
                if signed:
                    np.bitwise_xor(out, sign, out=out)

        return finish

    def _operands(self, columns: int, moved: int) -> tuple[Any, ...]:
        """Whether the sign of v matters, then c, d and 1/2 + zero_point + moved, repeated for *columns*.

        It does not where every v < 0 is clamped; d is then part of the third. Levels are moved so that none is
        negative.
        """
        if columns in self._kept:
            return self._kept[columns]
        if self.rounding == WIDE:
            wide = self.multiplier.astype(np.int64)
            reduced = np.where(wide < 0x7FFF0000, (wide + (1 << 15)) >> 16, 0x7FFF)
            factor = np.ldexp(reduced.astype(np.float64), self.shift - 15)
            nudge = np.zeros(1)
        else:
            factor = np.ldexp(self.multiplier.astype(np.float64), self.shift - 31)
            nudge = np.where(self.shift < 0, np.ldexp(0.5, self.shift), 0.0)
        by_sign = bool(nudge.any()) and self.low < self.zero_point
        offset = 0.5 + self.zero_point + moved + (0.0 if by_sign else nudge)
        self._kept[columns] = (by_sign, *(repeated(x, columns) for x in (factor, nudge, offset)))
        return self._kept[columns]

    def _real(self, views: list[tuple[Array, ...]], columns: int) -> Callable[[], None]:
        half = np.nextafter(0.5, 0.0)  # trunc(x ± half) is C's round(), for every float64 below 2**52
        reals = repeated(self.reals, columns)
        parts = [(*view, upto(reals, view[1].shape[1])) for view in views]
        zero_point, low, high = self.zero_point, self.low, self.high

        def finish() -> None:
            for acc, v, s, out, bias, real in parts:
                np.copyto(v, acc)
                np.add(v, bias, out=v)
                np.multiply(v, real, out=v)
                np.copysign(half, v, out=s)
                np.add(v, s, out=v)
                np.trunc(v, out=v)
                np.add(v, zero_point, out=v)
                np.clip(v, low, high, out=v)
                np.copyto(out, v, casting="unsafe")

        return finish

    def _slow(self, views: list[tuple[Array, Array]]) -> Finish:
        def finish(bias: Float64s) -> None:
            for acc, out in views:
                sums = acc.astype(np.int64) + bias.astype(np.int64)
                np.copyto(out, self.levels(sums), casting="unsafe")

        return finish

    def levels(self, sums: npt.NDArray[np.int64]) -> Array:
        """The output levels of *sums*, straight from the formulas; int32 sums wrap as C's do."""
        if self.rounding in (REAL, REAL_WIDE):
            wrapped = sums.astype(np.int32) if self.rounding == REAL else sums
            scaled = quant.round_half_away(wrapped * self.reals)
            return np.clip(scaled + self.zero_point, self.low, self.high)  # type: ignore[no-any-return]
        if self.rounding == WIDE:
            scaled = quant.rescale_int64(sums, self.multiplier, self.shift)
        else:
            rescale = quant.rescale if self.rounding == DOUBLE else quant.rescale_single
            scaled = rescale(sums.astype(np.int32), self.multiplier, self.shift)
        return np.clip(scaled.astype(np.int64) + self.zero_point, self.low, self.high)
