"""The model that photographs are located in, and features of its images: those it was made of, or found anew."""

from __future__ import annotations

import configparser
from contextlib import closing
from pathlib import Path
from typing import Any

from traqpoint.errors import DataError, FormatError
from traqpoint.files import read_settings
from traqpoint.inference.pipeline import extract_folder
from traqpoint.inference.settings import describe_extractor, settings_path
from traqpoint.io.colmap_model import ColmapModel
from traqpoint.io.stores import open_features
from traqpoint.progress import Bar
from traqpoint.sfm.reference import is_made_of


def model_folder(path: Path) -> Path:
    """Of a model's folder, or the folder above ``sparse/0`` or ``sparse``, the one with the model's files."""
    below = (path, path / "sparse" / "0", path / "sparse")
    return next((p for p in below if any(p.glob("cameras.*"))), path)


def features_of_map(
    model: ColmapModel,
    folder: Path,
    out: Path,
    extractor: Any,
    images: str | Path | None,
    overwrite: bool,
    bar: Bar,
) -> tuple[Path, tuple[str, ...]]:
    """The file of the features of the model's images: of those that it was made of, or found anew; and what failed."""
    for place in (folder.parent.parent, folder.parent, folder):
        if (place / "features.h5").is_file() and _fits(place / "features.h5", model, extractor):
            return place / "features.h5", ()
    root = _images_folder(folder, model, images)
    named = {name: root / name for name in model.images}
    with bar("extract map") as progress:
        outcome = extract_folder(named, out / "map.h5", extractor, overwrite=overwrite, progress=progress)
    return out / "map.h5", outcome.failed


def _fits(features: Path, model: ColmapModel, extractor: Any) -> bool:
    """Whether features are of the extractor's weights, and the model was made of them."""
    try:
        made_by = (read_settings(settings_path(features)) or {}).get("extractor") or {}
        if made_by.get("weights_sha256") != describe_extractor(extractor).get("weights_sha256", ""):
            return False
        with closing(open_features(features)) as store:
            return all(name in store and is_made_of(image, store.read(name)) for name, image in model.images.items())
    except (FormatError, AttributeError):
        return False


def _images_folder(folder: Path, model: ColmapModel, images: str | Path | None) -> Path:
    """Where the model's images lie. Raises DataError naming the first that is nowhere."""
    if images is not None:
        places = [Path(images)]
    else:
        project = configparser.ConfigParser(strict=False, interpolation=None)
        if (folder / "project.ini").is_file():  # of COLMAP, which writes keys before the first section
            text = (folder / "project.ini").read_text(encoding="utf-8", errors="replace")
            project.read_string(f"[top]\n{text}")
        stated = project.get("top", "image_path", fallback=None) if project.has_section("top") else None
        places = [Path(stated)] if stated else []
        places += [above / "images" for above in (folder, folder.parent, folder.parent.parent)]
    for place in places:
        if any((place / name).is_file() for name in model.images):
            return place
    where = f"{images}: no image of the model is there" if images is not None else f"{folder}: its images are not found"
    raise DataError(f"{where}, {next(iter(model.images))} for one; name their folder (--images)")
