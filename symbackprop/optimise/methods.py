"""The methods of `minimize`: what each of them wants to know of the objective, and which options it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from symbackprop.errors import did_you_mean
from symbackprop.optimise.newton import newton

if TYPE_CHECKING:
    from collections.abc import Mapping

Curvature: TypeAlias = Literal["none", "full", "structured", "product"]


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        scipy: what `scipy.optimize.minimize` takes for it.
        curvature: how it learns the second derivative, the usual way first.
        bounds: whether it keeps to bounds.
        tolerances: the options that get the tolerance.
        fixed: other options, which let the tolerance alone decide.
        settles: whether its own word that it has converged is to be believed.
        interior: whether it must begin off the bounds, or it leaves them.
    """

    scipy: str | Callable[..., Any]
    curvature: tuple[Curvature, ...] = ("none",)
    bounds: bool = False
    tolerances: tuple[str, ...] = ("gtol",)
    fixed: tuple[tuple[str, object], ...] = ()
    settles: bool = True
    interior: bool = False

    def options(self, tol: float, max_iter: int | None) -> dict[str, object]:
        """Give SciPy's options for a tolerance and a number of iterations."""
        found: dict[str, object] = {**dict.fromkeys(self.tolerances, tol), **dict(self.fixed)}
        return found if max_iter is None else found | {"maxiter": max_iter}


_EITHER: tuple[Curvature, ...] = ("product", "full")
_FAR = (("max_trust_radius", math.inf),)  # a minimum may be further away than SciPy's thousand at a time

METHODS: Mapping[str, Method] = {
    "bfgs": Method("BFGS"),
    "cg": Method("CG"),
    # Only a step that changes nothing ends the search beside the tolerance; 15,000 evaluations would, too.
    "l-bfgs": Method("L-BFGS-B", bounds=True, fixed=(("ftol", 0.0), ("maxfun", 10**9))),
    "newton": Method(newton, ("structured", "full")),
    # It looks at the length of the steps alone, and stays where it is where f has no curvature.
    "newton-cg": Method("Newton-CG", _EITHER, tolerances=(), fixed=(("xtol", 0.0),), settles=False),
    "trust-ncg": Method("trust-ncg", _EITHER, fixed=_FAR),
    "trust-krylov": Method("trust-krylov", _EITHER, fixed=_FAR),
    "trust-exact": Method("trust-exact", ("full",), fixed=_FAR),
    # With bounds it would stop at its barrier, before it comes near to them.
    "trust-constr": Method(
        "trust-constr",
        _EITHER,
        bounds=True,
        tolerances=(),
        fixed=(("gtol", 0.0), ("barrier_tol", 0.0), ("xtol", 1e-14)),
        settles=False,
        interior=True,
    ),
}
_SPELLINGS = {"l-bfgs-b": "l-bfgs", "lbfgs": "l-bfgs"}
GAUSS_NEWTON = "gauss-newton"


def spelt(name: object) -> str:
    """Spell the name of a method as it is spelt here.

    >>> spelt("L-BFGS-B"), spelt("Gauss_Newton")
    ('l-bfgs', 'gauss-newton')
    """
    plain = str(name).lower().replace("_", "-")
    return _SPELLINGS.get(plain, plain)


def method_named(name: object) -> Method:
    """Find a method by its name, in any case.

    Raises:
        ValueError: there is none of that name.

    >>> method_named("L-BFGS-B").scipy
    'L-BFGS-B'
    """
    wanted = spelt(name)
    found = METHODS.get(wanted)
    if found is None:
        known = [*METHODS, GAUSS_NEWTON]
        raise ValueError(
            f"minimize: there is no method {name!r}{did_you_mean(wanted, known)}; there are {', '.join(known)}"
        )
    return found
