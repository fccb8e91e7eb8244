"""COLMAP models against pycolmap itself, and on South Building."""

import numpy as np
import pytest
import research_data
import torch

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.errors import FormatError  # noqa: E402
from traqpoint.io.colmap_model import NO_POINT, read_model  # noqa: E402

SOUTH_BUILDING = research_data.DATA / "posed/south_building/sparse/0"


def synthesized(camera_model="SIMPLE_RADIAL"):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_points3D, options.num_frames_per_rig = 40, 3
    options.camera_model_id = getattr(pycolmap.CameraModelId, camera_model)
    options.camera_params = pycolmap.Camera.create_from_model_name(1, camera_model, 900.0, 1024, 768).params.tolist()
    pycolmap.set_random_seed(0)
    return pycolmap.synthesize_dataset(options)


@pytest.mark.parametrize("suffix", ["bin", "txt"])
def test_a_model_is_what_pycolmap_reads(tmp_path, suffix):
    """Poses, cameras, keypoints, observations, points; images and ids in order."""
    truth = synthesized()
    (truth.write_binary if suffix == "bin" else truth.write_text)(tmp_path)
    model = read_model(tmp_path)
    assert list(model.images) == sorted(image.name for image in truth.images.values())
    assert model.point_ids.tolist() == sorted(truth.points3D) and model.xyz.shape == (40, 3)
    for image in truth.images.values():
        view, camera = model.images[image.name], truth.cameras[image.camera_id]
        assert view.camera.model == camera.model_name and view.camera.params.tolist() == camera.params.tolist()
        np.testing.assert_allclose(view.cam_from_world[:3], image.cam_from_world().matrix(), atol=1e-12)
        np.testing.assert_allclose(view.xy, [p.xy for p in image.points2D], atol=1e-9)
        seen = view.point3D != NO_POINT
        assert seen.tolist() == [p.has_point3D() for p in image.points2D] and int(seen.sum()) == 40
        x_cam = model.xyz[model.rows(view.point3D[seen])] @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
        torch.testing.assert_close(view.camera.project(x_cam), view.xy[seen], atol=1e-6, rtol=0)


def test_images_without_a_pose_are_left_out(tmp_path):
    truth = synthesized()
    lost = next(iter(truth.images.values()))
    truth.deregister_frame(lost.frame_id)
    truth.write(tmp_path)
    model = read_model(tmp_path)
    assert lost.name not in model.images and len(model.images) == len(truth.images) - 1


def test_an_empty_model_is_a_model(tmp_path):
    pycolmap.Reconstruction().write(tmp_path)
    model = read_model(tmp_path)
    assert model.images == {} and model.xyz.shape == (0, 3) and model.errors.shape == (0,)


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(FormatError, match="nowhere: no such folder"):
        read_model(tmp_path / "nowhere")
    with pytest.raises(FormatError, match=f"{tmp_path.name}: a COLMAP model is cameras, images and points3D"):
        read_model(tmp_path)


@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99, 1.01])
def test_cut_files_are_told_instead_of_crashing_colmap(tmp_path, file, share):
    synthesized().write_binary(tmp_path)
    path = tmp_path / f"{file}.bin"
    content = path.read_bytes() + b"1234" * 100
    path.write_bytes(content[: int((len(content) - 400) * share)])
    with pytest.raises(FormatError, match=rf"{file}\.bin: the file is cut off"):
        read_model(tmp_path)


def test_poses_without_points_are_a_model_whose_keypoints_observe_nothing(tmp_path):
    """Some data sets empty points3D.bin and keep the images as they were."""
    synthesized().write_binary(tmp_path)
    (tmp_path / "points3D.bin").write_bytes(bytes(8))
    model = read_model(tmp_path)
    assert len(model.images) == 6 and model.xyz.shape == (0, 3)
    assert all(bool((view.point3D == NO_POINT).all()) for view in model.images.values())


def test_files_of_two_models_are_told(tmp_path):
    synthesized().write_binary(tmp_path)
    (tmp_path / "cameras.bin").write_bytes(bytes(8))
    with pytest.raises(FormatError, match=f"{tmp_path.name}: not a readable COLMAP model"):
        read_model(tmp_path)


def test_camera_models_that_we_lack_are_told(tmp_path):
    synthesized("FOV").write(tmp_path)
    with pytest.raises(FormatError, match="FOV"):
        read_model(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not SOUTH_BUILDING.is_dir(), reason=f"{SOUTH_BUILDING} is absent")
def test_south_building_reprojects_to_a_fifth_of_a_pixel():
    """128 images, 36 412 points; the published reprojection error of the reduced images."""
    model = read_model(SOUTH_BUILDING)
    assert len(model.images) == 128 and len(model.xyz) == 36412
    view = model.images["P1180141.JPG"]
    seen = view.point3D != NO_POINT
    x_cam = model.xyz[model.rows(view.point3D[seen])] @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    error = (view.camera.project(x_cam) - view.xy[seen]).norm(dim=-1)
    assert float(error.mean()) == pytest.approx(0.21, abs=0.02)
