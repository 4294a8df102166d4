"""Broken sections and bases of comparisons. A mark « stands before the place of the fault."""

from __future__ import annotations

from tests.spec.broken_optimizers import PAIR, Case, one

TUNED = one("{name: sgd, lr: [0.1, 1]}")
SECTIONS: dict[str, Case] = {
    "tuning: none beside a grid": (
        one("{name: sgd, lr: «[0.1, 1]}") + "\ntuning: none",
        "optimizers.A.lr",
        "has values to choose from, but tuning is none; give one value, or tuning such as {seeds: 3}",
    ),
    "tuning, misspelt word": (
        f"{PAIR}\ntuning: «None",
        "tuning",
        "must be a mapping such as {seeds: 3} or the word none, got the text 'None'; did you mean 'none'?",
    ),
    "tuning, null": (
        f"{PAIR}\ntuning: «~",
        "tuning",
        "must be a mapping such as {seeds: 3} or the word none, got nothing (null); leave the key out for its default",
    ),
    "tuning, unknown key": (
        f"{TUNED}\ntuning: {{«extension: 2}}",
        "tuning.extension",
        "unknown key; did you mean 'extensions'?",
    ),
    "extensions": (f"{TUNED}\ntuning: {{extensions: «-1}}", "tuning.extensions", "must be at least 0, got -1"),
    "no tuning seed": (
        f"{TUNED}\ntuning: {{seeds: «0}}",
        "tuning.seeds",
        "must be a count from 1 to 1,000, or a list of seeds such as [0, 1, 2], got 0",
    ),
    "seeds as text": (
        f"{PAIR}\nscoring: {{seeds: «'10'}}",
        "scoring.seeds",
        "must be a count from 1 to 1,000, or a list of seeds such as [0, 1, 2], got the text '10'; write it without "
        "quotes, underscores or commas",
    ),
    "empty list of seeds": (f"{PAIR}\nscoring: {{seeds: «[]}}", "scoring.seeds", "must have at least 1 item, got 0"),
    "negative seed": (f"{PAIR}\nscoring: {{seeds: [0, «-1]}}", "scoring.seeds[1]", "must be at least 0, got -1"),
    "fractional seed": (
        f"{TUNED}\ntuning: {{seeds: [0, «1.5]}}",
        "tuning.seeds[1]",
        "must be a whole number, got 1.5",
    ),
    "scoring seed twice": (
        f"{PAIR}\nscoring: {{seeds: [4, 5, «4]}}",
        "scoring.seeds[2]",
        "seed 4 is given twice; take another",
    ),
    "tuning seed twice": (
        f"{TUNED}\ntuning: {{seeds: [7, «7]}}",
        "tuning.seeds[1]",
        "seed 7 is given twice; take another",
    ),
    "a seed that tunes and scores": (
        f"{TUNED}\ntuning: {{seeds: [7, «9]}}\nscoring: {{seeds: [8, 9]}}",
        "tuning.seeds[1]",
        "9 is a scoring seed too, and would score values that it chose; take another, or a count",
    ),
    "scoring split": (
        f"{PAIR}\nscoring: {{split: «train}}",
        "scoring.split",
        "must be test or validation, got the text 'train'",
    ),
    "target above 1": (
        f"{PAIR}\ntarget: {{metric: validation_accuracy, value: «97}}",
        "target.value",
        "an accuracy is a fraction, so no trial reaches 97; must be at most 1; write 0.97 for 97 %",
    ),
    "target far above 1": (
        f"{PAIR}\ntarget: {{metric: validation_accuracy, value: «970}}",
        "target.value",
        "an accuracy is a fraction, so no trial reaches 970; must be at most 1",
    ),
    "target 0": (
        f"{PAIR}\ntarget: {{metric: validation_loss, value: «0}}",
        "target.value",
        "must be above 0, got 0",
    ),
    "target's metric": (
        f"{PAIR}\ntarget: {{metric: «validation_acuracy, value: 0.9}}",
        "target.metric",
        "must be validation_accuracy or validation_loss, which trials record, got the text "
        "'validation_acuracy'; did you mean 'validation_accuracy'?",
    ),
    "target that nothing records": (
        f"{PAIR}\ntarget: {{metric: «validation_f1, value: 0.9}}",
        "target.metric",
        "must be validation_accuracy or validation_loss, which trials record, got the text 'validation_f1'",
    ),
    "target without value": (
        f"{PAIR}\n«target: {{metric: validation_loss}}",
        "target.value",
        "required key is missing; e.g. value: 0.97",
    ),
    "target on the test set": (
        f"{PAIR}\ntarget: {{metric: «test_accuracy, value: 0.9}}",
        "target.metric",
        "is not measured: the base's evaluation.split is validation; set that to test, or use a metric of validation",
    ),
    "tie in per cent": (f"{PAIR}\ntie: «1", "tie", "must be below 1, got 1"),
    "executor": (
        f"{PAIR}\nexecutor: «rya",
        "executor",
        "must be local or ray, got the text 'rya'; did you mean 'ray'?",
    ),
    "address": (
        f"{PAIR}\nexecutor: {{name: ray, address: «127.0.0.1}}",
        "executor.address",
        "must be local (start Ray on this machine), auto (the cluster that runs here), HOST:PORT or ray://HOST:PORT, "
        "got the text '127.0.0.1'",
    ),
    "more than a GPU": (f"{PAIR}\nexecutor: {{name: ray, gpus: «2}}", "executor.gpus", "must be at most 1, got 2"),
    "nothing of a GPU": (f"{PAIR}\nexecutor: {{name: ray, gpus: «0}}", "executor.gpus", "must be at least 0.01, got 0"),
    "Ray's own word": (
        f"{PAIR}\nexecutor: {{name: ray, «num_gpus: 0.5}}",
        "executor.num_gpus",
        "unknown key; did you mean 'gpus'?",
    ),
    "Ray Tune's word": (
        f"{PAIR}\nexecutor: {{name: local, «gpus_per_trial: 0.5}}",
        "executor.gpus_per_trial",
        "unknown key here; did you mean gpus of executor ray?",
    ),
    "address of local": (
        f"{PAIR}\nexecutor: {{name: local, «address: auto}}",
        "executor.address",
        "unknown key here; it belongs to executor ray",
    ),
    "misspelt section": (f"{PAIR}\n«scorring: {{}}", "scorring", "unknown key; did you mean 'scoring'?"),
    "the base's section": (f"{PAIR}\n«model: {{hidden: [4]}}", "model", "unknown key here; it belongs to base.model"),
    "the base's key": (f"{PAIR}\n«epochs: 3", "epochs", "unknown key here; it belongs to base.training.epochs"),
    "a key of each optimizer": (
        f"{PAIR}\n«lr: 3",
        "lr",
        "unknown key; known here: name, base, optimizers, arms, metric, tuning, scoring, target, tie, executor",
    ),
    "name": (
        f"{PAIR}\nname: «a/b",
        "name",
        "must be at most 64 letters (a–z, A–Z), digits, '.', '_' or '-', starting with a letter or digit, since it "
        "names a folder, got the text 'a/b'",
    ),
}

_BASE = "base: {data: digits, model: {hidden: [4]}"
BASES: dict[str, Case] = {
    "missing": (
        f"«{PAIR}",
        "base",
        "required key is missing; e.g. base: mnist.yaml, or the mapping of an experiment",
    ),
    "null": (
        f"base: «~\n{PAIR}",
        "base",
        "must be the path of an experiment's file, or a mapping of an experiment, got nothing (null)",
    ),
    "fault inside": (
        f"base: {{data: digits, model: {{hidden: [4, «0]}}}}\n{PAIR}",
        "base.model.hidden[1]",
        "must be at least 1, got 0",
    ),
    "missing section": (
        f"«base: {{data: digits}}\n{PAIR}",
        "base.model",
        "required key is missing; e.g. model: {hidden: [64]}",
    ),
    "unknown key": (
        f"{_BASE}, «epochs: 3}}\n{PAIR}",
        "base.epochs",
        "unknown key here; it belongs to base.training.epochs",
    ),
    "key of its top level": (
        f"base: {{data: {{name: digits, «seed: 3}}, model: {{hidden: [4]}}}}\n{PAIR}",
        "base.data.seed",
        "unknown key here; it belongs to base",
    ),
    "rule between its sections": (
        f"{_BASE}, loss: «bce}}\n{PAIR}",
        "base.loss",
        "'bce' needs exactly two classes, data 'digits' has 10; set data.classes, e.g. [0, 1]",
    ),
    "key twice": (
        f"{_BASE}, seed: 1, «seed: 2}}\n{PAIR}",
        "base.seed",
        "key given twice, first in line 1; keep one of them",
    ),
    "regression": (
        f"base: «{{data: random_regression, model: {{hidden: [4]}}, loss: mse}}\n{PAIR}",
        "base",
        "is a regression: the targets of 'random_regression' are numbers, but optimizers are compared by accuracy; "
        "compare them by another metric with `mlptrain compare`: arms: {Adam: {optimizer: adam}, SGD: {optimizer: "
        "sgd}} and metric: test_rmse",
    ),
    "tuning without validation": (
        f"base: «{{data: {{name: digits, validation: 0}}, model: {{hidden: [4]}}}}\n{TUNED}",
        "base",
        "tuning chooses by validation rows, but its data.validation is 0; set that, e.g. 0.1, or give every optimizer "
        "fixed values",
    ),
    "tuning on the test set": (
        f"base: «{{data: digits, model: {{hidden: [4]}}, evaluation: {{split: test}}}}\n{TUNED}",
        "base",
        "tuning chooses by validation rows, but its evaluation.split is test; set validation",
    ),
    "tuning without measuring": (
        f"base: «{{data: digits, model: {{hidden: [4]}}, evaluation: {{split: none}}}}\n{TUNED}",
        "base",
        "tuning chooses by validation rows, but its evaluation.split is none; set validation",
    ),
    "target without validation": (
        f"base: {{data: {{name: digits, validation: 0}}, model: {{hidden: [4]}}}}\n{PAIR}\n"
        "target: {metric: «validation_loss, value: 0.1}",
        "target.metric",
        "needs validation rows, but the base's data.validation is 0; set that",
    ),
    "target without validation, but test": (
        "base: {data: {name: digits, validation: 0}, model: {hidden: [4]}, evaluation: {split: test}}\n"
        f"{PAIR}\ntarget: {{metric: «validation_loss, value: 0.1}}",
        "target.metric",
        "needs validation rows, but the base's data.validation is 0; set that, or use test_loss",
    ),
    "unequal budgets": (
        f"{_BASE}, training: {{early_stopping: «3}}}}\n{PAIR}",
        "base.training.early_stopping",
        "would give trials unequal budgets: in a comparison or a search every one trains all epochs; leave it out, "
        "since evaluation.keep: best scores each trial's best epoch anyway",
    ),
    "target unmeasured": (
        f"{_BASE}, evaluation: {{split: none}}}}\n{PAIR}\ntarget: {{metric: «validation_loss, value: 0.1}}",
        "target.metric",
        "is not measured: the base's evaluation.split is none; set that to validation",
    ),
    "scoring on no test rows": (
        f"base: {{data: spirals, model: {{hidden: [4]}}}}\n{PAIR}\nscoring: {{split: «test}}",
        "scoring.split",
        "data 'spirals' has no test rows; choose validation",
    ),
    "scoring on no validation rows": (
        f"base: {{data: {{name: digits, validation: 0}}, model: {{hidden: [4]}}}}\n{PAIR}\n"
        "scoring: {split: «validation}",
        "scoring.split",
        "needs validation rows, but the base's data.validation is 0; set that, or test",
    ),
    "scoring on nothing": (
        f"base: «{{data: {{name: spirals, validation: 0}}, model: {{hidden: [4]}}}}\n{PAIR}",
        "base",
        "has no rows to score on: data 'spirals' has no test rows and data.validation is 0; set that, e.g. 0.1",
    ),
}
