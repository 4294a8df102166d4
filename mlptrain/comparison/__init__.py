"""A fair comparison of optimizers: trials paired by seed, tuned on validation data, judged by exact tests.

``compare_optimizers`` is what the command runs.
"""

from mlptrain.comparison.plan import make_plan
from mlptrain.comparison.protocol import compare_optimizers

__all__ = ["compare_optimizers", "make_plan"]
