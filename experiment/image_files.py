"""Image files that are written whole, and read with distrust."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from experiment.files import replacing

# What Pillow's decoders raise at a damaged image, or at one that would fill the
# memory (more than twice its MAX_IMAGE_PIXELS, 179 million).
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    Image.DecompressionBombError,
)


def save_image(path: Path, image: Image.Image, **options: Any) -> None:
    """Writes an image, which then takes the place of a file."""
    kind = Image.registered_extensions()[path.suffix.lower()]
    with replacing(path) as partial:
        image.save(partial, kind, **options)


def whole_frames(folder: Path) -> list[Path]:
    """The images of a run by iteration, but for damaged ones."""
    frames, sizes = [], []
    for path in folder.glob("*.png"):
        if not (path.stem.isdecimal() and path.is_file()):
            continue
        with suppress(*UNREADABLE), Image.open(path) as image:
            image.load()
            frames.append(path)
            sizes.append(image.size)
    usual = Counter(sizes).most_common(1)[0][0] if sizes else None
    whole = [
        path for path, size in zip(frames, sizes, strict=True) if size == usual
    ]
    return sorted(whole, key=lambda path: int(path.stem))
