"""The examples that train or minimise, run as a user runs them: what they print and their exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def output_of(name, *arguments):
    """Run an example on one BLAS thread; small matrices gain nothing from more."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.lecture("D10")
@pytest.mark.lecture("D11")
def test_xor():
    printed = output_of("xor.py", "--epochs", "300")
    assert "least squares gives w = 0, b = ½, the same answer for every point: True" in printed
    assert "mean squared error there 0.25, gradient [0. 0. 0.]" in printed
    assert "gives [0. 1. 1. 0.], J = 0.0, gradient all zero: True" in printed
    two_units, eight_units = map(int, re.findall(r"below 1e-6: (\d+) of 20", printed))
    assert eight_units >= 18
    assert two_units < 10, "two units get stuck: the loss is not convex"


def test_breast_cancer_agrees_with_scikit_learn():
    pytest.importorskip("sklearn")
    printed = output_of("breast_cancer.py")
    assert float(re.search(r"largest difference (\S+);", printed)[1]) <= 1e-5
    assert "dJ/dw   = Xᵀ(σ(Xw + b) − y) + lam·w" in printed
    steps = {name: int(count) for name, count in re.findall(r"^ *([a-z-]+) +(\d+)\b", printed, re.MULTILINE)}
    assert max(steps["newton"], steps["trust-exact"]) <= 12 < steps["l-bfgs"]


def test_the_laplace_approximation_agrees_with_what_is_known():
    printed = output_of("laplace.py")
    assert re.search(r"intercept +15\.0429 +7\.3786 ", printed)
    assert re.search(r"slope +-0\.2322 +0\.1082 ", printed)
    laplace, integrated = map(float, re.search(r"Laplace (-[\d.]+), integrated (-[\d.]+)", printed).groups())
    assert laplace == pytest.approx(integrated, abs=0.1)


def test_newton_steps_by_the_parts_of_a_hessian_end_at_the_best_factorisation():
    printed = output_of("hessian_structure.py")
    assert "bc->abac, 16 numbers for 230400" in printed
    assert float(re.search(r"they differ by (\S+)", printed)[1]) <= 1e-9
    found, best = map(float, re.search(r"‖² = ([\d.]+); .* below ([\d.]+)", printed).groups())
    assert found == pytest.approx(best, rel=1e-9)


def test_the_curvature_of_a_network_is_found_with_and_without_its_hessian():
    pytest.importorskip("sklearn")
    printed = output_of("curvature.py")
    assert float(re.search(r"from those of the matrix (\S+)", printed)[1]) <= 1e-9
    assert re.search(r"after training: from 0\.000\d+ to 1\.\d+, 0 negative", printed)


def test_digits_are_read():
    pytest.importorskip("sklearn")
    printed = output_of("digits.py")
    assert float(re.search(r"test accuracy (\S+)%", printed)[1]) >= 97
    assert "dJ/dW2 = h1ᵀ((softmax(a3) − T) W3ᵀ ⊙ [a2 > 0])/N" in printed


def test_digits_are_read_by_convolution():
    pytest.importorskip("sklearn")
    printed = output_of("convolution.py", "--source")
    assert float(re.search(r"test accuracy (\S+)%", printed)[1]) >= 97
    assert printed.count("sliding_window_view(") == 3, "the windows of values are those of derivatives"


def test_few_epochs_are_enough_to_run():
    pytest.importorskip("sklearn")
    assert "test accuracy" in output_of("digits.py", "--epochs", "1")
    assert "below 1e-6" in output_of("xor.py", "--epochs", "1", "--seeds", "1")


def test_fashion_mnist_says_how_to_get_the_data(tmp_path):
    assert "apt-get install dataset-fashion-mnist" in output_of("fashion_mnist.py", "--data", str(tmp_path))
