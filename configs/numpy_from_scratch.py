"""A whole training in plain NumPy, and how far it ends from mlptrain's: forward, backward, gradient descent.

    mlptrain train configs/digits.yaml --set "optimizer={name: sgd, lr: 0.1}" --set training.epochs=5 --run-dir runs/own
    mlptrain export runs/own --to npz --epochs 5 --rows --out own.npz
    python configs/numpy_from_scratch.py own.npz

It takes any number of relu layers, cross-entropy and plain SGD, starts from the exported initial weights, reads the
rows in the exported order, and prints the loss of every epoch. Where your own network differs, put a piece of it in the
place of one here: what changes the numbers is what differs. In float64 it ends within 1e-5 of mlptrain's weights.
"""

import json
import sys
import zipfile

import numpy as np
import yaml


def forward(x, weights, biases):
    """The inputs of every layer and, last, the logits (n, classes)."""
    values = [x]
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = values[-1] @ weight.T + bias
        values.append(z if index == len(weights) - 1 else np.maximum(z, 0))
    return values


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))  # the largest is subtracted, so that none overflows
    return e / e.sum(axis=1, keepdims=True)


def gradients(values, y, weights):
    """Of the mean cross-entropy over the batch: one pair (of the weight, of the bias) for every layer."""
    delta = softmax(values[-1])
    delta[np.arange(len(y)), y] -= 1  # softmax minus one-hot target
    delta /= len(y)
    found = []
    for weight, x in zip(reversed(weights), reversed(values[:-1]), strict=True):
        found.insert(0, (delta.T @ x, delta.sum(axis=0)))
        delta = (delta @ weight) * (x > 0)  # the derivative of relu, of its outputs
    return found


def opened(arguments):
    """The arrays of the exported file. Ends with a message where there is none, or no rows in it."""
    if len(arguments) != 1:
        sys.exit("usage: python configs/numpy_from_scratch.py own.npz, a file of `mlptrain export RUN --to npz --rows`")
    try:
        data = np.load(arguments[0])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        sys.exit(f"{arguments[0]} cannot be read as an .npz file: {error}")
    missing = {"about", "train.x", "order", "last.layers.0.weight"}.difference(data if hasattr(data, "files") else ())
    if missing:
        sys.exit(f"{arguments[0]} has no {', '.join(sorted(missing))}: export a run folder with --rows and --epochs")
    return data


def check(spec, *, epochs, exported):
    """Ends with a message for what this file does not compute."""
    plain = {"name": "sgd", "lr": spec["optimizer"]["lr"], "momentum": 0.0, "dampening": 0.0, "nesterov": False}
    plain |= {"weight_decay": 0.0, "weight_decay_for": "all"}
    model, training = spec["model"], spec["training"]
    same = not any(training.get(key) for key in ("clip_norm", "clip_value", "max_norm", "l1", "ema"))
    same = same and spec["optimizer"] == plain and spec["schedule"]["name"] == "constant" and model["bias"]
    loss = {"name": "cross_entropy", "reduction": "mean", "label_smoothing": 0.0, "class_weights": "none"}
    same = same and spec["loss"] == loss and not model["dropout"]
    if not (same and model["activation"]["name"] == "relu" and model["output_activation"]["name"] == "identity"):
        sys.exit(
            "this example computes relu layers with biases, cross_entropy and sgd without momentum, decay, clipping, "
            "penalties, bounds or averages"
        )
    if not epochs:
        sys.exit("the run has 0 epochs: there is no training to repeat")
    if exported != epochs:
        sys.exit(f"the run has {epochs} epochs, and the order of {exported} is there: export it with --epochs {epochs}")


def main(arguments):
    """Train, and print loss and accuracy of every epoch and the largest difference at the end."""
    data = opened(arguments)
    about = json.loads(str(data["about"]))
    spec = yaml.safe_load(about["spec"])
    check(spec, epochs=about["last_epoch"], exported=len(data["order"]))
    lr = spec["optimizer"]["lr"]
    layers = range(sum(name.startswith("initial.") and name.endswith(".weight") for name in data))
    weights, biases = (
        [data[f"initial.layers.{i}.{kind}"].astype(np.float64) for i in layers] for kind in ("weight", "bias")
    )
    x, y, batch_size = data["train.x"].astype(np.float64), data["train.y"], int(data["batch_size"])
    for epoch, order in enumerate(data["order"], 1):
        loss, correct = 0.0, 0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            values = forward(x[rows], weights, biases)
            loss -= np.log(softmax(values[-1])[np.arange(len(rows)), y[rows]]).sum()
            correct += (values[-1].argmax(axis=1) == y[rows]).sum()
            for i, (of_weight, of_bias) in zip(layers, gradients(values, y[rows], weights), strict=True):
                weights[i] -= lr * of_weight
                biases[i] -= lr * of_bias
        print(f"epoch {epoch}: train loss {loss / len(x):.4f}, accuracy {correct / len(x):.4f}")
    away = max(np.abs(weights[i] - data[f"last.layers.{i}.weight"]).max() for i in layers)
    print(f"largest difference from mlptrain's weights: {away:.1e}")


if __name__ == "__main__":
    main(sys.argv[1:])
