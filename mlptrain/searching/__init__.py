"""A search: settings drawn from a space, trained, and the best one scored on fresh seeds."""

from mlptrain.searching.plan import make_plan
from mlptrain.searching.protocol import search

__all__ = ["make_plan", "search"]
