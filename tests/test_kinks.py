"""What derivatives are where there are none, or more than one: at kinks, ties, zeros, infinities and of nothing.

Where a function is defined and only the rule of its derivative would divide by zero, the derivative is one of its
subgradients and never NaN; so is the second derivative. What is infinite by nature stays infinite. All of this holds
as the graph is built and as it is compiled; `simplify` takes values not to be zero where something is divided by them.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.ops import TABLE

INF, NAN = np.inf, np.nan


class Kink(NamedTuple):
    """A function of x at a point, the gradient of its sum there, and the derivative of the gradient's sum.

    Attributes:
        text: the function, as NumPy code.
        x: the point.
        first: the gradient there.
        second: the derivative of the sum of the gradient's elements.
        words: the convention, or why it is no convention.
    """

    text: str
    x: Any
    first: Any
    second: Any
    words: str


_SWAP = [[0, 2, 0], [2, 0, 0], [0, 0, 0]]
_OF_FIRST = [[[1, -1], [-1, 1]], [[0, 0], [0, 0]]]

_OF_LENGTH = [[0, 0], [4 / 125, -3 / 125]]
_GRAM = "np.sum(x**2, 1)[:, None] + np.sum(x**2, 1) - 2*x @ x.T"
_APART = np.array([[-1, -1], [1, 1]]) * np.sqrt(2)

ELEMENTWISE = (
    Kink("np.abs(x)", 0, 0, 0, "0 at 0"),
    Kink("np.fabs(x)", 0, 0, 0, "0 at 0"),
    Kink("np.abs(x[0] - x[1])", [1, 1], [0, 0], [0, 0], "0 at a tie"),
    Kink("x*np.abs(x)", 0, 0, 0, "2|x|, whose slope at 0 is 0"),
    Kink("sb.relu(x)", 0, 0, 0, "0 at 0 unless told"),
    Kink("sb.relu(x, slope_at_zero=1)", 0, 1, 0, "the derivative from the right, if wanted"),
    Kink("sb.relu(x, slope_at_zero=0.5)", 0, 0.5, 0, "any subgradient, if wanted"),
    Kink("sb.relu(x)**2", 0, 0, 0, "the derivative from the left"),
    Kink("sb.leaky_relu(x, 0.1)", 0, 0.1, 0, "the derivative from the left"),
    Kink("np.clip(x, 0, 1)", 0, 1, 0, "1 at both ends"),
    Kink("np.clip(x, 0, 1)", 1, 1, 0, "1 at both ends"),
    Kink("np.sign(x)", 0, 0, 0, "0 everywhere"),
    Kink("np.heaviside(x, 0.5)", 0, 0, 0, "0 everywhere"),
    Kink("sb.step(x)", 0, 0, 0, "0 everywhere"),
    Kink("np.maximum(x, 0)", 0, 1, 0, "of two equal numbers the first"),
    Kink("np.maximum(0, x)", 0, 0, 0, "of two equal numbers the first"),
    Kink("np.minimum(x, 0)", 0, 1, 0, "of two equal numbers the first"),
    Kink("np.minimum(0, x)", 0, 0, 0, "of two equal numbers the first"),
    Kink("np.maximum(x, x)", 1, 1, 0, "the derivative, which there is"),
    Kink("np.maximum(x, -x)", 0, 1, 0, "of two equal numbers the first"),
    Kink("np.fmax(x, 0)", 0, 1, 0, "of two equal numbers the first"),
    Kink("np.fmin(0, x)", 0, 0, 0, "of two equal numbers the first"),
    Kink("np.fmax(x, np.nan)", 1, 1, 0, "NaN is passed over"),
    Kink("np.maximum(x, np.nan)", 1, 0, 0, "NaN is what comes out, and x has no part in it"),
    Kink("np.floor(x)", 1, 0, 0, "0 everywhere"),
    Kink("np.ceil(x)", 1, 0, 0, "0 everywhere"),
    Kink("np.trunc(x)", 0, 0, 0, "0 everywhere"),
    Kink("np.rint(x)", 0.5, 0, 0, "0 everywhere"),
    Kink("np.round(x)", 0.5, 0, 0, "0 everywhere"),
    Kink("x % 1", 0, 1, 0, "the derivative from the right"),
    Kink("np.fmod(x, 1)", 0, 1, 0, "the derivative, which there is"),
    Kink("np.copysign(x, 1)", 0, 0, 0, "|x|: 0 at 0"),
    Kink("np.where(x > 0, np.log(x), 0)", 0, 0, 0, "the branch that is not chosen contributes nothing"),
    Kink("np.where(x > 0, np.log(x), 0)", -1, 0, 0, "not even where it is NaN"),
    Kink("np.where(x > 0, np.sqrt(x), 0)", 0, 0, 0, "nor where its derivative is infinite"),
    Kink("np.where(np.isnan(x), 0, x)", NAN, 0, 0, "not even where it is NaN"),
    Kink("np.where(x > 1, x/(x - 1), 0)", 1, 0, 0, "nor where it divides by 0"),
    Kink("np.sinc(x)", 0, 0, -np.pi**2 / 3, "the limits"),
    Kink("np.logaddexp(x, -np.inf)", 0, 1, 0, "exp(-inf) is 0"),
    Kink("np.logaddexp(x[0], x[1])", [-INF, 0], [0, 1], [0, 0], "exp(-inf) is 0"),
    Kink("np.logaddexp(x[0], x[1])", [-INF, -INF], [0.5, 0.5], [0, 0], "a tie is shared equally"),
    Kink("np.logaddexp(x[0], x[1])", [INF, INF], [0.5, 0.5], [0, 0], "a tie is shared equally"),
    Kink("np.logaddexp2(x[0], x[1])", [-INF, -INF], [0.5, 0.5], [0, 0], "a tie is shared equally"),
    Kink("sb.softplus(x)", -INF, 0, 0, "the limit"),
    Kink("sb.sigmoid(x)", -INF, 0, 0, "the limit"),
    Kink("np.tanh(x)", INF, 0, 0, "the limit"),
    Kink("np.log(x)", 0, INF, -INF, "infinite by nature"),
    Kink("np.log1p(x)", -1, INF, -INF, "infinite by nature"),
    Kink("np.arccos(x)", 1, -INF, -INF, "infinite by nature"),
    Kink("np.arcsin(x)", 1, INF, INF, "infinite by nature"),
    Kink("np.arccos(np.clip(x, -1, 1))", 1, 0, 0, "0, as that of what is left of it"),
    Kink("np.arccos(np.clip(x, -1, 1))", 2, 0, 0, "the derivative, which there is"),
    Kink("np.arcsin(np.clip(x, -1, 1))", -1, 0, 0, "0, as that of what is left of it"),
    Kink("np.arcsin(np.clip(x, -1, 1))", -2, 0, 0, "the derivative, which there is"),
    Kink("np.arccos(np.clip(x[0]/np.linalg.norm(x), -1, 1))", [2, 0], [0, 0], [0, 0], "0 between parallel vectors"),
)  # fmt: skip

POWERS = (
    Kink("np.sqrt(x)", 0, INF, -INF, "infinite by nature"),
    Kink("np.cbrt(x)", 0, INF, NAN, "infinite by nature; the second derivative is of either sign"),
    Kink("np.sqrt(np.sum(x**2))", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sqrt(x @ x)", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sum(x**2)**0.5", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sqrt(np.mean(x**2))", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sqrt(x[0]**2 + x[1]**2)", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sqrt(x[0]*x[0] + x[1]*x[1])", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sqrt(np.sum((x - x[::-1])**2))", [1, 1], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.sqrt(np.sum(x**2, axis=1))", [[0, 0], [0, 4]], [[0, 0], [0, 1]], [[0, 0], [0.25, 0]], "row by row"),
    Kink("np.sqrt(np.einsum('ij,ij->i', x, x))", [[0, 0], [3, 4]], [[0, 0], [0.6, 0.8]], _OF_LENGTH, "row by row"),
    Kink("np.sqrt(np.diag(x @ x.T))", [[0, 0], [3, 4]], [[0, 0], [0.6, 0.8]], _OF_LENGTH, "row by row"),
    Kink("np.sqrt(np.trace(x.T @ x))", [[0, 0], [0, 0]], np.zeros((2, 2)), np.zeros((2, 2)), "the length"),
    Kink("np.sqrt(np.max(x**2))", [0, 0], [0, 0], [0, 0], "0 at 0, as of a norm"),
    Kink("np.sqrt(np.cumsum(x**2))", [0, 0], [0, 0], [0, 0], "0 at 0, as of a norm"),
    Kink("np.sqrt(x**2 @ np.array([1.0, 0.0]))", [0, 2], [0, 0], [0, 0], "0 at 0, as of a norm"),
    Kink("np.sum(np.abs(x)**3)**(1/3)", [0, 0], [0, 0], [0, 0], "0 at 0, as of a norm"),
    Kink("np.cbrt(np.sum(x**2))", [0, 0], [0, 0], [0, 0], "0 at 0, as of a norm"),
    Kink("np.sqrt(np.maximum(x, 0))", 0, 0, 0, "0, as that of what is left of it"),
    Kink("np.sqrt(np.clip(x, 0, 1))", 0, 0, 0, "0, as that of what is left of it"),
    Kink("np.sqrt(np.clip(x, 0, 1))", -1, 0, 0, "the derivative, which there is"),
    Kink(f"np.sqrt(np.maximum({_GRAM}, 0))", [[1, 2], [3, 4]], _APART, np.zeros((2, 2)), "0 between what is one"),
    Kink("np.sqrt(x @ np.array([[2.0, 1.0], [1.0, 1.0]]) @ x)", [0, 0], [0, 0], [0, 0], "the length: 0 at 0"),
    Kink("np.sqrt(np.linalg.det(x @ x.T))", [[1, 1], [1, 1]], np.zeros((2, 2)), np.zeros((2, 2)), "|det|: 0 at 0"),
    Kink("np.sqrt(np.linalg.eigvalsh(x @ x.T))", [[1, 0], [0, 0]], [[1, 0], [0, 0]], [[0, 1], [1, 0]], "as of svdvals"),
    Kink("np.sqrt(1 - np.cos(x))", 0, 0, 0, "0 at 0, as of |x|"),
    Kink("np.sqrt(2 - 2*np.cos(x)**2)", 0, 0, 0, "0 at 0, as of |x|"),
    Kink("np.arccos(np.cos(x))", 0, 0, 0, "|x|: 0 at 0"),
    Kink("np.abs(x)**2", 0, 0, 2, "x**2"),
    Kink("np.linalg.norm(np.abs(x))", [0, 2], [0, 1], [0.5, 0], "as of x"),
    Kink("np.sqrt(x**2)", 0, 0, 0, "|x|: 0 at 0"),
    Kink("np.sqrt(x**4)", 0, 0, 2, "x**2"),
    Kink("np.sqrt(x**6)", 0, 0, 0, "|x|**3"),
    Kink("np.sqrt(x*x*x)", 0, 0, INF, "as of x**1.5"),
    Kink("np.sqrt(x**2 + x**4)", 0, 0, 0, "0 at 0, as of a norm"),
    Kink("(x**4)**0.25", 0, 0, 0, "|x|: 0 at 0"),
    Kink("np.cbrt(x)**2", 0, 0, 0, "between -inf and inf: 0, as of |x|"),
    Kink("np.cbrt(x**2)", 0, 0, 0, "between -inf and inf: 0, as of |x|"),
    Kink("np.cbrt(x)*np.cbrt(x)*np.cbrt(x)", 0, 1, 0, "x"),
    Kink("np.cbrt(x**3)", 0, 1, 0, "x"),
    Kink("np.cbrt(x)*x", 0, 0, 0, "the derivative, which there is; the second is 0, as of |x|"),
    Kink("np.cbrt(x)**5", 0, 0, 0, "the derivatives, which there are"),
    Kink("np.sqrt(np.square(x - 1))", 1, 0, 0, "|x - 1|: 0 at 1"),
    Kink("np.sqrt(np.abs(x))", 0, 0, 0, "between -inf and inf: 0, as of |x|"),
    Kink("np.hypot(x, 0.0)", 0, 0, 0, "the length: 0 at 0, as of a norm"),
    Kink("np.hypot(x[0], x[1])", [0, 0], [0, 0], [0, 0], "the length: 0 at 0, as of a norm"),
    Kink("np.arctan2(x[0], x[1])", [0, 0], [0, 0], [0, 0], "0 at the origin, where there is no angle"),
    Kink("np.arctan2(x, -1.0)", 0, -1, 0, "the derivative along the branch cut, which is the same on both sides"),
    Kink("np.sqrt(x)**2", 0, 1, 0, "x, where it is not negative"),
    Kink("np.sqrt(x)*np.sqrt(x)", 0, 1, 0, "x, where it is not negative"),
    Kink("(x**0.25)**4", 0, 1, 0, "x, where it is not negative"),
    Kink("np.cbrt(x)**3", 0, 1, 0, "x"),
    Kink("np.exp(np.log(x))", 0, 1, 0, "x, where it is not negative"),
    Kink("np.sqrt(1 - x)**2", 1, -1, 0, "1 - x, where it is not negative"),
    Kink("np.exp(2*np.log(x))", 0, 0, 2, "x**2, where x is not negative"),
    Kink("np.exp(np.log(x)/2)", 0, INF, -INF, "as of sqrt"),
    Kink("np.cos(np.arccos(x))", 1, 1, 0, "x, where it is not beyond -1 and 1"),
    Kink("np.tanh(np.arctanh(x))", -1, 1, 0, "x, where it is not beyond -1 and 1"),
    Kink("sb.sigmoid(sb.logit(x))", 0, 1, 0, "x, where it is not beyond 0 and 1"),
    Kink("np.exp(-np.sqrt(x)**2)", 0, -1, 1, "exp(-x), where x is not negative"),
    Kink("np.sqrt(x)**4", 0, 0, 2, "x², where x is not negative"),
    Kink("np.sqrt(x)**5", 0, 0, 0, "the derivative from the right"),
    Kink("x*np.sqrt(x)", 0, 0, INF, "as of x**1.5"),
    Kink("x**2*np.sqrt(x)", 0, 0, 0, "as of x**2.5"),
    Kink("np.sqrt(x**3)", 0, 0, INF, "as of x**1.5"),
    Kink("x**0", 0, 0, 0, "x**0 is 1 everywhere"),
    Kink("x**0.0", 0, 0, 0, "x**0 is 1 everywhere"),
    Kink("x**1", 0, 1, 0, "the derivative, which there is"),
    Kink("x**2", 0, 0, 2, "the derivative, which there is"),
    Kink("x**3", 0, 0, 0, "the derivative, which there is"),
    Kink("np.power(x, 3.0)", 0, 0, 0, "the derivative, which there is"),
    Kink("x**1.5", 0, 0, INF, "infinite by nature, the second derivative"),
    Kink("x**2.5", 0, 0, 0, "the derivative from the right"),
    Kink("x**0.5", 0, INF, -INF, "infinite by nature"),
    Kink("np.abs(x)**0.5", 0, 0, 0, "between -inf and inf: 0, as of |x|"),
    Kink("np.abs(x)**1", 0, 0, 0, "0, as of |x|"),
    Kink("np.abs(x)**1.5", 0, 0, 0, "the derivative, which there is; the second is 0, as of |x|"),
    Kink("np.abs(x)**2.5", 0, 0, 0, "the derivative, which there is"),
    Kink("np.abs(x)**3", 0, 0, 0, "the derivative, which there is"),
    Kink("np.power(0.0, x)", 0, 0, 0, "by the exponent it is 0 at a base of 0"),
    Kink("np.power(0.0, x)", 1, 0, 0, "by the exponent it is 0 at a base of 0"),
    Kink("x**x", 0, 0, 1, "0**0 is 1, and its derivatives are those of 1**0"),
    Kink("x[:1]**x[1:]", [0, 0], [0, 0], [0, 1], "0**0 is 1, and its derivatives are those of 1**0"),
    Kink("x[:1]**x[1:]", [2, 0], [0, np.log(2)], [0.5, 0.5 + np.log(2)**2], "the derivatives, which there are"),
    Kink("np.power(x, [0.0, 1.0, 2.0])", [0, 0, 0], [0, 1, 0], [0, 0, 2], "element by element"),
    Kink("np.power(x, [0.0, 1.0])", [INF, INF], [0, 1], [0, 0], "x**0 is 1 everywhere"),
    Kink("np.linalg.det(x)", [[1, 2], [2, 4]], [[4, -2], [-2, 1]], [[1, -1], [-1, 1]], "the cofactors"),
    Kink("np.linalg.det(x)", [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[1, -1], [-1, 1]], "the cofactors"),
    Kink("np.linalg.det(x)", [[0]], [[1]], [[0]], "the cofactors"),
    Kink("np.linalg.det(x)", np.diag([0, 0, 2]), np.zeros((3, 3)), np.diag([2, 2, 0]) - _SWAP, "the cofactors"),
    Kink("np.linalg.det(x)[0]", [[[0, 0], [0, 0]], [[1, 2], [3, 4]]], np.zeros((2, 2, 2)), _OF_FIRST, "one by one"),
    Kink("np.linalg.det(x)**2", [[1, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], "2·det times the cofactors"),
    Kink("np.prod(x)", [0, 2, 3], [6, 0, 0], [5, 3, 2], "the product of the others, also at zeros"),
    Kink("np.prod(x)", [0, 0, 3], [0, 0, 0], [3, 3, 0], "the product of the others, also at zeros"),
    Kink("np.prod(x)", [0, 0, 0], [0, 0, 0], [0, 0, 0], "the product of the others, also at zeros"),
    Kink("np.cumprod(x)", [0, 2, 3], [9, 0, 0], [6, 4, 2], "the product of the others, also at zeros"),
    Kink("np.linalg.matrix_power(x, 2)", [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[4, 4], [4, 4]], "as of x²"),
)  # fmt: skip

NORMS = (
    Kink("np.linalg.norm(x)", [0, 0], [0, 0], [0, 0], "0 at 0"),
    Kink("np.linalg.norm(x)**2", [0, 0], [0, 0], [2, 2], "the derivative, which there is"),
    Kink("np.exp(-np.linalg.norm(x))", [0, 0], [0, 0], [0, 0], "0 at 0"),
    Kink("np.linalg.norm(x)*x[0]", [0, 0], [0, 0], [0, 0], "the derivative, which there is; the second 0"),
    Kink("np.linalg.norm(x, 1)", [0, 1], [0, 1], [0, 0], "of each element that is 0 it is 0"),
    Kink("np.linalg.norm(x, np.inf)", [1, -1], [0.5, -0.5], [0, 0], "a tie is shared equally"),
    Kink("np.linalg.norm(x, np.inf)", [0, 0], [0, 0], [0, 0], "0 at 0"),
    Kink("np.linalg.norm(x, -np.inf)", [0, 0], [0, 0], [0, 0], "0 at 0"),
    Kink("np.linalg.norm(x, 0)", [0, 1], [0, 0], [0, 0], "0 everywhere"),
    Kink("np.linalg.norm(x, 3)", [0, 0], [0, 0], [0, 0], "0 at 0"),
    Kink("np.linalg.norm(x, 3)", [0, 1], [0, 1], [0, 0], "the derivative, which there is"),
    Kink("np.linalg.norm(x, 1.5)", [0, 0], [0, 0], [0, 0], "0 at 0"),
    Kink("np.linalg.norm(x, 1.5)", [0, 1], [0, 1], [0, 0], "the derivative, which there is; the second 0, as of |x|"),
    Kink("np.linalg.norm(x, 0.5)", [0, 1], [0, 1], [0, 0], "of each element that is 0 it is 0, as of |x|"),
    Kink("np.linalg.norm(x)", [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], "0 at 0"),
    Kink("np.linalg.norm(x, 'nuc')", [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], "0 at 0"),
    Kink("np.linalg.norm(x, 2)", [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], "0 at 0"),
    Kink("np.linalg.norm(x, 2)", [[1, 0], [0, 1]], [[0.5, 0], [0, 0.5]], [[0, 0], [0, 0]], "a tie is shared equally"),
)  # fmt: skip

REDUCTIONS = (
    Kink("np.max(x)", [1, 1, 0], [0.5, 0.5, 0], [0, 0, 0], "a tie is shared equally"),
    Kink("np.min(x)", [1, 1, 2], [0.5, 0.5, 0], [0, 0, 0], "a tie is shared equally"),
    Kink("np.ptp(x)", [1, 1], [0, 0], [0, 0], "a tie is shared equally"),
    Kink("np.median(x)", [1, 2, 3, 4], [0, 0.5, 0.5, 0], [0, 0, 0, 0], "the derivative, which there is"),
    Kink("np.std(x)", [1, 1, 1], [0, 0, 0], [0, 0, 0], "0 where all are equal"),
    Kink("np.std(x, ddof=1)", [1, 1], [0, 0], [0, 0], "0 where all are equal"),
    Kink("np.var(x)", [1, 1, 1], [0, 0, 0], [0, 0, 0], "the derivative, which there is"),
    Kink("np.std(x)**2 * np.array([1.0, 0.0])", [2, 2], [0, 0], [0, 0], "as of var"),
    Kink("np.std(x)**2 - x[0]**2/4", [0, 0], [0, 0], [-0.5, 0], "as of var"),
    Kink("np.std(x)", [1], [0], [0], "of one number it is 0"),
    Kink("sb.logsumexp(x)", [-INF, 0], [0, 1], [0, 0], "exp(-inf) is 0"),
    Kink("sb.logsumexp(x)", [INF, 0], [1, 0], [0, 0], "the limit"),
    Kink("sb.logsumexp(x)", [-INF, -INF], [0.5, 0.5], [0, 0], "a tie is shared equally"),
    Kink("np.log(np.sum(np.exp(x)))", [-INF, -INF], [0.5, 0.5], [0, 0], "a tie is shared equally"),
    Kink("sb.softmax(x)[1]", [-INF, -INF], [-0.25, 0.25], [0, 0], "a tie is shared equally"),
    Kink("sb.softmax(x)[1]", [-INF, 0], [0, 0], [0, 0], "exp(-inf) is 0"),
    Kink("sb.log_softmax(x)[1]", [-INF, 0], [0, 0], [0, 0], "exp(-inf) is 0"),
    Kink("np.log(sb.softmax(x))[1]", [-INF, 0], [0, 0], [0, 0], "exp(-inf) is 0"),
    Kink("np.log(np.sum(np.exp(x)))", [-INF, 0], [0, 1], [0, 0], "exp(-inf) is 0"),
    Kink("np.nansum(x)", [NAN, 1], [0, 1], [0, 0], "NaN is passed over"),
    Kink("np.nanmean(x)", [NAN, 1], [0, 1], [0, 0], "NaN is passed over"),
    Kink("np.nanmax(x)", [NAN, 1], [0, 1], [0, 0], "NaN is passed over"),
    Kink("np.sum(x)", [], [], [], "of nothing there is nothing to differentiate by"),
    Kink("np.prod(x)", [], [], [], "of nothing there is nothing to differentiate by"),
    Kink("np.mean(x)", [], [], [], "of nothing there is nothing to differentiate by"),
    Kink("np.var(x)", [], [], [], "of nothing there is nothing to differentiate by"),
    Kink("sb.logsumexp(x)", [], [], [], "of nothing there is nothing to differentiate by"),
    Kink("np.linalg.norm(x)", [], [], [], "of nothing there is nothing to differentiate by"),
)  # fmt: skip

ENTROPIES = (
    Kink("sb.entr(x)", 0, INF, -INF, "infinite by nature"),
    Kink("sb.xlogy(x, x)", 0, -INF, INF, "infinite by nature"),
    Kink("sb.xlogy(x, 2.0)", 0, np.log(2), 0, "the derivative, which there is"),
    Kink("sb.xlogy(0.0, x)", 0, 0, 0, "0·log(y) is 0 everywhere"),
    Kink("sb.xlogy(x[0], x[1])", [0, 2], [np.log(2), 0], [0.5, 0.5], "the derivatives, which there are"),
    Kink("sb.xlog1py(x[0], x[1])", [0, 1], [np.log(2), 0], [0.5, 0.5], "the derivatives, which there are"),
    Kink("sb.rel_entr(0.0, x)", 0, 0, 0, "0·log(0/y) is 0 everywhere"),
    Kink("sb.kl_div(0.0, x)", 0, 1, 0, "y, what is left of it"),
    Kink("sb.xlog1py(0.0, x)", -1, 0, 0, "0·log(1 + y) is 0 everywhere"),
    Kink("x*np.log(x)", 0, -INF, INF, "infinite by nature"),
    Kink("-np.sum(x*np.log(x))", [0, 1], [INF, -1], [-INF, -1], "infinite by nature"),
    Kink("x*np.log(x) + (1 - x)*np.log(1 - x)", 1, INF, INF, "infinite by nature"),
)  # fmt: skip

KINKS = (*ELEMENTWISE, *POWERS, *NORMS, *REDUCTIONS, *ENTROPIES)


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")  # of steps, whose derivative is asked for
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # NumPy's words for nothing, as it should be
@pytest.mark.parametrize("kink", KINKS, ids=lambda kink: f"{kink.text} at {kink.x}")
def test_the_convention_holds(kink):
    """The expression's own rules and the compiled function agree on it, in both orders."""
    at = np.asarray(kink.x, float)
    x = sb.symbol("x", at.shape)
    f = sb.sum(eval(kink.text, {"np": np, "sb": sb, "x": x}))  # noqa: S307  (our own text)
    first = sb.grad(f, x, unused="zeros")
    second = sb.grad(sb.sum(first), x, unused="zeros")
    with np.errstate(all="ignore"):
        compiled = sb.compile([x], [first, second])(at)
        evaluated = [sb.evaluate(expr, {x: at}) for expr in (first, second)]
    for found in (compiled, evaluated):
        for order, (derivative, expected) in enumerate(zip(found, (kink.first, kink.second), strict=True), 1):
            np.testing.assert_allclose(
                derivative, np.asarray(expected, float), rtol=1e-12, atol=1e-15, err_msg=f"{order}"
            )


def test_a_tie_in_an_order_belongs_to_those_that_stand_there():
    """Sorting is stable: of equal elements the first stays first, and each has the derivative of its new place."""
    x = sb.symbol("x", 3)
    weights = np.array([1.0, 10.0, 100.0])
    gradient = sb.grad(np.sum(np.sort(x) * weights), x)
    np.testing.assert_array_equal(sb.evaluate(gradient, {x: np.array([1.0, 1.0, 0.0])}), [10.0, 100.0, 1.0])


@pytest.mark.parametrize("op", [op for op in TABLE if op.kinks], ids=lambda op: op.name)
def test_an_op_with_a_kink_says_what_its_derivative_is_there(op):
    assert op.kink, f"{op.name} has kinks at {op.kinks}, and does not say what it does there"


@pytest.mark.parametrize("op", [op for op in TABLE if op.elementwise], ids=lambda op: op.name)
def test_an_op_that_is_not_tried_everywhere_says_why(op):
    numbers = [span for position, span in enumerate(op.domain) if op.rule(position) is not None]
    everywhere = all(low <= -1 and high >= 1 for low, high in numbers)
    assert everywhere or op.defined or op.kink, f"{op.name} is tried in {op.domain}: where else is it what?"
