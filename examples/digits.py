"""Handwritten digits: a network 64-128-64-10 trained on scikit-learn's 1,797 images of 8 by 8 pixels.

Prints the loss and its gradient by the last layer, trains by AdamW in minibatches with a falling rate, and reports
the accuracy on a fifth of the images, which were set aside (stratified by digit, random state 0). Run:
python examples/digits.py
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import symbackprop as sb
from symbackprop import train

BATCH = 16


def split() -> tuple[Any, Any, Any, Any]:
    """Give images with pixels from 0 to 1 and one-hot digits: for training, then for testing."""
    data = load_digits()
    images = (data.data / 16).astype("float32")
    train_X, test_X, train_t, test_t = train_test_split(
        images, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    return train_X, train.one_hot(train_t, 10, "float32"), test_X, train.one_hot(test_t, 10, "float32")


def main() -> int:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40, help="passes over the images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and shuffling (default: %(default)s)")
    parser.add_argument("--source", action="store_true", help="print the generated training step")
    parser.add_argument("--plot", metavar="FILE", help="draw the history into a picture")
    args = parser.parse_args()
    train_X, train_T, test_X, test_T = split()
    print(f"{len(train_X)} images to learn from, {len(test_X)} to test on")

    X = sb.symbol("X", ("N", 64), "float32")
    T = sb.symbol("T", ("N", 10), "float32")
    net = train.mlp(X, [128, 64, 10], sb.relu)
    loss = train.softmax_cross_entropy(net.output, T)
    print("\nJ =", loss.text(where=True))
    print("\ndJ/dW2 =", sb.grad(loss, net.weights[1]).text(where=True), "\n")

    steps = max(1, args.epochs) * -(-len(train_X) // BATCH)
    history = train.fit(
        loss,
        net.init(args.seed, "he"),
        {X: train_X, T: train_T},
        optimiser=train.AdamW(train.Cosine(3e-3, steps), weight_decay=0.1),
        epochs=args.epochs,
        batch_size=BATCH,
        seed=args.seed,
        metrics={"accuracy": train.accuracy(net.output, T)},
        validation={X: test_X, T: test_T},
    )
    print(history)
    if args.source and history.step is not None:
        print(history.step.source)
    if args.plot:
        import matplotlib.pyplot as plt  # noqa: PLC0415  (only who wants a picture needs it)

        history.plot(log=True)
        plt.savefig(args.plot)
    predict = sb.compile([X, *net.params], net.output, name="predict")
    wrong = predict(test_X, *history.params.values()).argmax(axis=1) != test_T.argmax(axis=1)
    print(f"\ntest accuracy {1 - np.mean(wrong):.2%}: {wrong.sum()} of {len(wrong)} digits wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
