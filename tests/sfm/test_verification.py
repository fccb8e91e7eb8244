"""Matches that agree with each other, or with known poses."""

import shutil
from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest
import torch

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.geometry.camera import Camera  # noqa: E402
from traqpoint.geometry.transforms import look_at  # noqa: E402
from traqpoint.io.colmap_db import ColmapMatches  # noqa: E402
from traqpoint.io.npz import NpzFeatures, NpzMatches  # noqa: E402
from traqpoint.sfm import verification  # noqa: E402
from traqpoint.sfm.config import MappingConfig  # noqa: E402
from traqpoint.sfm.verification import (  # noqa: E402
    MAX_ERROR_PX,
    agreeing,
    build_database,
    read_stamp,
    stamp_path,
)
from traqpoint.types import Features, Matches  # noqa: E402

CAMERA = Camera("SIMPLE_RADIAL", (640, 480), torch.tensor([500.0, 320, 240, -0.08], dtype=torch.float64))
POSES = {
    name: look_at(torch.tensor([x, 0.0, 0.0]).double(), torch.tensor([0.0, 0.0, 6.0]).double())
    for name, x in (("a.jpg", -1.0), ("b.jpg", 1.0))
}
SIDEWAYS = torch.zeros(4, 4).double().index_put((torch.tensor(0), torch.tensor(3)), torch.tensor(0.3).double())
POINTS = torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
POINTS = POINTS * 2 + torch.tensor([0.0, 0.0, 6.0])


def pixels(name):
    return CAMERA.project(POINTS @ POSES[name][:3, :3].T + POSES[name][:3, 3])


def test_matches_within_the_threshold_of_the_epipolar_line_are_kept():
    """Cameras side by side: epipolar lines run along x, so a shift in y is the error (Sampson shares it: / sqrt 2)."""
    b_from_a = POSES["b.jpg"] @ torch.linalg.inv(POSES["a.jpg"])
    a, b = pixels("a.jpg"), pixels("b.jpg").clone()
    b[1, 1] += 0.9 * MAX_ERROR_PX
    b[2, 1] += 2.0 * MAX_ERROR_PX
    order = torch.arange(40).flip(0)
    matches = Matches(torch.stack([order, order], dim=-1), torch.arange(40).float())
    kept = agreeing(matches, (a, b), (CAMERA, CAMERA), b_from_a)
    assert kept.indices[:, 0].tolist() == [i for i in range(39, -1, -1) if i != 2]
    assert kept.scores.tolist() == [float(i) for i in range(40) if i != 37]


@pytest.mark.parametrize("pair", [("a.jpg", "b.jpg"), ("b.jpg", "a.jpg")])
def test_known_poses_replace_ransac_whichever_way_round_a_pair_is(tmp_path, pair):
    features, matches = NpzFeatures(tmp_path / "features"), NpzMatches(tmp_path / "matches")
    for name in POSES:
        descriptors = torch.nn.functional.normalize(torch.ones(40, 4), dim=-1)
        features.write(name, Features(pixels(name).float(), torch.ones(40), descriptors, CAMERA.image_size))
    true = torch.arange(40).repeat(2, 1).T
    wrong = true.clone()
    wrong[:10, 1] = wrong[:10, 1].roll(5)  # each to the point five places on
    matches.write(*pair, Matches(wrong, torch.ones(40)))
    images = {name: Path(name) for name in POSES}
    path = build_database(
        images, features, matches, [pair], tmp_path / "d.db", MappingConfig(), dict.fromkeys(POSES, CAMERA), POSES
    )
    with closing(pycolmap.Database.open(path)) as db:
        ids = [db.read_image_with_name(name).image_id for name in pair]
        found = db.read_two_view_geometry(*ids).inlier_matches
    kept = {tuple(row) for row in found.tolist()}
    assert kept >= {(i, i) for i in range(10, 40)} and len(kept) < 40


def test_a_database_is_made_again_for_a_calibration_that_differs_in_the_last_digits(tmp_path):
    """PyTorch prints both as [ 5.0000e+02, 3.2000e+02, 2.4000e+02, -8.0000e-02]."""
    features, matches = NpzFeatures(tmp_path / "features"), NpzMatches(tmp_path / "matches")
    images = {name: Path(name) for name in POSES}
    stamps = []
    for focal in (500.0, 500.004, 500.0):
        camera = Camera(CAMERA.model, CAMERA.image_size, torch.tensor([focal, 320, 240, -0.08], dtype=torch.float64))
        known = dict.fromkeys(POSES, camera)
        path = build_database(images, features, matches, [], tmp_path / "d.db", MappingConfig(), known, POSES)
        stamps.append(read_stamp(stamp_path(path))["content"])
    assert stamps[0] != stamps[1] and stamps[0] == stamps[2]


@pytest.fixture
def five(tmp_path):
    """Arguments of `build_database` for five views of the points, a quarter of them wrong; ten pairs."""
    generator = torch.Generator().manual_seed(0)
    features, matches = NpzFeatures(tmp_path / "features"), NpzMatches(tmp_path / "matches")
    names = [f"{i}.jpg" for i in range(5)]
    for i, name in enumerate(names):
        xy = CAMERA.project(POINTS @ POSES["a.jpg"][:3, :3].T + torch.tensor([0.3 * i, 0.0, 6.0]))
        xy[30:] = torch.rand(10, 2, generator=generator, dtype=torch.float64) * 480
        features.write(name, Features(xy.float(), torch.ones(40), torch.ones(40, 1), CAMERA.image_size))
    pairs = list(combinations(names, 2))
    for pair in pairs:
        matches.write(*pair, Matches(torch.arange(40).repeat(2, 1).T, torch.ones(40)))
    images = {name: Path(name) for name in names}
    return images, features, matches, pairs, tmp_path / "ours.db", MappingConfig(num_threads=1)


def test_verification_tells_how_far_it_is_and_finds_what_colmaps_own_loop_finds(tmp_path, five):
    """COLMAP's loop over a database says nothing until it is done."""
    told: list[tuple[int, int | None]] = []
    path = build_database(*five, progress=lambda *at: told.append(at))
    assert told == [(0, 10), (4, 10), (8, 10), (10, 10)]
    shutil.copy(path, tmp_path / "colmaps.db")
    with closing(pycolmap.Database.open(tmp_path / "colmaps.db")) as db:
        db.clear_two_view_geometries()
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed, options.ransac.max_num_trials = 0, 1000
    pycolmap.geometric_verification(tmp_path / "colmaps.db", two_view_geometry_options=options)
    found = []
    for database in (path, tmp_path / "colmaps.db"):
        with closing(pycolmap.Database.open(database)) as db:
            ids, geometries = db.read_two_view_geometries()
            found.append({i: g.inlier_matches.tolist() for i, g in zip(ids, geometries, strict=True)})
    assert found[0] == found[1] and len(found[0]) == 10 and all(len(inliers) >= 15 for inliers in found[0].values())


@pytest.mark.parametrize("cached", [1, 2])
def test_keypoints_that_do_not_fit_into_memory_are_read_again_and_change_nothing(five, cached, monkeypatch):
    undisturbed = geometries(build_database(*five))
    five[4].unlink()
    monkeypatch.setattr(verification, "CACHED_IMAGES", cached)
    assert geometries(build_database(*five)) == undisturbed


def geometries(path):
    with closing(pycolmap.Database.open(path)) as db:
        ids, found = db.read_two_view_geometries()
        return {i: (g.config, g.inlier_matches.tolist()) for i, g in zip(ids, found, strict=True)}


def test_verification_goes_on_after_ctrl_c_with_the_pairs_that_are_left(five):
    undisturbed = geometries(build_database(*five))
    five[4].unlink()

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_database(*five, progress=interrupt)
    assert not five[4].exists()
    told = []
    assert geometries(build_database(*five, progress=lambda *at: told.append(at))) == undisturbed
    assert told == [(4, 10), (8, 10), (10, 10)]


@pytest.mark.slow
@pytest.mark.parametrize("posed", [False, True])
def test_what_a_killed_process_left_is_gone_on_with(tmp_path, five, posed, monkeypatch):
    """Its files, copied while the database is open: after the third pair was written, and after four were verified."""
    if posed:
        known = dict.fromkeys(five[0], CAMERA), {name: POSES["a.jpg"] + i * SIDEWAYS for i, name in enumerate(five[0])}
        five = *five, *known
    undisturbed = geometries(build_database(*five))
    five[4].unlink()
    calls = {"write": 0, "write_verified": 0}

    def copy_at(name, number):
        original = getattr(ColmapMatches, name)

        def write(*arguments):
            original(*arguments)
            calls[name] += 1
            if calls[name] == number:
                shutil.copytree(five[4].parent, tmp_path.with_name(f"{tmp_path.name}-{name}"))

        monkeypatch.setattr(ColmapMatches, name, write)

    copy_at("write", 3)
    copy_at("write_verified", 4)
    copied = tmp_path.with_name(f"{tmp_path.name}-progress")
    build_database(*five, progress=lambda done, _: shutil.copytree(five[4].parent, copied) if done == 4 else None)
    monkeypatch.undo()
    left = [
        tmp_path.with_name(f"{tmp_path.name}-{name}") for name in ("write", "write_verified" if posed else "progress")
    ]
    for folder in left:
        told: list[tuple[int, int | None]] = []
        again = (*five[:4], folder / five[4].name, *five[5:])
        assert geometries(build_database(*again, progress=lambda *at, told=told: told.append(at))) == undisturbed
        assert posed or told[0] == (4 if folder == copied else 0, 10)
        assert [path.name for path in folder.glob(".ours*")] == []


def test_what_was_stopped_of_other_content_is_made_anew(five):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_database(*five, progress=interrupt)
    fewer = (*five[:3], five[3][:5], *five[4:])
    assert len(geometries(build_database(*fewer))) == 5
