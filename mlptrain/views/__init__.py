"""What a picture or a report needs from a network or its data, as arrays; ``report`` draws them."""

from mlptrain.views.activations import ACTIVATION_NAMES, activation_curves, half_tanh
from mlptrain.views.inputs import augmented_samples, input_histogram, learning_rates, samples
from mlptrain.views.layers import layer_profiles
from mlptrain.views.networks import (
    confusion,
    decision_map,
    first_layer_weights,
    fitted_curve,
    mistakes,
    page_parts,
    reliability,
    residuals,
    seen,
)
from mlptrain.views.tables import class_curves, permutation_importance

__all__ = [
    "ACTIVATION_NAMES",
    "activation_curves",
    "augmented_samples",
    "class_curves",
    "confusion",
    "decision_map",
    "first_layer_weights",
    "fitted_curve",
    "half_tanh",
    "input_histogram",
    "layer_profiles",
    "learning_rates",
    "mistakes",
    "page_parts",
    "permutation_importance",
    "reliability",
    "residuals",
    "samples",
    "seen",
]
