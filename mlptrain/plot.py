"""What ``mlptrain plot`` draws, as figures of matplotlib, which a notebook shows and ``savefig`` writes.

A ``run`` is a run folder, a checkpoint file, or what ``mlptrain.train`` returns, a ``config`` a run too, or what
``train`` takes, with ``overrides`` as there. ``split`` is train, validation or test, by default test where there is
one, else validation, else train. ``data`` are those that a run was trained on where ``train`` was given some from
Python, ``source`` are ``data_dir`` and ``on_fetch`` as of ``train``. Every function raises the errors of
mlptrain.errors: UserError where there is nothing to draw, and those of a run, a configuration or data that cannot be
read. Torch is imported where a network is asked.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from mlptrain.errors import UserError
from mlptrain.sources.held import holding
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.system.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from mlptrain.spec import Config, Experiment, Overrides
    from mlptrain.views.inputs import Source

__all__ = [
    "activation",
    "confusion",
    "curves",
    "decision",
    "fit",
    "histogram",
    "importance",
    "layers",
    "mistakes",
    "reliability",
    "residuals",
    "roc",
    "samples",
    "schedule",
    "seen",
    "weights",
]

Ends = tuple[float, float]


def curves(
    *runs: AnyPath,
    steps: bool = False,
    labels: Sequence[str] | None = None,
    log: bool | None = None,
    ylim: Ends | None = None,
    accuracy_ylim: Ends | None = None,
    guess: bool = True,
) -> Figure:
    """Loss, accuracy and other figures of ``runs`` or groups, finished or not, by epoch, or with ``steps`` by step.

    ``labels`` name the runs; ``log`` is whether the axis of the loss is logarithmic, None for what suits the figures;
    ``ylim`` and ``accuracy_ylim`` (in %) are ends of axes, low and high; ``guess`` draws a line at what a constant
    guess reaches. Raises UserError for ends that an axis cannot have, and for labels that are not one for each run.
    """
    paths, limits = _paths(runs), _limits(ylim, accuracy_ylim, log=log)
    names = None if labels is None else _names(labels, paths)
    _load()
    from mlptrain.report.curves import Look, draw_curves, draw_steps
    from mlptrain.report.history import read_curves, run_labels

    if names is None and len(paths) > 1:
        names = run_labels(paths)
    histories = [read_curves(run, label=names[at] if names else None, steps=steps) for at, run in enumerate(paths)]
    draw = draw_steps if steps else draw_curves
    return draw(histories, look=Look(log=log, limits=limits, guess=guess))


def decision(*runs: AnyPath, data: Any = None, **source: Unpack[Source]) -> Figure:
    """Predicted classes in the plane, for data with two inputs; a group stands for its runs.

    For ``runs``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_decisions

    labelled = _labelled(runs)
    folders = {run.resolve().name for run, _ in labelled}
    alike = len(folders) < len(labelled)  # and then do not say which run is which
    with holding(data):
        maps = [views.decision_map(run, label=label if alike else None, **source) for run, label in labelled]
    return draw_decisions(maps)


def fit(*runs: AnyPath, data: Any = None, **source: Unpack[Source]) -> Figure:
    """Targets and outputs over the input, for data with one input; a group stands for its runs.

    For ``runs``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_fits

    with holding(data):
        return draw_fits([views.fitted_curve(run, label=label, **source) for run, label in _labelled(runs)])


def confusion(run: AnyPath, *, split: str | None = None, data: Any = None, **source: Unpack[Source]) -> Figure:
    """The confusion matrix, in counts, on a split.

    For ``run``, ``split``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_confusion

    with holding(data):
        return draw_confusion(views.confusion(user_path(run), split=split, **source))


def mistakes(
    run: AnyPath, *, split: str | None = None, count: int = 24, data: Any = None, **source: Unpack[Source]
) -> Figure:
    """The ``count`` most confident errors, with true and predicted class.

    Raises UserError where there is none. For ``run``, ``split``, ``data``, ``source`` and the errors raised see
    ``mlptrain.plot``.
    """
    path = user_path(run)
    _load()
    from mlptrain import views
    from mlptrain.report.images import draw_mistakes

    with holding(data):
        errors = views.mistakes(path, split=split, count=count, **source)
    if not errors.wrong:
        raise UserError(
            f"{path} predicts all {errors.examples:,} {errors.split} examples correctly, so there is nothing to draw; "
            "name another split"
        )
    return draw_mistakes(errors)


def residuals(run: AnyPath, *, split: str | None = None, data: Any = None, **source: Unpack[Source]) -> Figure:
    """Predicted against true values of a regression, and residuals.

    For ``run``, ``split``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_residuals

    with holding(data):
        return draw_residuals(views.residuals(user_path(run), split=split, **source))


def reliability(run: AnyPath, *, split: str | None = None, data: Any = None, **source: Unpack[Source]) -> Figure:
    """Accuracy against confidence, before and after calibration.

    For ``run``, ``split``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_reliability

    with holding(data):
        return draw_reliability(views.reliability(user_path(run), split=split, **source))


def roc(run: AnyPath, *, split: str | None = None, data: Any = None, **source: Unpack[Source]) -> Figure:
    """ROC and precision–recall curves, of each class against the rest.

    For ``run``, ``split``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.tables import draw_class_curves

    with holding(data):
        return draw_class_curves(views.class_curves(user_path(run), split=split, **source))


def importance(
    run: AnyPath, *, split: str | None = None, repeats: int = 10, data: Any = None, **source: Unpack[Source]
) -> Figure:
    """How much worse predictions are where a column is shuffled, ``repeats`` times each.

    For ``run``, ``split``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.tables import draw_importance

    with holding(data):
        found = views.permutation_importance(user_path(run), split=split, repeats=repeats, **source)
    return draw_importance(found)


def seen(run: AnyPath, images: Sequence[AnyPath], *, count: int = 24, invert: bool | None = None) -> Figure:
    """Image files, or those in folders, as the network is given them; what cannot be read is a warning.

    At most ``count`` of ``images`` are drawn; ``invert`` is whether they are dark ink on light ground, None for each as
    it looks. For ``run`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.images import draw_seen

    shown = views.seen(user_path(run), [user_path(image) for image in images], count=count, invert=invert)
    for fault in shown.faults:
        warnings.warn(fault, stacklevel=2)
    return draw_seen(shown)


def weights(run: AnyPath, *, count: int = 64) -> Figure:
    """The first layer's weights as images, one for each of the first ``count`` hidden units.

    For ``run`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.images import draw_weights

    return draw_weights(views.first_layer_weights(user_path(run), count=count))


def layers(run: AnyPath, *, data: Any = None, **source: Unpack[Source]) -> Figure:
    """Activations and gradients by layer; with ``training.record_layers`` also by epoch.

    For ``run``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.layers import draw_layers

    with holding(data):
        return draw_layers(views.layer_profiles(user_path(run), **source))


def samples(
    config: Config,
    *,
    overrides: Overrides = (),
    augmented: bool = False,
    count: int | None = None,
    data: Any = None,
    **source: Unpack[Source],
) -> Figure:
    """The first training images of a configuration or run; of one or two inputs all points.

    ``augmented`` draws beside each image what the section augmentation makes of it. ``count`` defaults to 40 images,
    with ``augmented`` 8. For ``config``, ``overrides``, ``data``, ``source`` and the errors raised see
    ``mlptrain.plot``.
    """
    with holding(data) as given:
        spec = _experiment(config, overrides, given, imports=False)
        _load()
        from mlptrain import views
        from mlptrain.report.arrays import FittedCurve, LabelledPoints
        from mlptrain.report.figures import draw_fits, draw_points
        from mlptrain.report.images import draw_augmented, draw_samples

        if augmented:
            return draw_augmented(views.augmented_samples(spec, count=count or 8, **source))
        rows = views.samples(spec, count=count or 40, **source)
    if isinstance(rows, FittedCurve):
        return draw_fits([rows])
    return draw_points(rows) if isinstance(rows, LabelledPoints) else draw_samples(rows)


def histogram(config: Config, *, overrides: Overrides = (), data: Any = None, **source: Unpack[Source]) -> Figure:
    """Input values of the scaled training rows of a configuration or run, in 100 bins.

    For ``config``, ``overrides``, ``data``, ``source`` and the errors raised see ``mlptrain.plot``.
    """
    with holding(data) as given:
        spec = _experiment(config, overrides, given, imports=False)
        _load()
        from mlptrain import views
        from mlptrain.report.figures import draw_histogram

        return draw_histogram(views.input_histogram(spec, **source))


def schedule(config: Config, *, overrides: Overrides = (), data: Any = None, allow_code: bool = False) -> Figure:
    """The learning rate of every step of a configuration's run.

    With ``allow_code`` a module that it names may be imported, whose optimizer may have a rate of its own. Raises
    UserError for a configuration without steps. For ``config``, ``overrides``, ``data`` and the errors raised see
    ``mlptrain.plot``.
    """
    from mlptrain.spec.code import code_allowed

    with holding(data) as given, code_allowed(allow_code):
        spec = _experiment(config, overrides, given)
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_rates

    return draw_rates(views.learning_rates(spec))


def activation(
    *names: str, derivatives: int = 1, interval: Ends | None = None, shared: bool = False, overlay: bool = False
) -> Figure:
    """Activation functions by their ``names``, ``elu:alpha=2`` with settings, and ``derivatives`` up to the sixth.

    ``interval`` is the range of the inputs, by default -4 to 4, with ``derivatives`` above 1 from -7 to 7; ``shared``
    gives all panels the same axes, ``overlay`` draws all activations in one panel. Raises UserError for a name, a
    setting, an order or an interval that cannot be drawn.
    """
    _load()
    from mlptrain import views
    from mlptrain.report.figures import draw_activations

    low, high = interval or ((-4.0, 4.0) if derivatives == 1 else (-7.0, 7.0))
    drawn = views.activation_curves(names, derivatives=derivatives, low=low, high=high)
    return draw_activations(drawn, shared=shared, overlay=overlay)


def _load() -> None:
    """From here on modules that draw can be imported."""
    from mlptrain.report.loading import load_matplotlib

    load_matplotlib()


def _paths(runs: Sequence[AnyPath]) -> list[Path]:
    if not runs:
        raise UserError("nothing to draw: name a run")
    return [user_path(run) for run in runs]


def _labelled(runs: Sequence[AnyPath]) -> list[tuple[Path, str]]:
    """The runs, with those of a group in its place, and their labels."""
    from mlptrain.report.history import run_labels
    from mlptrain.runs import runs_of_group

    found = [run for path in _paths(runs) for run in runs_of_group(path) or [path]]
    return list(zip(found, run_labels(found), strict=True))


def _experiment(config: Config, overrides: Overrides, given: dict[str, Any], *, imports: bool = True) -> Experiment:
    """That of a configuration, or of the run whose folder is named; ``imports`` as of ``load_spec``."""
    from mlptrain.spec import as_loaded

    if isinstance(config, str | os.PathLike):
        path = user_path(config)
        config = own if (own := path / "resolved.yaml").is_file() else path
    return as_loaded(config, overrides, given, imports=imports).experiment


def _limits(loss: Ends | None, accuracy: Ends | None, *, log: bool | None) -> dict[str, Ends]:
    """Ends of the axes, by metric. Raises UserError for ends that an axis cannot have."""
    limits: dict[str, Ends] = {}
    for option, ends in (("ylim", loss), ("accuracy_ylim", accuracy)):
        if ends is None:
            continue
        low, high = ends
        if not -1e300 < low < high < 1e300:
            raise UserError(f"{option} {low:g} {high:g}: expected two numbers, the lower first")
        if option == "ylim":
            if log and low <= 0:
                raise UserError(f"{option} {low:g} {high:g}: a logarithmic axis begins above 0; leave log out")
            limits["loss"] = low, high
        else:
            limits["accuracy"] = low / 100, high / 100
    return limits


def _names(labels: Sequence[str], runs: Sequence[Path]) -> list[str]:
    """The labels, one for each run. Raises UserError where they are not."""
    if len(labels) != len(runs) or not all(labels) or len(set(labels)) < len(labels):
        raise UserError(
            f"labels {', '.join(labels)}: expected a name for each of {len(runs)} runs, all different, got "
            f"{len(labels)}; on the command line a name that holds a comma stands in double quotes"
        )
    return list(map(printable, labels))
