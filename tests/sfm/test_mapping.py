"""What mapping does beyond pycolmap's defaults: it rejects chance, begins anyhow, and outlives a broken camera."""

from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest
import torch

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.geometry.camera import Camera  # noqa: E402
from traqpoint.geometry.transforms import look_at  # noqa: E402
from traqpoint.io.npz import NpzFeatures, NpzMatches  # noqa: E402
from traqpoint.sfm.config import MappingConfig  # noqa: E402
from traqpoint.sfm.mapping import _without_broken_cameras, reconstruct  # noqa: E402
from traqpoint.sfm.verification import build_database  # noqa: E402
from traqpoint.types import Features, Matches  # noqa: E402

CAMERA = Camera("PINHOLE", (640, 480), torch.tensor([500.0, 500, 320, 240], dtype=torch.float64))
NUM_POINTS = 300


def stores(folder, keypoints, matches):
    """Stores of features with the given pixels by name, and of matches by pair."""
    features, found = NpzFeatures(folder / "features"), NpzMatches(folder / "matches")
    for name, xy in keypoints.items():
        descriptors = torch.nn.functional.normalize(torch.ones(len(xy), 4), dim=-1)
        features.write(name, Features(xy.float(), torch.ones(len(xy)), descriptors, CAMERA.image_size))
    for pair, indices in matches.items():
        found.write(*pair, Matches(indices, torch.ones(len(indices))))
    return {name: Path(name) for name in keypoints}, features, found


@pytest.mark.slow
def test_a_pair_that_agrees_by_chance_is_rejected_and_progress_is_told(tmp_path):
    """Random pixels: out of 800 wrong matches some dozen always fit one fundamental matrix."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor(CAMERA.image_size)
    keypoints = {name: torch.rand(800, 2, generator=generator) * size for name in ("a", "b", "c")}
    pairs = list(combinations(keypoints, 2))
    images, features, matches = stores(tmp_path, keypoints, dict.fromkeys(pairs, torch.arange(800).repeat(2, 1).T))
    verified, told = [], []
    for name, config in (
        ("ours.db", MappingConfig()),
        ("colmaps.db", MappingConfig(max_trials=10_000, min_inlier_ratio=0.0)),
    ):
        path = build_database(
            images, features, matches, pairs, tmp_path / name, config, progress=lambda *at: told.append(at)
        )
        with closing(pycolmap.Database.open(path)) as db:
            verified.append(sum(count > 0 for count in db.read_two_view_geometry_num_inliers()[1]))
    assert verified[0] == 0 < verified[1]
    assert told[-1] == (3, 3)


@pytest.mark.slow
def test_a_camera_that_drives_along_its_view_is_mapped_by_a_second_attempt_which_is_told(tmp_path):
    ahead = torch.tensor([0.0, 0.0, 100.0]).double()
    poses = {f"{i}.jpg": look_at(torch.tensor([0.0, 0.0, 0.35 * i]).double(), ahead) for i in range(6)}
    points = torch.rand(NUM_POINTS, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = (points - 0.5) * torch.tensor([14.0, 10.0, 16.0]) + torch.tensor([0.0, 0.0, 18.0])
    pixels = {name: CAMERA.project(points @ pose[:3, :3].T + pose[:3, 3]) for name, pose in poses.items()}
    inside = {n: ((xy > 0) & (xy < torch.tensor(CAMERA.image_size))).all(-1) for n, xy in pixels.items()}
    pairs = list(combinations(poses, 2))
    common = {(a, b): (inside[a] & inside[b]).nonzero().repeat(1, 2) for a, b in pairs}
    images, features, matches = stores(tmp_path, pixels, common)
    found = reconstruct(
        images, features, matches, pairs, tmp_path, MappingConfig(num_threads=1), dict.fromkeys(poses, CAMERA)
    )
    assert found.stats["registered"] == 6
    assert any("no pair of images is a good beginning" in note for note in found.notes)


def test_an_image_with_an_impossible_camera_is_left_out_and_named():
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 4, 1, 1
    model = pycolmap.synthesize_dataset(options)
    broken = next(iter(model.images.values()))
    model.cameras[broken.camera_id].params = [float("nan"), 1.0, 1.0, 0.0]
    notes = _without_broken_cameras(model)
    assert model.num_reg_images() == 3 and not model.images[broken.image_id].has_pose
    assert len(notes) == 1 and broken.name in notes[0]
    assert _without_broken_cameras(model) == []
