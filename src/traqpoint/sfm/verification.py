"""The COLMAP database that a reconstruction starts from: features, matches, and their geometric verification."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import DataError
from traqpoint.files import locked, write_json
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.epipolar import essential_from_pose, sampson_distance
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.inference.pairs import Pair, without_repeats
from traqpoint.io.colmap_db import ColmapDatabase, ColmapMatches
from traqpoint.io.colmap_model import ColmapModel
from traqpoint.io.stores import FeatureStore, MatchStore
from traqpoint.progress import Progress
from traqpoint.sfm.config import MappingConfig
from traqpoint.types import Matches

MAX_ERROR_PX = 4.0
"""Epipolar error of a verified match; COLMAP's own."""
CACHED_IMAGES = 1000
"""Whose keypoints are kept in memory while pairs are verified: 32 MB of 2048 each."""


def build_database(
    images: Mapping[str, Path],
    features: FeatureStore,
    matches: MatchStore,
    pairs: Sequence[Pair],
    path: Path,
    config: MappingConfig,
    cameras: Mapping[str, Camera] | None = None,
    cam_from_world: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Path:
    """The COLMAP database at `path` with all features, matches and their geometric verification.

    cam_from_world: (4, 4) float64 by name, if poses are known: matches are verified by them, within COLMAP's threshold,
    instead of by RANSAC. It needs `cameras`. A finished database with the same content is left alone, and one that was
    stopped is gone on with, after the last image or group of pairs that was written. progress: called with (verified,
    all) pairs. Raises DataError if `cameras` lacks an image, ConfigError if another process writes there.
    """
    missing = [name for name in images if cameras is not None and name not in cameras]
    if missing:
        raise DataError(f"no camera for {missing[0]!r} ({len(missing)} of {len(images)} images are without)")
    pairs = without_repeats(pairs)
    stamp, content = stamp_path(path), _content(images, features, matches, pairs, config, cameras)
    content += "" if cam_from_world is None else hash_of_poses(cam_from_world)
    if path.is_file() and read_stamp(stamp).get("content") == content:
        return path
    with locked(path):
        partial = _unfinished(path, content)
        with ColmapDatabase(partial) as database:
            known = _write_features(database, images, features, config, cameras)
            matched = [pair for pair in pairs if known.issuperset(pair) and pair in matches]
            _write_matches(ColmapMatches(database), matches, matched)
            if cam_from_world is not None and cameras is not None:
                _verify_by_poses(ColmapMatches(database), features, matches, matched, cameras, cam_from_world)
        if cam_from_world is None:
            _verify(partial, config, progress or (lambda done, total: None))
        notes = []
        if len(known) < len(images):
            notes.append(f"{len(images) - len(known)} of {len(images)} images have no features")
        if len(matched) < len(pairs):
            notes.append(f"{len(pairs) - len(matched)} of {len(pairs)} pairs have no matches")
        _remove_database(path)
        write_stamp(stamp, {"content": content, "notes": notes})  # says nothing without its database
        partial.replace(path)
        _remove_database(partial)
    return path


def _unfinished(path: Path, content: str) -> Path:
    """Where the database is written until it is whole: what a stopped run left there, if it is of the same content.

    SQLite's log of what a killed process committed lies beside it, and is replayed when it is opened.
    """
    partial = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    if read_stamp(stamp_path(partial)).get("content") != content:
        _remove_database(partial)
        write_stamp(stamp_path(partial), {"content": content})
    return partial


def _remove_database(path: Path) -> None:
    """With its logs, which SQLite would replay into a new file of that name, and its stamp."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    stamp_path(path).unlink(missing_ok=True)


def _write_features(
    database: ColmapDatabase,
    images: Mapping[str, Path],
    features: FeatureStore,
    config: MappingConfig,
    cameras: Mapping[str, Camera] | None,
) -> set[str]:
    """Those that are not there yet. Returns the names of all images with features."""
    known = {name for name in images if name in features}
    for name in images:
        if name in known and name not in database:
            camera, share = None if cameras is None else cameras[name], config.cameras == "shared"
            database.write(name, features.read(name), images[name], camera, share, config.camera_model)
    return known


def _write_matches(store: ColmapMatches, matches: MatchStore, pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        if pair not in store:
            store.write(*pair, matches.read(*pair))


def _verify_by_poses(
    store: ColmapMatches,
    features: FeatureStore,
    matches: MatchStore,
    pairs: Sequence[Pair],
    cameras: Mapping[str, Camera],
    cam_from_world: Mapping[str, Tensor],
) -> None:
    keypoints = lru_cache(CACHED_IMAGES)(lambda name: features.read(name).keypoints)
    for a, b in pairs:
        if not store.is_verified(a, b):
            b_from_a = cam_from_world[b] @ invert_rigid(cam_from_world[a])
            kept = agreeing(matches.read(a, b), (keypoints(a), keypoints(b)), (cameras[a], cameras[b]), b_from_a)
            store.write_verified(a, b, kept)


def _verify(database: Path, config: MappingConfig, progress: Progress) -> None:
    """Geometric verification of all matched pairs by COLMAP's estimator, as its own loop over a database does it.

    That loop neither tells how far it is nor rejects by the share of inliers before version 4.2; here both hold.
    Ctrl-C ends it between two groups of pairs, and what is verified already stays: a pair that failed has an empty
    geometry, as COLMAP has it.
    """
    workers = os.cpu_count() or 1 if config.num_threads == -1 else config.num_threads
    with (
        seeded(config) as pycolmap,
        closing(pycolmap.Database.open(database)) as db,
        ThreadPoolExecutor(workers) as pool,
    ):
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = config.seed
        options.ransac.max_num_trials = config.max_trials
        options.ransac.min_num_trials = min(options.ransac.min_num_trials, config.max_trials)
        cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
        camera_of = {image.image_id: cameras[image.camera_id] for image in db.read_all_images()}
        # Pairs come in the order of their first image, so few are read twice; all would not fit into memory.
        xy = lru_cache(CACHED_IMAGES)(lambda image: db.read_keypoints(image)[:, :2].astype(np.float64))

        def estimate(a: int, b: int, xy_a: np.ndarray, xy_b: np.ndarray, matches: np.ndarray) -> Any:
            found = pycolmap.estimate_two_view_geometry(camera_of[a], xy_a, camera_of[b], xy_b, matches, options)
            enough = len(found.inlier_matches) >= config.min_inlier_ratio * len(matches)
            return found if enough else pycolmap.TwoViewGeometry()

        pairs = [pycolmap.pair_id_to_image_pair(pair) for pair in db.read_num_matches()[0]]
        pending = [pair for pair in pairs if not db.exists_two_view_geometry(*pair)]
        done = len(pairs) - len(pending)
        progress(done, len(pairs))
        for start in range(0, len(pending), 4 * workers):
            some = [(a, b, xy(a), xy(b), db.read_matches(a, b)) for a, b in pending[start : start + 4 * workers]]
            found = list(pool.map(lambda pair: estimate(*pair), some))
            with pycolmap.DatabaseTransaction(db):
                for (a, b, *_), geometry in zip(some, found, strict=True):
                    db.write_two_view_geometry(a, b, geometry)
            progress(done + start + len(some), len(pairs))


def agreeing(
    matches: Matches, keypoints: tuple[Tensor, Tensor], cameras: tuple[Camera, Camera], b_from_a: Tensor
) -> Matches:
    """The matches whose keypoints, pixels (N, 2) of either image, lie within MAX_ERROR_PX of the known epipolar lines.

    Sampson's distance between rays, times the mean focal length.
    """
    rays = [
        camera.unproject(xy[index].double())[:, :2]
        for camera, xy, index in zip(cameras, keypoints, matches.indices.unbind(-1), strict=True)
    ]
    focal = torch.stack([camera.K.diagonal()[:2] for camera in cameras]).mean()
    near = sampson_distance(essential_from_pose(b_from_a), *rays) * focal <= MAX_ERROR_PX
    return Matches(matches.indices[near], matches.scores[near])


def true_cameras(images: Mapping[str, Path], truth: ColmapModel, features: FeatureStore) -> dict[str, Camera]:
    """The truth's camera of each image, resized to the image that the features live in.

    Raises DataError if the truth lacks an image.
    """
    missing = [name for name in images if name not in truth.images]
    if missing:
        raise DataError(f"no true camera of {missing[0]!r} ({len(missing)} of {len(images)} images are without)")
    cameras = {name: truth.images[name].camera for name in images}
    sizes = {name: features.read(name).image_size for name in images if name in features}
    return {name: camera.resized(sizes.get(name, camera.image_size)) for name, camera in cameras.items()}


def stamp_path(database: Path) -> Path:
    """Where `build_database` leaves the hash of a finished database's content, and its notes."""
    return database.with_name(f"{database.name}.json")


def read_stamp(path: Path) -> dict[str, Any]:
    """What `write_stamp` left; empty if there is none, or half of one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_stamp(path: Path, content: dict[str, Any]) -> None:
    """Mark a result as finished."""
    write_json(path, content)


@contextmanager
def seeded(config: MappingConfig) -> Iterator[Any]:
    """pycolmap with its random numbers seeded and its log silent."""
    with quiet() as pycolmap:
        pycolmap.set_random_seed(config.seed)
        yield pycolmap


@contextmanager
def quiet() -> Iterator[Any]:
    """pycolmap with its log silent; what fails is told by its result."""
    pycolmap = optional.load("pycolmap")
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
    try:
        yield pycolmap
    finally:
        pycolmap.logging.minloglevel = level


def _content(
    images: Mapping[str, Path],
    features: FeatureStore,
    matches: MatchStore,
    pairs: Sequence[Pair],
    config: MappingConfig,
    cameras: Mapping[str, Camera] | None,
) -> str:
    """A hash of all that goes into the database."""
    settings = (config.cameras, config.camera_model, config.seed, config.max_trials, config.min_inlier_ratio)
    digest = hashlib.sha256(" ".join(map(str, settings)).encode())
    for name in images:
        digest.update(f"\n{name}".encode())
        if cameras is not None:  # all digits: a tensor prints four
            camera = cameras[name]
            digest.update(f" {camera.model} {camera.image_size} {camera.params.tolist()}".encode())
        if name in features:
            found = features.read(name)
            digest.update(f" {found.image_size}".encode() + np.ascontiguousarray(found.keypoints).tobytes())
    for a, b in pairs:
        digest.update(f"\n{a} {b}".encode())
        if (a, b) in matches:
            digest.update(np.ascontiguousarray(matches.read(a, b).indices).tobytes())
    return digest.hexdigest()


def hash_of_poses(cam_from_world: Mapping[str, Tensor]) -> str:
    """A hash of names and poses."""
    digest = hashlib.sha256()
    for name, pose in cam_from_world.items():
        digest.update(name.encode() + pose.numpy().tobytes())
    return digest.hexdigest()
