"""Reports: Markdown, and the same as one HTML file that needs no network."""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown import markdown

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: auto;
  padding: 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid #8888; padding: .2rem .5rem; text-align: left }
figure { margin: 1rem 0 }
svg { width: 100%; max-width: 34rem; height: auto }
img { max-width: 100%; background: #fff }
code { overflow-wrap: anywhere }
"""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    Example:
        >>> print(markdown_table(["k", "V"], [["1", "-1.39"]]))
        | k | V |
        | --- | --- |
        | 1 | -1.39 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe(machine: Mapping[str, Any]) -> str:
    """One line about the machine that ``describe_machine`` saw."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores; {versions}"


def html_page(title: str, page: str, folder: Path) -> str:
    """A Markdown page as one HTML file, with its images inside.

    Args:
        title: of the browser's tab.
        page: Markdown, with tables, PNG images of ``folder`` and inline SVG.
        folder: where the images lie.
    """

    def embedded(found: re.Match[str]) -> str:
        image = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{image}"'

    body = markdown(page, extensions=["tables"])
    body = re.sub(r'src="([^":]+\.png)"', embedded, body)
    return html_document(title, body)


def html_document(title: str, body: str) -> str:
    """A body of HTML as a whole page, in the style of every page."""
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title><style>{_STYLE}</style>\n{body}\n</html>\n"
    )
