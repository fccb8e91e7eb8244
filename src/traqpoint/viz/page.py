"""Pages of results: one file with all that it shows, which needs no network. Templates lie in viz/templates."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.errors import ImageError
from traqpoint.files import atomic
from traqpoint.image import read_image


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Write a page from a template. content: what the template names; text of it is escaped."""
    jinja2 = optional.load("jinja2")
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    made = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = made.get_template(template).render(content)
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def thumbnail(path: Path, long_side: int) -> str:
    """A small JPEG of an image file, upright, as a data URI; empty if it cannot be read."""
    cv2 = optional.load("cv2")
    # A quarter is what JPEG decodes at a tenth of the time; other formats are read whole all the same.
    image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4)
    if image is None or max(image.shape[:2]) < long_side:
        try:
            image = read_image(path)[..., ::-1]
        except ImageError:
            return ""
    scale = min(1.0, long_side / max(image.shape[:2]))
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return _data_uri(cv2.resize(image, size, interpolation=cv2.INTER_AREA), ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 72])


def matrix_picture(weights: np.ndarray, colour: tuple[int, int, int] = (0, 137, 123)) -> str:
    """A matrix (N, N) of weights in [0, 1], a pixel each, as the opacity of a colour (RGB); a data URI."""
    picture = np.zeros((*weights.shape, 4), dtype=np.uint8)
    picture[..., :3] = colour[::-1]
    picture[..., 3] = np.round(255 * np.clip(weights, 0, 1))
    return _data_uri(picture, ".png", [])


def histogram(title: str, values: np.ndarray, edges: np.ndarray, labels: list[str], caption: str) -> dict[str, Any]:
    """A chart of how many values (N,) lie between the edges (B + 1,); what lies beyond counts in the outer bins."""
    counts = np.histogram(np.clip(values, edges[0], np.nextafter(edges[-1], -np.inf)), edges)[0]
    every = max(1, len(labels) // 8)
    return {"title": title, "counts": counts.tolist(), "labels": labels, "every": every, "caption": caption}


def encoded(array: np.ndarray) -> str:
    """The bytes of an array as base64, for scripts of a page."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _data_uri(image: np.ndarray, suffix: str, options: list[int]) -> str:
    _, data = optional.load("cv2").imencode(suffix, image, options)
    kind = "jpeg" if suffix == ".jpg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
