"""Files that are whole at every moment, whenever a program is stopped."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Writes a text next to a file, then puts it in the file's place."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)
