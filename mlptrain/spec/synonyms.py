"""Words of scikit-learn, Keras, Lightning, torch and papers, and the names that they have here."""

from __future__ import annotations

_ELSEWHERE = {
    "lr": "learning_rate learning_rate_init eta",
    "hidden": "units layers hidden_layers hidden_layer_sizes hidden_sizes",
    "activation": "nonlinearity",
    "bias": "biases use_bias",
    "init": "initialization initialisation",
    "loss": "criterion objective",
    "data": "dataset",
    "optimizer": "optim optimiser solver",
    "weight_decay": "l2",
    "slope": "alpha negative_slope",
    "epochs": "max_iter n_epochs max_epochs num_epochs",
    "batch_size": "batch",
    "seed": "random_state",
    "validation": "validation_split validation_fraction val",
    "scaling": "normalize normalization",
    "cross_entropy": "crossentropy ce nll sparse_categorical_crossentropy categorical_crossentropy crossentropyloss",
    "bce": "binary_cross_entropy bce_with_logits binary_crossentropy bcewithlogitsloss bceloss",
    "mae": "l1 mean_absolute_error l1loss",
    "mse": "mean_squared_error squared_error mseloss",
    "sigmoid": "logistic",
    "normal": "gaussian",
    "kaiming_normal": "he he_normal",
    "xavier_uniform": "xavier glorot glorot_uniform",
    "fashion_mnist": "fashionmnist",
    "arctan": "atan",
    "silu": "swish",
    "identity": "linear none",
    "sgd": "momentum nesterov",
    "cuda": "gpu",
    "kaiming_uniform": "he_uniform",
    "xavier_normal": "glorot_normal",
}
SYNONYMS = {word: name for name, words in _ELSEWHERE.items() for word in words.split()}
