"""Structure from motion on an exact scene, where every number is known."""

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.errors import ConfigError, DataError, FormatError  # noqa: E402
from traqpoint.evaluation.benchmarks.sfm import Photos, SfmBenchmark  # noqa: E402
from traqpoint.evaluation.metrics.reconstruction import pair_errors_deg, pose_errors  # noqa: E402
from traqpoint.geometry.transforms import rotation_from_quaternion  # noqa: E402
from traqpoint.image import write_image  # noqa: E402
from traqpoint.io.colmap_model import load_reconstruction  # noqa: E402
from traqpoint.io.npz import NpzMatches  # noqa: E402
from traqpoint.sfm.config import MappingConfig  # noqa: E402
from traqpoint.sfm.mapping import reconstruct  # noqa: E402
from traqpoint.sfm.truth import read_truth  # noqa: E402

ONE_THREAD = MappingConfig(num_threads=1)


def with_poses(model, change):
    """The model with ``change(number, name, cam_from_world)`` as poses; None drops the image."""
    images = {}
    for number, (name, view) in enumerate(model.images.items()):
        pose = change(number, name, view.cam_from_world.clone())
        if pose is not None:
            images[name] = dataclasses.replace(view, cam_from_world=pose)
    return dataclasses.replace(model, images=images)


def moved(pose, scale, R, t):
    """cam_from_world after ``x -> scale R x + t`` of the world."""
    out = pose.clone()
    out[:3, :3] = pose[:3, :3] @ R.T
    out[:3, 3] = scale * pose[:3, 3] - out[:3, :3] @ t
    return out


def judge(scene, out, predictions=None, **options):
    options = {"known_cameras": True, "true_model": scene.truth, **options}
    photos = Photos("exact", scene.images, scene.pairs, options.pop("true_model"))
    benchmark = SfmBenchmark(images=Path("images"), **options).on(photos)
    return benchmark.score(predictions or scene.predictions, out=out)


@pytest.mark.slow
@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_exact_features_give_the_exact_model(exact_scene, tmp_path, mapper):
    """All images registered, all points found once, no error."""
    result = judge(exact_scene, tmp_path, mappers=(mapper,))
    stats, extent = result.stats, exact_scene.truth.xyz.std()
    assert stats["registered"] == 9 and stats["registered_share"] == 1 and stats["points"] == 150
    assert stats["centre_error_max"] < 1e-3 * extent and stats["rotation_error_max_deg"] < 0.02
    assert stats["reprojection_error_px"] < 1e-2 and stats["auc_1"] > 0.95
    assert stats["mean_track_length"] == pytest.approx(9, abs=0.1)
    assert stats["mean_observations"] * stats["registered"] == stats["observations"]
    assert stats["verified_pairs"] == len(exact_scene.pairs)
    assert mapper in result.protocol["estimator"] and result.notes == ()


def test_stats_are_those_of_pycolmap(exact_scene, tmp_path):
    stats = judge(exact_scene, tmp_path).stats
    model = load_reconstruction(tmp_path / "sparse" / "0")
    assert stats["observations"] == model.compute_num_observations()
    assert stats["mean_track_length"] == pytest.approx(model.compute_mean_track_length())
    assert stats["mean_observations"] == pytest.approx(model.compute_mean_observations_per_reg_image())
    assert stats["reprojection_error_px"] == pytest.approx(model.compute_mean_reprojection_error())


def test_errors_do_not_depend_on_the_world(exact_scene):
    """A model that was turned, moved and scaled has no error; one camera out of place has."""
    R = rotation_from_quaternion(torch.tensor([0.3, 0.5, -0.2, 0.8], dtype=torch.float64))
    t = torch.tensor([3.0, -1.0, 20.0], dtype=torch.float64)
    same = with_poses(exact_scene.truth, lambda i, name, pose: moved(pose, 4.0, R, t))
    errors = pose_errors(same, exact_scene.truth)
    assert float(errors.centre.max()) < 1e-9 and float(errors.rotation.max()) < 1e-9
    assert len(errors.names) == 9
    assert float(pair_errors_deg(same, exact_scene.truth, list(same.images)).max()) < 1e-9


def test_centre_errors_are_the_residuals_of_pycolmaps_alignment(exact_scene):
    generator = torch.Generator().manual_seed(0)

    def shake(number, name, pose):
        pose[:3, 3] += 0.1 * torch.randn(3, generator=generator, dtype=torch.float64)
        return pose

    shaken = with_poses(exact_scene.truth, shake)
    errors = pose_errors(shaken, exact_scene.truth)
    centres = [
        np.array([-(v.cam_from_world[:3, :3].T @ v.cam_from_world[:3, 3]).numpy() for v in model.images.values()])
        for model in (shaken, exact_scene.truth)
    ]
    aligned = pycolmap.estimate_sim3d(*centres)
    residuals = [np.linalg.norm(aligned * a - b) for a, b in zip(*centres, strict=True)]
    np.testing.assert_allclose(errors.centre, residuals, atol=1e-9)
    assert errors.centre.max() > 0.01


def test_cameras_turned_about_their_centres_have_that_rotation_error(exact_scene):
    """One by 2 degrees, one back by 2: the mean stays, so exactly these errors are left; centres do not feel it."""
    half = math.radians(2.0) / 2

    def turned(number, name, pose):
        if number in (4, 7):  # by ±2 degrees about the same axis of the world
            about_y = torch.tensor([math.cos(half), 0, math.sin(half) * (number - 5.5) / 1.5, 0], dtype=torch.float64)
            turn = rotation_from_quaternion(about_y)
            centre = -pose[:3, :3].T @ pose[:3, 3]
            pose[:3, :3] = pose[:3, :3] @ turn
            pose[:3, 3] = -pose[:3, :3] @ centre
        return pose

    errors = pose_errors(with_poses(exact_scene.truth, turned), exact_scene.truth)
    expected = torch.zeros(9, dtype=torch.float64)
    expected[[4, 7]] = 2.0
    torch.testing.assert_close(errors.rotation, expected, atol=1e-6, rtol=0)
    assert float(errors.centre.max()) < 1e-9


def test_images_that_are_not_registered_lower_the_pairwise_score(exact_scene):
    """With 6 of 9 images exact, 15 of 36 pairs are right and the others infinitely wrong."""
    some = with_poses(exact_scene.truth, lambda i, name, pose: pose if i < 6 else None)
    errors = pair_errors_deg(some, exact_scene.truth, list(exact_scene.truth.images))
    assert len(errors) == 36 and int((errors < 1e-6).sum()) == 15 and int(errors.isinf().sum()) == 21
    assert bool(pair_errors_deg(None, exact_scene.truth, list(some.images)).isinf().all())


def test_rotation_errors_do_not_depend_on_where_the_cameras_stand(exact_scene):
    """Centres on a line leave the turn about it open; the rotations themselves do not."""

    def on_a_line(number, name, pose):
        centre = torch.tensor([float(number), 2.0 * number, 0.0], dtype=torch.float64)
        pose[:3, 3] = -pose[:3, :3] @ centre
        return pose

    line = with_poses(exact_scene.truth, on_a_line)
    R = rotation_from_quaternion(torch.tensor([0.3, 0.5, -0.2, 0.8], dtype=torch.float64))
    errors = pose_errors(with_poses(line, lambda i, name, pose: moved(pose, 2.0, R, R[0])), line)
    assert float(errors.rotation.max()) < 1e-6 and float(errors.centre.max()) < 1e-6


def test_fewer_than_three_common_images_cannot_be_aligned(exact_scene):
    two = with_poses(exact_scene.truth, lambda i, name, pose: pose if i < 2 else None)
    assert pose_errors(two, exact_scene.truth) is None


def test_no_matches_are_a_result_with_nothing_registered(exact_scene, tmp_path):
    nothing = dataclasses.replace(exact_scene.predictions, matches=NpzMatches(tmp_path / "none"))
    result = judge(exact_scene, tmp_path, predictions=nothing)
    assert result.stats["registered"] == 0 and result.stats["points"] == 0 and result.stats["auc_10"] == 0
    assert math.isnan(result.stats["centre_error_median"]) and math.isnan(result.stats["mean_track_length"])
    notes = " ".join(result.notes)
    assert "36 of 36 pairs have no matches" in notes and "0 images are registered" in notes
    assert judge(exact_scene, tmp_path, predictions=nothing).stats["registered"] == 0


@pytest.mark.slow
def test_a_finished_model_is_read_and_a_half_written_one_made_again(exact_scene, tmp_path):
    scene = exact_scene

    def run(pairs=scene.pairs, **options):
        p = scene.predictions
        return reconstruct(scene.images, p.features, p.matches, pairs, tmp_path, ONE_THREAD, **options)

    first = run()
    points = tmp_path / "sparse" / "0" / "points3D.bin"
    points.write_bytes(b"")
    assert run() == first and points.read_bytes() == b""  # read from the summary, not made again
    (tmp_path / "summary.json").unlink()
    assert run() == first and len(points.read_bytes()) > 1000
    shutil.rmtree(tmp_path / "sparse")
    assert run() == first and points.is_file()
    (tmp_path / "database.db.json").unlink()  # killed while the database was made
    for name in (".database.1.partial.db", ".database.1.partial.db-wal", "database.db-wal"):
        (tmp_path / name).write_bytes(b"half of a page" * 400)
    assert run() == first and not (tmp_path / "database.db-wal").exists()
    assert run(scene.pairs[:10]).stats["verified_pairs"] == 10  # other inputs are another model
    with pytest.raises(ConfigError, match="mapper: incremental there, global here"):
        p, other = scene.predictions, MappingConfig(mapper="global", num_threads=1)
        reconstruct(scene.images, p.features, p.matches, scene.pairs, tmp_path, other)


@pytest.mark.slow
def test_one_thread_repeats_exactly(exact_scene, tmp_path):
    runs = [judge(exact_scene, tmp_path / str(number), known_cameras=False) for number in range(2)]
    assert runs[0].stats == runs[1].stats
    models = [(tmp_path / str(number) / "sparse" / "0" / "images.bin").read_bytes() for number in range(2)]
    assert models[0] == models[1]


@pytest.mark.slow
def test_images_of_one_size_share_a_camera_unless_asked_otherwise(exact_scene, tmp_path):
    p = exact_scene.predictions
    for cameras, count in (("shared", 1), ("per-image", 9)):
        out = tmp_path / cameras
        config = MappingConfig(cameras=cameras, num_threads=1)
        reconstruct(exact_scene.images, p.features, p.matches, exact_scene.pairs, out, config)
        assert load_reconstruction(out / "sparse" / "0").num_cameras() == count


def test_known_cameras_are_not_refined(exact_scene, tmp_path):
    judge(exact_scene, tmp_path)
    (camera,) = load_reconstruction(tmp_path / "sparse" / "0").cameras.values()
    assert camera.params.tolist() == [1200.0, 1210.0, 510.0, 386.0]


def test_wrong_truths_are_told(exact_scene, tmp_path):
    others = dataclasses.replace(
        exact_scene.truth, images={f"x/{name}": view for name, view in exact_scene.truth.images.items()}
    )
    with pytest.raises(DataError, match="no pose of any image"):
        judge(exact_scene, tmp_path, true_model=others)
    with pytest.raises(DataError, match="need a truth"):
        judge(exact_scene, tmp_path, true_model=None)
    with pytest.raises(FormatError, match="nowhere"):
        read_truth(tmp_path / "nowhere")


@pytest.mark.parametrize("bad", [{"mapper": "magic"}, {"cameras": "none"}, {"seed": -1}, {"num_threads": 0}])
def test_bad_configurations_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        MappingConfig(**bad)


def test_a_scene_may_be_given_as_its_folder_or_as_that_of_its_images(tmp_path):
    for name in ("images/a.png", "images/b.png", "masks/a.png"):
        write_image(tmp_path / "castle" / name, np.zeros((8, 8, 3), dtype=np.uint8))
    for folder in ("castle", "castle/images"):
        photos = SfmBenchmark(images=tmp_path / folder).data
        assert photos.name == "castle" and list(photos.images) == ["a.png", "b.png"]
