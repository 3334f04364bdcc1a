"""Sums of products, convolutions and pooling, in the forms that people write."""

from __future__ import annotations

from tests.forms import form

_MATRICES = {"A": (2, 3), "B": (3, 4)}
_MODES = {
    "convolve": ("", ", 'same'", ", 'valid'"),
    "correlate": (", 'full'", "", ", 'same'"),
}
"""How the functions are called, first that of which no size must be known."""
_VIEW = "np.lib.stride_tricks.sliding_window_view"


def _correlated(pads: str, index: str, extents: str = "(2, 3)") -> str:
    """Say what a kernel sees of images: NumPy's windows, some of them, times the kernel."""
    padded = f"np.pad(x, ((0, 0), (0, 0), {pads}))" if pads else "x"
    return f"np.einsum('nchwkl,ockl->nohw', {_VIEW}({padded}, {extents}, (2, 3)){index}, w)"


FORMS = (
    # --- products of vectors and matrices
    form("x @ y", x=(3,), y=(3,)),
    form("A @ y", A=(2, 3), y=(3,)),
    form("x @ B", x=(3,), B=(3, 4)),
    form("A @ B", **_MATRICES),
    form("A @ B", A=(5, 2, 3), B=(3, 4)),
    form("A @ B", A=(5, 2, 3), B=(5, 3, 4)),
    form("np.matmul(A, B)", A=(2, 1, 4, 3), B=(5, 3, 2)),
    form("np.matmul(x, B)", x=(3,), B=(5, 3, 2)),
    form("np.dot(x, y)", x=(3,), y=(3,)),
    form("np.dot(A, B)", **_MATRICES),
    form("np.dot(A, 2.0)", A=(2, 3)),
    form("np.dot(s, A)", s=(), A=(2, 3)),
    form("np.dot(A, y)", A=(5, 2, 3), y=(3,)),
    form("np.dot(x, B)", x=(3,), B=(5, 3, 2)),
    form("np.dot(A, B)", A=(5, 2, 3), B=(4, 3, 2)),
    form("A.dot(y)", A=(2, 3), y=(3,)),
    form("np.inner(x, y)", x=(3,), y=(3,)),
    form("np.inner(A, B)", A=(2, 3), B=(4, 3)),
    form("np.inner(A, B)", A=(5, 2, 3), B=(4, 6, 3)),
    form("np.inner(x, 3.0)", x=(3,)),
    form("np.vdot(x, y)", x=(3,), y=(3,)),
    form("np.vdot(A, B)", A=(2, 3), B=(3, 2)),
    form("np.outer(x, y)", x=(3,), y=(4,)),
    form("np.outer(A, y)", A=(2, 3), y=(4,)),
    form("np.vecdot(x, y)", x=(3,), y=(3,)),
    form("np.vecdot(A, y)", A=(2, 3), y=(3,)),
    form("np.vecdot(A, B)", A=(5, 1, 3), B=(4, 3)),
    form("np.vecdot(A, B, axis=0)", A=(2, 3), B=(2, 3)),
    form("np.einsum('ij->...j', A)", A=(2, 3)),
    form("sb.matvec(A, x)", truth="np.einsum('...ij,...j->...i', A, x)", A=(2, 3), x=(3,)),
    form("sb.matvec(A, x)", truth="np.einsum('...ij,...j->...i', A, x)", A=(2, 3), x=(5, 3)),
    form("sb.matvec(A, x)", truth="np.einsum('...ij,...j->...i', A, x)", A=(5, 2, 3), x=(5, 3)),
    form("sb.vecmat(x, A)", truth="np.einsum('...i,...ij->...j', x, A)", x=(2,), A=(2, 3)),
    form("sb.vecmat(x, A)", truth="np.einsum('...i,...ij->...j', x, A)", x=(5, 2), A=(5, 2, 3)),
    form("np.cross(a, b)", a=(3,), b=(3,), named=False),
    form("np.cross(a, b)", a=(4, 3), b=(3,), named=False),
    form("np.cross(a, b, axisa=0, axisb=1, axisc=0)", a=(3, 4), b=(4, 3), named=False),
    form("np.cross(a, b, axis=0)", a=(3, 2), b=(3, 2), named=False),
    form("np.cross(a, b)", a=(4, 2), b=(4, 2), named=False),
    form("np.linalg.cross(a, b)", a=(4, 3), b=(4, 3), named=False),
    form("np.linalg.vecdot(A, B)", A=(4, 3), B=(4, 3)),
    form("np.linalg.outer(x, y)", x=(3,), y=(4,)),
    form("np.linalg.matmul(A, B)", **_MATRICES),
    form("np.linalg.tensordot(A, B, axes=1)", **_MATRICES),
    # --- tensordot
    form("np.tensordot(A, B)", A=(5, 2, 3), B=(2, 3, 4)),
    form("np.tensordot(A, B, axes=1)", A=(5, 2, 3), B=(3, 4)),
    form("np.tensordot(A, B, axes=0)", A=(2, 3), B=(4,)),
    form("np.tensordot(A, B, axes=(1, 0))", **_MATRICES),
    form("np.tensordot(A, B, axes=(-1, 0))", **_MATRICES),
    form("np.tensordot(A, B, axes=([1, 2], [0, 1]))", A=(5, 2, 3), B=(2, 3, 4)),
    form("np.tensordot(A, B, axes=[(0, 2), (2, 0)])", A=(5, 2, 3), B=(3, 4, 5)),
    form("np.tensordot(A, B, ((), ()))", A=(2,), B=(3,)),
    # --- einsum
    form("np.einsum('i->', x)", x=(3,)),
    form("np.einsum('ij->j', A)", A=(2, 3)),
    form("np.einsum('ij->ji', A)", A=(2, 3)),
    form("np.einsum('ji', A)", A=(2, 3)),
    form("np.einsum('ii->i', A)", A=(3, 3)),
    form("np.einsum('ii', A)", A=(3, 3)),
    form("np.einsum('iij->j', A)", A=(3, 3, 2)),
    form("np.einsum('iii->', A)", A=(2, 2, 2)),
    form("np.einsum('i,i', x, y)", x=(3,), y=(3,)),
    form("np.einsum('i,j', x, y)", x=(3,), y=(4,)),
    form("np.einsum('i,j->ji', x, y)", x=(3,), y=(4,)),
    form("np.einsum('ij,jk', A, B)", **_MATRICES),
    form("np.einsum('ij,jk->ik', A, B)", **_MATRICES),
    form("np.einsum(' ij , jk -> k i ', A, B)", **_MATRICES),
    form("np.einsum('ij,jk->', A, B)", **_MATRICES),
    form("np.einsum('ij,ij->ij', A, B)", A=(2, 3), B=(2, 3)),
    form("np.einsum('ij,kj->i', A, B)", A=(2, 3), B=(4, 3)),
    form("np.einsum('bij,bjk->bik', A, B)", A=(5, 2, 3), B=(5, 3, 4)),
    form("np.einsum('...ij,...jk->...ik', A, B)", A=(5, 2, 3), B=(3, 4)),
    form("np.einsum('...ij,jk', A, B)", A=(5, 2, 3), B=(3, 4)),
    form("np.einsum('i...->...', A)", A=(5, 2, 3)),
    form("np.einsum('...i->i...', A)", A=(5, 2, 3)),
    form("np.einsum('...,...->...', A, B)", A=(5, 1, 3), B=(2, 3)),
    form("np.einsum('...ii->...i', A)", A=(2, 3, 3)),
    form("np.einsum('i...i->...', A)", A=(3, 2, 3)),
    form("np.einsum('i,ij,j', x, A, y)", x=(2,), A=(2, 3), y=(3,)),
    form("np.einsum('ij,jk,kl->il', A, B, C, optimize=True)", A=(2, 3), B=(3, 4), C=(4, 5)),
    form("np.einsum('ij,jk,kl,l->i', A, B, C, d, optimize='optimal')", A=(2, 3), B=(3, 4), C=(4, 5), d=(5,)),
    form("np.einsum('ni,ni,ij->nj', x, y, A)", x=(4, 2), y=(4, 2), A=(2, 3)),
    form("np.einsum(',i->i', s, x)", s=(), x=(3,)),
    form("np.einsum('i,i->i', x, y)", x=(1,), y=(3,)),
    form("np.einsum('ij,jk->ik', A, B)", A=(2, 1), B=(3, 4)),
    form("np.einsum(A, [0, 1])", A=(2, 3)),
    form("np.einsum(A, [1, 0])", A=(2, 3)),
    form("np.einsum(A, [0, 0])", A=(3, 3)),
    form("np.einsum(A, [0, 1], B, [1, 2])", **_MATRICES),
    form("np.einsum(A, [0, 1], B, [1, 2], [2, 0])", **_MATRICES),
    form("np.einsum(A, [..., 0, 1], B, [1, 2], [..., 0, 2], optimize=True)", A=(5, 2, 3), B=(3, 4)),
    # --- Kronecker products
    form("np.kron(x, y)", x=(2,), y=(3,)),
    form("np.kron(A, B)", **_MATRICES),
    form("np.kron(A, y)", A=(2, 3), y=(2,)),
    form("np.kron(x, B)", x=(2,), B=(3, 4)),
    form("np.kron(A, B)", A=(2, 1, 3), B=(2, 4)),
    form("np.kron(A, 2.0)", A=(2, 3)),
    form("np.kron(np.eye(2), A)", A=(2, 3)),
    # --- diagonals and traces
    form("np.trace(A)", A=(3, 3)),
    form("np.trace(A)", A=(2, 3)),
    form("np.trace(A, 1)", A=(3, 3)),
    form("np.trace(A, offset=-1)", A=(3, 3)),
    form("np.trace(A, offset=2)", A=(4, 3), named=False),
    form("np.trace(A, axis1=1, axis2=2)", A=(4, 3, 3)),
    form("np.trace(A, -1, 2, 0)", A=(3, 2, 3)),
    form("np.linalg.trace(A)", A=(4, 3, 3)),
    form("np.linalg.trace(A, offset=1)", A=(4, 3, 3)),
    form("np.diagonal(A)", A=(3, 3)),
    form("np.diagonal(A)", A=(2, 3), named=False),
    form("np.diagonal(A, 1)", A=(3, 3)),
    form("np.diagonal(A, -2)", A=(4, 3), named=False),
    form("np.diagonal(A, 7)", A=(2, 3), named=False),
    form("np.diagonal(A, axis1=0, axis2=2)", A=(3, 2, 3)),
    form("np.diagonal(A, offset=1, axis1=-2, axis2=-1)", A=(4, 3, 3)),
    form("np.linalg.diagonal(A)", A=(4, 3, 3)),
    form("np.linalg.diagonal(A, offset=-1)", A=(4, 3, 3)),
    form("np.diag(x, 1)", x=(3,)),
    form("np.diag(x, k=-2)", x=(3,)),
    form("np.diag(A, 1)", A=(3, 3)),
    # --- polynomials
    form("np.polyval(p, x)", p=(3,), x=(2, 4)),
    form("np.polyval([2.0, 0.5, 1.0], x)", x=(4,)),
    form("np.polyval(p, 2.0)", p=(3,)),
    form("np.polyval(p, x)", p=(1,), x=(4,)),
    form("np.polynomial.polynomial.polyval(x, [1.0, 2.0, 3.0])", x=(4,)),
    form("np.polyfit(x, y, 2)", x=(6,), y=(6,)),
    form("np.polyfit(x, y, deg=1)", x=(6,), y=(6, 2)),
    form("np.polyfit(x, y, 1, w=w)", x=(6,), y=(6,), w=(6,)),
    form("np.polyval(np.polyfit(x, y, 0), x)", x=(4,), y=(4,)),
    form("np.vander(x)", x=(3,)),
    form("np.vander(x, 4)", x=(3,)),
    form("np.vander(x, 2, increasing=True)", x=(3,)),
    form("np.vander(x, N=4) @ p", x=(3,), p=(4,), named=False),
    # --- convolution of vectors
    *(
        form(f"np.{name}(a, v{mode})", a=(m,), v=(n,), named=mode == _MODES[name][0] or n in {1, m})
        for name in _MODES
        for mode in _MODES[name]
        for m, n in ((5, 3), (4, 4), (6, 1))
    ),
    *(
        form(f"np.{name}(a, v, mode='{mode}')", a=(m,), v=(n,), named=mode == "full" or m == 1)
        for name in _MODES
        for mode in ("full", "same", "valid")
        for m, n in ((3, 5), (1, 4), (2, 6))
    ),
    form("np.convolve(x, [0.25, 0.5, 0.25], mode='same')", x=(6,)),
    form("np.convolve(np.array([1.0, -1.0]), x)", x=(6,)),
    form("np.convolve(2.0, x)", x=(6,)),
    form("np.correlate(x, x, 'full')", x=(4,)),
    form("sb.sliding_dot(x, v)", truth=f"{_VIEW}(x, 3, 1) @ v", x=(2, 5), v=(3,)),
    # --- windows
    form(f"{_VIEW}(x, 3)", x=(6,)),
    form(f"{_VIEW}(x, (2, 3))", x=(4, 5)),
    form(f"{_VIEW}(x, 2, axis=0)", x=(4, 5)),
    form(f"{_VIEW}(x, (3, 2), axis=(2, 0))", x=(4, 2, 5)),
    form(f"{_VIEW}(x, 3).mean(axis=-1)", x=(6,)),
    form("sb.windows(x, 2, axis=0, step=2)", truth=f"{_VIEW}(x, 2, axis=0)[::2]", x=(5, 3)),
    form("sb.windows(x, (2, 2), step=(1, 2), dilation=(2, 1))", truth=f"{_VIEW}(x, (3, 2))[:, ::2, ::2]", x=(5, 6)),
    form(
        "sb.overlap_add(x, 4)",
        truth="np.einsum('ok,okn->n', x, np.eye(4, dtype=x.dtype)[np.add.outer(range(3), range(2))])",
        x=(3, 2),
        named=False,
    ),
    # --- convolution and pooling of images
    form("sb.conv1d(x, w)", truth=f"np.einsum('nctk,ock->not', {_VIEW}(x, 3, 2), w)", x=(2, 2, 6), w=(4, 2, 3)),
    form(
        "sb.conv(x, w)",
        truth=f"np.einsum('chwkl,ockl->ohw', {_VIEW}(x, (2, 3), (1, 2)), w)",
        x=(3, 5, 6),
        w=(4, 3, 2, 3),
    ),
    *(
        form(f"sb.conv2d(x, w{how})", truth=_correlated(pads, index), x=(2, 3, 5, 6), w=(4, 3, 2, 3))
        for how, pads, index in (
            ("", "", ""),
            (", 2", "", "[..., ::2, ::2, :, :]"),
            (", stride=(2, 3)", "", "[..., ::2, ::3, :, :]"),
            (", padding=1", "(1, 1), (1, 1)", ""),
            (", padding=(1, 2)", "(1, 1), (2, 2)", ""),
            (", padding=((0, 1), (2, 0))", "(0, 1), (2, 0)", ""),
            (", padding='same'", "(0, 1), (1, 1)", ""),
            (", stride=2, padding=(1, 1)", "(1, 1), (1, 1)", "[..., ::2, ::2, :, :]"),
        )
    ),
    form(
        "sb.conv2d(x, w, stride=2, padding='same')",
        truth=_correlated("(0, 1), (0, 1)", "[..., ::2, ::2, :, :]"),
        x=(2, 3, 5, 6),
        w=(4, 3, 2, 3),
        named=False,
    ),
    form(
        "sb.conv2d(x, w, dilation=2)",
        truth=_correlated("", "[..., ::2, ::2]", "(3, 5)"),
        x=(2, 3, 5, 6),
        w=(4, 3, 2, 3),
    ),
    form(
        "sb.conv2d(x, w, groups=2)",
        truth=f"np.einsum('ngchwkl,gockl->ngohw', {_VIEW}(x.reshape(-1, 2, 2, 5, 6), (2, 2), (3, 4)), "
        "w.reshape(2, 2, 2, 2, 2)).reshape(-1, 4, 4, 5)",
        x=(3, 4, 5, 6),
        w=(4, 2, 2, 2),
        named=False,
    ),
    form(
        "sb.conv_transpose(x, w)",
        truth=f"np.einsum('nctukl,cokl->notu', {_VIEW}(np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2))), (2, 3), (2, 3)), "
        "w[..., ::-1, ::-1])",
        x=(2, 4, 5, 6),
        w=(4, 3, 2, 3),
    ),
    form(
        "sb.conv_transpose(x, w, stride=2)",
        truth="np.einsum('nct,cok->notk', x, w).reshape(2, 3, 10)",
        x=(2, 4, 5),
        w=(4, 3, 2),
    ),
    form(
        "sb.conv_transpose(x, w, 2, padding=1)",
        truth="np.einsum('nct,cok->notk', x, w).reshape(2, 3, 10)[:, :, 1:-1]",
        x=(2, 4, 5),
        w=(4, 3, 2),
    ),
    *(
        form(
            f"sb.{name}_pool2d(x, {how})",
            truth=f"{_VIEW}({padded}, {window}, (2, 3)){index}.{method}(axis=(-2, -1))",
            x=(2, 3, 5, 6),
        )
        for name, method, beyond in (("max", "max", "x.min() - 1"), ("avg", "mean", "0"))
        for how, padded, window, index in (
            ("2", "x", "(2, 2)", "[:, :, ::2, ::2]"),
            ("(2, 3)", "x", "(2, 3)", "[:, :, ::2, ::3]"),
            ("3, stride=1", "x", "(3, 3)", ""),
            ("(2, 2), (1, 2)", "x", "(2, 2)", "[:, :, :, ::2]"),
            (
                "3, 2, padding=1",
                f"np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values={beyond})",
                "(3, 3)",
                "[:, :, ::2, ::2]",
            ),
        )
    ),
)
