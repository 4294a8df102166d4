"""Tables in files: from a path to typed columns, with what was detected said in words."""

from mlptrain.sources.tables.read import read_table
from mlptrain.sources.tables.table import Like, Table

__all__ = ["Like", "Table", "read_table"]
