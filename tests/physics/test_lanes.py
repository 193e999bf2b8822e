"""Eight numbers at a time must do what numpy does with the same eight."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from numba.core.errors import TypingError

from trocar.physics.lanes import WIDTH, keep, load, load_as, load_where, shifted, splat, store, total

PRECISIONS = [np.float32, np.float64]
both = pytest.mark.parametrize("dtype", PRECISIONS)


@nb.njit
def combine(a, b, number, at, out):  # type: ignore[no-untyped-def]
    """``number (a + b) - a b``, and the same moved up by one; returns its sum."""
    x, y = load(a, at), load(b, at)
    value = splat(number) * (x + y) - x * y
    store(out, at, value)
    store(out, at + WIDTH, shifted(x, value))
    store(out, at + 2 * WIDTH, keep(x, y))
    return total(value)


@nb.njit
def convert(a, at, like, out):  # type: ignore[no-untyped-def]
    store(out, 0, load_as(a, at, like))


@nb.njit
def choose(a, kinds, at, kind, like, out):  # type: ignore[no-untyped-def]
    store(out, 0, load_where(a, kinds, at, kind, like))


def numbers(dtype: type, size: int = 40, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


@both
@pytest.mark.parametrize("at", [0, 1, 3, 8])
def test_arithmetic_shift_and_choice_at_any_place(dtype: type, at: int) -> None:
    a, b, out = numbers(dtype), numbers(dtype, seed=4), np.full(40, 7.0, dtype)
    b[::3] = 0.0
    here = slice(at, at + WIDTH)
    answer = combine(a, b, dtype(0.3), at, out)
    expected = dtype(0.3) * (a[here] + b[here]) - a[here] * b[here]
    close = 4.0 * float(np.finfo(dtype).eps)  # a fused multiply-add rounds once where numpy rounds twice
    assert np.allclose(out[here], expected, rtol=0.0, atol=close * 3.0)
    assert answer == pytest.approx(out[here].sum(dtype=np.float64), abs=close * 10.0)
    moved = out[at + WIDTH : at + 2 * WIDTH]
    assert np.array_equal(moved, np.r_[a[at + WIDTH - 1], out[here][:-1]])
    assert np.array_equal(out[at + 2 * WIDTH : at + 3 * WIDTH], np.where(b[here] != 0.0, a[here], 0.0))
    untouched = np.r_[out[:at], out[at + 3 * WIDTH :]]
    assert np.all(untouched == 7.0)


@pytest.mark.parametrize("have", PRECISIONS)
@pytest.mark.parametrize("want", PRECISIONS)
def test_reading_in_the_other_precision(have: type, want: type) -> None:
    a, out = numbers(have), np.zeros(WIDTH, want)
    convert(a, 5, want(0.0), out)
    assert np.array_equal(out, a[5 : 5 + WIDTH].astype(want))


@both
def test_reading_only_where_a_byte_is_right(dtype: type) -> None:
    a, kinds, out = numbers(np.float32), np.tile(np.array([0, 1, 2, 255], np.uint8), 10), np.zeros(WIDTH, dtype)
    a[kinds == 0] = np.nan  # what is not chosen must not matter
    for kind in (1, 2, 255):
        choose(a, kinds, 3, np.uint8(kind), dtype(0.0), out)
        here = slice(3, 3 + WIDTH)
        assert np.array_equal(out, np.where(kinds[here] == kind, a[here], 0.0).astype(dtype))


def test_what_is_kept_out_may_be_anything() -> None:
    a, b, out = numbers(np.float64), numbers(np.float64), np.zeros(40)
    a[:WIDTH], b[:WIDTH] = np.inf, 0.0
    combine(a, b, 1.0, 0, out)
    assert np.all(out[2 * WIDTH : 3 * WIDTH] == 0.0)


def test_two_precisions_are_not_mixed_by_accident() -> None:
    with pytest.raises(TypingError):
        combine(numbers(np.float32), numbers(np.float64), np.float32(1.0), 0, np.zeros(40, np.float32))
