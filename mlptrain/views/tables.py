"""What a report says of a network for a table: its columns, curves of its classes, and what its columns are worth."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self, Unpack

import numpy as np
import torch

from mlptrain.errors import UserError
from mlptrain.inference.evaluate import Outputs, load_split
from mlptrain.inference.module import TrainedNetwork, load
from mlptrain.nn.losses import make_loss
from mlptrain.report.arrays import ClassCurve, ClassCurves, FloatArray, IntArray, PermutationImportance
from mlptrain.report.history import run_title
from mlptrain.seeds import derived_seed
from mlptrain.spec import Experiment
from mlptrain.spec.overview import columns_report
from mlptrain.spec.table import TableData
from mlptrain.system.paths import AnyPath
from mlptrain.training.metrics import predicted_classes, probabilities
from mlptrain.views.inputs import Source

_MAX_CLASSES = 8  # with curves of their own
_MAX_POINTS = 400  # of a curve
_MAX_COLUMNS = 200  # that are permuted
_MAX_ROWS = 10_000
_MIN_ROWS = 200
_MAX_FLOPS = 1e11  # of all permutations: some seconds on one thread
_MAX_NUMBERS = 2e9  # inputs of all permutations


def class_curves(run: AnyPath, *, split: str | None = None, **source: Unpack[Source]) -> ClassCurves:
    """ROC and precision–recall curves of a run's kept checkpoint, from scikit-learn.

    ``split`` is as for ``mlptrain eval``. Of two classes those of the second one, as the figures of
    ``evaluation.metrics`` are; of several those of each against the rest, of more than eight of the eight with the
    smallest areas. Raises UserError where there are no probabilities, and where no class has rows beside others.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    network = load(run)
    facts = network.experiment.facts
    if not facts.has_classes or not network.gives_probabilities:
        raise UserError(
            f"{run}: ROC curves need probabilities of classes, which a network for data "
            f"'{network.experiment.data.label}' with the loss '{network.experiment.loss.name}' does not give"
        )
    split, rows = load_split(network.checkpoint, split, **source)
    outputs = Outputs(network.checkpoint, device="cpu")(rows.inputs)
    chances, labels = probabilities(outputs, network.temperature).numpy(), rows.targets.numpy()
    names = facts.class_names
    curves = []
    for label in range(len(names)) if len(names) > 2 else (1,):
        true, scores = labels == label, chances[:, label]
        if true.all() or not true.any():
            continue
        false_positive, true_positive, _ = roc_curve(true, scores)
        precision, recall, _ = precision_recall_curve(true, scores)
        curves.append(
            ClassCurve(
                name=names[label],
                share=float(true.mean()),
                false_positive=_thinned(false_positive),
                true_positive=_thinned(true_positive),
                area=float(roc_auc_score(true, scores)),
                recall=_thinned(recall),
                precision=_thinned(precision),
                average_precision=float(average_precision_score(true, scores)),
            )
        )
    if not curves:
        raise UserError(f"{run}: no class has {split} rows beside rows of others; --split chooses other examples")
    shown = sorted(curves, key=lambda curve: curve.area)[:_MAX_CLASSES] if len(curves) > _MAX_CLASSES else curves
    return ClassCurves(run_title(run, network.experiment), split, len(rows), tuple(shown), len(curves))


def _thinned(values: FloatArray) -> FloatArray:
    """At most so many of the points of a curve, evenly chosen, with both ends."""
    if len(values) <= _MAX_POINTS:
        return values
    chosen = np.unique(np.linspace(0, len(values) - 1, _MAX_POINTS).round().astype(int))
    some: FloatArray = values[chosen].astype(np.float64)
    return some


def permutation_importance(
    run: AnyPath, *, split: str | None = None, repeats: int = 10, **source: Unpack[Source]
) -> PermutationImportance:
    """How much worse a run's kept checkpoint is where a column is shuffled: scikit-learn's permutation importance.

    Breiman (2001). The columns are those of the file: all inputs that come from one are shuffled together. Of large
    splits evenly spaced rows, and of many columns 200, which bounds the time; ``_chosen`` says which. Raises UserError
    for data whose inputs have no names.
    """
    from sklearn import inspection

    network = load(run)
    experiment = network.experiment
    groups = experiment.data.inputs_by_column(experiment.facts)
    if not groups:
        raise UserError(f"{run}: the inputs of data '{experiment.data.label}' have no names, which are no columns")
    split, rows = load_split(network.checkpoint, split, **source)
    columns, chosen = _chosen(network, groups, rows.spaced(_MIN_ROWS).inputs)
    rows = rows.spaced(_rows_at_most(experiment, len(columns) * repeats))
    order = np.repeat(np.arange(len(rows))[:, None], len(columns), axis=1)  # rows, of which a column is shuffled
    scorer = _Scorer(network, rows.inputs, rows.targets, [torch.tensor(places) for places in columns.values()])
    found: Mapping[str, Any] = inspection.permutation_importance(
        scorer,
        order,
        np.zeros(len(rows)),
        scoring=scorer.scores,
        n_repeats=repeats,
        random_state=derived_seed(experiment.seed, "permutation importance") % 2**32,
    )
    second = scorer.second
    return PermutationImportance(
        label=run_title(run, experiment),
        split=split,
        rows=len(rows),
        repeats=repeats,
        columns=tuple(columns),
        all_columns=len(groups),
        chosen=chosen,
        loss=experiment.loss.title,
        increase=found["loss"].importances,
        second=second,
        decrease=found[second].importances if second else None,
    )


def _chosen(
    network: TrainedNetwork, groups: Mapping[str, list[int]], inputs: torch.Tensor
) -> tuple[dict[str, list[int]], str]:
    """Up to 200 columns with their inputs, in the order of the file, and in words which they are.

    Of more, those whose inputs the first layer weighs most: by the root of the sum, over their inputs, of the squared
    norm of the weights times the variance of the input over some rows (n, inputs). Where inputs are embedded, whose
    weights are of other quantities, 200 are drawn by the seed.
    """
    if len(groups) <= _MAX_COLUMNS:
        return dict(groups), "all"
    weights = network.get_parameter("layers.0.weight").detach()
    names = list(groups)
    if weights.shape[-1] == inputs.shape[1]:
        of_inputs = weights.reshape(-1, inputs.shape[1]).square().sum(dim=0) * inputs.var(dim=0, correction=0)
        of_columns = torch.stack([of_inputs[places].sum() for places in groups.values()])
        best = of_columns.argsort(descending=True, stable=True)[:_MAX_COLUMNS]
        chosen, how = best.tolist(), "those that the first layer weighs most"
    else:
        draw = torch.Generator().manual_seed(derived_seed(network.experiment.seed, "columns of importance"))
        chosen, how = torch.randperm(len(names), generator=draw)[:_MAX_COLUMNS].tolist(), "drawn at random"
    return {names[place]: groups[names[place]] for place in sorted(chosen)}, how


def _rows_at_most(experiment: Experiment, permutations: int) -> int:
    """Rows that bound the time of so many evaluations."""
    weights = sum(int(np.prod(shape)) for shape in experiment.parameter_shapes.values())
    by_flops = _MAX_FLOPS / (2 * weights * permutations)
    by_inputs = _MAX_NUMBERS / (experiment.widths[0] * permutations)
    return int(min(_MAX_ROWS, max(_MIN_ROWS, min(by_flops, by_inputs))))


class _Scorer:
    """The network as scikit-learn wants it: an input is the number of the row that each column is taken from."""

    def __init__(
        self, network: TrainedNetwork, inputs: torch.Tensor, targets: torch.Tensor, places: list[torch.Tensor]
    ) -> None:
        self._inputs, self._targets, self._places = inputs, targets, places
        experiment = network.experiment
        self._loss = make_loss(experiment.loss, [network.checkpoint.class_weights])
        self._outputs = Outputs(network.checkpoint, device="cpu")
        self._encoded = self._loss.encode_targets(targets, experiment.output_width)
        facts = experiment.facts
        is_mean = facts.is_regression and experiment.output_width == facts.n_targets
        self.second = "accuracy" if facts.has_classes else "R²" if is_mean else ""

    def fit(self, *_: Any) -> Self:
        """It is fitted; scikit-learn asks whether it could be."""
        return self

    def scores(self, _: Self, order: IntArray, __: FloatArray) -> dict[str, float]:
        """Minus the mean loss, and the accuracy or the coefficient of determination."""
        inputs = self._inputs
        shuffled = np.flatnonzero((order != np.arange(len(order))[:, None]).any(axis=0))
        if len(shuffled):
            inputs = inputs.clone()
            for column in shuffled:
                places = self._places[column]
                inputs[:, places] = self._inputs[torch.from_numpy(order[:, column].copy())][:, places]
        outputs = self._outputs(inputs)
        found = {"loss": -float(self._loss.per_example(outputs, self._encoded).double().mean())}
        if self.second == "accuracy":
            found["accuracy"] = float((predicted_classes(outputs) == self._targets).double().mean())
        elif self.second:
            rest = ((outputs - self._targets).double() ** 2).sum(dim=0)
            spread = ((self._targets - self._targets.mean(dim=0)).double() ** 2).sum(dim=0)
            found[self.second] = float((1 - rest / spread.clamp(min=1e-300)).mean())
        return found


def table_parts(run: AnyPath, experiment: Experiment, **source: Unpack[Source]) -> dict[str, Any]:
    """What a page shows of a network for a table, by the names of ``report.page.render_page``."""
    parts: dict[str, Any] = {}
    if isinstance(experiment.data, TableData):
        parts["columns"] = columns_report(experiment.data, experiment.facts)
    if not experiment.data.inputs_by_column(experiment.facts):
        return parts
    if experiment.facts.has_classes and experiment.loss.reads == "logits":
        with suppress(UserError):  # of a split with one class
            parts["curves_of_classes"] = class_curves(run, **source)
    parts["importance"] = permutation_importance(run, **source)
    return parts
