"""Handwritten digits: a convolutional network on scikit-learn's 1,797 images of 8 by 8 pixels.

Two convolutions, the largest of each four pixels, a dense layer and the cross-entropy of a softmax are written as
formulas; the derivatives and the training step are generated. Prints the accuracy on a fifth of the
images, which were set aside (stratified by digit, random state 0). Run: python examples/convolution.py
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import symbackprop as sb
from symbackprop import train

BATCH = 32
SHAPES = {"K1": (16, 1, 3, 3), "b1": (16, 1, 1), "K2": (32, 16, 3, 3), "b2": (32, 1, 1), "W": (288, 10), "b": (10,)}
"""Kernels, output channels first, and what is added to each channel; the dense layer."""


def scores(X: sb.Expr, p: dict[str, sb.Expr]) -> sb.Expr:
    """Give ten numbers for each image, the largest for the digit that it shows."""
    h = sb.relu(sb.conv2d(X, p["K1"], padding="same") + p["b1"])  # 16 × 8 × 8
    h = sb.relu(sb.conv2d(h, p["K2"]) + p["b2"])  # 32 × 6 × 6
    h = sb.max_pool2d(h, 2)  # 32 × 3 × 3
    return h.reshape((X.shape[0], -1)) @ p["W"] + p["b"]


def initial(seed: int) -> dict[str, np.ndarray]:
    """Draw weights with the variance 2/n of He et al. (2015), n what each output is a sum of; the rest is zero."""
    rng = np.random.default_rng(seed)
    inputs = {"K1": 9, "K2": 144, "W": 288}
    return {
        name: (rng.normal(size=shape) * np.sqrt(2 / inputs[name]) if name in inputs else np.zeros(shape)).astype("f")
        for name, shape in SHAPES.items()
    }


def main() -> int:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="passes over the images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and shuffling (default: %(default)s)")
    parser.add_argument("--source", action="store_true", help="print the generated training step")
    args = parser.parse_args()
    data = load_digits()
    images = (data.images[:, None] / 16).astype("float32")
    X_train, X_test, t_train, t_test = train_test_split(
        images, data.target, test_size=0.2, stratify=data.target, random_state=0
    )

    X, T = sb.symbol("X", ("N", 1, 8, 8), "float32"), sb.symbol("T", ("N", 10), "float32")
    p = {name: sb.symbol(name, shape, "float32") for name, shape in SHAPES.items()}
    output = scores(X, p)
    history = train.fit(
        train.softmax_cross_entropy(output, T),
        {p[name]: value for name, value in initial(args.seed).items()},
        {X: X_train, T: train.one_hot(t_train, 10, "float32")},
        optimiser=train.AdamW(train.Cosine(4e-3, args.epochs * -(-len(X_train) // BATCH)), weight_decay=0.05),
        epochs=args.epochs,
        batch_size=BATCH,
        seed=args.seed,
    )
    print(history)
    if args.source and history.step is not None:
        print(history.step.source)
    predict = sb.compile([X, *p.values()], output, name="predict")
    wrong = predict(X_test, *history.params.values()).argmax(axis=1) != t_test
    print(f"\ntest accuracy {1 - np.mean(wrong):.2%}: {wrong.sum()} of {len(wrong)} digits wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
