"""Fashion-MNIST: a network 784-256-128-10 in float32 on 70,000 pictures of clothes, 28 by 28 pixels.

The data are Debian's package: apt-get install dataset-fashion-mnist. They are the four files of Zalando Research,
https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul and Vollgraf, 2017), which --data DIR can also name.
Run: python examples/fashion_mnist.py
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import symbackprop as sb
from symbackprop import train

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
BATCH = 128
NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def read(path: Path) -> Any:
    """Read one file of the IDX format: two zero bytes, a type, a rank, the sizes, the bytes."""
    content = gzip.decompress(path.read_bytes())
    kind, rank = content[2:4]
    if content[:2] != b"\0\0" or kind != 8:
        raise ValueError(f"{path} is no IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def load(folder: Path, part: str) -> tuple[Any, Any]:
    """Give pictures with pixels from 0 to 1, and one-hot classes."""
    pictures, labels = read(folder / f"{part}-images-idx3-ubyte.gz"), read(folder / f"{part}-labels-idx1-ubyte.gz")
    return pictures.reshape(len(pictures), -1) / np.float32(255), train.one_hot(labels, 10, "float32")


def main() -> int:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEBIAN, help="folder of the four files (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the pictures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and shuffling (default: %(default)s)")
    args = parser.parse_args()
    if not (args.data / "train-images-idx3-ubyte.gz").exists():
        print(f"The Fashion-MNIST files are not in {args.data}: install them with")
        print("    apt-get install dataset-fashion-mnist")
        print("or name their folder with --data DIR.")
        return 0
    (train_X, train_T), (test_X, test_T) = load(args.data, "train"), load(args.data, "t10k")
    print(f"{len(train_X)} pictures to learn from, {len(test_X)} to test on")

    X = sb.symbol("X", ("N", 784), "float32")
    T = sb.symbol("T", ("N", 10), "float32")
    net = train.mlp(X, [256, 128, 10], sb.relu)
    loss = train.softmax_cross_entropy(net.output, T)
    steps = max(1, args.epochs) * -(-len(train_X) // BATCH)
    began = time.perf_counter()
    history = train.fit(
        loss,
        net.init(args.seed, "he"),
        {X: train_X, T: train_T},
        optimiser=train.Adam(train.Cosine(1e-3, steps)),
        epochs=args.epochs,
        batch_size=BATCH,
        seed=args.seed,
        metrics={"accuracy": train.accuracy(net.output, T)},
        validation={X: test_X, T: test_T},
    )
    print(history)
    predict = sb.compile([X, *net.params], net.output, name="predict")
    right = predict(test_X, *history.params.values()).argmax(axis=1) == test_T.argmax(axis=1)
    for number, name in enumerate(NAMES):
        print(f"{name:>12} {right[test_T[:, number] == 1].mean():7.1%}")
    print(f"\ntest accuracy {right.mean():.2%} after {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
