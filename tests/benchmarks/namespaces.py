"""NumPy's functions by their names here, from each library: what the texts of problems are written over."""

from __future__ import annotations

from typing import Any

import symbackprop as sb

OURS = {
    "exp": sb.exp, "log": sb.log, "log1p": sb.log1p, "sqrt": sb.sqrt, "sin": sb.sin, "cos": sb.cos, "tanh": sb.tanh,
    "erf": sb.erf, "relu": sb.relu, "sigmoid": sb.sigmoid, "softplus": sb.softplus, "sum": sb.sum, "mean": sb.mean,
    "log_softmax": sb.log_softmax, "logsumexp": sb.logsumexp, "eye": sb.eye, "einsum": sb.einsum,
    "solve": sb.linalg.solve, "logdet": lambda K: sb.linalg.slogdet(K)[1], "shape": lambda x: x.shape,
}  # fmt: skip


def jax() -> dict[str, Any]:
    """Give JAX's functions, in 64 bits where the arguments are."""
    import jax  # noqa: PLC0415  (which may not be installed, like the others)
    import jax.numpy as jnp  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)
    return {
        "exp": jnp.exp, "log": jnp.log, "log1p": jnp.log1p, "sqrt": jnp.sqrt, "sin": jnp.sin, "cos": jnp.cos,
        "tanh": jnp.tanh, "erf": jax.scipy.special.erf, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus, "sum": jnp.sum, "mean": jnp.mean, "log_softmax": jax.nn.log_softmax,
        "logsumexp": jax.scipy.special.logsumexp, "eye": jnp.eye, "einsum": jnp.einsum, "solve": jnp.linalg.solve,
        "logdet": lambda K: jnp.linalg.slogdet(K)[1], "shape": jnp.shape,
    }  # fmt: skip


def torch(threads: int) -> dict[str, Any]:
    """Give PyTorch's functions, for so many threads, in 64 bits where nothing else is said."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float64)
    return {
        "exp": torch.exp, "log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt, "sin": torch.sin,
        "cos": torch.cos, "tanh": torch.tanh, "erf": torch.erf, "relu": torch.relu, "sigmoid": torch.sigmoid,
        "softplus": torch.nn.functional.softplus, "sum": torch.sum, "mean": torch.mean,
        "log_softmax": lambda z: torch.log_softmax(z, -1), "logsumexp": torch.logsumexp, "eye": torch.eye,
        "einsum": torch.einsum, "solve": torch.linalg.solve, "logdet": lambda K: torch.linalg.slogdet(K)[1],
        "shape": lambda x: x.shape,
    }  # fmt: skip


def autograd() -> dict[str, Any]:
    """Give autograd's functions."""
    import autograd.numpy as anp  # noqa: PLC0415
    from autograd.scipy.special import erf, expit, logsumexp  # noqa: PLC0415

    return {
        "exp": anp.exp, "log": anp.log, "log1p": anp.log1p, "sqrt": anp.sqrt, "sin": anp.sin, "cos": anp.cos,
        "tanh": anp.tanh, "erf": erf, "relu": lambda x: anp.maximum(x, 0), "sigmoid": expit,
        "softplus": lambda x: anp.logaddexp(0, x), "sum": anp.sum, "mean": anp.mean,
        "log_softmax": lambda z: z - logsumexp(z, axis=-1, keepdims=True), "logsumexp": logsumexp, "eye": anp.eye,
        "einsum": anp.einsum, "solve": anp.linalg.solve, "logdet": lambda K: anp.linalg.slogdet(K)[1],
        "shape": anp.shape,
    }  # fmt: skip


def pytensor() -> dict[str, Any]:
    """Give PyTensor's functions."""
    import pytensor.tensor as pt  # noqa: PLC0415

    return {
        "exp": pt.exp, "log": pt.log, "log1p": pt.log1p, "sqrt": pt.sqrt, "sin": pt.sin, "cos": pt.cos,
        "tanh": pt.tanh, "erf": pt.erf, "relu": lambda x: pt.maximum(x, 0), "sigmoid": pt.sigmoid,
        "softplus": pt.softplus, "sum": pt.sum, "mean": pt.mean,
        "log_softmax": lambda z: pt.special.log_softmax(z, axis=-1), "logsumexp": pt.logsumexp, "eye": pt.eye,
        "einsum": pt.einsum, "solve": pt.linalg.solve, "logdet": lambda K: pt.linalg.slogdet(K)[1],
        "shape": lambda x: x.type.shape,
    }  # fmt: skip
