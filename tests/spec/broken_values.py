"""Values out of range, unknown names and broken rules. A mark « stands before the place of the fault."""

from __future__ import annotations

from tests.catalogue import LOSSES, either
from tests.spec.broken_keys import Case

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
    "std nothing": (
        "model: {hidden: [4], init: {name: normal, std: «0}}",
        "model.init.std",
        ["must be a positive number", "got 0"],
    ),
    "std word": (
        "model: {hidden: [4], init: {name: normal, std: «fanin}}",
        "model.init.std",
        ["or the word fan_in", "got the text 'fanin'", "did you mean 'fan_in'?"],
    ),
    "momentum above 1": ("optimizer: {name: sgd, momentum: «1.1}", "optimizer.momentum", ["at most 1", "got 1.1"]),
    "beta 1": ("optimizer: {name: adam, betas: [0.9, «1]}", "optimizer.betas[1]", ["must be below 1", "got 1"]),
    "epsilon 0": (
        "training: {adversarial: {name: vat, epsilon: «0}}",
        "training.adversarial.epsilon",
        ["must be above 0", "got 0"],
    ),
    "epsilon negative": (
        "training: {adversarial: {name: fgsm, epsilon: «-1}}",
        "training.adversarial.epsilon",
        ["must be above 0", "got -1"],
    ),
    "no iterations": (
        "training: {adversarial: {name: vat, iterations: «0}}",
        "training.adversarial.iterations",
        ["must be at least 1", "got 0"],
    ),
    "no weight": (
        "training: {adversarial: {name: vat, weight: «0}}",
        "training.adversarial.weight",
        ["must be above 0", "got 0"],
    ),
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
    "std 0": ("data: {name: mnist, scaling: {mean: 0, std: «0}}", "data.scaling.std", ["at least 1e-30", "got 0"]),
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
    "loss": ("loss: «crossentropy", "loss", [either(LOSSES), "mean 'cross_entropy'?"]),
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
    "name of schedule missing": ("«schedule: {}", "schedule.name", ["required key is missing", "e.g. name: constant"]),
    "warm-up of everything": ("schedule: {name: linear, warmup: «1.0}", "schedule.warmup", ["below 1", "got 1.0"]),
    "milestones of none": ("schedule: {name: multi_step, milestones: «[]}", "schedule.milestones", ["at least 1"]),
    "milestone 0": ("schedule: {name: multi_step, milestones: [3, «0]}", "schedule.milestones[1]", ["at least 1"]),
    "gamma 0": ("schedule: {name: exponential, gamma: «0}", "schedule.gamma", ["must be above 0", "got 0"]),
    "milestones missing": (
        "«schedule: {name: multi_step}",
        "schedule.milestones",
        ["required key is missing", "milestones: [30, 60]"],
    ),
    "metric": ("evaluation: {metrics: [f1, «auc]}", "evaluation.metrics[1]", ["must be accuracy", "mean 'roc_auc'?"]),
    "metric in full": (
        "evaluation: {metrics: [{name: «lift}]}",
        "evaluation.metrics[0].name",
        ["must be accuracy", "got the text 'lift'"],
    ),
    "metric a number": ("evaluation: {metrics: [«3]}", "evaluation.metrics[0]", ["a name such as accuracy", "got 3"]),
    "metric's key": (
        "evaluation: {metrics: [{name: ece, «n_bins: 5}]}",
        "evaluation.metrics[0].n_bins",
        ["did you mean 'bins'?"],
    ),
    "metric's range": (
        "evaluation: {metrics: [{name: top_k, k: «1}]}",
        "evaluation.metrics[0].k",
        ["must be at least 2", "got 1"],
    ),
    "metrics not a list": (
        "evaluation: {metrics: «f1}",
        "evaluation.metrics",
        ["must be a list such as [roc_auc, f1]"],
    ),
    "adversarial": ("training: {adversarial: «true}", "training.adversarial", ["a name such as vat, or a mapping"]),
    "name of adversarial missing": (
        "training: {«adversarial: {epsilon: 1}}",
        "training.adversarial.name",
        ["required key is missing", "e.g. name: vat"],
    ),
    "schedule": ("schedule: «3", "schedule", ["must be a name such as constant, or a mapping", "got 3"]),
    "std missing": ("data: {name: mnist, «scaling: {mean: 0}}", "data.scaling.std", ["is missing", "std: 0.3081"]),
    "hidden missing": ("«model: {bias: true}", "model.hidden", ["required key is missing", "hidden: [64]"]),
    "unit scaling on generated data": (
        "data: {name: spirals, scaling: «unit}",
        "data.scaling",
        ["must be none, standard or {mean: …, std: …}", "got the text 'unit'"],
    ),
}

RULES: dict[str, Case] = {
    "metric of values on classes": (
        "data: digits\nevaluation: {metrics: [f1, «rmse]}",
        "evaluation.metrics[1]",
        ["'rmse' needs numeric targets, but the targets of 'digits' are classes", "accuracy, balanced_accuracy"],
    ),
    "metric of classes on values": (
        "data: {name: random_regression}\nloss: mse\nevaluation: {metrics: [«roc_auc]}",
        "evaluation.metrics[0]",
        ["'roc_auc' needs classes", "are numbers; choose from rmse, mae, r2, mape"],
    ),
    "metric of probabilities without them": (
        "data: iris\nloss: mse\nevaluation: {metrics: [«{name: ece, bins: 5}]}",
        "evaluation.metrics[0]",
        ["'ece' needs probabilities", "trained with 'mse'", "use cross_entropy or bce"],
    ),
    "top k of k classes": (
        "data: iris\nevaluation: {metrics: [{name: top_k, k: 2}, «{name: top_k, k: 3}]}",
        "evaluation.metrics[1]",
        ["with k 3 is always 100 % of 3 classes", "use k below 3"],
    ),
    "metric twice": (
        "data: iris\nevaluation: {metrics: [{name: ece, bins: 5}, f1, «ece]}",
        "evaluation.metrics[2]",
        ["stands in the list already, as number 1"],
    ),
    "temperature of values": (
        "data: iris\nloss: mae\nevaluation: {calibrate: «temperature}",
        "evaluation.calibrate",
        ["divides the logits of classes, which 'mae' does not read"],
    ),
    "temperature without rows": (
        "data: {name: iris, validation: 0}\nevaluation: {calibrate: «temperature}",
        "evaluation.calibrate",
        ["fitted on validation rows, but data.validation is 0"],
    ),
    "vat without probabilities": (
        "data: random_regression\nloss: mse\ntraining: {adversarial: «vat}",
        "training.adversarial",
        ["'vat' compares class probabilities", "outputs of 'mse' are none", "use fgsm"],
    ),
    "warm-up of all steps": (
        "data: {name: digits, validation: 0, train_size: 100}\ntraining: {batch_size: 50, epochs: 3}\n"
        "schedule: {name: cosine, warmup: «6}",
        "schedule.warmup",
        ["takes 6 steps, but the run has 6", "0.05"],
    ),
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
    "bce on ten classes": ("loss: «bce", "loss", ["exactly two classes", "data 'mnist' has 10", "e.g. [0, 1]"]),
    "bce on four drawn classes": (
        "data: random_classification\nloss: «bce",
        "loss",
        ["exactly two classes", "data 'random_classification' has 4", "use cross_entropy"],
    ),
    "cross_entropy on regression": (
        "data: random_regression\nloss: «cross_entropy",
        "loss",
        ["'cross_entropy' needs classes", "targets of 'random_regression' are numbers", "use mse"],
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
        ["takes no rows", "0.1 of 4 rows rounds to 0", "0 for none"],
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
