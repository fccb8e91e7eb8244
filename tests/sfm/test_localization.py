"""Queries in an exact map: their poses, their cameras, how sure they are, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycolmap")

from exact_scene import exact_features, true_matches

from traqpoint.geometry.camera import Camera
from traqpoint.geometry.epipolar import angle_between
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.colmap_model import NO_POINT
from traqpoint.io.poses import write_poses
from traqpoint.sfm.config import LocalizeConfig
from traqpoint.sfm.localization import locate
from traqpoint.sfm.query_camera import Guess, guesses
from traqpoint.sfm.reference import observed_points, reference
from traqpoint.types import Features, Matches

CONFIG = LocalizeConfig(max_error_px=4.0)


@pytest.fixture(scope="module")
def query(exact_scene):
    """A view of the exact scene, its features, and its matches with three others."""
    view, *others = list(exact_scene.truth.images.values())[:4]
    return view, exact_features(view), [(true_matches(view, other), other.point3D) for other in others]


def unknown(view, focal=900.0):
    width, height = view.camera.image_size
    params = torch.tensor([focal, width / 2, height / 2], dtype=torch.float64)
    return Camera("SIMPLE_PINHOLE", view.camera.image_size, params)


def moved(features, sigma, seed):
    """The same keypoints, each moved by noise."""
    noise = torch.randn(features.keypoints.shape, generator=torch.Generator().manual_seed(seed))
    return replace(features, keypoints=features.keypoints + sigma * noise)


def test_a_known_camera_is_located_exactly(exact_scene, query):
    view, features, candidates = query
    found = locate(features, candidates, exact_scene.truth, [Guess(view.camera, "the map's", "known")], CONFIG)
    torch.testing.assert_close(found.cam_from_world, view.cam_from_world, atol=1e-5, rtol=0)
    assert found.inliers == found.correspondences == 150 and found.error_px < 1e-3
    assert torch.equal(found.guess.camera.params, view.camera.params)


@pytest.mark.parametrize(("focal", "said"), [("estimated", 400.0), ("refined", 1100.0)])
def test_an_unknown_or_rough_focal_length_comes_out_of_the_pose(exact_scene, query, focal, said):
    view, features, candidates = query
    guess = Guess(unknown(view, said), focal, focal)
    found = locate(features, candidates, exact_scene.truth, [guess], LocalizeConfig())
    assert float(found.guess.camera.K[0, 0]) == pytest.approx(1205, rel=0.03)
    assert float(angle_between(found.cam_from_world[:3, :3], view.cam_from_world[:3, :3])) < 1.0


def test_the_map_camera_is_used_unless_it_cannot_be_the_one(exact_scene, query):
    view, features, candidates = query
    free = Guess(unknown(view), "estimated", "estimated")
    right, wrong = (Guess(camera, "the map's", "known") for camera in (view.camera, unknown(view, 2600.0)))
    config = LocalizeConfig(max_error_px=3.0)
    assert locate(features, candidates, exact_scene.truth, [right, free], config).guess.source == "the map's"
    assert locate(features, candidates, exact_scene.truth, [wrong, free], config).guess.source == "estimated"


def test_deviations_are_those_that_noise_of_a_pixel_gives(exact_scene, query):
    view, features, candidates = query
    guess, config = [Guess(view.camera, "known", "known")], LocalizeConfig()
    centre = invert_rigid(view.cam_from_world)[:3, 3]
    found = [locate(moved(features, 1.0, i), candidates, exact_scene.truth, guess, config) for i in range(60)]
    away = [float((invert_rigid(place.cam_from_world)[:3, 3] - centre).norm()) for place in found]
    turned = [float(angle_between(place.cam_from_world[:3, :3], view.cam_from_world[:3, :3])) for place in found]
    # COLMAP's robust loss takes noise of a pixel for partly outliers, so it promises a little less than it holds.
    assert 1.0 < found[0].position_sigma / math.sqrt(np.mean(np.square(away))) < 1.6
    assert 1.0 < found[0].rotation_sigma_deg / math.sqrt(np.mean(np.square(turned))) < 1.6


def test_what_cannot_be_located_is_told(exact_scene, query):
    view, features, candidates = query
    guess = [Guess(view.camera, "known", "known")]
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(len(features), 2, generator=generator) * torch.tensor(view.camera.image_size)
    elsewhere = Features(places, features.scores, features.descriptors, features.image_size)
    told = locate(elsewhere, candidates, exact_scene.truth, guess, CONFIG)
    assert told.startswith("another place, or too different a view: ") and told.endswith(
        "of 150 matches agree on a pose at most"
    )
    few = Features(places[:9], features.scores[:9], features.descriptors[:9], features.image_size)
    assert locate(few, [], exact_scene.truth, guess, CONFIG) == "only 9 keypoints: flat, dark or blurred"
    nothing = [(Matches(torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0)), candidates[0][1])]
    told = locate(features, nothing, exact_scene.truth, guess, CONFIG)
    assert told == "only 0 matches with points of the map, of which 20 would have to agree"


def test_exif_goes_before_a_map_camera_that_it_contradicts(exact_scene, tmp_path):
    model = exact_scene.truth
    size = next(iter(model.images.values())).camera.image_size

    def sources(name, focal_35mm):
        exif = Image.Exif()
        if focal_35mm:
            exif[0x8769] = {0xA405: focal_35mm}
        Image.new("RGB", size).save(tmp_path / name, exif=exif)
        return [guess.source for guess in guesses(size, tmp_path / name, None, model)]

    assert sources("none.jpg", None) == ["the map's", "estimated"]
    assert sources("same.jpg", round(1205 * 36 / size[0])) == ["the map's", "EXIF, refined"]
    assert sources("zoomed.jpg", 200) == ["EXIF, refined"]
    assert [guess.source for guess in guesses((100, 50), None, None, model)] == ["estimated"]
    known = next(iter(model.images.values())).camera
    assert [guess.source for guess in guesses(size, tmp_path / "none.jpg", known, model)] == ["the calibration"]


def test_keypoints_that_are_not_the_models_take_the_nearest_observed_point(exact_scene, query):
    view, features, _ = query
    assert observed_points(view, features) is view.point3D
    near, far = moved(features, 0.5, 0), replace(features, keypoints=features.keypoints + 500)
    assert float((observed_points(view, near) == view.point3D).float().mean()) > 0.95
    assert int((observed_points(view, far) != NO_POINT).sum()) < 5
    half = replace(features, keypoints=features.keypoints / 2, image_size=(510, 386), found_at=(510, 386))
    assert view.camera.image_size == (1024, 768) or torch.equal(observed_points(view, half), view.point3D)
    world = reference(exact_scene.truth, exact_scene.predictions.features)
    assert list(world.observed) == list(exact_scene.truth.images)


def test_poses_are_written_as_hloc_reads_them(tmp_path, query):
    pycolmap = pytest.importorskip("pycolmap")
    view = query[0]
    write_poses(tmp_path / "poses.txt", {"a folder/a.jpg": view.cam_from_world})
    name, *numbers = (tmp_path / "poses.txt").read_text().strip().rsplit(" ", 7)
    w, x, y, z, *t = map(float, numbers)
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), np.array(t))
    assert name == "a folder/a.jpg"
    np.testing.assert_allclose(pose.matrix(), view.cam_from_world[:3].numpy(), atol=1e-12)
