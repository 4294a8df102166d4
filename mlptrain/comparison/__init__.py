"""A fair comparison of arms: trials paired by seed, tuned on validation data, judged by exact tests.

``compare`` is what the commands run, and ``compare_optimizers`` another name of it.
"""

from mlptrain.comparison.plan import make_plan
from mlptrain.comparison.protocol import compare, compare_optimizers

__all__ = ["compare", "compare_optimizers", "make_plan"]
