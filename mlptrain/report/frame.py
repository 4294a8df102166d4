"""The HTML frame that every page has: one self-contained file, without script, network or fonts of its own."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources

from mlptrain.system.text import printable

# The browser itself keeps the promise that nothing is loaded and nothing runs.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(sections: Iterable[str], *, title: str, kind: str, heading: str, lead: str, broad: bool = False) -> str:
    """A whole page. ``sections``, of which empty ones are left out, and ``lead`` are HTML; all else is escaped here.

    Whatever control characters and halves of surrogate pairs any of it holds are written out, so that it is UTF-8 text.
    """
    style = resources.files("mlptrain.report").joinpath("page.css").read_text(encoding="utf-8")
    return printable(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n'
        f'<body>\n<div class="page{" broad" if broad else ""}">\n'
        f'<header>\n<p class="kind">{escape(kind)}</p>\n<h1>{escape(heading)}</h1>\n<p class="lead">{lead}</p>\n'
        "</header>\n<main>\n"
        + "\n".join(part for part in sections if part)
        + "\n</main>\n<footer><p>Written by mlptrain; this file needs no other and no network.</p></footer>\n"
        "</div>\n</body>\n</html>\n"
    )


def section(name: str, heading: str, content: str, *, kind: str = "") -> str:
    """A part of a page under its heading; ``content`` is HTML, ``name`` can be linked to."""
    classes = f' class="{kind}"' if kind else ""
    return f'<section{classes} aria-labelledby="{name}">\n<h2 id="{name}">{escape(heading)}</h2>\n{content}\n</section>'
