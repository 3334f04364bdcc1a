"""Training: losses, optimisers and schedules as symbolic expressions, `fit`, and the multi-layer perceptron.

>>> import symbackprop as sb
>>> from symbackprop import train
>>> X, T = sb.symbols("X[N,2] T[N,1]")
>>> net = train.mlp(X, [8, 1])
>>> loss = train.binary_cross_entropy(net.output, T)
>>> data = {X: [[0, 0], [0, 1], [1, 0], [1, 1]], T: [[0], [1], [1], [0]]}
>>> history = train.fit(loss, net.init(seed=0), data, optimiser=train.Adam(0.1), epochs=100, progress=False)
>>> history.losses[-1] < 0.01
True
"""

from symbackprop.train.fit import DivergedError, EarlyStopping, fit
from symbackprop.train.history import History
from symbackprop.train.losses import (
    accuracy,
    binary_accuracy,
    binary_cross_entropy,
    l1,
    l2,
    one_hot,
    quadratic,
    softmax_cross_entropy,
    squared_error,
)
from symbackprop.train.models import MLP, Activation, mlp
from symbackprop.train.optimisers import SGD, Adam, AdamW, Momentum, Nesterov, Optimiser, RMSProp
from symbackprop.train.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    Rate,
    Schedule,
    StepDecay,
    WarmUp,
)

__all__ = [
    "MLP",
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "DivergedError",
    "EarlyStopping",
    "Exponential",
    "History",
    "InverseTime",
    "Momentum",
    "Nesterov",
    "Optimiser",
    "RMSProp",
    "Rate",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "accuracy",
    "binary_accuracy",
    "binary_cross_entropy",
    "fit",
    "l1",
    "l2",
    "mlp",
    "one_hot",
    "quadratic",
    "softmax_cross_entropy",
    "squared_error",
]
