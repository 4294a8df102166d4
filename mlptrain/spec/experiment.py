"""One experiment: the whole YAML file as immutable, checked values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.sources.facts import DataFacts
from mlptrain.spec.adversarial import AdversarialSpec
from mlptrain.spec.augmentation import AugmentationSpec
from mlptrain.spec.base import MAX_NUMBER, OrNone, Section, count_or, positive_or_list
from mlptrain.spec.data import DataSpec
from mlptrain.spec.inputs import InputLayout
from mlptrain.spec.loss import CrossEntropy, LossSpec
from mlptrain.spec.metrics import MAX_METRICS, MetricSpec, metrics_at_end
from mlptrain.spec.model import FileInit, ModelSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.rows import MAX_ROWS
from mlptrain.spec.schedule import Constant, RunLength, ScheduleSpec
from mlptrain.spec.stopping import EarlyStopping, ShortStopping

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


_Positive = Annotated[float, Field(gt=0, le=MAX_NUMBER)]


class TrainingSpec(Section):
    """How long, in which batches, on what."""

    epochs: int = Field(10, ge=0, le=10_000_000, description="Passes over the training rows; 0 trains nothing.")
    batch_size: Annotated[
        int | Literal["full"], count_or("full", most=MAX_ROWS), Field(description="Examples per step, or full.")
    ] = 64
    shuffle: bool = Field(True, description="A new order of the training rows every epoch, drawn from the seed.")
    clip_norm: Annotated[_Positive | None, OrNone()] = Field(
        None, description="Scales the gradient down to this Euclidean norm, over all parameters. Default: none."
    )
    clip_value: Annotated[_Positive | None, OrNone()] = Field(
        None, description="Cuts every element of the gradient off at this and minus this. Default: none."
    )
    max_norm: Annotated[Annotated[float | list[float], positive_or_list()] | None, OrNone()] = Field(
        None,
        description="Upper bound of the Euclidean norm of every unit's incoming weights (Srivastava et al., 2014), or "
        "a list with one for each layer, the output's last.",
    )
    l1: float = Field(0.0, ge=0, le=1e6, description="l1 × Σ |w| over the weights, without biases, joins the loss.")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Average the weights along the way, keeping this share of the average in every step: e.g. 0.999. "
        "The run then stands for the average; 0 averages nothing.",
    )
    adversarial: AdversarialSpec | None = Field(
        None, description="A term for disturbed inputs in what is minimised. Default: none."
    )
    record_steps: bool = Field(False, description="Keep loss and accuracy of every step in steps.npz.")
    record_layers: bool = Field(
        False, description="Keep activations and gradients of every layer by epoch in layers.jsonl."
    )
    norm_statistics: Literal["running", "training_rows"] = Field(
        "running",
        description="What batch norm evaluates with: running statistics, or those of all training rows after an epoch.",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda|cuda:[0-9]{1,3})$", description="auto, cpu, cuda or cuda:N; auto never fails."
    )
    precision: Literal["auto", "highest", "high", "medium"] = Field(
        "auto",
        description="Of float32 matrix products, as torch.set_float32_matmul_precision; auto takes the fastest kernels "
        "whose measured error is still that of float32.",
    )
    threads: Annotated[
        int | Literal["auto"],
        count_or("auto", most=1024),
        Field(description="CPU threads; auto takes as many as the arithmetic of a step gives work to."),
    ] = "auto"
    early_stopping: Annotated[
        EarlyStopping | None,
        ShortStopping(),
        Field(description="Ends the run when a metric no longer gets better: true, the patience, or a mapping; none."),
    ] = None

    @model_validator(mode="after")
    def _clipped_once(self) -> Self:
        if self.clip_norm is not None and self.clip_value is not None:
            detail: dict[str, Any] = {"norm": self.clip_norm, "value": self.clip_value}
            message = "clips the gradient a second time, at {value} beside clip_norm {norm}; leave one of them out"
            raise PydanticCustomError("at:clip_value", message, detail)
        return self

    def max_norms(self, layers: int) -> list[float]:
        """The bound of each of so many layers, none where there is no bound."""
        if self.max_norm is None:
            return []
        return [*self.max_norm] if isinstance(self.max_norm, list) else [self.max_norm] * layers

    def run_length(self, rows: int) -> RunLength:
        """Steps of the run and of an epoch over so many training rows; the last of an epoch may be smaller."""
        size = rows if isinstance(self.batch_size, str) else min(self.batch_size, rows)
        per_epoch = -(-rows // size) if rows > 0 else 0
        return RunLength(self.epochs * per_epoch, per_epoch)


class EvaluationSpec(Section):
    """What is measured before training and after every epoch, and which weights the run stands for."""

    split: Literal["validation", "test", "none"] | None = Field(
        None, description="Default: validation where there is one, else none."
    )
    keep: Literal["best", "last"] | None = Field(
        None, description="best: that of the best metric; last. Default: best where validation is measured, else last."
    )
    metric: str = Field("validation_loss", description="What best goes by, such as validation_accuracy.")
    metrics: list[MetricSpec] = Field(
        [],
        max_length=MAX_METRICS,
        description="Further figures of the measured split by epoch, and of the kept weights on every split. The kept "
        "weights of a regression have rmse and r2, listed or not.",
    )
    calibrate: Literal["none", "temperature"] = Field(
        "none",
        description="temperature: one number that divides the logits, fitted on the validation rows at the end, "
        "by their sample weights where they have some.",
    )

    def resolved(self, data: DataSpec) -> EvaluationSpec:
        """With defaults that depend on the data resolved."""
        split = self.split or ("validation" if data.has_validation else "none")
        keep = self.keep or ("best" if split == "validation" else "last")
        return self.model_copy(update={"split": split, "keep": keep})


class ExperimentSpec(Section):
    """The whole YAML file: what is asked for. What the data are is in ``DataFacts``, and both in ``Experiment``."""

    name: str = Field(pattern=NAME_PATTERN, description="Names the run folder. Default: the file's name.")
    seed: int = Field(0, ge=0, lt=2**63, description="Every random number of the run follows from it.")
    data: DataSpec = Field(description="Which examples, how many, how scaled.")
    model: ModelSpec = Field(description="The network between the data's inputs and the loss's outputs.")
    loss: LossSpec = Field(
        CrossEntropy(name="cross_entropy"),
        description="What is minimised. Default: by the targets, cross_entropy, mse or multi_label_bce.",
    )
    optimizer: OptimizerSpec = Field(description="How the weights are changed.")
    schedule: ScheduleSpec = Field(
        Constant(name="constant"), description="How the learning rate changes; its length is the run's own."
    )
    augmentation: AugmentationSpec = Field(
        AugmentationSpec(), description="Random changes of the inputs of training batches. Default: none."
    )
    training: TrainingSpec = Field(TrainingSpec(), description="Epochs, batches, device and precision.")
    evaluation: EvaluationSpec = Field(EvaluationSpec(), description="What is measured, and which weights are kept.")


@dataclass(frozen=True)
class Experiment:
    """What is asked for and what the data are: everything that determines a run. The sections are those of ``spec``.

    Relative paths in the specification start from ``folder``.
    """

    spec: ExperimentSpec
    facts: DataFacts
    folder: Path = field(default=Path(), repr=False, compare=False)
    name: str = field(init=False, repr=False, compare=False)
    seed: int = field(init=False, repr=False, compare=False)
    data: DataSpec = field(init=False, repr=False, compare=False)
    model: ModelSpec = field(init=False, repr=False, compare=False)
    loss: LossSpec = field(init=False, repr=False, compare=False)
    optimizer: OptimizerSpec = field(init=False, repr=False, compare=False)
    schedule: ScheduleSpec = field(init=False, repr=False, compare=False)
    augmentation: AugmentationSpec = field(init=False, repr=False, compare=False)
    training: TrainingSpec = field(init=False, repr=False, compare=False)
    evaluation: EvaluationSpec = field(init=False, repr=False, compare=False)  # its defaults are resolved

    def __post_init__(self) -> None:
        for key in ExperimentSpec.model_fields:
            object.__setattr__(self, key, getattr(self.spec, key))  # as the dataclass itself does, which is frozen

    def changed(self, **sections: Any) -> Experiment:
        """With other sections, seed or name and the same facts."""
        return replace(self, spec=self.spec.model_copy(update=sections))

    def with_training(self, **values: Any) -> Experiment:
        """With other values in the training section."""
        return self.changed(training=self.training.model_copy(update=values))

    def in_fold(self, index: int) -> Experiment:
        """Another fold of the same cross-validation, with the same facts."""
        if self.data.fold is None:
            raise ValueError("an experiment without a fold has no others")
        data = self.data.model_copy(update={"fold": self.data.fold.model_copy(update={"index": index})})
        return self.changed(data=data)

    def with_weights(self, path: Path, *, sha256: str | None = None) -> Experiment:
        """Starting from the weights in a file."""
        init = FileInit(name="file", path=path.as_posix(), sha256=sha256)
        return self.changed(model=self.model.model_copy(update={"init": init}))

    @property
    def batch_size(self) -> int:
        """Examples per step, at most the training rows."""
        size = self.training.batch_size
        return self.facts.train_rows if isinstance(size, str) else min(size, self.facts.train_rows)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch; the last may be smaller."""
        return self.training.run_length(self.facts.train_rows).per_epoch

    @property
    def step_flops(self) -> float:
        """Floating-point operations of a step's products: three or more for each weight matrix, on a full batch."""
        weights = sum(inputs * outputs for inputs, outputs in pairwise(self.widths))
        products = 3 if self.training.adversarial is None else self.training.adversarial.products
        return 2.0 * products * self.batch_size * weights * self.model.members.k

    @property
    def output_width(self) -> int:
        """Width of the last layer, which the loss determines."""
        return self.loss.n_outputs(self.facts)

    @property
    def value_names(self) -> list[str]:
        """What the outputs of a regression are called: the targets, with the levels of quantiles."""
        targets, levels = self.facts.target_names, getattr(self.loss, "quantiles", None)
        if not targets:
            return list(self.loss.output_names(self.facts) or ("value",))
        return [f"{target}_{level:g}" for target in targets for level in levels] if levels else list(targets)

    @property
    def final_metrics(self) -> list[MetricSpec]:
        """The further figures of the kept weights."""
        return metrics_at_end(self.evaluation.metrics, self.facts, self.loss)

    @cached_property  # asked for a dozen times, which takes a second of 100,000 columns
    def layout(self) -> InputLayout:
        """The columns of the matrix that the network reads."""
        return self.data.layout(self.facts)

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer widths from what the first product reads, behind embeddings, to the outputs."""
        return self.model.widths(self.layout, self.output_width)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameter tensors, in their order."""
        return self.model.parameter_shapes(self.layout, self.output_width)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all tensors of the network: the parameters, and behind them statistics of norms."""
        return self.parameter_shapes | self.model.state_shapes(self.layout, self.output_width)
