"""Estimators for scikit-learn: multi-layer perceptrons trained by this package, wherever one of scikit-learn's fits."""

from mlptrain.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
