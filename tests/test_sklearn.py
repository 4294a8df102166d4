"""``mlptrain.sklearn``: wherever an estimator of scikit-learn fits, with its checks, its tools and its errors."""

from __future__ import annotations

import inspect
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import mlptrain
from mlptrain.sklearn import MLPClassifier, MLPRegressor

QUICK: dict[str, Any] = {"hidden": (16,), "lr": 0.02, "epochs": 12, "threads": 1, "device": "cpu"}


def classifier(**arguments: Any) -> MLPClassifier:
    return MLPClassifier(**QUICK | {"random_state": 0} | arguments)


def regressor(**arguments: Any) -> MLPRegressor:
    return MLPRegressor(**QUICK | {"random_state": 0} | arguments)


CHECKS = {
    f"{type(estimator).__name__} {place}": (estimator, check)
    for one in (classifier(random_state=None), regressor(random_state=None))
    for place, (estimator, check) in enumerate(estimator_checks_generator(one))
}


@pytest.mark.parametrize(("estimator", "check"), CHECKS.values(), ids=CHECKS)
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    """All of them, without an exception."""
    check(estimator)


def frame(rows: int = 150, seed: int = 0) -> tuple[pd.DataFrame, NDArray[Any]]:
    """A frame with every kind of column, where some values are missing, and classes that follow from two of them."""
    generator = np.random.default_rng(seed)
    colour = generator.choice(["red", "green", "blue"], rows)
    size = generator.normal(170, 10, rows)
    x = pd.DataFrame(
        {
            "colour": pd.Categorical([None if row % 11 == 3 else name for row, name in enumerate(colour)]),
            "size": np.where(np.arange(rows) % 17 == 5, np.nan, size),
            "shop": generator.choice(["a", "b"], rows).astype(object),
            "number": pd.array(generator.integers(0, 5, rows), dtype="Int64"),
            "wet": generator.random(rows) > 0.5,
            "grade": pd.Categorical(generator.integers(1, 4, rows)),
        }
    )
    return x, np.where(size + 12 * (colour == "red") > 174, "large", "small")


def bytes_of(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_a_fit_is_a_run_of_the_same_configuration(validation: float, tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    ours = classifier(validation=validation).fit(x, y)
    recorded = classifier(validation=validation, run_dir=tmp_path / "run").fit(x, y)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert ours.history_ == recorded.history_ == lines
    assert bytes_of(ours.predict_proba(x)) == bytes_of(recorded.predict_proba(x))
    kept = mlptrain.load(tmp_path / "run")
    assert kept.epoch == ours.best_epoch_
    assert kept.state_dict().keys() == (found := ours.network_.state_dict()).keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in kept.state_dict().items())
    np.testing.assert_allclose(ours.predict_proba(x), kept.predict_proba(x.astype(np.float32)), atol=2e-6)


def test_it_learns_what_there_is_to_learn() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    assert cross_val_score(classifier(epochs=20), x, y, cv=3).mean() > 0.95
    x, y = load_diabetes(return_X_y=True)
    assert cross_val_score(regressor(epochs=20, dropout=0.3), x, y, cv=3).mean() > 0.4


def test_a_seed_gives_the_same_bytes_and_none_others() -> None:
    x, y = load_iris(return_X_y=True)
    one, same, other = (bytes_of(classifier(random_state=seed).fit(x, y).predict_proba(x)) for seed in (0, 0, 1))
    assert one == same != other
    free = [bytes_of(classifier(random_state=None).fit(x, y).predict_proba(x)) for _ in range(2)]
    assert free[0] != free[1]
    drawn = [bytes_of(classifier(random_state=np.random.RandomState(3)).fit(x, y).predict_proba(x)) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_nothing_is_written_or_printed_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = load_iris(return_X_y=True)
    classifier().fit(x, y)
    assert (list(tmp_path.iterdir()), capfd.readouterr()) == ([], ("", ""))
    classifier(verbose=True, epochs=2, run_dir="run").fit(x, y)
    recorded = capfd.readouterr().out
    classifier(verbose=True, epochs=2).fit(x, y)
    assert capfd.readouterr().out == recorded
    assert [line.split()[:3] for line in recorded.splitlines()] == [["epoch", f"{n}", "train_loss"] for n in (1, 2)]


FRESH = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    model, x = pickle.load(file)
sys.stdout.buffer.write(np.ascontiguousarray(model.predict_proba(x)).tobytes())
"""


def test_a_pickle_is_small_and_predicts_the_same_bytes_in_a_fresh_process(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    model = classifier().fit(x, y)
    content = pickle.dumps(model)
    weights = sum(tensor.numel() * 4 for tensor in model.network_.parameters())
    assert len(content) < weights + 40_000
    assert not any(bytes_of(row) in content for row in (*x, *x.astype(np.float32)))
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, x)))
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path / "model.pickle")], capture_output=True, check=True
    )
    assert done.stdout == bytes_of(model.predict_proba(x))


def test_pickles_keep_categories_calibration_and_the_state_of_training() -> None:
    x, y = frame()
    spec = {"evaluation": {"calibrate": "temperature"}, "data": {"validation": 0.3}}
    model = classifier(spec={"model": {"hidden": [8]}, "optimizer": "adam", **spec}).fit(x, y)
    stream = io.BytesIO()
    joblib.dump(model, stream)
    stream.seek(0)
    again = joblib.load(stream)
    assert model.network_.temperature != 1
    assert bytes_of(again.predict_proba(x)) == bytes_of(model.predict_proba(x))
    part = classifier().partial_fit(x, y, classes=["large", "small"])
    again = pickle.loads(pickle.dumps(part))
    for one in (part, again):
        one.partial_fit(x, y)
    assert bytes_of(again.predict_proba(x)) == bytes_of(part.predict_proba(x))


def test_scikit_learns_tools_take_them() -> None:
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    search = GridSearchCV(classifier(), {"lr": [1e-6, 0.02], "hidden": [(8,), (16, 8)]}, cv=3).fit(x, names)
    assert search.best_params_["lr"] == 0.02
    assert set(search.predict(x)) == set(names)
    pipeline = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas")
    pipeline.fit(pd.DataFrame(x, columns=list("abcd")), names)
    assert pipeline[-1].feature_names_in_.tolist() == list("abcd")
    pipeline.set_params(mlpclassifier__epochs=3).fit(pd.DataFrame(x, columns=list("abcd")), names)
    assert pipeline[-1].n_iter_ == 3
    calibrated = CalibratedClassifierCV(classifier(), cv=3).fit(x, names)
    np.testing.assert_allclose(calibrated.predict_proba(x).sum(axis=1), 1)
    model = classifier(activation={"name": "leaky_relu", "slope": 0.2}).fit(x, names)
    assert not hasattr(clone(model), "classes_")
    assert clone(model).get_params() == model.get_params()
    assert permutation_importance(model, x, names, n_repeats=2, random_state=0).importances_mean[2:].max() > 0.1


def test_threads_of_one_process_fit_one_after_the_other() -> None:
    x, y = load_iris(return_X_y=True)
    with joblib.parallel_backend("threading", n_jobs=3):
        side_by_side = cross_val_score(classifier(), x, y, cv=3)
    assert side_by_side.tolist() == cross_val_score(classifier(), x, y, cv=3).tolist()


def test_frames_are_read_by_column() -> None:
    x, y = frame()
    model = classifier(epochs=40).fit(x, y)
    assert model.score(x, y) > 0.9
    assert model.feature_names_in_.tolist() == list(x.columns)
    columns = {column.name: column for column in model.network_.experiment.facts.columns}
    assert {name: one.kind for name, one in columns.items() if one.kind == "categorical"} == dict.fromkeys(
        ("colour", "shop", "grade"), "categorical"
    )
    assert columns["grade"].categories == ("1", "2", "3")
    assert (columns["colour"].missing, columns["size"].missing) == (14, 9)
    later, _ = frame(40, seed=1)
    later["colour"] = later["colour"].astype(object).where(later["shop"] == "a", "violet")
    assert model.predict(later).shape == (40,)
    np.testing.assert_allclose(model.predict_proba(later.iloc[7:8]), model.predict_proba(later)[7:8], rtol=1e-12)


def dated(rows: int = 300) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Days, of which some are missing, and times of a zone; and whether it was a weekend."""
    day = pd.Series(pd.date_range("2024-01-01", periods=rows))
    at = pd.Series(pd.date_range("2024-03-01", periods=rows, freq="7h", tz="Europe/Berlin"))
    return pd.DataFrame({"day": day.mask(day.index % 9 == 4), "at": at}), (day.dt.day_of_week >= 5).to_numpy()


def test_dates_are_days_and_cycles_as_in_a_table(tmp_path: Path) -> None:
    x, y = dated()
    present = x["day"].notna()
    model = classifier(epochs=60, run_dir=tmp_path / "run").fit(x, y)
    assert model.score(x[present], y[present]) > 0.97
    facts = model.network_.experiment.facts
    assert [column.name for column in facts.columns][:5] == [
        f"day ({part})" for part in ("days", "year sin", "year cos", "week sin", "week cos")
    ]
    assert {column.missing for column in facts.columns} == {0, 33}
    of_polars = pl.DataFrame({name: [None if one is pd.NaT else one for one in x[name]] for name in x})
    assert of_polars.schema["at"] == pl.Datetime("us", "Europe/Berlin")
    assert bytes_of(model.predict_proba(of_polars)) == bytes_of(model.predict_proba(x))
    kept = mlptrain.load(tmp_path / "run")  # which reads dates as those of any other table
    np.testing.assert_allclose(kept.predict_proba(x), model.predict_proba(x), atol=2e-6)


def test_a_row_may_have_several_labels(tmp_path: Path) -> None:
    x, y = make_multilabel_classification(300, n_classes=4, random_state=0)
    model = classifier(epochs=40, run_dir=tmp_path / "run").fit(x, y)
    assert roc_auc_score(y, model.predict_proba(x)) > 0.9
    np.testing.assert_array_equal(model.predict(x), model.predict_proba(x) > 0.5)
    assert (model.classes_.tolist(), model.network_.experiment.loss.name) == ([0, 1, 2, 3], "multi_label_bce")
    kept = mlptrain.load(tmp_path / "run")
    np.testing.assert_allclose(kept.predict_proba(x.astype(np.float32)), model.predict_proba(x), atol=2e-6)
    sparse = classifier(epochs=40).fit(x, csr_matrix(y))
    assert bytes_of(sparse.predict_proba(x)) == bytes_of(model.predict_proba(x))
    part = classifier().partial_fit(x, y, classes=range(4))
    assert pickle.loads(pickle.dumps(part)).partial_fit(x, y).predict(x[:2]).shape == (2, 4)


def test_a_search_that_is_interrupted_ends(tmp_path: Path) -> None:
    """Rather than that the fit is one that failed."""

    def interrupt() -> None:
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(classifier(epochs=100_000, run_dir=tmp_path / "run"), X, Y, cv=2)
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_polars_and_pandas_give_the_same() -> None:
    x, y = frame()
    other = pl.DataFrame(
        {
            "colour": pl.Series(x["colour"].astype(object).where(x["colour"].notna(), None).tolist()).cast(
                pl.Categorical
            ),
            "size": pl.Series(x["size"].tolist(), nan_to_null=True),
            "shop": x["shop"].tolist(),
            "number": x["number"].tolist(),
            "wet": x["wet"].tolist(),
            "grade": pl.Series(x["grade"].astype(str).tolist()),
        }
    )
    of_pandas, of_polars = classifier().fit(x, y), classifier().fit(other, pl.Series(y))
    assert bytes_of(of_pandas.predict_proba(x)) == bytes_of(of_polars.predict_proba(other))
    assert of_polars.feature_names_in_.tolist() == other.columns


def test_numbers_are_the_same_in_an_array_and_in_a_frame() -> None:
    x, y = load_diabetes(return_X_y=True)
    x[::7, 2] = np.nan
    named = pd.DataFrame(x, columns=[f"x{place}" for place in range(x.shape[1])])
    assert bytes_of(regressor().fit(x, y).predict(x)) == bytes_of(regressor().fit(named, y).predict(named))


def test_several_targets_and_quantiles() -> None:
    x, y = load_diabetes(return_X_y=True)
    both = regressor(epochs=20).fit(x, np.column_stack([y, -2 * y]))
    assert both.predict(x).shape == (len(x), 2)
    assert both.score(x, np.column_stack([y, -2 * y])) > 0.4
    assert regressor(epochs=3).fit(x, y[:, None]).predict(x).shape == (len(x), 1)
    low, high = regressor(loss={"name": "quantile", "quantiles": [0.1, 0.9]}, epochs=40).fit(x, y).predict(x).T
    assert 0.7 < ((low <= y) & (y <= high)).mean() < 0.9


@pytest.mark.parametrize("rows", [30, 150])
def test_weights_are_repeated_rows(rows: int) -> None:
    """Exactly where a step reads all rows, else as a mean over epochs; and a class of weight 0 is not there."""
    x, y = (values[::5][:rows] if rows == 30 else values for values in load_iris(return_X_y=True))
    weight = np.where(y == 1, 4, 1)
    weighted = classifier(epochs=30, dropout=0).fit(x, y, sample_weight=weight).predict_proba(x)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(rows), weight))
    batch = rows * 4 if rows == 30 else "auto"
    model = classifier(epochs=30, dropout=0, batch_size=batch).fit(x[order], y[order])
    plain = classifier(epochs=30, dropout=0).fit(x, y).predict_proba(x)
    if rows == 30:
        again = classifier(epochs=30, dropout=0, batch_size=batch).fit(x, y, sample_weight=weight)
        assert bytes_of(again.predict_proba(x)) == bytes_of(model.predict_proba(x))
    assert weighted[:, 1].mean() > plain[:, 1].mean()
    assert classifier().fit(x, y, sample_weight=np.where(y == 1, 0, 1.0)).classes_.tolist() == [0, 2]


@pytest.mark.parametrize("optimizer", ["adamw", {"name": "sgd", "momentum": 0.9}, "sgd"])
def test_partial_fits_are_epochs_of_a_fit(optimizer: Any) -> None:
    x, y = load_iris(return_X_y=True)
    part = classifier(optimizer=optimizer)
    for _ in range(4):
        part.partial_fit(x, y, classes=np.unique(y))
    whole = classifier(optimizer=optimizer, schedule="constant", epochs=4).fit(x, y)
    assert bytes_of(part.predict_proba(x)) == bytes_of(whole.predict_proba(x))
    assert (part.n_iter_, part.loss_curve_) == (4, whole.loss_curve_)


def test_partial_fit_continues_a_fit_with_what_was_fitted() -> None:
    x, y = load_diabetes(return_X_y=True)
    model = regressor(ema=0.9).fit(x[:300], y[:300])
    before, epoch = model.score(x[300:], y[300:]), model.best_epoch_
    scaling = model.network_.preprocessing
    for _ in range(3):
        model.partial_fit(x[300:], y[300:])
    assert model.network_.preprocessing == scaling
    assert model.score(x[300:], y[300:]) > before
    assert [line["epoch"] for line in model.history_] == list(range(model.n_iter_ + 1)) == list(range(epoch + 4))


def test_a_yaml_file_says_the_rest(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    file = tmp_path / "own.yaml"
    file.write_text(
        "seed: 3\ndata: {validation: 0.2, numeric: {scaling: minmax}}\nmodel: {hidden: [9]}\noptimizer: adam\n"
        "training: {epochs: 5, threads: 1, device: cpu}\n"
    )
    model = MLPClassifier(spec=file).fit(x, y)
    assert (model.n_iter_, tuple(model.network_.state_dict()["layers.0.weight"].shape)) == (5, (9, 4))
    assert bytes_of(model.predict_proba(x)) == bytes_of(MLPClassifier(spec=file).fit(x, y).predict_proba(x))
    search = GridSearchCV(MLPClassifier(spec=file), {"lr": [0.01, 0.1]}, cv=2).fit(x, y)
    assert search.best_estimator_.network_.experiment.optimizer.lr == search.best_params_["lr"]
    file.write_text("data: {validation: 0.2}\nmodel: {hidden: [0]}\noptimizer: adam\n")
    with pytest.raises(ValueError, match=r"own\.yaml:2:18  model\.hidden\[0\]: must be at least 1, got 0"):
        MLPClassifier(spec=file).fit(x, y)


X, Y = load_iris(return_X_y=True)
FRAME, LABELS = frame(40)
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "lr": (lambda: classifier(lr=-1.0).fit(X, Y), r"^lr: must be above 0, got -1"),
    "hidden": (lambda: classifier(hidden=(8, 0)).fit(X, Y), r"^hidden\[1\]: must be at least 1, got 0"),
    "dropout": (lambda: classifier(dropout=1.5).fit(X, Y), r"^dropout: must be"),
    "activation": (lambda: classifier(activation="rleu").fit(X, Y), r"^activation: .*did you mean 'relu'"),
    "epochs": (lambda: classifier(epochs="many").fit(X, Y), r"^epochs: must be"),
    "batch_size": (lambda: classifier(batch_size=0).fit(X, Y), r"^batch_size: must be"),
    "both": (lambda: classifier(lr=0.0, members=0).fit(X, Y), r"members(.|\n)*lr|lr(.|\n)*members"),
    "loss": (lambda: classifier(loss="bce").fit(X, Y), r"^loss: 'bce' needs exactly two classes"),
    "patience": (
        lambda: classifier(patience=3).fit(X, Y),
        r"^patience=3 goes by validation rows, and validation='auto' takes none of 150",
    ),
    "device": (lambda: classifier(device="gpu").fit(X, Y), r"^device: must"),
    "diverged": (
        lambda: regressor(optimizer="sgd", lr=1e20).fit(X, Y),
        r"diverged: .* is not finite at step .*; lower lr",
    ),
    "spec with data": (
        lambda: MLPClassifier(spec={"data": "mnist", "model": {"hidden": []}, "optimizer": "adam"}).fit(X, Y),
        r"data\.name: is 'mnist', but the data that are given",
    ),
    "spec with weights": (
        lambda: classifier(spec={"data": {"weight": "x0"}, "model": {"hidden": []}, "optimizer": "adam"}).fit(X, Y),
        r"data\.weight cannot be 'x0' here; give sample_weight to fit",
    ),
    "spec by group": (
        lambda: classifier(
            spec={"data": {"split": {"by": "group", "column": 0}}, "model": {"hidden": []}, "optimizer": "adam"}
        ).fit(X, Y),
        r"data\.split cannot go by a column here, got group",
    ),
    "a name twice": (
        lambda: classifier().fit(pd.DataFrame(X, columns=list("abca")), Y),
        "X has several columns named 'a'",
    ),
    "texts as targets": (lambda: regressor().fit(FRAME, LABELS), "y holds .*: expected numbers; MLPClassifier takes"),
    "another network": (
        lambda: classifier().partial_fit(X, Y, classes=[0, 1, 2]).set_params(hidden=(9,)).partial_fit(X, Y),
        "partial_fit continues the network that was trained so far",
    ),
    "infinite": (lambda: classifier().fit(np.where(X > 7, np.inf, X), Y), "infinity"),
    "an infinite column": (
        lambda: classifier().fit(FRAME.assign(size=np.inf), LABELS),
        "column 'size' of X contains infinity",
    ),
    "durations": (
        lambda: classifier().fit(FRAME.assign(took=pd.to_timedelta(FRAME["size"], unit="s")), LABELS),
        "column 'took' of X holds timedelta.*: expected numbers",
    ),
    "durations of polars": (
        lambda: classifier().fit(pl.DataFrame({"took": pl.Series([90] * 40, dtype=pl.Duration)}), LABELS),
        "column 'took' of X holds Duration.*: expected numbers",
    ),
    "an empty column": (
        lambda: classifier().fit(FRAME.assign(size=np.nan), LABELS),
        "no row has a value in column 'size' of X; leave it out",
    ),
    "an empty column of an array": (
        lambda: classifier().fit(X * [1, np.nan, 1, 1], Y),
        "no row has a value in column 'x1' of X; leave it out",
    ),
    "texts in an array": (
        lambda: classifier().fit(FRAME[["shop"]].to_numpy(), LABELS),
        "X: could not convert string to float: '[ab]'; columns of texts are read of a data frame",
    ),
    "numbers for dates": (
        lambda: classifier().fit(dated(40)[0], LABELS).predict(dated(40)[0].assign(day=3)),
        "column 'day' of X holds numbers, but was fitted on dates",
    ),
    "an array for dates": (
        lambda: classifier().fit(dated(40)[0], LABELS).predict(np.zeros((2, 2))),
        "X is an array, .* whose columns 'day', 'at' hold categories or dates",
    ),
    "labels for classes": (
        lambda: classifier().partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, np.eye(3)[Y]),
        r"y has the shape \(150, 3\), but classes of a row were trained on",
    ),
    "fewer labels": (
        lambda: classifier().partial_fit(X, np.eye(3)[Y], classes=range(3)).partial_fit(X, np.eye(3)[Y][:, :2]),
        r"y has the shape \(150, 2\), but 3 labels of a row were trained on",
    ),
    "None as a class": (
        lambda: classifier().fit(X, np.array(["a", None] * 75, dtype=object)),
        "y has classes without an order, such as None beside texts",
    ),
    "texts for numbers": (
        lambda: classifier().fit(FRAME, LABELS).predict(FRAME.assign(size="tall")),
        "column 'size' of X holds texts or categories, but was fitted on numbers",
    ),
    "an array for a frame": (
        lambda: classifier().fit(FRAME, LABELS).predict(np.zeros((2, 6))),
        "X is an array, but MLPClassifier was fitted on a data frame whose columns 'colour', 'shop', 'grade' hold cat",
    ),
    "other columns": (
        lambda: classifier().fit(FRAME, LABELS).predict(FRAME.rename(columns={"size": "height"})),
        "Feature names unseen at fit time",
    ),
    "one class": (lambda: classifier().fit(X, np.zeros(150)), "y has rows of one class, 0.0: .* at least two classes"),
    "huge targets": (lambda: regressor().fit(X, Y * 1e20), "y: the squares of numbers beyond 1e.18"),
    "negative weights": (lambda: classifier().fit(X, Y, sample_weight=-np.ones(150)), "[Nn]egative"),
    "no classes": (lambda: classifier().partial_fit(X, Y), "classes must be passed on the first call"),
    "a new class": (
        lambda: classifier().partial_fit(X[:100], Y[:100], classes=[0, 1]).partial_fit(X, Y),
        "y has the class 2, which is not among",
    ),
    "more targets": (
        lambda: regressor().partial_fit(X, Y).partial_fit(X, X),
        "y has 4 targets of a row, but 1 were trained on",
    ),
}


@pytest.mark.parametrize(("call", "says"), BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_bad_input_is_one_clear_value_error(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (MLPClassifier, "hiden", r"^MLPClassifier has no argument 'hiden'; did you mean 'hidden'\?$"),
        (MLPRegressor, "zz", r"^MLPRegressor has no argument 'zz'; there are: hidden, activation, norm, "),
    ],
)
def test_an_argument_that_there_is_not_names_the_class(kind: Any, name: str, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        kind(**{name: [16]})
    assert {*inspect.signature(kind).parameters} == {*kind().get_params()}  # as a notebook lists them


def test_what_is_not_fitted_says_so() -> None:
    for call in (classifier().predict, classifier().predict_proba, regressor().predict):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            call(X)
    with pytest.raises(AttributeError, match="loss='mse' gives no probabilities; use cross_entropy"):
        classifier(loss="mse").fit(X, Y).predict_proba(X)


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    model = classifier(run_dir=tmp_path / "run", epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="run"):
        model.fit(X, Y)


def test_columns_that_are_transformed_elsewhere() -> None:
    x, y = frame()
    encode = ColumnTransformer([("levels", OneHotEncoder(), ["shop", "grade"])], remainder="drop", sparse_threshold=0)
    assert make_pipeline(encode, classifier()).fit(x, y).predict(x).shape == (150,)


def test_of_many_rows_some_choose_the_epoch_by_their_weights() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    model = classifier().fit(x, y)
    losses = [line["validation_loss"] for line in model.history_]
    assert (model.best_epoch_, model.network_.experiment.facts.validation_rows) == (int(np.argmin(losses)), 85)
    weighted = classifier().fit(x, y, sample_weight=np.where(y == 1, 50, 1))
    objectives = [line["validation_objective"] for line in weighted.history_]
    assert weighted.best_epoch_ == int(np.argmin(objectives))
    assert "validation_loss" not in classifier(validation=0).fit(x, y).history_[-1]
