"""Fingerprint64 of FarmHash (farmhashna::Hash64), a hash that never changes."""

from __future__ import annotations

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_ALL = (1 << 64) - 1


def fingerprint64(data: bytes) -> int:
    """The hash of *data*, below 2**64."""
    size = len(data)
    if size <= 16:
        return _short(data)
    if size <= 64:
        return _middle(data)
    return _long(data)


def _at(data: bytes, place: int, size: int = 8) -> int:
    """The little-endian number at a place, from the end if that is negative."""
    place += len(data) if place < 0 else 0
    return int.from_bytes(data[place : place + size], "little")


def _turned(value: int, bits: int) -> int:
    value &= _ALL
    return (value >> bits | value << (64 - bits)) & _ALL


def _mixed(value: int) -> int:
    value &= _ALL
    return value ^ value >> 47


def _both(u: int, v: int, factor: int) -> int:
    a = _mixed((u ^ v) * factor)
    return _mixed((v ^ a) * factor) * factor & _ALL


def _short(data: bytes) -> int:
    size = len(data)
    factor = _K2 + size * 2
    if size >= 8:
        a, b = _at(data, 0) + _K2 & _ALL, _at(data, -8)
        return _both(_turned(b, 37) * factor + a & _ALL, (_turned(a, 25) + b) * factor & _ALL, factor)
    if size >= 4:
        return _both(size + (_at(data, 0, 4) << 3), _at(data, -4, 4), factor)
    if size:
        y, z = data[0] + (data[size >> 1] << 8), size + (data[-1] << 2)
        return _mixed(y * _K2 ^ z * _K0) * _K2 & _ALL
    return _K2


def _middle(data: bytes) -> int:
    factor = _K2 + len(data) * 2
    long = len(data) > 32
    a, b = _at(data, 0) * (_K2 if long else _K1) & _ALL, _at(data, 8)
    c, d = _at(data, -8) * factor & _ALL, _at(data, -16) * _K2 & _ALL
    y = _turned(a + b, 43) + _turned(c, 30) + d & _ALL
    z = _both(y, a + _turned(b + _K2, 18) + c & _ALL, factor)
    if not long:
        return z
    e, f = _at(data, 16) * factor & _ALL, _at(data, 24)
    g, h = (y + _at(data, -32)) * factor & _ALL, (z + _at(data, -24)) * factor & _ALL
    return _both(_turned(e + f, 43) + _turned(g, 30) + h & _ALL, e + _turned(f + a, 18) + g & _ALL, factor)


def _weak(data: bytes, place: int, a: int, b: int) -> tuple[int, int]:
    """Two numbers from 32 bytes and two numbers."""
    w, x, y, z = (_at(data, place + i) for i in (0, 8, 16, 24))
    a += w
    b = _turned(b + a + z, 21)
    c = a
    a += x + y
    b += _turned(a, 44)
    return a + z & _ALL, b + c & _ALL


def _long(data: bytes) -> int:
    seed = 81
    x, y = seed * _K2 + _at(data, 0) & _ALL, seed * _K1 + 113 & _ALL
    z = _mixed(y * _K2 + 113) * _K2 & _ALL
    v, w = (0, 0), (0, 0)
    end = (len(data) - 1) // 64 * 64
    for place in range(0, end, 64):
        x, y, z, v, w = _round(data, place, (x, y, z), v, w, (_K1, 1, 1))
    factor = _K1 + ((z & 0xFF) << 1)
    first = w[0] + (len(data) - 1 & 63)
    v = (v[0] + first & _ALL, v[1])
    w = (first + v[0] & _ALL, w[1])
    x, y, z, v, w = _round(data, len(data) - 64, (x, y, z), v, w, (factor, 9, 9))
    left = _both(v[0], w[0], factor) + _mixed(y) * _K0 + z & _ALL
    return _both(left, _both(v[1], w[1], factor) + x & _ALL, factor)


def _round(
    data: bytes, place: int, xyz: tuple[int, int, int], v: tuple[int, int], w: tuple[int, int], factors: tuple[int, int, int]
) -> tuple[int, int, int, tuple[int, int], tuple[int, int]]:
    """64 bytes at *place* taken into the state."""
    x, y, z = xyz
    by, second, first = factors
    x = _turned(x + y + v[0] + _at(data, place + 8), 37) * by & _ALL
    y = _turned(y + v[1] + _at(data, place + 48), 42) * by & _ALL
    x ^= w[1] * second & _ALL
    y = y + v[0] * first + _at(data, place + 40) & _ALL
    z = _turned(z + w[0], 33) * by & _ALL
    v = _weak(data, place, v[1] * by & _ALL, x + w[0])
    w = _weak(data, place + 32, z + w[1], y + _at(data, place + 16))
    return z, y, x, v, w
