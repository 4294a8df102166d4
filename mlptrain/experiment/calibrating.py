"""What the kept weights are measured at when training is over, and the temperature that is fitted to them then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlptrain.data import Examples
from mlptrain.experiment.checkpoints import load_checkpoint, save_checkpoint
from mlptrain.nn.parameters import Parameters
from mlptrain.runs.records import Calibration
from mlptrain.spec.metrics import WEIGHTED, CalibrationError, LogLoss
from mlptrain.training.calibration import fit_temperature
from mlptrain.training.metrics import Metrics, evaluate, outputs_of
from mlptrain.training.scores import Scored, Scorer
from mlptrain.training.trainer import TrainedModel

NO_TEMPERATURE = (
    "no finite temperature minimises the log-loss of the validation rows, as where all of them are classified "
    "correctly; probabilities stay as they are"
)


def measured(
    model: TrainedModel,
    parameters: Parameters,
    examples: Examples,
    temperature: float = 1.0,
    *,
    scorer: Scorer,
) -> Metrics:
    """Weights of a model on examples that are not measured again."""
    trainer = model.trainer
    return evaluate(
        trainer.network,
        parameters,
        loss=model.loss,
        examples=examples,
        classify=trainer.classify,
        once=True,
        scorer=scorer,
        temperature=temperature,
    )


def calibrate(model: TrainedModel, parameters: Parameters, splits: Mapping[str, Examples]) -> Calibration:
    """Fit a temperature to weights on the ``validation`` rows of ``splits``; log-loss and ECE there and on ``test``.

    By sample weights where the data have some: the log-loss that the temperature minimises is the weighted one, and
    both figures are there by weight as well as of all rows alike.
    The bins are those of the configuration's ``ece``, as in its figures and diagrams.
    """
    names, rows = model.trainer.scorer.class_names, splits["validation"]
    outputs = outputs_of(model.trainer.network, parameters, rows.inputs).double().cpu().numpy()
    targets, weights = model.loss.parted(rows.targets)
    scored = Scored(outputs, targets.cpu().numpy(), names)
    if weights is not None:
        scored = scored.weighted(weights.double().cpu().numpy())
    temperature = fit_temperature(scored.outputs, scored.labels, weights=scored.weights)
    listed = (one for one in model.trainer.scorer.metrics if isinstance(one, CalibrationError))
    metrics = (LogLoss(name="log_loss"), next(listed, CalibrationError(name="ece")))
    scorer = Scorer(metrics, names, weighted=weights is not None)
    measures = {metric.key for metric in metrics}  # no weighted accuracy, which a temperature leaves as it is
    before, after = (
        {
            f"{split}_{key}": value
            for split in ("validation", "test")
            if split in splits and divisor is not None
            for key, value in measured(model, parameters, splits[split], divisor, scorer=scorer).further.figures.items()
            if key.removeprefix(WEIGHTED) in measures
        }
        for divisor in (1.0, temperature)
    )
    return Calibration(temperature=temperature, before=before, after=after)


def store_temperature(checkpoint: Path, temperature: float | None) -> None:
    """Put the temperature into a checkpoint file, which is rewritten, whole or not at all. Raises OSError."""
    saved = load_checkpoint(checkpoint)
    if saved.temperature != temperature:
        save_checkpoint(checkpoint, replace(saved, temperature=temperature))
