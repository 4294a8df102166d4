"""Lightning: a LightningModule and its Trainer over a DataLoader of tensors in memory; nothing logged or saved."""

from __future__ import annotations

import logging
import queue
import threading
import warnings
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.peers_torch import make_optimizer, sequential
from tests.benchmarks.problem import Epochs, Problem


class _Module(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.model = sequential(problem)
        self.total = torch.zeros(())

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        x, y = batch
        reduction = self.problem.workload.reduction
        loss = functional.cross_entropy(self.model(x), y, reduction=reduction)
        self.total += loss.detach() * (1 if reduction == "sum" else len(y))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.parameters(), name=self.problem.optimizer, lr=self.problem.rates[0])


class _OnDemand(lightning.Callback):  # type: ignore[misc]
    """Holds the trainer before every epoch that nobody has asked for, and hands over the loss of the others."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.asked = threading.Semaphore(0)
        self.losses: queue.SimpleQueue[float | BaseException] = queue.SimpleQueue()
        self.stop = False

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch % self.epochs == 0:
            self.asked.acquire()
            if self.stop:
                raise SystemExit
        module.total.zero_()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if (trainer.current_epoch + 1) % self.epochs == 0:
            self.losses.put(float(module.total) / len(module.problem.x))


def epochs(problem: Problem) -> Epochs:
    """One model, plain SGD. A single fit() runs in a thread of its own, as a second one would lose the optimizer."""
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    demand = _OnDemand(problem.workload.epochs)
    trainer = lightning.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[demand],
    )
    pairs = TensorDataset(torch.from_numpy(problem.x), torch.from_numpy(problem.y))
    loader = DataLoader(pairs, batch_size=problem.workload.batch_size, shuffle=True)

    def fit() -> None:
        try:
            trainer.fit(_Module(problem), loader)
        except BaseException as error:
            demand.losses.put(error)

    threading.Thread(target=fit, daemon=True).start()
    try:
        while True:
            demand.asked.release()
            found = demand.losses.get()
            if isinstance(found, BaseException):
                raise found
            yield [found]
    finally:
        demand.stop = True
        demand.asked.release()
