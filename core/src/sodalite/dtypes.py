"""Element types: TFLite's name, its number in a file, the numpy type that holds it in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class DType(NamedTuple):
    """One element type. bits: width in the file; memory: numpy type of one element in memory."""

    name: str
    code: int
    bits: int
    memory: np.dtype[Any]


def _table() -> dict[str, DType]:
    # bfloat16 and float8 are raw bit patterns; 4- and 2-bit integers lie one to a byte in memory, already
    # sign-extended. A resource is a key into the interpreter's state.
    rows = (
        "float32 0 32 <f4,float16 1 16 <f2,int32 2 32 <i4,uint8 3 8 u1,int64 4 64 <i8,string 5 0 O,bool 6 8 ?,"
        "int16 7 16 <i2,complex64 8 64 <c8,int8 9 8 i1,float64 10 64 <f8,complex128 11 128 <c16,uint64 12 64 <u8,"
        "resource 13 0 O,variant 14 0 O,uint32 15 32 <u4,uint16 16 16 <u2,int4 17 4 i1,bfloat16 18 16 <u2,"
        "int2 19 2 i1,uint4 20 4 u1,float8_e4m3fn 21 8 u1,float8_e5m2 22 8 u1"
    )
    parts = (row.split() for row in rows.split(","))
    return {name: DType(name, int(code), int(bits), np.dtype(memory)) for name, code, bits, memory in parts}


DTYPES: dict[str, DType] = _table()

# Values of these types are Python objects: they never lie in the arena.
OBJECTS = frozenset({"string", "resource", "variant"})
PACKED = frozenset({"int4", "uint4", "int2"})


def memory_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype that holds elements of type *name* in memory. KeyError for an unknown name."""
    return DTYPES[name].memory
