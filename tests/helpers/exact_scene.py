"""An exact scene: what pycolmap synthesizes, as features and matches on disk."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from traqpoint.evaluation.predict import Predictions
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, model_from_pycolmap
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.types import Features, Matches


@dataclass(frozen=True)
class ExactScene:
    """truth: poses, cameras and points. predictions: exact keypoints, and all true matches of all pairs."""

    truth: ColmapModel
    predictions: Predictions
    images: dict[str, Path]
    pairs: list[tuple[str, str]]


def exact_features(view) -> Features:
    n = len(view.xy)
    descriptors = torch.nn.functional.normalize(torch.ones(n, 4), dim=-1)
    return Features(view.xy.float(), torch.ones(n), descriptors, view.camera.image_size)


def true_matches(a, b) -> Matches:
    """Keypoints of two images that observe the same point."""
    same = (a.point3D[:, None] == b.point3D[None]) & (a.point3D != NO_POINT)[:, None]
    indices = same.nonzero()
    return Matches(indices, torch.ones(len(indices)))


@pytest.fixture(scope="session")
def exact_scene(tmp_path_factory) -> ExactScene:
    pycolmap = pytest.importorskip("pycolmap")
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 9
    options.num_points3D = 150
    options.camera_model_id = pycolmap.CameraModelId.PINHOLE
    options.camera_params = [1200.0, 1210.0, 510.0, 386.0]
    pycolmap.set_random_seed(1)
    truth = model_from_pycolmap(pycolmap.synthesize_dataset(options))
    out = tmp_path_factory.mktemp("exact")
    features, matches = NpzFeatures(out / "features"), NpzMatches(out / "matches")
    for name, view in truth.images.items():
        features.write(name, exact_features(view))
    pairs = list(combinations(truth.images, 2))
    for a, b in pairs:
        matches.write(a, b, true_matches(truth.images[a], truth.images[b]))
    images = {name: out / "no such folder" / name for name in truth.images}
    assert np.isfinite(truth.xyz).all()
    return ExactScene(truth, Predictions("exact", features, matches, {"extractor": {}}, ()), images, pairs)
