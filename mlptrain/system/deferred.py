"""Models of pydantic whose validators are built when the first one is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class Deferred(BaseModel):
    """No command needs all validators. The names in annotations are those of the module."""

    model_config = ConfigDict(defer_build=True)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 2,
        _types_namespace: Mapping[str, Any] | None = None,
    ) -> bool | None:
        """As pydantic's, without the variables of whoever needs the first instance.

        A variable of that name is not the type that is meant; and where one comprehension of a function has a variable
        of an inner function that another has as its own, CPython 3.13.0 reads the wrong memory for it.
        """
        return super().model_rebuild(force=force, raise_errors=raise_errors, _types_namespace=_types_namespace or {})
