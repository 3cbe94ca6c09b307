"""Algorithm 1 in both twins: the source of train.py, side by side."""

import ast
from pathlib import Path

_ROOT = Path(__file__).parent.parent
# The function of both twins, and the line of Algorithm 1 that it implements.
_LINES = {
    "discriminator_step": "Sample m noise samples and m examples; update the "
    "discriminator by ascending its stochastic gradient",
    "generator_step": "Sample m noise samples; update the generator by "
    "descending its stochastic gradient",
    "train_step": "for k steps do",
    "train": "for number of training iterations do",
}


def list_algorithm(*names: str) -> str:
    """Functions of train.py in both twins; all if none is named."""
    rows = ["<table>", "<tr><th>jax_gan</th><th>torch_ref</th></tr>"]
    for name in names or _LINES:
        line = _LINES[name]
        rows.append(f'<tr><td colspan="2"><i>{line}</i></td></tr>')
        rows.append("<tr>")
        for twin in ("jax_gan", "torch_ref"):
            code = _function(_ROOT / twin / "train.py", name)
            rows.append(f"<td>\n\n```python\n{code}\n```\n\n</td>")
        rows.append("</tr>")
    return "\n".join([*rows, "</table>"])


def _function(path: Path, name: str) -> str:
    """The source of a function without its docstring."""
    text = path.read_text()
    (node,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    docstring = node.body[0]
    lines = text.splitlines()
    kept = (
        lines[first - 1 : docstring.lineno - 1]
        + lines[docstring.end_lineno : node.end_lineno]
    )
    return "\n".join(kept)
