"""``MLPClassifier`` and ``MLPRegressor``: an experiment on data in memory, as scikit-learn calls it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, _check_y, check_consistent_length, check_is_fitted

from mlptrain.errors import DivergedError, InterruptedRunError, MlptrainError
from mlptrain.experiment import Listener, train
from mlptrain.experiment.in_memory import Trained, train_in_memory
from mlptrain.experiment.recorder import metrics_line
from mlptrain.inference.evaluate import load_kept
from mlptrain.inference.module import TrainedNetwork
from mlptrain.keys import run_figure
from mlptrain.runs.records import Line
from mlptrain.sklearn.arguments import ONE_EPOCH, automatic_batch, defaults_of, load, names_known
from mlptrain.sklearn.fitted import Fitted, without_updates
from mlptrain.sklearn.rows import SMALL, Inputs, Matrix, merged
from mlptrain.sources.facts import MAX_TARGET
from mlptrain.sources.held import holding
from mlptrain.sources.tables.prepared import prepared
from mlptrain.spec import Experiment
from mlptrain.system.paths import AnyPath
from mlptrain.training.metrics import predicted_classes, probabilities
from mlptrain.training.trainer import Epoch

_ONE_AT_A_TIME = threading.Lock()  # the number of torch's threads, and turns at the cores, are the process's


def _unsaid(_: object) -> None:
    pass


@dataclass(frozen=True)
class _Saying(Listener):
    """Says the line of every epoch of the only model."""

    experiment: Experiment
    say: Callable[[Line], None]

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        for epoch in epochs:
            if epoch is not None:
                self.say(metrics_line(epoch, self.experiment))


class _MLP(BaseEstimator):
    @names_known
    def __init__(
        self,
        hidden: Sequence[int] = (256, 256),
        *,
        activation: str | Mapping[str, Any] = "relu",
        norm: str | Mapping[str, Any] = "none",
        dropout: float | Sequence[float] = 0.2,
        numeric_embedding: str | Mapping[str, Any] = "none",
        members: int | Mapping[str, Any] = 1,
        loss: str | Mapping[str, Any] | None = None,
        optimizer: str | Mapping[str, Any] = "adamw",
        lr: float = 0.003,
        weight_decay: float = 0.01,
        schedule: str | Mapping[str, Any] = "cosine",
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        ema: float = 0.0,
        clip_norm: float | None = None,
        validation: float | str = "auto",
        patience: int | Mapping[str, Any] | None = None,
        scaling: str = "robust_clip",
        encoding: str = "one_hot",
        device: str = "auto",
        threads: int | str = "auto",
        random_state: Any = None,
        verbose: bool = False,
        run_dir: AnyPath | None = None,
        spec: AnyPath | Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.numeric_embedding = numeric_embedding
        self.members = members
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.ema = ema
        self.clip_norm = clip_norm
        self.validation = validation
        self.patience = patience
        self.scaling = scaling
        self.encoding = encoding
        self.device = device
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose
        self.run_dir = run_dir
        self.spec = spec

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train on all rows of X (n, columns) with the targets y; ``sample_weight`` (n,) says how much each counts.

        X is an array, nan where a value is missing, or a data frame of pandas or polars, whose texts, categories and
        dates are encoded. Rows of weight 0 are left out. Where up to 256 rows make one batch, equal ones become one
        with the sum of their weights, so that a weight of 2 is exactly a row twice. Raises ValueError and TypeError for
        what cannot be trained on, with the argument's name.
        """
        inputs, x = Inputs.fit(self, X)
        x, targets, weight = self._checked(x, y, sample_weight)
        encoded, names = self._learnt_targets(targets)
        if len(x) <= min(self._batch(len(x)), SMALL):
            x, encoded, weight = merged(x, encoded, weight)
        trained = self._train(inputs, x, encoded, names, weight)
        self._inputs, self._fitted = inputs, Fitted(without_updates(trained.checkpoint))
        self._note(trained.lines)
        return self

    def _continue(self, rows: Any, y: Any, sample_weight: Any, classes: Any) -> Self:
        """An epoch on these rows, behind those that were trained before."""
        before: Fitted | None = getattr(self, "_fitted", None)
        inputs, x = Inputs.fit(self, rows) if before is None else (self._inputs, self._inputs(self, rows))
        x, targets, weight = self._checked(x, y, sample_weight)
        if before is None:
            encoded, names = self._learnt_targets(targets, classes)
        else:
            names = before.checkpoint.experiment.facts.class_names
            encoded = self._encoded_targets(targets)
        trained = self._train(inputs, x, encoded, names, weight, partial=True, after=before)
        lines = [] if before is None else [one for one in self.history_ if one["epoch"] <= before.checkpoint.epoch]
        self._inputs, self._fitted = inputs, Fitted(trained.checkpoint)
        self._note((*lines, *trained.lines))
        return self

    def _checked(self, x: Matrix, y: Any, sample_weight: Any) -> tuple[Matrix, NDArray[Any], Matrix | None]:
        """Rows that count, their targets and weights, where some are given and not all are equal."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        targets = self._validated(y)
        check_consistent_length(x, targets)
        if sample_weight is None:
            return x, targets, None
        weight: Matrix = _check_sample_weight(sample_weight, x, dtype=np.float32, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight: all weights are zero, so that no row counts")
        x, targets, weight = (values[weight > 0] for values in (x, targets, weight))
        return x, targets, None if (weight == weight[0]).all() else weight

    def _batch(self, rows: int) -> int:
        """Rows of a step, as far as the arguments say."""
        if self.batch_size == "auto":
            return automatic_batch(rows)
        return self.batch_size if isinstance(self.batch_size, int) else rows

    def _train(
        self,
        inputs: Inputs,
        x: Matrix,
        targets: NDArray[Any],
        names: Sequence[str],
        weight: Matrix | None,
        *,
        partial: bool = False,
        after: Fitted | None = None,
    ) -> Trained:
        content = prepared(x, targets, columns=inputs.columns, class_names=names, weight=weight, has_names=inputs.named)
        forced: dict[str, Any] = {"data.test": 0}
        if self.spec is None or self.random_state is not None:
            forced["seed"] = self._seed()
        if weight is not None and self.spec is None:
            forced["evaluation.metric"] = "validation_objective"
        if partial:
            forced |= {**ONE_EPOCH, "training.epochs": 1 if after is None else after.checkpoint.epoch + 1}
        with _ONE_AT_A_TIME, holding(content) as given:
            values, defaults = self.get_params(deep=False), defaults_of(type(self))
            loaded = load(self.spec, values, defaults, forced, given=given, rows=len(x))
            if after is not None and after.checkpoint.experiment.shapes != loaded.experiment.shapes:
                raise ValueError(
                    "partial_fit continues the network that was trained so far, and the arguments now make another "
                    "one; set them back, or call fit to start over"
                )
            try:
                if self.run_dir is not None and not partial:
                    listeners = [_Saying(loaded.experiment, self._say)] if self.verbose else []
                    folder = train(
                        loaded, run_dir=self.run_dir, listeners=listeners, on_note=_unsaid, progress=False
                    ).folder
                    return Trained(load_kept(folder.path), tuple(folder.read_metrics()))
                return train_in_memory(
                    loaded,
                    after=None if after is None else after.checkpoint,
                    on_line=self._say if self.verbose else _unsaid,
                )
            except InterruptedRunError as error:  # that no search takes for a fit that failed
                raise KeyboardInterrupt(str(error)) from None
            except DivergedError as error:
                advice = "" if "; try " in str(error) else "; lower lr, or set clip_norm"
                raise ValueError(f"{error}{advice}") from None
            except MlptrainError as error:
                raise ValueError(str(error)) from None

    def _seed(self) -> int:
        """A number is the seed itself; of a generator, or None for NumPy's, the next number is."""
        if isinstance(self.random_state, (int, np.integer)) and self.random_state >= 0:
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _say(self, line: Line) -> None:
        figures = [
            f"{key} {run_figure(key, value)}" for key, value in line.items() if key not in ("epoch", "step", "lr")
        ]
        if figures:  # none before training without validation rows
            sys.stdout.write("  ".join([f"epoch {line['epoch']}", *figures]) + "\n")

    def _note(self, lines: Sequence[Line]) -> None:
        self.history_ = list(lines)
        self.loss_curve_: list[float] = [line["train_loss"] for line in lines if "train_loss" in line]
        self.n_iter_: int = lines[-1]["epoch"]
        self.best_epoch_ = self._fitted.checkpoint.epoch

    def _outputs(self, rows: Any) -> NDArray[np.float64]:
        """What the network gives for rows X, (n, outputs)."""
        check_is_fitted(self)
        found: NDArray[np.float64] = self._fitted.outputs(self._inputs(self, rows)).numpy()
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def network_(self) -> TrainedNetwork:
        """The trained network as a ``torch.nn.Module``, a ``TrainedNetwork`` as ``mlptrain.load`` gives it; a copy."""
        check_is_fitted(self)
        return TrainedNetwork(self._fitted.checkpoint)


class MLPClassifier(ClassifierMixin, _MLP):
    """A multi-layer perceptron that predicts classes, trained by mlptrain.

    y are classes (n,), or with 0 and 1 which of several labels each row has (n, labels).

    Parameters
    ----------
    hidden : sequence of int
        Widths of the hidden layers; () is a linear model.
    activation, norm, numeric_embedding, schedule : str or mapping
        As in a YAML file: a name, or a mapping such as ``{"name": "leaky_relu", "slope": 0.01}``.
    dropout : float or sequence of float
        Share of values dropped after every hidden activation.
    members : int or mapping
        Members of an ensemble that trains as one network, such as 8 or ``{"k": 8, "kind": "mini"}``.
    loss : str or mapping, optional
        ``cross_entropy`` by default, such as ``{"name": "cross_entropy", "class_weights": "balanced"}``; of several
        labels ``multi_label_bce``.
    optimizer : str or mapping
        Such as ``adamw`` or ``{"name": "sgd", "momentum": 0.9}``; a mapping's own ``lr`` and ``weight_decay`` count.
    lr, weight_decay : float
        Learning rate and weight decay of the optimizer.
    epochs : int or "auto"
        Passes over the rows; auto: about 2,000 steps, in at most 100 epochs.
    batch_size : int, "full" or "auto"
        Rows of a step; auto: 32 to 256, by the number of rows.
    ema : float
        Share of the average of the weights that a step keeps, such as 0.99; 0 averages nothing.
    clip_norm : float, optional
        The norm that a longer gradient is scaled down to.
    validation : float, int or "auto"
        A fraction, or a number, of the rows to choose the best epoch by; 0 trains on all rows to the last epoch. auto:
        15 % of 200 rows or more.
    patience : int or mapping, optional
        Epochs without a better validation loss after which training ends.
    scaling, encoding : str
        What becomes of numbers and of categories: ``data.numeric.scaling`` and ``data.categorical.encoding``.
    device, threads : str or int
        Where to train, and with how many threads of the CPU; the bytes of a fit are those of a number of threads.
    random_state : int, RandomState instance or None
        A number is the file's ``seed``: the same one gives the same bytes. None draws another from NumPy in each fit.
    verbose : bool
        Print the figures of every epoch.
    run_dir : path, optional
        A new run folder for the commands of mlptrain, such as ``mlptrain report``. By default nothing is written.
    spec : path or mapping, optional
        A configuration, as a YAML file or a mapping, whose ``data`` says at most how columns become inputs. Of the
        arguments those count besides that are not at their defaults; its ``data.test`` has no effect.

    Attributes
    ----------
    classes_ : array (k,)
        The classes, sorted; probabilities are in their order. Where y has several labels of a row, their numbers.
    n_features_in_, feature_names_in_ : int, array
        As everywhere in scikit-learn.
    history_ : list of dict
        The figures of every epoch, as in ``metrics.jsonl``; the first is of the network before training.
    loss_curve_ : list of float
        The mean training loss of every epoch.
    n_iter_, best_epoch_ : int
        Epochs that were trained, and the one whose weights were kept.
    network_ : TrainedNetwork
        The network as a ``torch.nn.Module``.
    """

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train one epoch on X (n, columns) and y, from the weights and the optimizer's state so far.

        ``sample_weight`` (n,) is as in ``fit``. The first call needs all ``classes`` that there will be, unless ``fit``
        came before, and what preprocessing fits is of its rows. The learning rate stays ``lr``, and no rows are held
        out. Raises as ``fit``, and ValueError for other classes.
        """
        if classes is None and not hasattr(self, "_fitted"):
            raise ValueError("classes must be passed on the first call to partial_fit")
        if classes is not None and hasattr(self, "_fitted") and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes!r} are not those of the first call, {self.classes_!r}")
        return self._continue(X, y, sample_weight, classes)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The class of every row of X, (n,); of several labels 1 for those that are likelier than not, (n, labels).

        Raises NotFittedError before ``fit``, and ValueError for other columns.
        """
        outputs = self._outputs(X)
        if self._several:
            return (outputs > 0).astype(np.int64)
        found: NDArray[Any] = self.classes_[predicted_classes(torch.from_numpy(outputs)).numpy()]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The probability of every class or label for the rows of X, (n, k), in the order of ``classes_``.

        Raises AttributeError where the loss, such as mse, makes none, and as ``predict``.
        """
        check_is_fitted(self)
        checkpoint = self._fitted.checkpoint
        if (loss := checkpoint.experiment.loss).reads != "logits":
            raise AttributeError(f"loss={loss.name!r} gives no probabilities; use cross_entropy")
        outputs = torch.from_numpy(self._outputs(X))
        found: NDArray[np.float64] = probabilities(
            outputs, checkpoint.temperature or 1.0, multi_label=self._several
        ).numpy()
        return found

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Logarithms of ``predict_proba`` for the rows of X, (n, k). Raises as that."""
        with np.errstate(divide="ignore"):
            found: NDArray[np.float64] = np.log(self.predict_proba(X))
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _validated(self, y: Any) -> NDArray[Any]:
        given: Any = y if issparse(y) else np.asarray(y)
        several = given.ndim == 2 and given.shape[1] > 1 and type_of_target(given) == "multilabel-indicator"
        targets: Any = _check_y(y, multi_output=several, estimator=self)
        try:
            check_classification_targets(targets)
        except TypeError:
            raise ValueError("y has classes without an order, such as None beside texts; make texts of all") from None
        found: NDArray[Any] = targets.toarray() if issparse(targets) else targets
        return found

    def _learnt_targets(self, targets: NDArray[Any], classes: Any = None) -> tuple[NDArray[Any], list[str]]:
        self._several = targets.ndim == 2
        known = np.arange(targets.shape[1]) if self._several else targets
        self.classes_ = np.unique(known if classes is None else np.asarray(classes))
        if len(self.classes_) < 2:
            [only] = self.classes_.tolist()
            raise ValueError(f"y has rows of one class, {only!r}: {type(self).__name__} needs at least two classes")
        return self._encoded_targets(targets), [str(one) for one in self.classes_]

    def _encoded_targets(self, targets: NDArray[Any]) -> NDArray[Any]:
        if self._several != (targets.ndim == 2) or (self._several and targets.shape[1] != len(self.classes_)):
            trained = f"{len(self.classes_)} labels" if self._several else "classes"
            raise ValueError(f"y has the shape {targets.shape}, but {trained} of a row were trained on")
        if self._several:
            return targets.astype(np.float32)
        found = np.searchsorted(self.classes_, targets).clip(max=len(self.classes_) - 1)
        if (other := self.classes_[found] != targets).any():
            raise ValueError(f"y has the class {targets[other].tolist()[0]!r}, which is not among {self.classes_!r}")
        return found.astype(np.int64)


class MLPRegressor(RegressorMixin, _MLP):
    """A multi-layer perceptron for one or several numbers of a row, trained by mlptrain.

    The parameters and attributes are those of ``MLPClassifier``, but that ``loss`` is ``mse`` by default, or ``mae``,
    ``huber`` or ``{"name": "quantile", "quantiles": [0.05, 0.5, 0.95]}``, and that there are no classes. Targets are
    standardised while it trains; predictions are in their own unit.
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train one epoch on X (n, columns) and y, from the weights and the optimizer's state so far.

        ``sample_weight`` (n,) is as in ``fit``. What preprocessing fits, the scale of the targets too, is of the rows
        of the first call. The learning rate stays ``lr``, and no rows are held out. Raises as ``fit``.
        """
        return self._continue(X, y, sample_weight, None)

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The values of every row of X, (n,) or as many to a row as y had; of quantiles each in turn.

        Raises NotFittedError before ``fit``, and ValueError for other columns.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self._flat and outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _validated(self, y: Any) -> NDArray[Any]:
        targets: NDArray[Any] = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        if targets.dtype.kind not in "biuf":
            raise ValueError(f"y holds {targets.dtype}: expected numbers; MLPClassifier takes classes")
        return targets

    def _learnt_targets(self, targets: NDArray[Any], classes: Any = None) -> tuple[Matrix, list[str]]:  # noqa: ARG002
        self._flat, self.n_outputs_ = targets.ndim == 1, 1 if targets.ndim == 1 else targets.shape[1]
        return self._encoded_targets(targets), []

    def _encoded_targets(self, targets: NDArray[Any]) -> Matrix:
        wide = targets.reshape(len(targets), -1)
        if wide.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {wide.shape[1]} targets of a row, but {self.n_outputs_} were trained on")
        if not (np.abs(wide) <= MAX_TARGET).all():
            raise ValueError(f"y: the squares of numbers beyond {MAX_TARGET:g} are beyond float32; use a larger unit")
        return wide.astype(np.float32)
