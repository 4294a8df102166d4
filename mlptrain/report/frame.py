"""HTML pages from templates: each one self-contained file, without script, network or fonts of its own."""

from __future__ import annotations

import shlex

from jinja2 import Environment, PackageLoader, StrictUndefined

from mlptrain.report.images import percentage
from mlptrain.report.style import colour, inline_svg, marker
from mlptrain.system.text import printable


def render(template: str, **values: object) -> str:
    """The page of a template, which escapes every text in ``values``.

    Whatever control characters and halves of surrogate pairs any of it holds are written out, so that it is UTF-8 text.
    """
    return printable(_ENVIRONMENT.get_template(template).render(values))


def _sentence(text: str) -> str:
    """With a capital first and a full stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


_ENVIRONMENT = Environment(
    loader=PackageLoader("mlptrain.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals |= {"svg": inline_svg, "colour": colour, "marker": marker}
_ENVIRONMENT.filters |= {"percentage": percentage, "quote": shlex.quote, "sentence": _sentence}
_ENVIRONMENT.filters["thousands"] = "{:,}".format
