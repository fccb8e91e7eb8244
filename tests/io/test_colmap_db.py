"""COLMAP databases, read back and reconstructed by pycolmap."""

import os
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_inputs import random_features

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.errors import FormatError  # noqa: E402
from traqpoint.geometry.camera import Camera  # noqa: E402
from traqpoint.image import write_image  # noqa: E402
from traqpoint.io.colmap_db import ColmapDatabase, ColmapMatches  # noqa: E402
from traqpoint.types import Features, Matches  # noqa: E402


def features(xy: torch.Tensor, size: tuple[int, int] = (4000, 3000)) -> Features:
    generator = torch.Generator().manual_seed(len(xy))
    descriptors = F.normalize(torch.randn(len(xy), 16, generator=generator), dim=-1)
    return Features(xy, torch.ones(len(xy)), descriptors, size)


def test_pycolmap_reads_what_was_written(tmp_path):
    """Keypoints are bit-exact at COLMAP's own convention; camera, rig and frame belong to the image."""
    with ColmapDatabase(tmp_path / "d.db") as database:
        database.write("left/a.jpg", random_features(20))
    db = pycolmap.Database.open(tmp_path / "d.db")
    image = db.read_image_with_name("left/a.jpg")
    np.testing.assert_array_equal(db.read_keypoints(image.image_id)[:, :2], random_features(20).keypoints.numpy())
    camera = db.read_camera(image.camera_id)
    assert (camera.width, camera.height, camera.model_name) == (4000, 3000, "SIMPLE_RADIAL")
    assert camera.params.tolist() == [4800, 2000, 1500, 0] and not camera.has_prior_focal_length
    assert (db.num_rigs(), db.num_frames(), db.num_images()) == (1, 1, 1)
    assert [d.id for d in db.read_all_frames()[0].data_ids] == [image.image_id]
    db.close()


@pytest.mark.parametrize("n", [0, 20])
def test_features_come_back_bit_exact(tmp_path, n):
    """Keypoints and descriptors survive, a keypoint at x = 3999.4 included; scores are NaN: COLMAP has none."""
    with ColmapDatabase(tmp_path / "d.db") as database:
        database.write("a.jpg", random_features(n))
    with ColmapDatabase(tmp_path / "d.db", "r") as database:
        assert "a.jpg" in database and "b.jpg" not in database and database.names() == ["a.jpg"]
        back = database.read("a.jpg")
    assert torch.equal(back.keypoints, random_features(n).keypoints)
    assert torch.equal(back.descriptors, random_features(n).descriptors)
    assert back.image_size == (4000, 3000) and bool(back.scores.isnan().all())


def test_matches_both_ways_round(tmp_path):
    """A pair is one entry; asking for (b, a) swaps the columns; no matches are a result too."""
    with ColmapDatabase(tmp_path / "d.db") as database:
        for name, n in (("b", 9), ("a", 8), ("c", 7)):
            database.write(name, random_features(n))
        matches = ColmapMatches(database)
        assert ("a", "b") not in matches
        matches.write("a", "b", Matches(torch.tensor([[1, 2], [5, 8]]), torch.ones(2)))
        matches.write("b", "c", Matches(torch.empty(0, 2, dtype=torch.long), torch.empty(0)))
        assert ("a", "b") in matches and ("b", "a") in matches and len(matches) == 2
        assert matches.read("a", "b").indices.tolist() == [[1, 2], [5, 8]]
        assert matches.read("b", "a").indices.tolist() == [[2, 1], [8, 5]]
        assert matches.read("c", "b").indices.shape == (0, 2)
        with pytest.raises(FormatError, match="no matches"):
            matches.read("a", "c")
        matches.clear()
        assert len(matches) == 0 and database.names() == ["a", "b", "c"]


def test_a_known_camera_is_written(tmp_path):
    """A calibration replaces the guess and counts as known; one of another size is refused."""
    camera = Camera("OPENCV", (4000, 3000), torch.tensor([3000.0, 3100, 2000, 1500, 0.1, 0.01, 0.001, 0.002]))
    with ColmapDatabase(tmp_path / "d.db") as database:
        database.write("a.jpg", random_features(5), camera=camera)
        with pytest.raises(FormatError, match="pixels large"):
            database.write("b.jpg", features(torch.rand(5, 2), (10, 10)), camera=camera)
        assert database.names() == ["a.jpg"]
    db = pycolmap.Database.open(tmp_path / "d.db")
    stored = db.read_all_cameras()[0]
    np.testing.assert_allclose(stored.params, camera.params.numpy(), rtol=1e-7)
    assert stored.model_name == "OPENCV" and stored.has_prior_focal_length
    db.close()


def test_images_that_colmap_cannot_read_get_the_guess_without_exif(tmp_path):
    """We read WebP and COLMAP does not: the image is written all the same."""
    write_image(tmp_path / "a.webp", np.zeros((30, 40, 3), dtype=np.uint8))
    with ColmapDatabase(tmp_path / "d.db") as database:
        database.write("a.webp", features(torch.rand(5, 2), (40, 30)), image_path=tmp_path / "a.webp")
        assert database.read("a.webp").image_size == (40, 30)


def test_a_disk_that_is_nearly_full_is_refused_before_colmap_ends_the_process(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with ColmapDatabase(tmp_path / "full.db") as database:
        with pytest.raises(OSError, match=r"No space left on device.*full\.db"):
            database.write("a.jpg", random_features(3))
        assert "a.jpg" not in database


def test_files_that_are_no_database_are_named(tmp_path):
    """Text, a missing file and features of another program raise FormatError."""
    (tmp_path / "text.db").write_bytes(b"hello" * 100)
    with pytest.raises(FormatError, match=r"text\.db: not a COLMAP database"):
        ColmapDatabase(tmp_path / "text.db")
    with pytest.raises(FormatError, match=r"nothing\.db: no such file"):
        ColmapDatabase(tmp_path / "nothing.db", "r")
    with ColmapDatabase(tmp_path / "d.db") as database:
        database.write("a", random_features(3))
        with pytest.raises(FormatError, match="no features of image 'zz'"):
            database.read("zz")


def test_colmap_reconstructs_a_scene_from_the_database(tmp_path):
    """From exact projections and true matches COLMAP verifies and maps all images with sub-0.01 px error."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 6, 1, 80
    options.num_points2D_without_point3D = 0
    options.camera_model_id = pycolmap.CameraModelId.SIMPLE_PINHOLE
    options.camera_params = [1280.0, 512.0, 384.0]
    pycolmap.set_random_seed(0)
    scene = pycolmap.synthesize_dataset(options)
    images = sorted(scene.images.values(), key=lambda image: image.name)
    points = [[p.point3D_id for p in image.points2D] for image in images]
    with ColmapDatabase(tmp_path / "d.db") as database:
        camera = Camera("SIMPLE_PINHOLE", (1024, 768), torch.tensor(options.camera_params))
        for image in images:
            xy = torch.tensor(np.array([p.xy for p in image.points2D]), dtype=torch.float32)
            database.write(image.name, features(xy, (1024, 768)), camera=camera)
        matches = ColmapMatches(database)
        for i in range(len(images)):
            for j in range(i):
                both = [(points[i].index(p), points[j].index(p)) for p in points[i] if p in points[j]]
                pair = Matches(torch.tensor(both, dtype=torch.long).reshape(-1, 2), torch.ones(len(both)))
                matches.write(images[i].name, images[j].name, pair)
    (tmp_path / "sparse").mkdir()
    pycolmap.geometric_verification(tmp_path / "d.db")
    models = pycolmap.incremental_mapping(tmp_path / "d.db", tmp_path, tmp_path / "sparse")
    assert len(models) == 1 and models[0].num_reg_images() == 6
    assert models[0].num_points3D() >= 70
    assert models[0].compute_mean_reprojection_error() < 0.01


def test_a_database_in_a_folder_that_is_read_only_is_told_so(tmp_path, monkeypatch):
    ColmapDatabase(tmp_path / "a.db").close()

    def refuse(path):
        raise RuntimeError("attempt to write a readonly database")

    monkeypatch.setattr(pycolmap.Database, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(FormatError, match=r"a\.db: its folder is read-only"):
        ColmapDatabase(tmp_path / "a.db")
