"""Broken configurations. A mark « stands before the place that the fault must name."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec, load_text
from tests.spec.texts import complete, marked

# The text, the path of the key, and what the message must say: what came, what was wanted, what was probably meant.
Case = tuple[str, str, list[str]]

UNKNOWN_KEYS: dict[str, Case] = {
    "top, misspelt": ("«optimiser: sgd", "optimiser", ["unknown key", "did you mean 'optimizer'?"]),
    "top, of later": ("«schedule: {}", "schedule", ["unknown key", "known here: name, seed, data, model"]),
    "top, of a section": ("«batch_size: 3", "batch_size", ["unknown key here", "belongs to training.batch_size"]),
    "top, of a section elsewhere": ("«learning_rate: 1", "learning_rate", ["did you mean optimizer.lr?"]),
    "data, misspelt": ("data: {name: mnist, «scalling: unit}", "data.scalling", ["did you mean 'scaling'?"]),
    "data, of Keras": ("data: {name: mnist, «validation_split: 0.1}", "data.validation_split", ["mean 'validation'?"]),
    "data, of another data set": ("data: {name: mnist, «noise: 0.1}", "data.noise", ["belongs to data spirals"]),
    "data, of the top": ("data: {name: mnist, «seed: 1}", "data.seed", ["belongs to the top level"]),
    "data, as its own name": ("data: {name: mnist, «mnist: 1}", "data.mnist", ["unknown key", "known here"]),
    "scaling": (
        "data: {name: mnist, scaling: {mean: 0, std: 1, «maximum: 255}}",
        "data.scaling.maximum",
        ["unknown key", "known here: mean, std"],
    ),
    "scaling, named as a tag": (
        "data: {name: mnist, scaling: {mean: 0, std: 1, «numbers: 255}}",
        "data.scaling.numbers",
        ["unknown key", "known here: mean, std"],
    ),
    "model, of scikit-learn": (
        "model: {hidden: [4], «hidden_layer_sizes: [4]}",
        "model.hidden_layer_sizes",
        ["did you mean 'hidden'?"],
    ),
    "model, of another section": ("model: {hidden: [4], «epochs: 4}", "model.epochs", ["belongs to training.epochs"]),
    "activation, of another one": (
        "model: {hidden: [4], activation: {name: elu, «slope: 1}}",
        "model.activation.slope",
        ["unknown key here", "activation leaky_relu or activation prelu"],
    ),
    "activation, of torch": (
        "model: {hidden: [4], activation: {name: leaky_relu, «negative_slope: 0.1}}",
        "model.activation.negative_slope",
        ["did you mean 'slope'?"],
    ),
    "activation, of Keras, known to another": (
        "model: {hidden: [4], activation: {name: leaky_relu, «alpha: 0.1}}",
        "model.activation.alpha",
        ["did you mean 'slope'?"],
    ),
    "activation without fields": (
        "model: {hidden: [4], output_activation: {name: relu, «max: 6}}",
        "model.output_activation.max",
        ["unknown key", "known here: name"],
    ),
    "activation, as its own name": (
        "model: {hidden: [4], activation: {name: elu, «elu: 1}}",
        "model.activation.elu",
        ["unknown key", "known here: name, alpha"],
    ),
    "init, of another one": (
        "model: {hidden: [4], init: {name: kaiming_normal, «std: 1}}",
        "model.init.std",
        ["belongs to init normal"],
    ),
    "loss, misspelt": ("loss: {name: mse, «reducton: sum}", "loss.reducton", ["did you mean 'reduction'?"]),
    "optimizer, of Keras": ("optimizer: {name: sgd, «learning_rate: 1}", "optimizer.learning_rate", ["mean 'lr'?"]),
    "optimizer, of another one": (
        "optimizer: {name: adam, «momentum: 0.9}",
        "optimizer.momentum",
        ["unknown key here", "optimizer sgd or optimizer rmsprop"],
    ),
    "optimizer, of another one though alike": (
        "optimizer: {name: nadam, «momentum: 0.9}",
        "optimizer.momentum",
        ["unknown key here", "optimizer sgd or optimizer rmsprop"],
    ),
    "training, misspelt": ("training: {«epoch: 3}", "training.epoch", ["did you mean 'epochs'?"]),
    "training, of Lightning": ("training: {«max_epochs: 3}", "training.max_epochs", ["did you mean 'epochs'?"]),
    "evaluation, of another section": (
        "evaluation: {«validation: 0.1}",
        "evaluation.validation",
        ["unknown key here", "belongs to data.validation"],
    ),
    "a merge key": ("«<<: {seed: 1}", "<<", ["unknown key"]),
    "a key with characters of several bytes": ("«größe: 3", "größe", ["unknown key"]),
}

TYPES: dict[str, Case] = {
    "quoted number": (
        "optimizer: {name: sgd, lr: «'0.1'}",
        "optimizer.lr",
        ["must be a number", "got the text '0.1'", "without quotes"],
    ),
    "number with underscore": (
        "training: {epochs: «1_000}",
        "training.epochs",
        ["must be a whole number", "got the text '1_000'", "without quotes, underscores"],
    ),
    "quoted fraction": (
        "data: {name: mnist, validation: «'0.1'}",
        "data.validation",
        ["must be a whole number from 0", "or a fraction below 1", "got the text '0.1'", "without quotes"],
    ),
    "yes": ("model: {hidden: [4], bias: «yes}", "model.bias", ["must be true or false", "got the text 'yes'"]),
    "no": ("training: {shuffle: «no}", "training.shuffle", ["must be true or false", "got the text 'no'"]),
    "on": ("training: {record_steps: «on}", "training.record_steps", ["must be true or false", "got the text 'on'"]),
    "1 for true": ("training: {shuffle: «1}", "training.shuffle", ["must be true or false", "got 1"]),
    "list for number": ("training: {epochs: «[5]}", "training.epochs", ["must be a whole number", "got [5]"]),
    "number for list": ("model: {hidden: «64}", "model.hidden", ["must be a list such as [64, 32]", "got 64"]),
    "number for classes": ("data: {name: mnist, classes: «2}", "data.classes", ["a list such as [0, 1]", "got 2"]),
    "mapping for list": ("model: {hidden: «{a: 4}}", "model.hidden", ["must be a list", "got a mapping"]),
    "null width": ("model: {hidden: [4, «~]}", "model.hidden[1]", ["must be a whole number", "got nothing (null)"]),
    "null data": ("data: «~", "data", ["a name such as mnist, or a mapping", "got nothing (null)"]),
    "null model": ("model: «null", "model", ["must be a mapping", "got nothing (null)"]),
    "null training": ("training:«", "training", ["must be a mapping", "got nothing (null)"]),
    "list for section": ("training: «[5]", "training", ["must be a mapping", "got [5]"]),
    "number for optimizer": ("optimizer: «0.1", "optimizer", ["a name such as sgd, or a mapping", "got 0.1"]),
    "list for loss": ("loss: «[mse]", "loss", ["a name such as cross_entropy, or a mapping", "got ['mse']"]),
    "float for int": ("training: {epochs: «5.0}", "training.epochs", ["must be a whole number", "got 5.0", "write 5"]),
    "fraction for int": ("training: {epochs: «1.5}", "training.epochs", ["must be a whole number", "got 1.5"]),
    "power of ten for int": ("seed: «1e3", "seed", ["must be a whole number", "got 1000.0", "write 1000"]),
    "bool for int": ("seed: «true", "seed", ["must be a whole number", "got true"]),
    "bool for float": ("optimizer: {name: sgd, lr: «false}", "optimizer.lr", ["must be a number", "got false"]),
    "bool for a count": ("training: {batch_size: «true}", "training.batch_size", ["a whole number", "got true"]),
    "number for name": ("name: «2024", "name", ["must be text", "got 2024", "put it in quotes"]),
    "number for scaling": (
        "data: {name: mnist, scaling: «255}",
        "data.scaling",
        ["must be none, unit, standard or {mean: …, std: …}", "got 255"],
    ),
    "list for scaling": ("data: {name: mnist, scaling: «[0, 1]}", "data.scaling", ["{mean: …, std: …}", "got [0, 1]"]),
    "one beta": ("optimizer: {name: adam, betas: «0.9}", "optimizer.betas", ["such as [0.9, 0.999]", "got 0.9"]),
}

RANGES: dict[str, Case] = {
    "width 0": ("model: {hidden: [64, «0]}", "model.hidden[1]", ["must be at least 1", "got 0"]),
    "width negative": ("model: {hidden: [«-256]}", "model.hidden[0]", ["must be at least 1", "got -256"]),
    "width in block style": ("model:\n  hidden:\n    - 8\n    - «0", "model.hidden[1]", ["at least 1", "got 0"]),
    "width huge": (
        "model: {hidden: [«100000000000]}",
        "model.hidden[0]",
        ["must be at most 65,536", "got 100000000000"],
    ),
    "too many layers": ("model: {hidden: «[" + "1," * 201 + "]}", "model.hidden", ["at most 200 items", "got 201"]),
    "lr 0": ("optimizer: {name: sgd, lr: «0}", "optimizer.lr", ["must be above 0", "got 0"]),
    "lr negative": ("optimizer: {name: adam, lr: «-1e-3}", "optimizer.lr", ["must be above 0", "got -0.001"]),
    "lr inf": ("optimizer: {name: sgd, lr: «.inf}", "optimizer.lr", ["must be a finite number", "got inf"]),
    "lr nan": ("optimizer: {name: sgd, lr: «.nan}", "optimizer.lr", ["must be a finite number", "got nan"]),
    "lr beyond float64": ("optimizer: {name: sgd, lr: «1e999}", "optimizer.lr", ["a finite number", "got inf"]),
    "lr whole, beyond float64": (
        "optimizer: {name: sgd, lr: «" + "9" * 399 + "}",
        "optimizer.lr",
        ["must be a number", "got 9999", "too large"],
    ),
    "std whole, beyond float64": (
        "model: {hidden: [4], init: {name: normal, std: «" + "9" * 399 + "}}",
        "model.init.std",
        ["must be a positive number up to 1e+30 or the word fan_in", "got 9999", "too large"],
    ),
    "std word": (
        "model: {hidden: [4], init: {name: normal, std: «fanin}}",
        "model.init.std",
        ["or the word fan_in", "got the text 'fanin'", "did you mean 'fan_in'?"],
    ),
    "momentum above 1": ("optimizer: {name: sgd, momentum: «1.1}", "optimizer.momentum", ["at most 1", "got 1.1"]),
    "beta 1": ("optimizer: {name: adam, betas: [0.9, «1]}", "optimizer.betas[1]", ["must be below 1", "got 1"]),
    "three betas": ("optimizer: {name: adam, betas: «[0, 0, 0]}", "optimizer.betas", ["at most 2 items", "got 3"]),
    "validation 1.0": ("data: {name: mnist, validation: «1.0}", "data.validation", ["a fraction below 1", "got 1.0"]),
    "validation 1.5": ("data: {name: mnist, validation: «1.5}", "data.validation", ["a fraction below 1", "got 1.5"]),
    "validation negative": ("data: {name: mnist, validation: «-0.1}", "data.validation", ["from 0", "got -0.1"]),
    "validation nan": ("data: {name: mnist, validation: «.nan}", "data.validation", ["from 0", "got nan"]),
    "seed negative": ("seed: «-1", "seed", ["must be at least 0", "got -1"]),
    "seed 2**63": (f"seed: «{2**63}", "seed", ["below 9,223,372,036,854,775,808", f"got {2**63}"]),
    "name with a slash": ("name: «a/b", "name", ["letters, digits", "names a folder", "got the text 'a/b'"]),
    "name from above": ("name: «..", "name", ["starting with a letter or digit", "got the text '..'"]),
    "name empty": ("name: «''", "name", ["starting with a letter or digit", "got the text ''"]),
    "name long": ("name: «" + "a" * 65, "name", ["at most 64", "got the text 'aaaa"]),
    "batch size 0": ("training: {batch_size: «0}", "training.batch_size", ["from 1 to 10,000,000", "got 0"]),
    "batch size word": (
        "training: {batch_size: «Full}",
        "training.batch_size",
        ["or the word full", "got the text 'Full'", "did you mean 'full'?"],
    ),
    "threads 0": ("training: {threads: «0}", "training.threads", ["from 1 to 1,024 or the word auto", "got 0"]),
    "device": ("training: {device: «gpu}", "training.device", ["cuda or cuda:N", "got the text 'gpu'", "mean 'cuda'?"]),
    "device in other digits": ("training: {device: «'cuda:٣'}", "training.device", ["cuda:N", "got the text 'cuda:٣'"]),
    "std 0": ("data: {name: mnist, scaling: {mean: 0, std: «0}}", "data.scaling.std", ["above 0", "got 0"]),
    "precision": ("training: {precision: «low}", "training.precision", ["auto, highest, high or medium", "'low'"]),
}

UNIONS: dict[str, Case] = {
    "data": ("data: «cifar10", "data", ["must be mnist, fashion_mnist, digits", "got the text 'cifar10'"]),
    "data, other case": ("data: «MNIST", "data", ["got the text 'MNIST'", "did you mean 'mnist'?"]),
    "data in full": ("data: {name: «fashion-mnist}", "data.name", ["must be mnist", "did you mean 'fashion_mnist'?"]),
    "activation": (
        "model: {hidden: [4], activation: «swish}",
        "model.activation",
        ["must be relu", "got the text 'swish'", "did you mean 'silu'?"],
    ),
    "activation in full": (
        "model: {hidden: [4], activation: {slope: 1, name: «leakyrelu}}",
        "model.activation.name",
        ["got the text 'leakyrelu'", "did you mean 'leaky_relu'?"],
    ),
    "init": ("model: {hidden: [4], init: «he_normal}", "model.init", ["'he_normal'", "mean 'kaiming_normal'?"]),
    "loss": ("loss: «crossentropy", "loss", ["cross_entropy, bce, mse or mae", "mean 'cross_entropy'?"]),
    "loss of Keras": ("loss: «binary_crossentropy", "loss", ["got the text 'binary_crossentropy'", "mean 'bce'?"]),
    "loss in full": ("loss: {name: «mean_squared_error}", "loss.name", ["must be cross_entropy", "mean 'mse'?"]),
    "optimizer": ("optimizer: «sdg", "optimizer", ["must be sgd, adam", "got the text 'sdg'", "did you mean 'sgd'?"]),
    "optimizer in full": ("optimizer: {lr: 1, name: «lion}", "optimizer.name", ["must be sgd", "'lion'"]),
    "name a number": ("optimizer: {name: «5}", "optimizer.name", ["must be sgd, adam", "got 5"]),
    "name null": ("optimizer: {name: «~}", "optimizer.name", ["must be sgd, adam", "got nothing (null)"]),
    "name a list": (
        "optimizer: {name: «[sgd]}",
        "optimizer.name",
        ["must be sgd, adam", "got ['sgd']", "did you mean 'sgd'?"],
    ),
    "name missing": ("«optimizer: {lr: 1}", "optimizer.name", ["required key is missing", "e.g. name: sgd"]),
    "name of loss missing": ("«loss: {reduction: sum}", "loss.name", ["is missing", "e.g. name: cross_entropy"]),
    "std missing": ("data: {name: mnist, «scaling: {mean: 0}}", "data.scaling.std", ["is missing", "std: 0.3081"]),
    "hidden missing": ("«model: {bias: true}", "model.hidden", ["required key is missing", "hidden: [64]"]),
    "unit scaling on generated data": (
        "data: {name: spirals, scaling: «unit}",
        "data.scaling",
        ["must be none, standard or {mean: …, std: …}", "got the text 'unit'"],
    ),
}

RULES: dict[str, Case] = {
    "nesterov without momentum": (
        "optimizer: {name: sgd, nesterov: «true}",
        "optimizer.nesterov",
        ["needs momentum above 0", "got momentum 0.0", "set momentum, e.g. 0.9"],
    ),
    "nesterov with dampening": (
        "optimizer: {name: sgd, momentum: 0.9, dampening: 0.5, nesterov: «true}",
        "optimizer.nesterov",
        ["and dampening 0", "got momentum 0.9 and dampening 0.5", "leave dampening out"],
    ),
    "bce on ten classes": ("loss: «bce", "loss", ["exactly two classes", "data 'mnist' has ten", "e.g. [0, 1]"]),
    "bce on four drawn classes": (
        "data: random_classification\nloss: «bce",
        "loss",
        ["exactly two classes", "data 'random_classification' has four", "use cross_entropy"],
    ),
    "cross_entropy on regression": (
        "data: random_regression\nloss: «cross_entropy",
        "loss",
        ["'cross_entropy' needs classes", "targets of 'random_regression' are numbers", "use mse or mae"],
    ),
    "classes out of range": (
        "data: {name: mnist, classes: «[0, 10]}",
        "data.classes",
        ["classes from 0 to 9, each once", "got [0, 10]"],
    ),
    "classes of spirals": (
        "data: {name: spirals, n_classes: 5, classes: «[0, 5]}",
        "data.classes",
        ["classes from 0 to 4, each once", "got [0, 5]"],
    ),
    "classes repeated": ("data: {name: mnist, classes: «[3, 3]}", "data.classes", ["each once", "got [3, 3]"]),
    "class negative": ("data: {name: mnist, classes: [0, «-1]}", "data.classes[1]", ["at least 0", "got -1"]),
    "one class": ("data: {name: mnist, classes: «[3]}", "data.classes", ["at least 2 items", "got 1"]),
    "train_size": (
        "data: {name: mnist, train_size: «60001}",
        "data.train_size",
        ["must be at most 60,000, the rows of 'mnist'", "got 60,001"],
    ),
    "test_size": (
        "data: {name: fashion_mnist, test_size: «10001}",
        "data.test_size",
        ["must be at most 10,000, the rows of 'fashion_mnist'", "got 10,001"],
    ),
    "train_size of two classes": (
        "data: {name: mnist, classes: [0, 1], train_size: «12666}",
        "data.train_size",
        ["must be at most 12,665, the rows of 'mnist' of these classes", "got 12,666"],
    ),
    "validation takes all": (
        "data: {name: digits, validation: «1437}",
        "data.validation",
        ["takes 1,437 of 1,437 training rows", "leaves none to train on", "0.1"],
    ),
    "validation takes all of train_size": (
        "data: {name: digits, train_size: 10, validation: «0.96}",
        "data.validation",
        ["takes 10 of 10 training rows"],
    ),
    "validation rounds to 0": (
        "data: {name: digits, train_size: 4, validation: «0.1}",
        "data.validation",
        ["takes no row", "0.1 of 4 rows rounds to 0", "0 for none"],
    ),
    "split validation without any": (
        "data: {name: mnist, validation: 0}\nevaluation: {split: «validation}",
        "evaluation.split",
        ["needs validation rows", "data.validation is 0"],
    ),
    "split test without any": (
        "data: spirals\nevaluation: {split: «test}",
        "evaluation.split",
        ["'spirals' has no test rows", "choose validation or none"],
    ),
    "keep best on the test set": (
        "evaluation: {split: test, keep: «best}",
        "evaluation.keep",
        ["best is the lowest validation loss", "use last"],
    ),
    "keep best without validation": (
        "data: {name: mnist, validation: 0}\nevaluation: {keep: «best}",
        "evaluation.keep",
        ["needs split: validation with data.validation above 0", "use last"],
    ),
    "too many parameters": (
        "model: {hidden: «[65536, 65536]}",
        "model.hidden",
        ["makes 4,347,133,962 parameters", "the limit is 1,073,741,824"],
    ),
    "too many drawn numbers": (
        "data: {name: random_regression, n_samples: «10000000, n_features: 100000, n_targets: 2}\nloss: mse",
        "data.n_samples",
        ["makes 1,000,020,000,000 numbers", "the limit is 1,073,741,824"],
    ),
}

SYNTAX: dict[str, Case] = {
    "key twice": ("seed: 1\n«seed: 1", "seed", ["given twice", "first in line 1"]),
    "key twice, nested": (
        "training:\n  epochs: 5\n  shuffle: true\n  «epochs: 6",
        "training.epochs",
        ["given twice", "first in line 2"],
    ),
    "section twice": ("model: {hidden: [4]}\n«model: {hidden: [5]}", "model", ["given twice", "first in line 1"]),
    "anchor": ("seed: «&s 1", "", ["anchors and aliases", "write the value out"]),
    "anchor on a section": ("data: «&d {name: mnist}", "", ["anchors and aliases"]),
    "anchor on a key": ("«&k seed: 1", "", ["anchors and aliases"]),
    "alias": ("seed: «*s", "", ["anchors and aliases"]),
    "nested alias": ("training: {epochs: «*s}", "training", ["anchors and aliases"]),
    "tag": ("seed: «!!python/object/apply:os.system ['true']", "", ["tags", "python/object/apply:os.system"]),
    "own tag": ("data: «!load mnist", "", ["tags", "'!load'"]),
    "tag of text": ("name: «!!str 1", "", ["tags", "write a plain value"]),
    "two documents": ("seed: 1\n«---\nseed: 2", "", ["second document", "one file is one experiment"]),
    "list as key": ("? «[a]\n: 1", "", ["a key must be a word"]),
    "tab": ("training:\n«\tepochs: 5", "", ["not valid YAML", "tab", "spaces"]),
    "colon in a value": ("training: epochs«: 5", "", ["not valid YAML", "mapping values are not allowed"]),
    "after characters of several bytes": ("name: größe€𝄞«: 1", "", ["mapping values are not allowed"]),
    "unfinished list": ("model: {hidden: [1, 2\n«", "model.hidden", ["not valid YAML"]),
    "unfinished text": ("name: 'a\n«", "", ["not valid YAML", "end of stream"]),
    "nested 25 deep": ("seed: " + "[" * 19 + "«" + "[" * 6 + "]" * 25, "seed" + "[0]" * 18, ["deeper than 20 levels"]),
    "nested 1,000 deep": ("seed: " + "[" * 19 + "«" + "[" * 981, "seed" + "[0]" * 18, ["deeper than 20 levels"]),
    "mappings 1,000 deep": ("seed: " + "{a: " * 18 + "{«" + "a: {" * 981, "seed" + ".a" * 18, ["deeper than 20"]),
    "300,000 values": ("seed: [" + "1," * 19_997 + "«" + "1," * 300_000 + "]", "seed", ["more than 20,000 values"]),
}

ALL = {
    f"{kind}: {name}": case
    for kind, cases in (
        ("unknown key", UNKNOWN_KEYS),
        ("type", TYPES),
        ("range", RANGES),
        ("union", UNIONS),
        ("rule", RULES),
        ("syntax", SYNTAX),
    )
    for name, case in cases.items()
}
WHOLE = ("unfinished", "deep", "300,000", "two documents", "tab")  # nothing may be appended to these


@pytest.mark.parametrize(("text", "path", "says"), ALL.values(), ids=ALL)
def test_one_fault_at_its_place(text: str, path: str, says: list[str], request: pytest.FixtureRequest) -> None:
    whole = any(word in request.node.name for word in WHOLE)
    text, [(line, column)] = marked(text if whole else complete(text))
    started = time.process_time()
    with pytest.raises(SpecError) as caught:
        load_text(text, source="c.yaml")
    assert time.process_time() - started < 2
    [fault] = caught.value.faults
    assert (fault.line, fault.column, fault.path) == (line, column, path), str(fault)
    for part in says:
        assert part in fault.message
    if not any(re.search("mean '|did you mean", part) for part in says):
        assert "did you mean" not in fault.message
    assert len(fault.message) < 300
    assert str(caught.value) == f"c.yaml:{line}:{column}  {path}{': ' if path else ''}{fault.message}"


def test_all_faults_at_once_in_the_order_of_their_places() -> None:
    text, places = marked("""\
data: mnist
«trainign: {epochs: 3}
model:
  hidden: [500, «-256]
  activation: {name: elu, «slope: 0.1}
loss: «bce
optimizer:
  name: sgd
  «learning_rate: 0.1
  weight_decay: «'0'
evaluation: {split: none, keep: «best}
training:
  epochs:«
  shuffle: true
  «shuffle: false
seed: «.5
""")
    with pytest.raises(SpecError) as caught:
        load_text(text, source="configs/typo.yaml")
    faults = caught.value.faults
    assert [(fault.line, fault.column) for fault in faults] == places
    assert [fault.path for fault in faults] == [
        "trainign",
        "model.hidden[1]",
        "model.activation.slope",
        "loss",
        "optimizer.learning_rate",
        "optimizer.weight_decay",
        "evaluation.keep",
        "training.epochs",
        "training.shuffle",
        "seed",
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == "configs/typo.yaml:2:1  trainign: unknown key; did you mean 'training'?"
    assert lines[1] == "configs/typo.yaml:4:17  model.hidden[1]: must be at least 1, got -256"
    assert lines[3] == (
        "configs/typo.yaml:6:7  loss: "
        "'bce' needs exactly two classes, data 'mnist' has ten; set data.classes, e.g. [0, 1]"
    )
    assert lines[4] == "configs/typo.yaml:9:3  optimizer.learning_rate: unknown key; did you mean 'lr'?"


def test_both_sizes_are_named() -> None:
    with pytest.raises(SpecError) as caught:
        load_text(complete("data: {name: mnist, train_size: 70000, test_size: 20000}"))
    assert [fault.path for fault in caught.value.faults] == ["data.train_size", "data.test_size"]


def test_every_missing_section_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        load_text("seed: 1\n")
    assert [fault.path for fault in caught.value.faults] == ["data", "model", "optimizer"]
    for fault, example in zip(caught.value.faults, ["data: digits", "{hidden: [64]}", "{name: sgd"], strict=True):
        assert "required key is missing" in fault.message
        assert example in fault.message


BYTES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "only a comment": (b"# nothing\n\n", "is empty"),
    "only a document start": (b"---\n", "is empty"),
    "list": (b"- data: mnist\n", "top level must be a mapping"),
    "word": (b"mnist\n", "top level must be a mapping"),
    "Latin-1": ("name: größe\n".encode("latin-1"), "not UTF-8 text: byte 8 is 0xf6"),
    "UTF-16": ("seed: 1\n".encode("utf-16"), "not UTF-8 text: byte 0 is 0xff"),
    "binary": (bytes(range(32)) * 40, "not valid YAML"),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "not UTF-8 text: byte 1 is 0x8b"),
    "2 MB": (b"seed: 1\n" + b"#" * 2_000_000, "is larger than 1,000,000 bytes"),
    "billion laughs": (
        b"a: &a [lol, lol]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 121)),
        "anchors and aliases",
    ),
    "nested 1,000 deep": (b"[" * 1000, "top level must be a mapping"),
}


@pytest.mark.parametrize(("content", "says"), BYTES.values(), ids=BYTES)
def test_files_that_are_no_configuration(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    started = time.process_time()
    with pytest.raises(SpecError, match=says) as caught:
        load_spec(path)
    assert time.process_time() - started < 2
    assert str(caught.value).startswith(str(path))


def test_absent_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "mnist.yaml").touch()
    with pytest.raises(SpecError, match=r"mnits\.yaml  no such file; in that folder: .*mnist\.yaml"):
        load_spec(tmp_path / "mnits.yaml")
    with pytest.raises(SpecError, match=r"no such file$"):
        load_spec(tmp_path / "nowhere" / "mnist.yaml")


def test_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_spec(tmp_path)
