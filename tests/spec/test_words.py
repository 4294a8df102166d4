"""Words of other libraries: each is answered by its key and section here, or as not offered, and by no other key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from mlptrain.errors import SpecError
from mlptrain.spec import load_text
from mlptrain.spec.adversarial import AdversarialSpec
from mlptrain.spec.base import names_in, sections_in
from mlptrain.spec.comparison.sections import ComparisonSpec
from mlptrain.spec.data import DataSpec
from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.hints import compact, homes_of
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.metrics import MetricSpec
from mlptrain.spec.model import ActivationSpec, InitSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import ScheduleSpec
from mlptrain.spec.search.sections import SearchSpec
from mlptrain.spec.synonyms import KEYS, KEYS_NOT_OFFERED, KEYS_OF, VALUES, VALUES_NOT_OFFERED
from mlptrain.spec.table import FileTable
from tests.spec.texts import complete

SECTIONS = {
    "": "«: 1",
    "data": "data: {name: mnist, «: 1}",
    "split": "data: {name: iris, split: {by: random, «: 1}}",
    "model": "model: {hidden: [4], «: 1}",
    "activation": "model: {hidden: [4], activation: {name: leaky_relu, «: 1}}",
    "loss": "loss: {name: cross_entropy, «: 1}",
    "optimizer": "optimizer: {name: sgd, «: 1}",
    "adam": "optimizer: {name: adam, «: 1}",
    "plateau": "schedule: {name: plateau, «: 1}",
    "early_stopping": "training: {early_stopping: {«: 1}}",
    "schedule": "schedule: {name: cosine, «: 1}",
    "augmentation": "augmentation: {«: 1}",
    "training": "training: {«: 1}",
    "adversarial": "training: {adversarial: {name: vat, «: 1}}",
    "evaluation": "evaluation: {«: 1}",
}
TOP = "name, seed, data, model, loss, optimizer, schedule, augmentation, training, evaluation"

# section: keys, and the end of the answer: of an exact key of another section, of a word for another key, …
BELONGS: dict[str, dict[str, str]] = {
    "data": {
        "batch_size epochs shuffle device threads batch-size BatchSize --batch-size": "training.{}",
        "lr weight_decay": "optimizer.{}",
        "seed loss training": "the top level",
        "hidden activation output_activation dropout": "model.{}",
        "mean": "data.scaling.mean",
        "noise": "data spirals, data xor, data moons, data circles or data function",
        "test": "data iris, data xor, data moons, data circles, data function, data random_multilabel, data table, "
        "data penguins, data wine, data breast_cancer, data diabetes, data arrays, data images or data idx",
        "target": "data table, data penguins, data wine, data breast_cancer or data diabetes",
        "header": "data table",
    },
    "optimizer": {
        "epochs batch_size": "training.{}",
        "schedule loss model seed": "the top level",
        "betas": "optimizer adam, optimizer adamw, optimizer nadam, optimizer adamax, "
        "optimizer radam or optimizer muon",
        "validation": "data.validation",
    },
    "training": {
        "loss optimizer schedule evaluation": "the top level",
        "lr weight_decay": "optimizer.{}",
        "validation": "data.{}",
        "scaling": "data.scaling or data.numeric.scaling",
        "keep": "evaluation.{}",
        "split": "data.split or evaluation.split",
        "reduction": "loss.reduction",
        "name": "the top level, data.name, model.activation.name, model.output_activation.name, "
        "model.norm.name, model.output_norm.name, model.numeric_embedding.name, model.init.name, loss.name, "
        "optimizer.name, schedule.name, training.adversarial.name or evaluation.metrics.name",
        "std": "data.scaling.std or model.init normal",
    },
    "": {
        "validation": "data.{}",
        "scaling": "data.scaling or data.numeric.scaling",
        "activation hidden dropout init": "model.{}",
        "lr": "optimizer.lr",
        "epochs batch_size record_steps threads precision EPOCHS batchSize": "training.{}",
        "slope": "model.activation leaky_relu, model.activation prelu, model.output_activation leaky_relu or "
        "model.output_activation prelu",
        "momentum": "model.norm batch, model.output_norm batch, optimizer sgd, optimizer rmsprop or optimizer muon",
        "nesterov": "optimizer sgd or optimizer muon",
        "final": "schedule linear, schedule cosine or schedule one_cycle",
        "delta": "loss huber",
        "bias": "model.bias or model.init normal",
    },
    "evaluation": {"validation": "data.validation", "epochs": "training.epochs"},
    "early_stopping": {"epochs": "training.{}", "keep": "evaluation.{}", "cooldown": "schedule plateau"},
    "plateau": {"min_delta": "training.early_stopping.{}"},
}
MEANS: dict[str, dict[str, str]] = {
    "": {
        "Seed random_state random_seed manual_seed seed_everything": "'seed'",
        "criterion loss_fn objective loss_function cost": "'loss'",
        "optim solver opt optimiser Optimizer": "'optimizer'",
        "scheduler lr_scheduler lr_policy sched": "'schedule'",
        "dataset data_loader datamodule DATASET": "'data'",
        "trainer train hyperparams trianing": "'training'",
        "net arch network": "'model'",
        "run_name exp_name task_name": "'name'",
        "learning_rate base_lr eta lr_max learning-rate learnig_rate optimizer__learning_rate": "optimizer.lr",
        "reg_lambda l2 wd lambda l2_reg": "optimizer.weight_decay",
        "beta_1 beta2 adam_beta1": "optimizer.betas",
        "nesterovs_momentum": "optimizer.nesterov",
        "opt_name optim_type": "'optimizer'",
        "data_name dset": "'data'",
        "subset num_samples": "data.train_size",
        "test_fraction": "data.test",
        "best_model": "evaluation.keep",
        "eval_metrics scoring": "evaluation.metrics",
        "temperature_scaling": "evaluation.calibrate",
        "fc_dims": "model.hidden",
        "n_epochs max_epochs num_epochs nb_epoch maxEpochs": "training.epochs",
        "bs train_batch_size minibatch_size samples_per_gpu": "training.batch_size",
        "no-cuda gpus accelerator use_cuda solver_mode n_gpu": "training.device",
        "n_jobs nthread": "training.threads",
        "hidden_layer_sizes hidden_dims units hidden_size layers module__hidden_units": "model.hidden",
        "activation_fn nonlinearity": "model.activation",
        "dropout_rate drop": "model.dropout",
        "batch_norm": "model.norm",
        "kernel_initializer weight_init": "model.init",
        "negative_slope": "model.activation.slope",
        "transform normalize preprocessing": "data.scaling",
        "validation_split validation_fraction val_size valid_pct": "data.validation",
        "size_average": "loss.reduction",
        "early_stop": "training.early_stopping",
        "early_stopping_patience n_iter_no_change max_no_improvement": "training.early_stopping.patience",
        "tol": "training.early_stopping.min_delta",
        "restore_best_weights": "evaluation.keep",
    },
    "early_stopping": {
        "n_iter_no_change": "'patience'",
        "tol": "'min_delta'",
        "start_from_epoch": "'start'",
        "monitor": "'metric'",
        "restore_best_weights": "evaluation.keep",
    },
    "plateau": {"monitor": "'metric'"},
    "data": {
        "transform normalization": "'scaling'",
        "val_split validation_fraction": "'validation'",
        "stratify groups shuffle_split group_column": "'split'",
        "n_train": "'train_size'",
        "type _target_": "'name'",
        "limit max_rows": "'train_size'",
        "test_split": "test of data iris, xor, moons, circles, function, random_multilabel, table, penguins, wine, "
        "breast_cancer, diabetes, arrays, images or idx",
        "target_column label_col": "target of data table, penguins, wine, breast_cancer or diabetes",
        "csv file_path": "path of data table, arrays, images or idx",
        "resize": "size of data images",
        "inputs x_train": "x of data arrays",
        "id_column columns_to_drop": "columns of data table, penguins, wine, breast_cancer or diabetes",
        "n_epochs": "training.epochs",
        "random_state": "seed at the top level or data.split.draw",
        "split_seed": "data.split.draw",
    },
    "model": {
        "hidden_dim hidden_layer_sizes n_units hiden": "'hidden'",
        "activation_function": "'activation'",
        "final_activation": "'output_activation'",
        "use_bias": "'bias'",
        "batch_norm use_bn norm_layer": "'norm'",
        "skip_connections": "'residual'",
        "weight_initializer": "'init'",
        "kernel_regularizer": "optimizer.weight_decay",
        "criterion": "loss at the top level",
        "stddev": "model.init.std",
    },
    "split": {"random_state split_seed": "'draw'"},
    "activation": {"negative_slope alpha leak": "'slope'", "type class_path": "'name'"},
    "optimizer": {
        "learning_rate LR init_lr eta0 learning_rate_init": "'lr'",
        "l2 alpha decay wd": "'weight_decay'",
        "nesterovs_momentum use_nesterov": "'nesterov'",
        "mom mu": "'momentum'",
        "beta_1": "betas of optimizer adam, adamw, nadam, adamax, radam or muon",
        "lr_scheduler": "schedule at the top level",
        "type kind": "'name'",
        "weight_decay_rate": "'weight_decay'",
        "no_decay filter_bias_and_bn": "'weight_decay_for'",
        "b1 beta": "betas of optimizer adam, adamw, nadam, adamax, radam or muon",
    },
    "adam": {"beta beta_1 beta2 adam_betas": "'betas'", "epsilon": "'eps'"},
    "training": {
        "criterion": "loss at the top level",
        "optim": "optimizer at the top level",
        "lr_scheduler": "schedule at the top level",
        "learning_rate": "optimizer.lr",
        "num_epochs Epochs epoch": "'epochs'",
        "batchsize bs": "'batch_size'",
        "should_shuffle": "'shuffle'",
        "grad_clip gradient_clip_val max_grad_norm clip_gradients": "'clip_norm'",
        "clip_grad_value gradient_clip_value": "'clip_value'",
        "kernel_constraint max_col_norm": "'max_norm'",
        "l1_regularization reg_alpha": "'l1'",
        "ema_decay ema_momentum model_ema polyak": "'ema'",
        "cuda": "'device'",
        "val_split": "data.validation",
        "save_best_only": "evaluation.keep",
        "adv adversarial_loss virtual_adversarial_training": "'adversarial'",
        "adv_eps": "training.adversarial.epsilon",
    },
    "adversarial": {
        "eps Epsilon attack_eps": "'epsilon'",
        "xi": "'step'",
        "power_iterations ip": "'iterations'",
        "alpha adv_weight": "'weight'",
        "method": "'name'",
    },
    "augmentation": {
        "translate RandomAffine random-crop": "'shift'",
        "degrees RandomRotation rotation_range": "'rotate'",
        "zoom_range": "'scale'",
        "shear_range": "'shear'",
        "ElasticTransform elastic_deformation": "'elastic'",
        "RandomHorizontalFlip hflip": "'flip'",
        "gaussian_noise": "'noise'",
        "RandomErasing cutout reprob": "'erase'",
        "mixup_alpha": "'mixup'",
    },
    "loss": {
        "type": "'name'",
        "loss_reduction reduction_type": "'reduction'",
        "beta": "delta of loss huber",
        "sample_weight": "data.weight",
        "smoothing label_smooth": "'label_smoothing'",
        "weight class_weight pos_weight": "'class_weights'",
        "tau alpha": "quantiles of loss quantile",
    },
    "evaluation": {"save_best": "'keep'", "val_size": "data.validation"},
}
NOT_OFFERED: dict[str, dict[str, str]] = {
    "": {
        "time_limit target_loss": "not offered; training.early_stopping ends a run that no longer gets better",
        "power_t t_max": "not offered; schedule: constant, linear, cosine",
        "warmup_lr": "not offered; it rises from nothing",
        "min_lr eta_min": "not offered; cosine ends at the share schedule.final",
        "num_workers pin_memory": "loader are not offered",
        "num_classes input_size output_dim": "not offered; they follow from data and loss",
        "num_layers": "not offered; model.hidden lists the width of each",
        "confusion_matrix": "not offered as a key; `mlptrain eval RUN`",
        "callbacks": "callbacks are not offered",
        "log-interval verbose print_freq display": "not offered as a key; training.record_steps",
        "save_dir save-model snapshot_prefix output_dir default_root_dir": "--run-dir",
        "data_dir root": "use --data-dir or $MLPTRAIN_DATA_DIR",
        "resume ckpt_path": "`mlptrain train --resume RUN`",
        "pretrained warm_start load_from": "`mlptrain train CONFIG --from RUN`",
        "test-batch-size": "results do not depend on it",
        "dry-run fast_dev_run": "`mlptrain check CONFIG`",
        "swa swa_start": "average of late weights is not offered; training.ema",
        "l1_ratio": "a ratio of penalties is not offered; training.l1",
        "weight_norm": "constraint on the weights is not offered; training.max_norm",
        "gradient_clip_algorithm": "not offered; training.clip_norm or training.clip_value",
        "amp fp16": "half precision is not offered",
        "wandb logger tensorboard": "loggers are not offered",
        "defaults hydra": "one file is one experiment",
        "seeds": "--seeds 0,1,2",
        "cv n_splits folds": "`mlptrain train CONFIG --folds 5`",
        "cutmix color_jitter RandAugment": "not offered; augmentation: {shift, rotate, scale",
        "max_steps iterations": "a number of steps is not offered",
        "download": "fetched when first needed",
        "deterministic": "runs always repeat",
        "keep_prob": "model.dropout is that of dropping",
    },
    "data": {
        "features feature_columns": "a list of the inputs is not offered",
        "url": "reading from the network is not offered",
        "invert": "changes of the images are not offered",
        "decimal thousands decimal_separator": "detected from the numbers, as `mlptrain data show CONFIG` says",
        "encoding charset": "UTF-8, UTF-16 and Windows-1252 are detected from its bytes",
        "date_format": "detected from the dates; data.columns: {NAME: date} names such a column",
        "skiprows": "delete them from it",
        "sheet_name": "save it as a file of comma-separated values",
    },
    "model": {"flatten": "always flattened"},
    "loss": {"from_logits": "cross_entropy and bce read logits"},
    "optimizer": {"foreach": "not offered", "params": "write its keys one level up"},
    "training": {"drop_last": "a shorter one is trained on", "time_limit": "a time or value to stop at is not offered"},
}
# Of a table, whose columns are named one by one.
OF_TABLES = {
    "drop drop_columns ignore ignored_features exclude skip_columns id id_column row_id index_col Identifier": (
        "columns: {NAME: drop} leaves a column out"
    ),
    "features feature_names input_features inputs x usecols select keep_columns": (
        "all columns but the target are inputs; columns: {NAME: drop} leaves one out"
    ),
    "cat_features categorical_columns": "columns: {NAME: categorical} says that a column holds categories",
    "numerical_features": "columns: {NAME: numeric} says that a column holds numbers",
    "parse_dates": "columns: {NAME: date} says that a column holds dates",
    "dtypes": "columns: {NAME: KIND} gives a column a kind, drop, numeric, categorical or date",
    "output_features": "did you mean 'target'?",
    "names": "did you mean 'header'?",
    "variance_threshold": "constant columns are left out anyway",
    "drop_duplicates": "repeated rows are kept; `mlptrain data show` counts them",
}
# Words that are like a key here, or a slip of the pen for one elsewhere, and mean neither.
UNKNOWN = {
    "": "extras max_depth n_estimators subsample visualization type _target_ remode print_config train_bn adam",
    "data": "testing seeding",
    "training": "accuracy learning",
    "model": "hiding initial_state lin1_size softmax rate",
    "optimizer": "steps_per_second meta",
    "evaluation": "every",
}


def _rows(table: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [
        (place, word, answer)
        for place, answers in table.items()
        for words, answer in answers.items()
        for word in words.split()
    ]


def _message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_text(complete(text))
    [fault] = caught.value.faults
    assert len(fault.message) < 300
    return fault.message


def _answer(section: str, key: str) -> str:
    return _message(SECTIONS[section].replace("«", key))


@pytest.mark.parametrize(("section", "key", "path"), _rows(BELONGS))
def test_an_exact_key_of_another_section_is_answered_by_it(section: str, key: str, path: str) -> None:
    exact = re.sub(r"(?<=[a-z])-?(?=S)|(?<=h)-(?=s)", "_", key.removeprefix("--")).lower()
    assert _answer(section, key) == f"unknown key here; it belongs to {path.format(exact)}"


@pytest.mark.parametrize(("section", "key", "path"), _rows(MEANS))
def test_another_librarys_word_is_answered_by_the_key_here(section: str, key: str, path: str) -> None:
    here = "" if path.startswith("'") else " here"
    assert _answer(section, key) == f"unknown key{here}; did you mean {path}?"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("input_features", "columns belong to the data: data: {name: table, path: …, target: …}, and data.columns: "),
        ("output_features", "what is predicted is data.target: the name of a column, or a list of names"),
    ],
)
def test_features_at_the_top_level_are_columns(key: str, says: str) -> None:
    assert _answer("", key).startswith(f"unknown key; {says}")


@pytest.mark.parametrize(("key", "says"), [(key, says) for keys, says in OF_TABLES.items() for key in keys.split()])
def test_words_for_the_columns_of_a_table(key: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(complete(f"data: {{name: table, path: absent.csv, target: y, {key}: [a]}}"))
    assert f"unknown key; {says}" in [fault.message for fault in caught.value.faults]


@pytest.mark.parametrize(("section", "key", "says"), _rows(NOT_OFFERED))
def test_what_is_not_offered_is_said_to_be_so(section: str, key: str, says: str) -> None:
    message = _answer(section, key)
    assert says in message
    assert "not offered" in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    ("section", "key"), [(section, key) for section in UNKNOWN for key in UNKNOWN[section].split()]
)
def test_a_word_without_a_meaning_here_has_no_guess(section: str, key: str) -> None:
    assert re.fullmatch(r"unknown key; known here: [\w, ]+", _answer(section, key))


def test_a_word_with_two_meanings_is_answered_by_both() -> None:
    answer = _answer("", "alpha")
    assert "it belongs to model.activation elu, " in answer
    assert answer.endswith(
        "; or did you mean model.activation.slope, loss.quantiles, optimizer.weight_decay or "
        "training.adversarial.weight?"
    )
    assert _answer("", "beta").endswith("; or did you mean loss.delta or optimizer.betas?")
    answer = "unknown key here; it belongs to training.adversarial.epsilon; or did you mean optimizer.eps?"
    assert _answer("", "epsilon") == answer
    answer = _answer("optimizer", "eps")
    assert answer.startswith("unknown key here; it belongs to optimizer adam, optimizer adamw, optimizer nadam, ")
    assert answer.endswith("or optimizer muon; or did you mean training.adversarial.epsilon?")
    answer = "unknown key here; it belongs to optimizer lbfgs; or did you mean training.epochs?"
    assert _answer("", "max_iter") == _answer("optimizer", "max_iter") == answer
    assert "belongs to optimizer adadelta; or did you mean alpha of" in _answer("optimizer", "rho")
    answer = _answer("training", "iterations")
    assert answer.startswith("unknown key here; it belongs to training.adversarial vat; or else a number of steps is ")
    answer = _answer("optimizer", "lr_decay")
    assert answer.endswith("it belongs to optimizer adagrad; or did you mean schedule at the top level?")


# place: words, and the end of the answer. A value of one word is suggested, any other text is the whole remark.
VALUE = {
    "loss: «": {
        "CrossEntropyLoss nn.CrossEntropyLoss torch.nn.CrossEntropyLoss() CE cross-entropy xent": "cross_entropy",
        "NLLLoss nll_loss log_loss F.nll_loss softmax categorical_crossentropy SparseCategoricalCrossentropy "
        "SoftmaxWithLoss multi:softmax": "; did you mean 'cross_entropy'? It contains the softmax",
        "logistic": "; did you mean 'cross_entropy'? It contains the softmax; for two classes bce contains the sigmoid",
        "BCEWithLogitsLoss": "bce",
        "BCELoss binary_crossentropy": "; did you mean 'bce'? It contains the sigmoid",
        "MSELoss squared_error MSE mean_squared_error MeanSquaredError": "mse",
        "L1Loss L1 mean_absolute_error": "mae",
        "SmoothL1Loss HuberLoss smooth_l1": "huber",
        "pinball PinballLoss quantile_regression": "quantile",
        "MultiLabelSoftMarginLoss multilabel": "multi_label_bce",
        "label_smoothing": "; did you mean '{name: cross_entropy, label_smoothing: 0.1}'?",
        "hinge KLDivLoss focal": "; not offered",
        "RMSE": "; not offered: mse has the same minimum",
        "my_loss 'null'": "",
        "null None": "; leave the key out for its default",
    },
    "evaluation: {metrics: [«]}": {
        "acc accuracy_score": "accuracy",
        "auc AUROC roc_auc_score ROC-AUC torchmetrics.AUROC": "roc_auc",
        "f1_score F1Score f1_macro": "f1",
        "matthews_corrcoef": "mcc",
        "expected_calibration_error": "ece",
        "nll cross_entropy neg_log_loss": "log_loss",
        "brier_score_loss": "brier",
        "top_5_accuracy top5": "; did you mean '{name: top_k, k: 5}'?",
        "mean_squared_error MSE": "; did you mean 'rmse'? The root of the mean squared error",
        "r2_score": "r2",
        "cohen_kappa_score": "; not offered",
    },
    "evaluation: {calibrate: «}": {
        "temperature_scaling": "temperature",
        "isotonic Platt": "; not offered: temperature is one number that leaves the predicted classes as they are",
    },
    "optimizer: «": {
        "SGD optim.SGD torch.optim.SGD gd": "sgd",
        "ADAM Adam tf.keras.optimizers.Adam adm": "adam",
        "RMSProp RMSprop": "rmsprop",
        "momentum sgdm": "; did you mean '{name: sgd, momentum: 0.9}'?",
        "nag nesterov": "; did you mean '{name: sgd, momentum: 0.9, nesterov: true}'?",
        "bfgs L-BFGS-B": "lbfgs",
        "Rectified-Adam": "radam",
        "lion madgrad Ftrl": "; not offered: by this name; write its import path, such as pytorch_optimizer:Lion of "
        "mlptrain[optimizers]",
        "sag newton": "; not offered",
        "none": "",
    },
    "model: {hidden: [4], activation: «}": {
        "ReLU nn.ReLU F.relu tf.nn.relu nn.ReLU()": "relu",
        "leaky-relu LeakyReLU lrelu": "leaky_relu",
        "swish SiLU": "silu",
        "logistic Sigmoid": "sigmoid",
        "linear None": "identity",
        "atan": "arctan",
        "relu6 mish maxout hardtanh celu": "; not offered",
        "softmax LogSoftmax": "; not offered: cross_entropy contains the softmax of the outputs",
        "argmax": "",
    },
    "model: {hidden: [4], output_activation: «}": {
        "softmax nn.Softmax log_softmax": "; not offered: cross_entropy contains the softmax, so leave "
        "output_activation out",
        "linear none": "identity",
        "logistic": "sigmoid",
    },
    "model: {hidden: [4], init: «}": {
        "randn gaussian gauss normal_ RandomNormal": "normal",
        "glorot_uniform xavier GlorotUniform xavier_uniform_": "xavier_uniform",
        "he_normal he kaiming": "kaiming_normal",
        "he_uniform nn.init.kaiming_uniform_": "kaiming_uniform",
        "lecun_normal": "; did you mean '{name: normal, std: fan_in}'?",
        "orthogonal zeros ones truncated_normal": "; not offered",
        "uniform": "; not offered: default is uniform, from −1/√fan_in to 1/√fan_in",
    },
    "schedule: «": {
        "CosineAnnealingLR cosine_decay Cosine": "cosine",
        "none fixed ConstantLR": "constant",
        "StepLR": "step",
        "OneCycleLR": "one_cycle",
        "ExponentialLR exp": "exponential",
        "polynomial polynomial_decay LinearLR": "linear",
        "CosineAnnealingWarmRestarts": "; did you mean '{name: cosine, cycles: 4}'?",
        "ReduceLROnPlateau adaptive": "plateau",
        "invscaling inv": "; not offered",
    },
    "data: {name: mnist, scaling: «}": {
        "minmax MinMaxScaler ToTensor divide_by_255": "unit",
        "StandardScaler standardize zscore": "standard",
        "None false": "none",
        "robust": "; not offered",
    },
    "training: {device: «}": {
        "gpu GPU CUDA": "cuda",
        "cuda0 gpu:0 0 '0'": "cuda:0",
        "-1 CPU": "cpu",
        "mps tpu": "; not offered: use cpu",
    },
    "training: {adversarial: «}": {
        "VAT virtual_adversarial_training": "vat",
        "FGSM fgm FastGradient": "fgsm",
        "pgd": "; not offered: fgsm makes one step",
        "none": "; not offered: leave the key out for none",
    },
    "training: {adversarial: {name: fgsm, norm: «}}": {"inf max": "linf", "'2' euclidean": "l2", "l1": "; not offered"},
    "training: {precision: «}": {"32 fp32": "highest", "16 bf16 16-mixed": "; not offered: products are of float32"},
    "training: {shuffle: «}": {"yes on 1 'True'": "; write true", "no off 0": "; write false"},
    "training: {epochs: «}": {"None null": "; leave the key out for its default"},
    "training: {batch_size: «}": {"all": "full", "None null": "; leave the key out for its default", "auto": ""},
    "loss: {name: mse, reduction: «}": {"average batchmean": "mean", "none": "; not offered"},
    "augmentation: {flip: «}": {
        "left_right hflip": "horizontal",
        "vflip": "vertical",
        "None false": "none",
        "both": "; not offered: an image is flipped one way",
    },
    "evaluation: {split: «}": {"val dev": "validation", "None": "none"},
    "evaluation: {keep: «}": {"final": "last", "min": "best", "None": "; leave the key out for its default"},
    "model:\n  hidden: «": {
        "64 '64' (64,) '[64]'": "; write [64]",
        "(64,32) 64,32": "; write [64, 32]",
        "784-64-10 None": "",
    },
}


@pytest.mark.parametrize(("place", "word", "hint"), _rows(VALUE))
def test_another_librarys_value(place: str, word: str, hint: str) -> None:
    written = word.strip("'")
    end = f"; did you mean '{hint}'?" if re.fullmatch(r"[\w:]+", hint) else hint
    message = _message(place.replace("«", word))
    assert re.fullmatch(
        rf"must be .*, got (the text '{re.escape(written)}'|[-\w]+|nothing \(null\)){re.escape(end)}", message
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("optimizer: {type: Adam, lr: 0.1}", "write name: adam instead of type: Adam"),
        ("optimizer: {_target_: torch.optim.SGD}", "write name: sgd instead of _target_: torch.optim.SGD"),
        ("optimizer: {adam: {lr: 0.1}}", "write {name: adam, …} instead of {adam: …}"),
        ("data: {dataset: MNIST}", "write name: mnist instead of dataset: MNIST"),
        ("loss: {class_path: torch.nn.NLLLoss}", "write name: cross_entropy instead of class_path: torch.nn.NLLLoss"),
        ("schedule: {type: StepLR}", "write name: step instead of type: StepLR"),
        ("optimizer: {lr: 0.1}", "e.g. name: sgd"),
    ],
)
def test_a_name_under_another_key(text: str, says: str) -> None:
    assert _message(text) == f"required key is missing; {says}"


def test_a_path_with_dots_is_for_the_command_line() -> None:
    answer = "unknown key; a dot does not nest here, write optimizer: {lr: …}"
    assert _answer("", "optimizer.lr") == answer
    assert _answer("model", "activation.slope").endswith("write activation: {slope: …}")


def _words_of(*tables: dict[str, str]) -> list[str]:
    return [compact(word) for table in tables for words in table.values() for word in words.split()]


def test_every_path_in_the_table_leads_to_a_key() -> None:
    for path in KEYS:
        if not path.startswith("."):
            *parents, key = path.split(".")
            homes = homes_of(ExperimentSpec, key) or homes_of(ComparisonSpec, key)
            assert any(home.split(" ")[0] in (path, ".".join(parents), "the") for home in homes), path


def test_no_word_is_in_two_rows_or_a_key_here() -> None:
    """A key of some sections only may also be a word for another key."""
    ambiguous = {
        "alpha",
        "beta",
        "encoding",
        "eps",
        "epsilon",
        "iterations",
        "kind",
        "maxiter",
        "rho",
        "t0",
        "lrdecay",
        "scale",
        "weight",
    }
    words = Counter(_words_of(KEYS, KEYS_NOT_OFFERED))
    assert [word for word, count in words.items() if count > 1] == [
        "randomstate",
        "labels",
        "alpha",
        "beta",
        "gpu",
        "numgpus",
        "monitor",
    ]
    keys = {compact(key) for key in _keys(ExperimentSpec)}
    assert set(words) & keys == ambiguous
    for table in (VALUES, VALUES_NOT_OFFERED):
        assert all(words for answers in table.values() for words in answers.values())
    for place in VALUES.keys() | VALUES_NOT_OFFERED.keys():
        words = Counter(_words_of(VALUES.get(place, {}), VALUES_NOT_OFFERED.get(place, {})))
        assert [word for word, count in words.items() if count > 1] == [], place


def test_words_for_keys_of_one_section_are_no_keys_there() -> None:
    sections = {one.__name__: one for model in (SearchSpec, ComparisonSpec) for one in (model, *_sections_below(model))}
    sections["TableData"] = FileTable  # which has all that it says of tables
    for name, answers in KEYS_OF.items():
        words = _words_of(answers)
        assert len(words) == len(set(words)), name
        assert not {compact(key) for key in sections[name].model_fields} & set(words) - {"split"}, name
        for answer in answers:
            assert answer in sections[name].model_fields or " " in answer, answer


def test_no_word_for_a_value_is_a_name_here() -> None:
    names = {"data": DataSpec, "activation": ActivationSpec, "init": InitSpec, "loss": LossSpec}
    names |= {"optimizer": OptimizerSpec, "schedule": ScheduleSpec, "adversarial": AdversarialSpec}
    names |= {"metrics": MetricSpec}
    for place, union in names.items():
        words = set(_words_of(VALUES.get(place, {}), VALUES_NOT_OFFERED.get(place, {})))
        assert words & set(map(compact, names_in(union))) == set(), place


def _sections_below(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in section.model_fields.values():
        for inner in sections_in(field.annotation):
            yield inner
            yield from _sections_below(inner)


def _keys(section: type[BaseModel]) -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield key
        for inner in sections_in(field.annotation):
            yield from _keys(inner)


def test_the_reasons_say_what_is_not_offered() -> None:
    for reason in KEYS_NOT_OFFERED:
        assert " not offered" in reason
