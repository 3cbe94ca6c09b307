"""The project's prose uses standard terms: no retired word comes back.

Prose is Markdown, also of notebooks, the page to play with, the set-up files
and, of Python files, comments, docstrings and strings with a blank: messages
and help. Names in code, keys of JSON files and whatever stands between
backquotes are not prose.
"""

import ast
import io
import json
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCANNED = (
    "README.md",
    "CITATION.cff",
    "Makefile",
    "pyproject.toml",
    "benchmarks",
    "experiment",
    "experiment/explore.html",
    "jax_gan",
    "parity_tests",
    "torch_ref",
)
# Each pattern is of a word without another meaning here.
RETIRED = {
    r"rungs?": "test level",
    r"climb(s|ed|ing)?": "run",
    r"(go|goes|going|went) on": "continue, resume",
    r"anew": "again, from scratch",
    r"of (its|their) own": "own, separate",
    r"at once": "simultaneous, concurrent, batched over seeds",
    r"first weights": "initial weights",
    r"step sizes?": "learning rate",
    r"products? (of matrices|in tf32|tf32)": "matmul",
    r"large (sums?|products?)": "memory bandwidth test, GEMM speed",
    r"waits? for a number|reads the host": "host synchronisation",
    r"sets? of processes": "process repetition",
    r"entered (again|twice)": "A/A duplicate",
    r"busy": "background load, utilisation",
    r"refus(e|es|ed|als?)|unusable": "excluded, unsupported, invalid",
    r"gates?": "validity check",
    r"(faster|plain|best|eager) forms?": "variant",
    r"parting|(twins|games|runs|they) part": "diverge, divergence",
    r"mend(s|ed)?|cures?|cured": "fix",
    r"planted": "injected",
    r"used up": "donated",
    r"(?<!framework-)neutral": "framework-neutral",
    r"commonest": "largest class share",
    r"pictures?": "image, figure",
    r"stretch(es)?": "chunk",
    r"(a|two|each|every|quick) looks?": "evaluation",
    r"at hand": "available",
    r"so many": "N",
    r"to the bit": "bit-identical",
    r"beside": "next to, in addition to",
    r"(?<!standard )deviations?": "standard deviation",
    r"Frechet": "Fréchet",
    r"Kynkaanniemi": "Kynkäänniemi",
    r"prove[sn]?|proofs?": "verify",
}
# Phrases that stay, and why.
ALLOWED = {
    ("README.md", "step size or momentum moves"): "quotes a measured file",
    ("benchmarks/gpu/REPORT.md", "step size or momentum moves"): "likewise",
    ("benchmarks/results.py", "busy of"): "names a key of the file",
    ("parity_tests/FORMAT.md", "no batch of its own"): "quotes recordings",
    ("parity_tests/conventions.py", "no batch of its own"): "likewise",
    ("parity_tests/report/REPORT.md", "| deviation |"): "a measured name",
    ("parity_tests/report/TRAPS.md", "G(z) anew"): "likewise",
}
# Faults by the names that they had when they were measured.
ALLOWED |= {
    (f"parity_tests/report/{page}", fault): "quotes a measured file"
    for page in ("REPORT.md", "TRAPS.md")
    for fault in (
        "both players move at once",
        "the step size falls below its floor",
        "one product of matrices is in float32",
        "G's fake batch is drawn anew",
        "G's loss has dropout masks of its own",
    )
}
# A record of what was written before a measurement, and this file.
EXCEPTIONS = ("benchmarks/gpu/PREDICTIONS.md", "parity_tests/test_words.py")


def _files():
    for entry in map(ROOT.joinpath, SCANNED):
        found = [entry] if entry.is_file() else sorted(entry.rglob("*"))
        for path in found:
            name = path.relative_to(ROOT).as_posix()
            known = path == entry or path.suffix in (".py", ".md", ".ipynb")
            if known and name not in EXCEPTIONS:
                yield name


def _prose(text, suffix):
    """The prose of a file, without what is between backquotes."""
    parts = {".py": _of_code, ".ipynb": _of_notebook}.get(suffix, _whole)(text)
    # A line break is a blank, also between the lines of a comment.
    joined = re.sub(r"\s+#?\s*", " ", "\n\n".join(parts))
    return re.sub(r"`+[^`]*`+", "`", joined)


def _whole(text):
    return [text]


def _of_notebook(text):
    """Its Markdown."""
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "markdown":
            yield "".join(cell["source"])


def _of_code(text):
    """Comments, docstrings and strings with a blank."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield from (t.string for t in tokens if t.type == tokenize.COMMENT)
    for node in ast.walk(ast.parse(text)):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and re.search(r"\s", value.strip()):
            # Examples in docstrings are code.
            yield re.sub(r"(?m)^ *(>>>|\.\.\.) .*$", "", value)


def _retired(prose):
    """Retired words of a text, each with some of the words around it."""
    return [
        f"...{prose[max(0, match.start() - 30) : match.end() + 30]}...: "
        f"say {standard}"
        for pattern, standard in RETIRED.items()
        for match in re.finditer(rf"\b(?:{pattern})\b", prose, re.IGNORECASE)
    ]


@pytest.mark.parametrize("name", list(_files()))
def test_prose_has_no_retired_word(name):
    path = ROOT / name
    prose = _prose(path.read_text(), path.suffix)
    for file, phrase in ALLOWED:
        if file == name:
            assert phrase in prose, f"{phrase!r} is allowed without need"
            prose = prose.replace(phrase, "")
    assert not _retired(prose)


@pytest.mark.parametrize(
    "text",
    [
        '"""Draws a picture."""',
        "x = 1  # the commonest of all",
        'print("goes on with it")',
        'print(f"{x} is refused on {y}")',
        'help("a loop that "\n     "reads the host")',
        "# of its\n# own",
    ],
)
def test_a_retired_word_in_code_is_found(text):
    assert _retired(_prose(text, ".py"))


def test_a_retired_word_on_a_page_is_found():
    assert _retired(_prose("The gates\nof a variant.", ".md"))


def test_a_retired_word_in_a_notebook_is_found():
    cell = {"cell_type": "markdown", "source": ["Both at\n", "once."]}
    assert _retired(_prose(json.dumps({"cells": [cell]}), ".ipynb"))


def test_names_and_keys_are_no_prose():
    text = 'busy = values["refused"]  # of ``gates``\n'
    text += '"""Example.\n\n    >>> busy(1)\n    """'
    assert not _retired(_prose(text, ".py"))
