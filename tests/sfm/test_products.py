"""What other programs go on with: undistorted images, nerfstudio's and splatting's folder, coloured points."""

import json

import numpy as np
import pytest
import torch

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.image import read_image, write_image  # noqa: E402
from traqpoint.io.colmap_model import NO_POINT, read_model  # noqa: E402
from traqpoint.sfm.products import undistort, write_points, write_splatting  # noqa: E402


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A model of three distorted photographs, which lie in two folders."""
    folder = tmp_path_factory.mktemp("scene")
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 3
    options.num_points3D, options.camera_width, options.camera_height = 20, 96, 64
    options.camera_model_id = pycolmap.CameraModelId.SIMPLE_RADIAL
    options.camera_params = [90.0, 48.0, 32.0, -0.1]
    pycolmap.set_random_seed(1)
    model = pycolmap.synthesize_dataset(options)
    images = {}
    for number, image in enumerate(model.images.values()):
        images[image.name] = folder / f"{number}" / "file.png"
        write_image(images[image.name], np.full((64, 96, 3), 60 * number, dtype=np.uint8))
    for point in model.points3D.values():
        point.color = np.array([10, 200, 30], dtype=np.uint8)
    (folder / "sparse").mkdir()
    model.write(folder / "sparse")
    return folder / "sparse", images


def test_undistorted_images_are_pinholes_under_the_models_names(tmp_path, scene):
    model, images = scene
    undistort(model, images, tmp_path / "dense")
    found = read_model(tmp_path / "dense" / "sparse")
    assert {image.camera.model for image in found.images.values()} == {"PINHOLE"} and len(found.images) == 3
    for number, name in enumerate(images):
        assert read_image(tmp_path / "dense" / "images" / name).max() == 60 * number


def test_a_folder_for_splatting_says_where_each_point_is_seen_in_opengls_axes(tmp_path, scene):
    model, images = scene
    write_splatting(model, images, tmp_path / "splatting")
    content = json.loads((tmp_path / "splatting" / "transforms.json").read_text())
    found = read_model(tmp_path / "splatting" / "sparse" / "0")
    assert len(content["frames"]) == 3 and (tmp_path / "splatting" / content["ply_file_path"]).is_file()
    for frame in content["frames"]:
        assert (tmp_path / "splatting" / frame["file_path"]).is_file()
        image = found.images[frame["file_path"].removeprefix("images/")]
        seen = image.point3D != NO_POINT
        xyz = found.xyz[found.rows(image.point3D[seen])]
        cam_from_world = torch.linalg.inv(torch.tensor(frame["transform_matrix"], dtype=torch.float64))
        x, y, z = (xyz @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]).unbind(-1)
        assert bool((z < 0).all())
        pixels = torch.stack([frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z], dim=-1)
        assert torch.allclose(pixels, image.xy[seen], atol=0.1)


def test_points_are_written_with_their_colours_and_made_again_for_a_new_model_alone(tmp_path, scene):
    model, _ = scene
    write_points(model, tmp_path / "points.ply")
    data = (tmp_path / "points.ply").read_bytes()
    assert data.startswith(b"ply") and b"element vertex 20" in data and bytes([10, 200, 30]) in data
    written = (tmp_path / "points.ply").stat().st_mtime_ns
    write_points(model, tmp_path / "points.ply")
    assert (tmp_path / "points.ply").stat().st_mtime_ns == written
    (model / "points3D.bin").touch()
    write_points(model, tmp_path / "points.ply")
    assert (tmp_path / "points.ply").stat().st_mtime_ns > written
