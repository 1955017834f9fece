"""What callers may give for a tensor, and what they are told otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from sodalite.errors import ShapeError
from sodalite.graph import Quant, TensorSpec
from sodalite.interpreter import called, fit, formula, misshapen, quantised, to_real


def spec(dtype="float32", shape=(2,), name="x", scale=None, zero_point=0):
    quant = None
    if scale is not None:
        quant = Quant(np.atleast_1d(np.float32(scale)), np.atleast_1d(np.int64(zero_point)))
    return TensorSpec(3, name, shape, dtype, quant)


def test_an_array_of_the_right_type_is_taken_as_it_is():
    """No copy is made of what fits already."""
    given = np.ones(2, np.float32)
    assert fit(given, spec()) is given


def test_any_byte_order_and_layout():
    """Big-endian arrays keep their values."""
    assert fit(np.array([1, 2], ">f4"), spec()).tolist() == [1, 2]
    assert fit(np.array([1, 2], ">i8"), spec("int64")).dtype == np.dtype("<i8")
    assert fit(np.ones((3, 2), np.float32).T, spec()).shape == (2, 3)


@pytest.mark.parametrize(
    ("dtype", "value", "wanted"),
    [
        ("float32", [1, 2.5], [1.0, 2.5]),
        ("float32", 0.1, np.float32(0.1)),
        ("float16", [[1.5]], [[1.5]]),
        ("int8", [-128, 127], [-128, 127]),
        ("uint8", (0, 255), [0, 255]),
        ("int4", [-8, 7], [-8, 7]),
        ("int64", 1 << 40, 1 << 40),
        ("bool", [True, False], [True, False]),
        ("complex64", [1, 2j], [1, 2j]),
        ("int8", [], []),
        ("float32", [np.float64(0.5), np.float64(2)], [0.5, 2]),
    ],
)
def test_python_values_of_the_tensors_kind(dtype, value, wanted):
    """Numbers and lists go into any type of their kind that holds them."""
    got = fit(value, spec(dtype))
    assert got.dtype == np.dtype({"int4": "int8"}.get(dtype, dtype))
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        ("int8", [1, 128], 'input 3 "x": int8 cannot hold 128'),
        ("uint8", [-1], 'input 3 "x": uint8 cannot hold -1'),
        ("int4", [8], 'input 3 "x": int4 cannot hold 8'),
        ("float32", [1e300], 'input 3 "x": float32 cannot hold 1e+300'),
        ("float32", [(1 << 24) + 1], 'input 3 "x": float32 cannot hold 16777217'),
        ("int32", [1.0], "input 3 \"x\": takes int32, got float64; pass value.astype('int32')"),
        ("bool", [1.0], "input 3 \"x\": takes bool, got float64; pass value.astype('bool')"),
        ("int64", [1 << 70], "input 3 \"x\": takes int64, got object; pass value.astype('int64')"),
        ("float32", np.ones(2), "input 3 \"x\": takes float32, got float64; pass value.astype('float32')"),
        ("float32", ["a"], "input 3 \"x\": takes float32, got <U1; pass value.astype('float32')"),
        ("resource", [1], 'input 3 "x": a resource cannot be set; the model makes it'),
        ("string", [1], 'input 3 "x": takes bytes or str, element 0 is int'),
        ("string", ["a", None], 'input 3 "x": takes bytes or str, element 1 is NoneType'),
    ],
)
def test_what_does_not_fit(dtype, value, said):
    """The message names the tensor, both types, and what to do."""
    with pytest.raises(ShapeError) as error:
        fit(value, spec(dtype))
    assert str(error.value) == said


def test_ragged_lists():
    """A list that is no array says so."""
    with pytest.raises(ShapeError, match=r'input 3 "x": is no array: '):
        fit([[1, 2], [3]], spec())


def test_floats_for_a_quantised_tensor():
    """The message gives the tensor's formula."""
    with pytest.raises(ShapeError, match=r"takes uint8, got float32; it holds q of real = 0.5 \* \(q-3\); sodalite.load\(...\) quantises"):
        fit(np.ones(2, np.float32), spec("uint8", scale=0.5, zero_point=3))


@pytest.mark.parametrize(
    "value",
    [
        ["a", "é"],
        [b"a", "é"],
        np.array(["a", "é"]),
        np.array([b"a", "é".encode()]),
        np.array(["a", b"\xc3\xa9"], object),
    ],
)
def test_strings(value):
    """bytes stay, str becomes UTF-8, whatever holds them."""
    got = fit(value, spec("string"))
    assert got.dtype == object
    assert got.tolist() == [b"a", b"\xc3\xa9"]
    assert all(type(s) is bytes for s in got)


def test_one_string():
    """A string is not a list of characters."""
    assert fit("abc", spec("string", ())).shape == ()
    assert fit(b"a\0b\0", spec("string", ()))[()] == b"a\0b\0"


def test_bit_patterns_of_ml_dtypes():
    """bfloat16 arrays are taken by name, their bits as they are."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert fit(np.array([1.0], ml_dtypes.bfloat16), spec("bfloat16")).tolist() == [0x3F80]


def test_names_are_escaped():
    """A name out of a file cannot write to the terminal."""
    assert called(spec(name="a\x1b[2J"), "tensor") == 'tensor 3 "a\\x1b[2J"'


def test_misshapen():
    """The hint is a reshape where one would do."""
    same = misshapen(np.zeros((1, 2)), (2,), spec(), "resize")
    assert str(same) == 'input 3 "x": shape is (2,), got (1, 2); pass value.reshape((2,))'
    other = misshapen(np.zeros(3), (2,), spec(), "resize")
    assert str(other) == 'input 3 "x": shape is (2,), got (3,); resize'
    open_ = misshapen(np.zeros((4, 3)), (-1, 4, 3), spec(), "resize")
    assert str(open_).endswith("pass value.reshape((-1, 4, 3))")


def test_real_numbers_are_quantised():
    """(x / scale) rounded half away from zero, plus zero point, clamped."""
    tensor = spec("int8", scale=0.5, zero_point=-1)
    assert fit([0.0, 0.25, -0.25, 1e9, -1e9], tensor, real=True).tolist() == [-1, 0, -2, 127, -128]
    assert fit(np.array([1.0, 2.0]), tensor, real=True).tolist() == [1, 3]
    assert fit([1, 2], tensor, real=True).tolist() == [1, 3]
    assert fit(1, tensor, real=True).shape == ()
    assert fit(np.array([1, 2], np.int8), tensor, real=True).tolist() == [1, 2]
    assert to_real(np.array([1, 3], np.int8), tensor).tolist() == [1, 2]
    with pytest.raises(ShapeError, match="takes int8, got uint8"):
        fit(np.array([1, 2], np.uint8), tensor, real=True)
    with pytest.raises(ShapeError, match="has NaN, which int8 cannot hold"):
        fit([np.nan], tensor, real=True)


def test_real_numbers_without_quantisation():
    """Arrays are converted where no kind is lost; integers must fit."""
    assert fit(np.array([1, 2]), spec(), real=True).dtype == np.float32
    assert fit(np.array([0.1]), spec(), real=True).tolist() == [np.float32(0.1)]
    assert fit(np.array([7], np.int64), spec("int32"), real=True).dtype == np.int32
    with pytest.raises(ShapeError, match="int32 cannot hold 1099511627776"):
        fit(np.array([1 << 40]), spec("int32"), real=True)
    with pytest.raises(ShapeError, match="takes int32, got float64"):
        fit(np.array([1.0]), spec("int32"), real=True)
    assert to_real(np.array([1], np.int32), spec("int32")).tolist() == [1]


def test_the_formula_is_readable():
    assert formula(spec("int8", scale=0.5, zero_point=-128).quant) == "real = 0.5 * (q+128)"
    assert formula(spec("int8", scale=0.25, zero_point=3).quant) == "real = 0.25 * (q-3)"


def test_what_counts_as_quantised():
    """One scale, and a type that stands for real numbers."""
    assert quantised(spec("int16", scale=0.5)) is not None
    assert not quantised(spec("int8", scale=[0.5, 0.25]))
    assert not quantised(spec("int32", scale=0.5))
    assert not quantised(spec("float32", scale=0.5))
