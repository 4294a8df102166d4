"""Speed on a CUDA device: ours beside autograd, a compiled step and JAX, in float32, TF32 and bfloat16.

    python tests/benchmarks/cuda.py [--rounds 5] [--workloads W1,W2,…] [--frameworks ours,autograd,compile,jax]

Workloads are W1 to W4 of speed.py, big (784-8192-8192-10, batch 1,024, dropout .5 behind both hidden layers) and 64
models of W2 and of W4 at once, each with a seed of its own. Images of MNIST's size are made, since time does not depend
on what they show. Each framework has a process of its own, one after the other; a figure is the median over the rounds,
after an epoch that compiles and one that warms up, in microseconds per step and model. All keep loss and accuracy of
the epoch and read them once. JAX is left out where it is not installed. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from tests.benchmarks.workloads import OPTIMIZERS, WORKLOADS

ROWS, CLASSES, MODELS = 60_000, 10, 64
FRAMEWORKS = ("ours", "autograd", "compile", "jax")
# Of each workload widths, batch size, rate of dropout, models at once, optimizers.
SHAPES: dict[str, tuple[tuple[int, ...], int, float, int, tuple[str, ...]]] = {
    **{
        name: (WORKLOADS[name].widths, WORKLOADS[name].batch_size, 0.0, 1, OPTIMIZERS)
        for name in ("W1", "W2", "W3", "W4")
    },
    "big": ((784, 8192, 8192, CLASSES), 1024, 0.5, 1, ("adam",)),
    **{
        f"64 × {name}": (WORKLOADS[name].widths, WORKLOADS[name].batch_size, 0.0, MODELS, ("adam",))
        for name in ("W2", "W4")
    },
}
PRECISIONS = {"float32": "highest", "TF32": "high", "bfloat16": "medium"}
RATE = 1e-4
Epoch = Callable[[], float]


def rows() -> tuple[Any, Any]:
    """Images (n, 784) float32 from 0 to 1, and labels (n,)."""
    generator = np.random.default_rng(0)
    return generator.random((ROWS, 784), dtype=np.float32), generator.integers(0, CLASSES, ROWS)


def ours(name: str, optimizer: str, precision: str) -> Epoch:
    """As `mlptrain train`; bfloat16 is what torch makes of the precision ``medium``."""
    import torch

    from mlptrain.data import Examples, Splits
    from mlptrain.experiment.build import build_trainer
    from mlptrain.spec import load_text

    torch.set_float32_matmul_precision(PRECISIONS[precision])
    widths, batch, dropout, models, _ = SHAPES[name]
    section = {"sgd": "{name: sgd", "nesterov": "{name: sgd, momentum: 0.9, nesterov: true", "adam": "{name: adam"}
    experiment = load_text(
        "name: cuda\ndata: {name: mnist, validation: 0}\n"
        f"model: {{hidden: {list(widths[1:-1])}, dropout: {dropout}}}\n"
        f"optimizer: {section[optimizer]}, lr: {RATE}}}\nevaluation: {{split: none}}\n"
        f"training: {{batch_size: {batch}, epochs: 1000000, device: 'cuda:0'}}\n"
    ).experiment
    x, y = rows()
    splits = Splits(Examples(torch.from_numpy(x), torch.from_numpy(y), None), None, None, "")
    trainer = build_trainer([experiment.changed(seed=seed) for seed in range(models)], [splits] * models)
    epochs = trainer.epochs(first=1, last=10**6, should_stop=lambda: False)

    def epoch() -> float:
        found = next(epochs)[0]
        assert found is not None
        assert found.train is not None
        torch.cuda.synchronize()
        return found.train.loss

    return epoch


def autograd(name: str, optimizer: str, precision: str, *, compiled: bool = False) -> Epoch:
    """Rows on the device, autograd, torch's fused optimizer; ``compiled`` has torch.compile make the step."""
    import torch
    from torch.nn import functional

    widths, batch, dropout, models, _ = SHAPES[name]
    torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
    x, y = (torch.from_numpy(one).cuda() for one in rows())
    weights = [
        torch.empty(models, a, b, device="cuda").uniform_(-(a**-0.5), a**-0.5).requires_grad_()
        for a, b in pairwise(widths)
    ]
    biases = [torch.zeros(models, 1, b, device="cuda").requires_grad_() for b in widths[1:]]
    momentum = 0.9 if optimizer == "nesterov" else 0.0
    parameters = [*weights, *biases]
    update = (
        torch.optim.Adam(parameters, lr=RATE, fused=True)
        if optimizer == "adam"
        else torch.optim.SGD(parameters, lr=RATE, momentum=momentum, nesterov=momentum > 0, fused=True)
    )

    def losses_of(rows: Any) -> tuple[Any, Any]:
        flat = rows.flatten()
        values, labels = x.index_select(0, flat).view(models, -1, widths[0]), y.index_select(0, flat)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                if layer:
                    values = functional.dropout(torch.relu(values), dropout) if dropout else torch.relu(values)
                one = models == 1
                values = (
                    torch.addmm(bias[0], values[0], weight[0])[None] if one else torch.baddbmm(bias, values, weight)
                )
        losses = functional.cross_entropy(values.float().flatten(0, 1), labels, reduction="none").view(models, -1)
        return losses, (values.argmax(2) == labels.view(models, -1)).sum(dim=1)

    if compiled:
        losses_of = torch.compile(losses_of, dynamic=False)

    def epoch() -> float:
        total, hits = torch.zeros(models, device="cuda"), torch.zeros(models, device="cuda")
        orders = torch.stack([torch.randperm(ROWS, device="cuda") for _ in range(models)])
        for start in range(0, ROWS, batch):
            chosen = orders[:, start : start + batch]
            update.zero_grad()
            losses, hit = losses_of(chosen)
            losses.mean(dim=1).sum().backward()
            update.step()
            total += losses.detach().sum(dim=1)
            hits += hit
        return float(total[0]) / ROWS

    return epoch


def jax(name: str, optimizer: str, precision: str) -> Epoch:
    """One jitted scan per epoch with donated parameters; vmap over it for several models."""
    import jax as j
    import jax.numpy as jnp
    import optax

    j.config.update(
        "jax_default_matmul_precision",
        {"float32": "float32", "TF32": "tensorfloat32", "bfloat16": "bfloat16"}[precision],
    )
    widths, batch, dropout, models, _ = SHAPES[name]
    x, y = map(jnp.asarray, rows())
    update = (
        optax.adam(RATE)
        if optimizer == "adam"
        else optax.sgd(RATE, momentum=0.9 if optimizer == "nesterov" else None, nesterov=optimizer == "nesterov")
    )
    generator = np.random.default_rng(0)
    parameters = [
        (jnp.asarray(generator.uniform(-(a**-0.5), a**-0.5, (models, a, b)).astype(np.float32)), jnp.zeros((models, b)))
        for a, b in pairwise(widths)
    ]

    def objective(own: Any, images: Any, labels: Any, key: Any) -> Any:
        values = images
        for layer, (weight, bias) in enumerate(own):
            if layer:
                values = j.nn.relu(values)
                if dropout:
                    key, sub = j.random.split(key)
                    values = jnp.where(j.random.bernoulli(sub, 1 - dropout, values.shape), values / (1 - dropout), 0)
            values = values @ weight + bias
        losses = optax.softmax_cross_entropy_with_integer_labels(values, labels)
        return losses.mean(), (losses.sum(), (values.argmax(axis=1) == labels).sum())

    def step(carry: Any, chosen: Any) -> Any:
        own, state, key = carry
        key, sub = j.random.split(key)
        (_, figures), gradients = j.value_and_grad(objective, has_aux=True)(own, x[chosen], y[chosen], sub)
        updates, state = update.update(gradients, state, own)
        return (optax.apply_updates(own, updates), state, key), figures

    whole = ROWS // batch * batch

    def run(own: Any, state: Any, key: Any, order: Any) -> Any:
        carry, (losses, _) = j.lax.scan(step, (own, state, key), order[:whole].reshape(-1, batch))
        if whole < ROWS:
            carry, (more, _) = step(carry, order[whole:])
            return *carry, losses.sum() + more
        return *carry, losses.sum()

    compiled = j.jit(j.vmap(run), donate_argnums=(0, 1, 2))
    held: list[Any] = [parameters, j.vmap(update.init)(parameters), j.random.split(j.random.key(0), models)]

    def epoch() -> float:
        orders = np.stack([generator.permutation(ROWS).astype(np.int32) for _ in range(models)])
        *held[:], losses = compiled(*held, jnp.asarray(orders))
        return float(losses[0]) / ROWS

    return epoch


def compile(name: str, optimizer: str, precision: str) -> Epoch:  # noqa: A001 – the framework's word
    """``autograd`` with torch.compile."""
    return autograd(name, optimizer, precision, compiled=True)


def measured(framework: str, names: list[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Every row of a framework, in this process."""
    for name in names:
        batch, models, optimizers = SHAPES[name][1], SHAPES[name][3], SHAPES[name][4]
        for optimizer in optimizers if framework != "compile" else ("adam",):
            precisions = PRECISIONS if name == "big" else ("float32", "TF32") if optimizer == "adam" else ("TF32",)
            for precision in precisions:
                if framework == "compile" and precision != "TF32":
                    continue
                row: dict[str, Any] = {
                    "workload": name,
                    "optimizer": optimizer,
                    "precision": precision,
                    "framework": framework,
                }
                try:
                    epoch = globals()[framework](name, optimizer, precision)
                    epoch()
                    epoch()
                    samples = []
                    for _ in range(rounds):
                        started = time.perf_counter()
                        loss = epoch()
                        samples.append((time.perf_counter() - started) / -(-ROWS // batch) / models)
                    row["us"], row["loss"] = 1e6 * statistics.median(samples), loss
                except Exception as error:
                    row["failed"] = f"{type(error).__name__}: {str(error)[:200]}"
                yield row


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workloads", default=",".join(SHAPES))
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    parser.add_argument("--one", action="store_true", help="measure in this process, print lines of JSON")
    options = parser.parse_args()
    names = options.workloads.split(",")
    if options.one:
        for row in measured(options.frameworks, names, options.rounds):
            print(json.dumps(row), flush=True)
        return
    import torch

    found: list[dict[str, Any]] = []
    for framework in options.frameworks.split(","):
        command = [sys.executable, __file__, "--one", "--frameworks", framework, "--workloads", options.workloads]
        process = subprocess.run(
            [*command, "--rounds", str(options.rounds)], stdout=subprocess.PIPE, text=True, check=False
        )
        found += [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; microseconds per step and model\n")
    print("| | " + " | ".join(FRAMEWORKS) + " |\n|---" * 1 + "|---" * len(FRAMEWORKS) + "|")
    for key in dict.fromkeys((row["workload"], row["optimizer"], row["precision"]) for row in found):
        cells = {row["framework"]: row for row in found if (row["workload"], row["optimizer"], row["precision"]) == key}
        shown = [
            f"{cells[one]['us']:.1f}" if "us" in cells.get(one, {}) else cells.get(one, {}).get("failed", "–")
            for one in FRAMEWORKS
        ]
        print(f"| {', '.join(key)} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
