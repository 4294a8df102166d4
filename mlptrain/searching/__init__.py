"""A search: settings drawn from a space, trained, and the best one scored on fresh seeds."""

from mlptrain.searching.plan import SearchPlan, make_plan
from mlptrain.searching.protocol import SearchProgress, search

__all__ = ["SearchPlan", "SearchProgress", "make_plan", "search"]
