"""What is trained: the networks, their data and learning rates, and the rows that are timed on each. No framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

OptimizerName = Literal["sgd", "nesterov", "adam"]
Precision = Literal["highest", "medium"]

OPTIMIZERS: tuple[OptimizerName, ...] = ("sgd", "nesterov", "adam")
PRECISIONS: tuple[Precision, ...] = ("highest", "medium")
OPTIMIZER_TITLES = {"sgd": "SGD", "nesterov": "Nesterov", "adam": "Adam"}
MODELS_AT_ONCE = 16


@dataclass(frozen=True)
class Workload:
    """A network with its data and batches; ``models`` of them train at once, differing in what ``vary`` says.

    ``epochs`` is how many epochs one timing holds. ``rates`` are the learning rates by optimizer. ``tolerance`` is how
    far, relative to ours, the mean training loss of a peer may be off: all start from the same weights, so it allows
    for another order of the batches, and for rounding alone where there is only one batch.
    """

    name: str
    title: str
    widths: tuple[int, ...]
    batch_size: int
    rates: dict[OptimizerName, float]
    data: Literal["mnist", "spirals"] = "mnist"
    rows: int = 60_000
    activation: Literal["relu", "arctan"] = "relu"
    reduction: Literal["mean", "sum"] = "mean"
    models: int = 1
    vary: Literal["seed", "lr"] | None = None
    epochs: int = 1
    tolerance: float = 0.1

    @property
    def full_batch(self) -> bool:
        """Whether an epoch is one step."""
        return self.batch_size == self.rows

    def rates_of_models(self, optimizer: OptimizerName) -> list[float]:
        """The learning rate of every model: the workload's, or sixteen from a tenth of it up to it."""
        top = self.rates[optimizer]
        if self.vary != "lr":
            return [top] * self.models
        return [top * 10 ** (index / (self.models - 1) - 1) for index in range(self.models)]

    def yaml(self, optimizer: OptimizerName, model: int = 0, *, epochs: int = 1) -> str:
        """The experiment that `mlptrain` trains for one of the models."""
        lr = self.rates_of_models(optimizer)[model]
        momentum = ", momentum: 0.9, nesterov: true" if optimizer == "nesterov" else ""
        name = "adam" if optimizer == "adam" else "sgd"
        data = "{name: mnist, validation: 0}"
        more = ""
        if self.data == "spirals":
            data = "{name: spirals, n_classes: 3, points_per_class: 100, noise: 0.2, validation: 0}"
            more = f", output_activation: {self.activation}, init: {{name: normal, std: 1, bias: normal}}"
        return (
            f"name: {self.name}\nseed: {model if self.vary == 'seed' else 0}\ndata: {data}\n"
            f"model: {{hidden: {list(self.widths[1:-1])}, activation: {self.activation}{more}}}\n"
            f"loss: {{name: cross_entropy, reduction: {self.reduction}}}\n"
            f"optimizer: {{name: {name}, lr: {lr!r}{momentum}}}\n"
            f"training: {{epochs: {epochs}, batch_size: {'full' if self.full_batch else self.batch_size}}}\n"
            "evaluation: {split: none, keep: last}\n"
        )


@dataclass(frozen=True)
class Row:
    """One line of the table: a way of training, by the worker that holds its framework and the method there.

    Rows with the same title, optimizer and workload are variants: the fastest of them counts. ``models`` are how many
    a timing trains; a row of one model where ours are sixteen stands for training one after the other.
    """

    workload: str
    framework: str
    method: str
    title: str
    optimizer: OptimizerName
    precision: Precision | None = None
    models: int = 1


def _mnist(name: str, widths: Sequence[int], batch_size: int, sgd: float, nesterov: float, adam: float) -> Workload:
    title = f"{'-'.join(map(str, widths))}, batch {batch_size:,}"
    rates: dict[OptimizerName, float] = {"sgd": sgd, "nesterov": nesterov, "adam": adam}
    return Workload(name, title, tuple(widths), batch_size, rates)


def _many(one: Workload, vary: Literal["seed", "lr"]) -> Workload:
    what = "seeds" if vary == "seed" else "learning rates"
    return Workload(
        f"{one.name}-{what.split()[-1]}",
        f"{one.title}, {MODELS_AT_ONCE} {what} at once",
        one.widths,
        one.batch_size,
        one.rates,
        models=MODELS_AT_ONCE,
        vary=vary,
        tolerance=0.25,  # the worst of sixteen
    )


_W1 = _mnist("W1", (784, 500, 256, 10), 64, sgd=0.05, nesterov=0.01, adam=0.0005)
_W2 = _mnist("W2", (784, 64, 10), 125, sgd=0.05, nesterov=0.02, adam=0.001)
_W3 = _mnist("W3", (784, 392, 196, 98, 10), 2500, sgd=0.1, nesterov=0.05, adam=0.001)
_W4 = _mnist("W4", (784, 32, 32, 32, 10), 512, sgd=0.1, nesterov=0.05, adam=0.002)
_SPIRALS = Workload(
    "spirals",
    "2-15-3, arctan, full batch of 300",
    (2, 15, 3),
    300,
    {"sgd": 0.001},
    data="spirals",
    rows=300,
    activation="arctan",
    reduction="sum",
    epochs=1000,
    tolerance=0.01,
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *(_W1, _W2, _W3, _W4, _SPIRALS),
        *(_many(one, vary) for one in (_W2, _W4) for vary in ("seed", "lr")),
    )
}

OURS, FLOOR = "mlptrain", "matrix products alone"
SEEDS = f"mlptrain, {MODELS_AT_ONCE} seeds"  # beside models that differ in something else: what they may cost
AUTOGRAD, NOTEBOOK = "torch autograd, data in memory", "notebook loop, DataLoader"
SKLEARN, SKORCH, LIGHTNING, KERAS, JAX = "scikit-learn", "skorch", "Lightning", "Keras 3 (JAX)", "JAX + optax"


def rows_of(workload: Workload) -> list[Row]:
    """The rows of a workload in the order in which a round runs them, ours first."""
    own, models = tuple(workload.rates), workload.models
    plain, both = own[:1], PRECISIONS
    found = [
        *_rows(workload, OURS, "ours", "epochs", own, models=models),
        *_rows(workload, FLOOR, "floor", "epochs", plain, models=models),
    ]
    if workload.vary == "lr":
        found += _rows(workload, SEEDS, "ours", "seeds", own, models=models)
    if models > 1:
        found += _rows(workload, f"{JAX}, vmap", "peers_jax", "many", own, models=models)
        found += _rows(workload, f"{JAX}, one by one", "peers_jax", "epochs", own)
        if workload.vary == "seed":  # torch.optim has one learning rate for a whole tensor
            found += _rows(workload, "torch autograd, batched", "peers_torch", "batched", own, both, models=models)
        found += _rows(workload, "torch autograd, one by one", "peers_torch", "autograd", own, both)
        return found
    found += _rows(workload, JAX, "peers_jax", "epochs", own)
    found += _rows(workload, AUTOGRAD, "peers_torch", "autograd", own, both)
    found += _rows(workload, SKLEARN, "peers_sklearn", "epochs", own)
    found += _rows(workload, KERAS, "peers_keras", "epochs", plain)
    found += _rows(workload, SKORCH, "peers_skorch", "epochs", plain)
    found += _rows(workload, LIGHTNING, "peers_lightning", "epochs", plain)
    found += _rows(workload, NOTEBOOK, "peers_torch", "notebook", plain)
    return found


def _rows(
    workload: Workload,
    title: str,
    framework: str,
    method: str,
    optimizers: Sequence[OptimizerName],
    precisions: Sequence[Precision | None] = (None,),
    *,
    models: int = 1,
) -> list[Row]:
    return [
        Row(workload.name, framework, method, title, optimizer, precision, models)
        for optimizer in optimizers
        for precision in precisions
    ]
