"""Which of NumPy's functions and methods have no symbolic form, and why: what their errors say.

An expression's shape is known while it is built, and its values are not; a function that needs it otherwise has none.
"""

from __future__ import annotations

_COUNT = "how many elements it gives depends on the values, and shapes are known while the graph is built"
_IN_PLACE = "it writes into its argument, and expressions never change: build another, with where or x.at[index].set(v)"
_STEPS = "as values change its result steps from one integer to the next, so it has no derivative: compute it outside"
_TRUTH = "it answers with one of Python's bools, and values are not known while the graph is built"
_COMPLEX = "values are real numbers here"
_NO_VALUES = "an expression has no values: compile it, or take those that sb.evaluate gives"
_NO_MEMORY = "an expression has no values and no place in memory"
_CALLS = "it calls a function for one part after the other: write the formula for whole arrays"

_OTHERWISE = "write it with functions that have one, or tell its value and its derivative with sb.define_op"

_FUNCTIONS = {
    "intersect1d setdiff1d setxor1d trim_zeros union1d": _COUNT,
    "unique_all unique_counts unique_inverse unique_values": _COUNT,
    "poly polydiv polymul roots": f"{_COUNT}: it leaves leading zeros out",
    "histogram histogram2d histogram_bin_edges histogramdd": _STEPS,
    "packbits unpackbits": "it acts on the bits of integers, which have no derivative: compute it outside",
    "copyto fill_diagonal place put put_along_axis putmask": _IN_PLACE,
    "allclose array_equal array_equiv": f"{_TRUTH}: use sb.all of a comparison",
    "array2string array_repr array_str save savetxt savez savez_compressed": _NO_VALUES,
    "may_share_memory shares_memory": _NO_MEMORY,
    "angle iscomplex isreal linalg.eig linalg.eigvals sort_complex": _COMPLEX,
    "fft.fft fft.fft2 fft.fftn fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ihfft fft.rfft fft.rfft2 fft.rfftn": _COMPLEX,
    "apply_along_axis apply_over_axes": _CALLS,
    "empty_like": "its values are whatever lay in memory before: use zeros_like",
}
_METHODS = {
    "fill itemset put resize": _IN_PLACE,
    "dump dumps tobytes tofile tolist": _NO_VALUES,
    "base ctypes data flags getfield itemsize nbytes setfield setflags strides view": _NO_MEMORY,
    "byteswap": "values are in the byte order of the machine",
    "partition sort": "it sorts in place, and expressions never change: y = sb.sort(x)",
    "flat": "elements are not known one by one: x.ravel() has them all along one axis",
}


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: reason for names, reason in table.items() for name in names.split()}


FUNCTIONS = _by_name(_FUNCTIONS)
"""Why, by NumPy's name of the function, with that of its submodule."""
WRITING = frozenset(name for name, reason in FUNCTIONS.items() if reason is _IN_PLACE)
"""The functions that write into an argument."""
METHODS = _by_name(_METHODS)
"""Why, by the name of an array's method or attribute."""


def no_form(name: str) -> str:
    """Say that a function of NumPy has no symbolic form, and why where that is known, or else what to do.

    >>> no_form("shares_memory")
    'np.shares_memory has no symbolic form in symbackprop: an expression has no values and no place in memory'
    >>> no_form("i0").partition(": ")[2]
    'write it with functions that have one, or tell its value and its derivative with sb.define_op'
    """
    reason = FUNCTIONS.get(name, _OTHERWISE)
    full = name if name.startswith("scipy.") else f"np.{name}"
    return f"{full} has no symbolic form in symbackprop: {reason}"
