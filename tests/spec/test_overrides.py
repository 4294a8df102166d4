"""``--set key=value``: the same checks as the file's values, and faults that name the override."""

from __future__ import annotations

from typing import Any

import pytest

from mlptrain.errors import SpecError
from mlptrain.spec import load_text
from tests.spec.texts import complete

BASE = """\
data: mnist
model:
  hidden: [64, 32]
  activation: relu
loss: cross_entropy
optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
"""


def _value(path: str, *overrides: str, text: str = BASE) -> Any:
    value: Any = load_text(text, overrides=overrides).spec.model_dump()
    for part in path.split("."):
        value = value[int(part) if part.isdigit() else part]
    return value


CROSS_ENTROPY = {"name": "cross_entropy", "reduction": "mean", "label_smoothing": 0.0, "class_weights": "none"}


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=7", "seed", 7),
        (" seed = 7 ", "seed", 7),
        ("seed=7  # a comment", "seed", 7),
        ("name='1e-3'", "name", "1e-3"),
        ("name=on", "name", "on"),
        ("optimizer.lr=1e-3", "optimizer.lr", 0.001),
        ("training.epochs=3", "training.epochs", 3),
        ("model.hidden=[]", "model.hidden", []),
        ("model.hidden=[8, 8, 8]", "model.hidden", [8, 8, 8]),
        ("model.hidden[1]=5", "model.hidden", [64, 5]),
        ("loss.reduction=sum", "loss", CROSS_ENTROPY | {"reduction": "sum"}),
        ("data.classes=[3, 5]", "data.classes", [3, 5]),
        ("model.activation={name: elu, alpha: 2}", "model.activation", {"name": "elu", "alpha": 2.0}),
        ("model.activation=tanh", "model.activation", {"name": "tanh"}),
        ("evaluation.split=none", "evaluation.split", "none"),
        ("optimizer.momentum=0", "optimizer.lr", 0.1),
    ],
)
def test_value_is_replaced(override: str, path: str, value: Any) -> None:
    assert _value(path, override) == value


def test_short_name_keeps_its_name_and_takes_fields() -> None:
    scaling = _value("data", "data.scaling={mean: 0.1, std: 0.3}", "data.scaling.std=0.5", "data.validation=0")
    assert scaling["name"] == "mnist"
    assert scaling["scaling"] == {"mean": 0.1, "std": 0.5}
    activation = _value("model.activation", "model.activation.name=leaky_relu", "model.activation.slope=0.3")
    assert activation == {"name": "leaky_relu", "slope": 0.3}


def test_whole_section_is_replaced_with_its_faults() -> None:
    text = BASE.replace("lr: 0.1", "lr: -1")
    assert _value("optimizer.lr", "optimizer={name: sgd, lr: 2}", text=text) == 2.0
    assert _value("optimizer.name", "optimizer=adam", text=text) == "adam"


def test_the_last_override_wins() -> None:
    assert _value("optimizer.lr", "optimizer.lr=3", "optimizer=adam", "optimizer.lr=0.5") == 0.5
    assert _value("optimizer.name", "optimizer.lr=0.5", "optimizer=adam") == "adam"


def test_source_stays_the_file() -> None:
    assert load_text(BASE, overrides=["seed=3"]).source == BASE.encode()


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ("optimizer.lr=fast", "optimizer.lr", "must be a number, got the text 'fast'"),
        ("optimizer.lr='0.1'", "optimizer.lr", "without quotes"),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", "did you mean 'lr'?"),
        ("lr=1", "lr", "it belongs to optimizer.lr"),
        ("trianing.epochs=3", "trianing", "did you mean 'training'?"),
        ("tracking.project.name=3", "tracking", "unknown key"),
        ("model.hidden[0]=0", "model.hidden[0]", "must be at least 1, got 0"),
        ("model.hidden=[8, 0]", "model.hidden[1]", "must be at least 1, got 0"),
        ("model.hidden=64", "model.hidden", "must be a list"),
        ("seed=", "seed", "must be a whole number, got nothing (null)"),
        ("optimizer={name: adam, momentum: 0.9}", "optimizer.momentum", "belongs to optimizer sgd"),
        ("optimizer={name: adamm}", "optimizer.name", "did you mean 'adam'?"),
        ("loss=bce", "loss", "exactly two classes"),
        ("data.train_size=70000", "data.train_size", "at most 60,000"),
        ("training={epochs: 1, epochs: 2}", "training", "key given twice"),
    ],
)
def test_fault_names_the_override(override: str, path: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(BASE, source="c.yaml", overrides=["training.shuffle=false", override])
    [fault] = caught.value.faults
    assert (fault.source, fault.line, fault.column, fault.path) == (f"--set {override}", None, None, path)
    assert says in fault.message
    assert str(fault).startswith(f"--set {override}  {path}: ")


SHORT = """\
data: mnist
model: {hidden: [8], activation: leaky_relu}
loss: cross_entropy
optimizer: sgd
"""


@pytest.mark.parametrize(
    ("override", "section", "value"),
    [
        ("loss.reduction=sum", "loss", {"name": "cross_entropy", "reduction": "sum"}),
        ("optimizer.momentum=0.9", "optimizer", {"name": "sgd", "lr": 0.001, "momentum": 0.9}),
        ("model.activation.slope=0.3", "model.activation", {"name": "leaky_relu", "slope": 0.3}),
        ("model.init.name=kaiming_normal", "model.init", {"name": "kaiming_normal"}),
        ("schedule.name=cosine", "schedule", {"name": "cosine", "final": 0.0}),
        ("data.validation=0", "data", {"name": "mnist", "validation": 0}),
        ("training.epochs=3", "training", {"epochs": 3, "batch_size": 64}),
        ("evaluation.split=none", "evaluation", {"split": "none"}),
    ],
)
@pytest.mark.parametrize("text", [SHORT, complete("model: {hidden: [8], activation: leaky_relu}")])
def test_a_field_of_a_name_alone_and_of_what_is_absent(
    override: str, section: str, value: dict[str, Any], text: str
) -> None:
    assert value.items() <= _value(section, override, text=text).items()


def test_several_fields_of_what_is_absent() -> None:
    init = ("model.init.std=0.5", "model.init.bias=normal", "model.init.name=normal")
    assert _value("model.init", *init, text=SHORT) == {"name": "normal", "std": 0.5, "bias": "normal"}
    assert _value("schedule", "schedule.final=0.5", "schedule.name=linear") == {
        "warmup": 0,
        "name": "linear",
        "final": 0.5,
    }
    numbers = ("data.scaling.mean=0.1", "data.scaling.std=0.3")
    for text in (SHORT, SHORT.replace("data: mnist", "data: {name: mnist, scaling: unit}")):
        assert _value("data.scaling", *numbers, text=text) == {"mean": 0.1, "std": 0.3}


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ("schedule.final=0.1", "schedule.final", "it belongs to schedule linear, schedule cosine"),
        ("model.init.std=0.1", "model.init.std", "it belongs to init normal"),
        ("model.output_activation.slope=1", "model.output_activation.slope", "output_activation leaky_relu or "),
        ("loss.delta=1", "loss.delta", "it belongs to loss huber"),
        ("optimizer.betas=[0.9, 0.99]", "optimizer.betas", "it belongs to optimizer adam, "),
        ("data.scaling.mean=0.1", "data.scaling.std", "required key is missing; e.g. std: 0.3081"),
        ("data.noise=1", "data.noise", "it belongs to data spirals"),
        ("training.batch-size=1", "training.batch-size", "did you mean 'batch_size'?"),
        ("batch-size=1", "batch-size", "it belongs to training.batch_size"),
        ("activation=tanh", "activation", "it belongs to model.activation"),
        ("criterion.reduction=sum", "criterion", "did you mean 'loss'?"),
        ("optimizers.A.lr=1", "optimizers", "did you mean 'optimizer'?"),
        ("training.device.index=1", "training.device", "must be auto, cpu, cuda or cuda:N, got a mapping"),
    ],
)
def test_fields_that_the_name_has_not(override: str, path: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(SHORT, source="c.yaml", overrides=[override])
    [fault] = caught.value.faults
    assert (fault.source, fault.path) == (f"--set {override}", path)
    assert says in fault.message


def test_a_required_section_that_is_absent_needs_its_name() -> None:
    with pytest.raises(SpecError) as caught:
        load_text("data: mnist\nmodel: {hidden: [4]}\n", overrides=["optimizer.lr=0.1"])
    [fault] = caught.value.faults
    assert (fault.source, fault.path) == ("--set optimizer.lr=0.1", "optimizer.name")
    assert "required key is missing; e.g. name: sgd" in fault.message


FORM = "must have the form key=value with a key such as optimizer.lr or model.hidden[0]"


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ("optimizer={name: sgd,lr:0.1}", "optimizer.lr:0.1", "write lr: 0.1"),
        ("data={name:digits}", "data.name", "write name: digits"),
        ("loss={name: cross_entropy, class_weights: {a:2}}", "loss.class_weights.a:2", "write a: 2"),
        (
            "data={name: table, path: a.csv, target: k, columns: {price:categorical}}",
            "data.columns.price:categorical",
            "write price: categorical",
        ),
    ],
)
def test_a_colon_without_a_blank(override: str, path: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(BASE, source="c.yaml", overrides=[override])
    assert (path, f"a blank is missing after ':'; {says}") in [(one.path, one.message) for one in caught.value.faults]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("", FORM),
        ("seed", FORM),
        ("=3", FORM),
        ("seed:3", FORM),
        ("optimizer..lr=3", FORM),
        (".lr=3", FORM),
        ("optimizer.=3", FORM),
        ("[0]=3", FORM),
        ("model.hidden[-1]=3", FORM),
        ("model.hidden[a]=3", FORM),
        ("model.hidden[" + "1" * 5000 + "]=3", FORM),
        ("model.hidden[٣]=3", FORM),
        ("größe=3", FORM),
        ("--seed=3", FORM),
        ("model.hidden[2]=3", "there is no model.hidden[2] to replace"),
        ("model[0]=3", "there is no model[0] to replace"),
        ("seed[0]=3", "there is no seed[0] to replace"),
        ("training.epochs[0]=3", "there is no training.epochs[0] to replace"),
        ("model.hidden.first=3", "model.hidden is not a mapping, so it has no 'first'"),
        ("optimizer.lr.value=3", "optimizer.lr is not a mapping, so it has no 'value'"),
        ("seed=[1", "is not valid YAML"),
        ("seed=a: b", "is not valid YAML"),
        ("seed=*a", "anchors and aliases"),
        ("seed=!!int 3", "tags"),
        ("seed=3\nname: x", "must be a single value"),
        ("seed=3\n---\nname: x", "second document"),
        ("name=a\udcffb", "the character U+DCFF is not allowed"),
    ],
)
def test_bad_forms(override: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(BASE, source="c.yaml", overrides=[override])
    [fault] = caught.value.faults
    assert (fault.source, fault.line, fault.path) == (f"--set {override}", None, "")
    assert says in fault.message


def test_faults_of_file_and_overrides_come_together_and_in_order() -> None:
    overrides = [f"{key}=1" for key in ("zeta", "alpha", "mid", "beta", "omega")]
    with pytest.raises(SpecError) as caught:
        load_text(BASE.replace("lr: 0.1", "lr: -1"), source="c.yaml", overrides=[*overrides, "seed"])
    sources = [fault.source for fault in caught.value.faults]
    assert sources[0] == "c.yaml"
    assert sorted(sources[1:]) == sorted(f"--set {override}" for override in [*overrides, "seed"])
    assert sources[1:] == ["--set seed", *(f"--set {override}" for override in overrides)]
