"""Rules between sections: a module for the section that a fault is reported at, and one for warnings.

A rule of an experiment is a function in one of these modules, see ``registry.Rules``.
"""

from __future__ import annotations

from mlptrain.spec.rules import data, evaluation, model, training

RULES = (*data.RULES, *evaluation.RULES, *model.RULES, *training.RULES)
