"""Unknown keys and wrong types. A mark « stands before the place that the fault must name."""

from __future__ import annotations

# The text, the path of the key, and what the message must say: what came, what was wanted, what was probably meant.
Case = tuple[str, str, list[str]]

UNKNOWN_KEYS: dict[str, Case] = {
    "top, misspelt": ("«optimiser: sgd", "optimiser", ["unknown key", "did you mean 'optimizer'?"]),
    "top, of nowhere": ("«antigravity: {}", "antigravity", ["unknown key", "known here: name, seed, data, model"]),
    "top, not offered": ("«cutmix: 1", "cutmix", ["unknown key; this change of training images is not offered"]),
    "augmentation, of Keras": (
        "augmentation: {«rotation_range: 15}",
        "augmentation.rotation_range",
        ["did you mean 'rotate'?"],
    ),
    "top, of a section": ("«batch_size: 3", "batch_size", ["unknown key here", "belongs to training.batch_size"]),
    "top, of a section elsewhere": ("«learning_rate: 1", "learning_rate", ["did you mean optimizer.lr?"]),
    "schedule, of none": ("schedule: {name: constant, «cycle: 3}", "schedule.cycle", ["unknown key"]),
    "data, misspelt": ("data: {name: mnist, «scalling: unit}", "data.scalling", ["did you mean 'scaling'?"]),
    "data, of Keras": ("data: {name: mnist, «validation_split: 0.1}", "data.validation_split", ["mean 'validation'?"]),
    "data, of another data set": ("data: {name: mnist, «noise: 0.1}", "data.noise", ["belongs to data spirals"]),
    "data, of the top": ("data: {name: mnist, «seed: 1}", "data.seed", ["belongs to the top level"]),
    "data, as its own name": ("data: {name: mnist, «mnist: 1}", "data.mnist", ["unknown key", "known here"]),
    "adversarial, by its name": ("training: {«vat: true}", "training.vat", ["did you mean 'adversarial'?"]),
    "adversarial, of another one": (
        "training: {adversarial: {name: vat, «norm: l2}}",
        "training.adversarial.norm",
        ["unknown key here", "belongs to adversarial fgsm"],
    ),
    "scaling": (
        "data: {name: mnist, scaling: {mean: 0, std: 1, «highest: 255}}",
        "data.scaling.highest",
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
        ["unknown key here", "optimizer sgd, optimizer rmsprop or optimizer muon"],
    ),
    "optimizer, of another one though alike": (
        "optimizer: {name: nadam, «momentum: 0.9}",
        "optimizer.momentum",
        ["unknown key here", "optimizer sgd, optimizer rmsprop or optimizer muon"],
    ),
    "training, misspelt": ("training: {«epoch: 3}", "training.epoch", ["did you mean 'epochs'?"]),
    "training, of Lightning": ("training: {«max_epochs: 3}", "training.max_epochs", ["did you mean 'epochs'?"]),
    "evaluation, of another section": (
        "evaluation: {«validation: 0.1}",
        "evaluation.validation",
        ["unknown key here", "belongs to data.validation"],
    ),
    "a merge key": ("«<<: {seed: 1}", "<<", ["merge keys are not supported"]),
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
    "widths alone": ("model: «[32, 16]", "model", ["a mapping such as {hidden: [64]}", "; write {hidden: [32, 16]}"]),
    "epochs alone": ("training: «5", "training", ["a mapping such as {epochs: 10}", "got 5; write {epochs: 5}"]),
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
