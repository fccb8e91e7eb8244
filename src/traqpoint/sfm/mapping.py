"""Structure from motion: features and matches -> verified COLMAP database -> pycolmap's mappers -> sparse models."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.errors import DataError, ImageError
from traqpoint.files import atomic, claim, remove_partials
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.orientation import stored_image
from traqpoint.image import read_image, read_orientation
from traqpoint.inference.pairs import Pair
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, model_from_pycolmap, read_model
from traqpoint.io.stores import FeatureStore, MatchStore
from traqpoint.progress import Bar, Progress, no_bar
from traqpoint.sfm.config import MappingConfig
from traqpoint.sfm.verification import build_database, read_stamp, seeded, stamp_path, write_stamp

RELAXED = 1.0, 2.0
"""Share of forward motion at most and degrees between rays at least, of the first two images, where COLMAP's 0.95 and
16 (which it halves twice by itself) find none: with these, all of 51 frames of a car's ride are registered."""


@dataclass(frozen=True)
class Reconstruction:
    """What a mapper made of the images.

    path: folder of the model with the most images, None if not even two could be put together. stats: the columns of
    the ETH local-feature benchmark, see `model_stats`. notes: omissions and failures, in words.
    """

    path: Path | None
    stats: dict[str, float]
    notes: tuple[str, ...]

    def model(self) -> ColmapModel | None:
        """The model, read from `path`; None if nothing fitted together."""
        return None if self.path is None else read_model(self.path)


def reconstruct(
    images: Mapping[str, Path],
    features: FeatureStore,
    matches: MatchStore,
    pairs: Sequence[Pair],
    out: str | Path,
    config: MappingConfig | None = None,
    cameras: Mapping[str, Camera] | None = None,
    overwrite: bool = False,
    bar: Bar = no_bar,
) -> Reconstruction:
    """Sparse models of `images` (name -> file) in ``out/sparse/0, 1, ...``, the largest first.

    features, matches: what extraction and matching wrote for those names; pairs without matches and images without
    features are told in the notes. cameras: known calibrations by name, for all images or none. A finished model of
    the same settings and inputs is read, not made again; one of other inputs is replaced. That no two images fit
    together is a result, with 0 images registered. bar: opens the progress of "verify", in pairs, and of "map", in
    images. Raises ConfigError if `out` holds a model of other settings, and `overwrite` is not set, DataError for fewer
    than two images.
    """
    config = config or MappingConfig()
    if len(images) < 2:
        raise DataError(f"a model needs two images or more, got {len(images)}: {next(iter(images), 'none')}")
    out = Path(out)
    with bar("verify") as progress:
        database = build_database(
            images, features, matches, pairs, out / "database.db", config, cameras, None, progress
        )
    with bar("map") as progress:
        return map_database(database, images, out, config, cameras is not None, overwrite, progress)


def map_database(
    database: Path,
    images: Mapping[str, Path],
    out: Path,
    config: MappingConfig,
    known_cameras: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reconstruction:
    """Sparse models from what `build_database` wrote; see `reconstruct`."""
    stamp, sparse = out / "summary.json", out / "sparse"

    def clear() -> None:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(sparse, ignore_errors=True)

    inputs = read_stamp(stamp_path(database))
    settings = {key: value for key, value in asdict(config).items() if key != "num_threads"}
    settings["cameras"] = "known" if known_cameras else config.cameras
    done = read_stamp(stamp)
    claim(out, out / "config.yaml", {"verb": "sfm", **settings}, bool(done), overwrite, clear)
    largest = sparse / "0"
    if not overwrite and done.get("content") == inputs["content"] and (largest.is_dir() or not done["stats"]["models"]):
        return Reconstruction(largest if done["stats"]["models"] else None, done["stats"], tuple(done["notes"]))
    clear()
    remove_partials(sparse)
    run = _global if config.mapper == "global" else _incremental
    with TemporaryDirectory(".partial", ".sparse.", out) as work, seeded(config):
        models, told = run(database, Path(work), config, known_cameras, len(images), progress)
    told += [note for model in models for note in _without_broken_cameras(model)]
    models = [model for model in models if model.num_reg_images() > 1]
    models.sort(key=lambda model: (model.num_reg_images(), model.num_points3D()), reverse=True)
    notes = [*inputs["notes"], *told]
    if not models:
        notes.append("no two images fit together: 0 images are registered")
    elif models[0].num_reg_images() < len(images):
        notes.append(f"{len(images) - models[0].num_reg_images()} of {len(images)} images are not registered")
    if models:
        with atomic(sparse) as partial:
            for number, model in enumerate(models):
                model.update_point_3d_errors()
                _colour(model, images)
                (partial / str(number)).mkdir(parents=True)
                model.write(partial / str(number))
                _write_project(partial / str(number), database, images)
    found = model_from_pycolmap(models[0]) if models else None
    stats = {**model_stats(found, len(images)), **_database_stats(database), "models": float(len(models))}
    write_stamp(stamp, {"content": inputs["content"], "stats": stats, "notes": notes})
    return Reconstruction(largest if models else None, stats, tuple(notes))


def model_stats(model: ColmapModel | None, num_images: int) -> dict[str, float]:
    """The columns of the ETH local-feature benchmark; means over nothing are NaN.

    images, registered: counts. points, observations: of the sparse model. mean_track_length: observations per point.
    mean_observations: per registered image. reprojection_error_px: mean over points.
    """
    observations = sum(int((image.point3D != NO_POINT).sum()) for image in model.images.values()) if model else 0
    points, registered = (len(model.xyz), len(model.images)) if model else (0, 0)
    return {
        "images": float(num_images),
        "registered": float(registered),
        "points": float(points),
        "observations": float(observations),
        "mean_track_length": observations / points if points else math.nan,
        "mean_observations": observations / registered if registered else math.nan,
        "reprojection_error_px": float(model.errors.mean()) if model and points else math.nan,
    }


def _write_project(folder: Path, database: Path, images: Mapping[str, Path]) -> None:
    """COLMAP's project.ini, from which its GUI knows where a model's images are. None if they lie below no one folder.

    COLMAP reads absolute paths only.
    """
    name, path = next(iter(images.items()))
    root = Path(str(path.absolute()).removesuffix(name))
    if all(root / name == path.absolute() for name, path in images.items()):
        text = f"database_path={database.absolute()}\nimage_path={root}\n"
        (folder / "project.ini").write_text(text, encoding="utf-8")


def _database_stats(database: Path) -> dict[str, float]:
    with closing(optional.load("pycolmap").Database.open(database)) as db:
        return {
            # Not num_verified_image_pairs, which counts those that were rejected too.
            "verified_pairs": float(sum(count > 0 for count in db.read_two_view_geometry_num_inliers()[1])),
            "inlier_matches": float(db.num_inlier_matches()),
        }


def _without_broken_cameras(model: Any) -> list[str]:
    """Takes out the images whose camera came out as none can be, which would make the whole model unreadable; notes.

    Limits of focal length and distortion are those by which COLMAP's incremental mapper leaves images out.
    """
    broken = []
    for image in [model.images[i] for i in model.reg_image_ids()]:
        camera = model.cameras[image.camera_id]
        if not np.isfinite(camera.params).all() or camera.has_bogus_params(0.1, 10.0, 1.0):
            broken.append((image.name, image.frame_id))
    for frame in dict.fromkeys(frame for _, frame in broken):
        model.deregister_frame(frame)
    names = ", ".join(name for name, _ in broken[:3]) + (", ..." if len(broken) > 3 else "")
    return [f"{len(broken)} images left out, whose camera could not be estimated: {names}"] if broken else []


def _incremental(
    database: Path, out: Path, config: MappingConfig, known_cameras: bool, total: int, progress: Progress | None
) -> tuple[list[Any], list[str]]:
    pycolmap = optional.load("pycolmap")
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.num_threads = config.seed, config.num_threads
    # COLMAP does not read every format that we do: points are coloured by us.
    options.extract_colors = False
    if known_cameras:
        options.ba_refine_focal_length = options.ba_refine_extra_params = False

    def attempt() -> list[Any]:
        count = 0

        def registered(images: int) -> None:
            nonlocal count
            count = min(count + images, total)
            if progress is not None:
                progress(count, total)

        models = pycolmap.incremental_mapping(
            database,
            out,
            out,
            options,
            initial_image_pair_callback=lambda: registered(2),
            next_image_callback=lambda: registered(1),
        )
        return list(models.values())

    if (models := attempt()) or not _database_stats(database)["verified_pairs"]:
        return models, []
    options.mapper.init_max_forward_motion, options.mapper.init_min_tri_angle = RELAXED
    return attempt(), [
        "no pair of images is a good beginning (too little parallax, or the camera moved along its view): tried again "
        "with any motion and angles from 2 degrees"
    ]


def _global(
    database: Path, out: Path, config: MappingConfig, known_cameras: bool, total: int, progress: Progress | None
) -> tuple[list[Any], list[str]]:
    pycolmap = optional.load("pycolmap")
    options = pycolmap.GlobalPipelineOptions()
    options.random_seed, options.num_threads = config.seed, config.num_threads
    adjustment = options.mapper.bundle_adjustment
    if known_cameras:
        adjustment.refine_focal_length = adjustment.refine_extra_params = False
    else:
        # The calibration writes into the database, which another mapper may want as it is.
        database = Path(shutil.copyfile(database, out / "database.db"))
        calibration = pycolmap.ViewGraphCalibrationOptions()
        calibration.random_seed = config.seed
        pycolmap.calibrate_view_graph(database, calibration)
    models = list(pycolmap.global_mapping(database, out, out, options).values())
    if progress is not None:
        progress(max((model.num_reg_images() for model in models), default=0), total)
    return models, []


def _colour(reconstruction: Any, images: Mapping[str, Path]) -> None:
    """Give each point the mean colour of the pixels that observe it; images that cannot be read do not count."""
    model = model_from_pycolmap(reconstruction)
    colours, count = np.zeros((len(model.xyz), 3)), np.zeros((len(model.xyz), 1))
    for name, image in model.images.items():
        try:
            pixels = stored_image(read_image(images[name]), read_orientation(images[name]))
        except ImageError:
            continue
        height, width = pixels.shape[:2]
        seen = image.point3D != NO_POINT
        scale = np.divide((width, height), image.camera.image_size)
        x, y = np.floor(image.xy[seen].numpy() * scale).astype(np.int64).T
        rows = model.rows(image.point3D[seen]).numpy()
        np.add.at(colours, rows, pixels[y.clip(0, height - 1), x.clip(0, width - 1)])
        np.add.at(count, rows, 1)
    for point, colour in zip(model.point_ids.tolist(), colours / count.clip(1), strict=True):
        reconstruction.points3D[point].color = colour.round().astype(np.uint8)
