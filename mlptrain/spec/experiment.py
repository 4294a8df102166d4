"""One experiment: the whole YAML file as immutable, checked values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlptrain.spec.base import Section, ShortName, count_or
from mlptrain.spec.data import MOST_ROWS, DataSpec
from mlptrain.spec.model import LossSpec, ModelSpec, PReLU, parameter_shapes
from mlptrain.spec.optimizer import OptimizerSpec

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class TrainingSpec(Section):
    """How long, in which batches, on what."""

    epochs: int = Field(10, ge=1, le=10_000_000, description="Passes over the training rows.")
    batch_size: Annotated[
        int | Literal["full"], count_or("full", most=MOST_ROWS), Field(description="Examples per step, or full.")
    ] = 64
    shuffle: bool = Field(True, description="A new order of the training rows every epoch, drawn from the seed.")
    record_steps: bool = Field(False, description="Keep loss and accuracy of every step in steps.npz.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda|cuda:[0-9]{1,3})$", description="auto, cpu, cuda or cuda:N; auto never fails."
    )
    precision: Literal["auto", "highest", "high", "medium"] = Field(
        "auto",
        description="Of float32 matrix products, as torch.set_float32_matmul_precision; auto takes the fastest kernels "
        "whose measured error is still that of float32.",
    )
    threads: Annotated[
        int | Literal["auto"], count_or("auto", most=1024), Field(description="CPU threads; auto is torch's choice.")
    ] = "auto"


class EvaluationSpec(Section):
    """What is measured before training and after every epoch, and which weights the run stands for."""

    split: Literal["validation", "test", "none"] | None = Field(
        None, description="Default: validation where there is one, else none."
    )
    keep: Literal["best", "last"] | None = Field(
        None, description="best: lowest validation loss; last. Default: best where validation is measured, else last."
    )


class ExperimentSpec(Section):
    """A YAML file in full. Derived numbers are properties; nothing here needs torch."""

    name: str = Field(pattern=NAME_PATTERN, description="Names the run folder. Default: the file's name.")
    seed: int = Field(0, ge=0, lt=2**63, description="Every random number of the run follows from it.")
    data: DataSpec = Field(description="Which examples, how many, how scaled.")
    model: ModelSpec = Field(description="The network between the data's inputs and the loss's outputs.")
    loss: Annotated[LossSpec, ShortName()] = Field(LossSpec(name="cross_entropy"), description="What is minimised.")
    optimizer: OptimizerSpec = Field(description="How the weights are changed.")
    training: TrainingSpec = Field(TrainingSpec(), description="Epochs, batches, device and precision.")
    evaluation: EvaluationSpec = Field(EvaluationSpec(), description="What is measured, and which weights are kept.")

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers; there is then no accuracy."""
        return not self.data.class_names

    @property
    def training_rows(self) -> int:
        """Rows that are trained on, after the validation rows are split off."""
        return self.data.train_rows - self.data.validation_rows

    @property
    def batch_size(self) -> int:
        """Examples per step, at most the training rows."""
        size = self.training.batch_size
        return self.training_rows if isinstance(size, str) else min(size, self.training_rows)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch; the last may be smaller."""
        return -(-self.training_rows // self.batch_size)

    @property
    def output_width(self) -> int:
        """One logit for bce, one output per class or target otherwise."""
        return output_width(self.data, self.loss)

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer widths from the inputs to the outputs."""
        return (self.data.input_width, *self.model.hidden, self.output_width)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameter tensors, in their order."""
        learns_slope = tuple(
            isinstance(activation, PReLU) for activation in (self.model.activation, self.model.output_activation)
        )
        return parameter_shapes(self.widths, bias=self.model.bias, slopes=(learns_slope[0], learns_slope[1]))


def output_width(data: DataSpec, loss: LossSpec) -> int:
    """Width of the last layer: one logit for bce, one output per class or target otherwise."""
    if loss.name == "bce":
        return 1
    return len(data.class_names) or getattr(data, "n_targets", 1)
