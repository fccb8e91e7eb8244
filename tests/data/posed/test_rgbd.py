"""RGB-D recordings: every layout written from a world that is a formula, and read back to the same places."""

import numpy as np
import pytest
import research_data
import torch
from wavy_world import camera, color_error, pose, shoot, units, write_jpg, write_png

from traqpoint.data.posed.config import RgbdConfig
from traqpoint.data.posed.depth_maps import move, reject_edges
from traqpoint.data.posed.rgbd_layouts import SEVEN_SCENES_COLOR_FROM_DEPTH, read_rgbd, rgbd_sequences
from traqpoint.errors import ConfigError, DataError, FormatError, GeometryError, ImageError
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample
from traqpoint.geometry.transforms import invert_rigid, quaternion_from_rotation
from traqpoint.io.tum import TUM_CAMERAS

HOLOLENS = research_data.DATA / "rgbd/hololens_office"
POSES = (pose(), pose(0.2, 0.1, roll=170), pose(-0.1, 0.15, 0.1, roll=60))
"""Rolled cameras: a wrong principal point then moves points, which it does not between parallel ones."""


def text(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")


def opencv(K):
    """Integer pixel centres, as calibration files have it."""
    out = K.double().clone()
    out[:2, 2] -= 0.5
    return out.tolist()


def write_plain(folder, poses=POSES):
    K = camera(120.0, 160, 120)
    text(folder / "K.txt", opencv(K))
    text(folder / "poses.txt", [invert_rigid(p).reshape(-1).tolist() for p in poses])
    for i, p in enumerate(poses):
        image, depth = shoot(K, p, 160, 120)
        write_png(folder / "images" / f"{i:04}.png", image)
        write_png(folder / "depth" / f"{i:04}.png", units(depth))
    return folder


def write_tum(folder, number, poses=POSES):
    (fx, fy, cx, cy), distortion = TUM_CAMERAS[number]
    K = torch.tensor([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]])
    stamps = [100 + i for i in range(len(poses))]
    for stamp, p in zip(stamps, poses, strict=True):
        image, depth = shoot(K, p, 640, 480, distortion)
        write_png(folder / "rgb" / f"{stamp}.png", image)
        write_png(folder / "depth" / f"{stamp + 0.005}.png", units(depth, 5000))
    text(folder / "rgb.txt", [("#", "timestamp"), *((stamp, f"rgb/{stamp}.png") for stamp in stamps)])
    text(folder / "depth.txt", [(stamp + 0.005, f"depth/{stamp + 0.005}.png") for stamp in stamps])
    rows = []
    for stamp, p in zip(stamps, poses, strict=True):
        world_from_cam = invert_rigid(p)
        w, x, y, z = quaternion_from_rotation(world_from_cam[:3, :3]).tolist()
        # Two poses around each image, still: the one at its time lies between them.
        rows += [(stamp + dt, *world_from_cam[:3, 3].tolist(), x, y, z, w) for dt in (-0.01, 0.01)]
    text(folder / "groundtruth.txt", [("# ground truth",), *rows])
    return folder


def write_seven_scenes(folder, poses=POSES):
    """Colour at f = 525 and depth at f = 585 from another place, both unregistered; the pose is the depth camera's."""
    color_from_depth = torch.tensor(SEVEN_SCENES_COLOR_FROM_DEPTH, dtype=torch.float64)
    K = {focal: torch.tensor([[focal, 0, 320], [0, focal, 240], [0, 0, 1]]) for focal in (525.0, 585.0)}
    for i, p in enumerate(poses):
        name = folder / f"frame-{i:06}"
        image, _ = shoot(K[525.0], color_from_depth @ p, 640, 480)
        _, depth = shoot(K[585.0], p, 640, 480)
        raw = units(depth)
        raw[:40, :40], raw[:40, -40:] = 0, 65535
        write_png(name.with_suffix(".color.png"), image)
        write_png(name.with_suffix(".depth.png"), raw)
        text(name.with_suffix(".pose.txt"), invert_rigid(p).tolist())
    return folder


def write_scannet(folder, poses=POSES):
    """Colour 324x242, depth 160x120: not quite the same shape, each with its own calibration."""
    K = {"color": camera(280.0, 324, 242), "depth": camera(139.0, 160, 120)}
    for kind, matrix in K.items():
        text(
            folder / "intrinsic" / f"intrinsic_{kind}.txt",
            np.pad(opencv(matrix), ((0, 1), (0, 1))) + np.diag([0, 0, 0, 1]),
        )
    for i, p in enumerate(poses):
        image, _ = shoot(K["color"], p, 324, 242)
        _, depth = shoot(K["depth"], p, 160, 120)
        write_jpg(folder / "color" / f"{i}.jpg", image)
        write_png(folder / "depth" / f"{i}.png", units(depth))
        text(folder / "pose" / f"{i}.txt", invert_rigid(p).tolist())
    return folder


LAYOUTS = {
    "plain": write_plain,
    "rgbd_dataset_freiburg1_desk": lambda folder: write_tum(folder, "1"),
    "rgbd_dataset_freiburg3_office": lambda folder: write_tum(folder, "3"),
    "seven_scenes": write_seven_scenes,
    "scannet": write_scannet,
}


@pytest.fixture(scope="module", params=LAYOUTS)
def recording(request, tmp_path_factory):
    return LAYOUTS[request.param](tmp_path_factory.mktemp("recordings") / request.param)


@pytest.mark.slow
def test_the_same_place_has_the_same_colour_in_every_frame(recording):
    """Pixel convention, units, direction of poses, distortion, registration: any of them wrong moves points. Half a
    pixel in the principal points makes the difference in colour more than five times as large."""
    frames = read_rgbd(recording)
    assert len(frames) == len(POSES) and frames.name == str(recording)
    a, b, c = (frames.frame(i) for i in range(3))
    for other in (b, c):
        error, visible = color_error(a, other)
        assert visible > 0.3
        assert min(color_error(a, other, 0.5)[0], color_error(a, other, -0.5)[0]) > 5 * error
    assert frames.overlap(0, 1) == pytest.approx(visible, abs=0.4)


@pytest.mark.slow
def test_depth_is_that_of_the_world_at_the_pixels_centres(recording):
    """What the formula says for K and pose of the frame that was read, to a millimetre, everywhere but at edges."""
    frame = read_rgbd(recording).frame(1)
    height, width = frame.depth.shape
    _, truth = shoot(frame.K, frame.cam_from_world, width, height)
    error = (frame.depth - torch.from_numpy(truth)).abs()
    known = error.isfinite()
    assert known.float().mean() > 0.75
    assert error[known].quantile(0.5) < 2e-3 and error[known].max() < 0.03


def test_pixels_beside_an_edge_have_no_depth():
    """A step is unknown within the margin on both sides, a slope and the rim of a hole stay."""
    depth = torch.linspace(2, 2.5, 40).repeat(30, 1)
    depth[:, 20:] += 1
    depth[5:10, 3:8] = torch.nan
    out = reject_edges(depth, max_jump=0.05, margin=2)
    assert out[:, 17:23].isnan().all()
    same = torch.ones_like(depth, dtype=torch.bool)
    same[:, 17:23] = False
    torch.testing.assert_close(out[same], depth[same], equal_nan=True)


def test_of_two_surfaces_that_land_on_one_pixel_the_nearer_is_seen():
    """A board at 1 m in front of a wall at 3 m, seen from 0.2 m to the left: it hides another part of the wall."""
    K = torch.tensor([[60.0, 0, 40], [0, 60, 30], [0, 0, 1]])
    depth = torch.full((60, 80), 3.0)
    depth[:, 30:50] = 1.0
    moved = move(depth, K, K, pose(-0.2).float())
    row = moved[30]
    assert (row[42:62] == 1).all()  # 60 * 0.2 / 1 = 12 px to the right
    assert (row[4:34] == 3).all()  # 4 px to the right
    assert row[34:42].isnan().all()  # nobody saw the wall there


def test_depth_in_another_unit_is_named(tmp_path):
    """Metres read as millimetres: the file, the median and the scale are in the message."""
    folder = write_plain(tmp_path)
    raw = np.full((120, 160), 4, dtype=np.uint16)
    write_png(folder / "depth" / "0001.png", raw)
    frames = read_rgbd(folder)
    with pytest.raises(GeometryError, match=r"0001.png: the median depth is 0.004 m when 1000 units are a metre"):
        frames.frame(1)


def test_a_cut_depth_file_is_an_error_and_in_training_a_counted_skip(tmp_path):
    """Reading it raises; a source goes on without the frame and says so once."""
    folder = write_plain(tmp_path, (*POSES, pose(0.1, 0.1)))
    path = folder / "depth" / "0002.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"0002.png: the image file is truncated"):
        read_rgbd(folder).frame(2)
    config = RgbdConfig(folders=(folder,), image_size=(64, 64), num_frames=2, overlap=(0.1, 1.0))
    source = rgbd_sequences(config)
    with pytest.warns(UserWarning, match="1 frames could not be read, the first: .*0002.png"):
        batch = source.sample(8, torch.Generator().manual_seed(0))
    assert batch.images.shape == (8, 2, 3, 64, 64)
    assert source.loader.skipped == 1


def test_training_and_validation_parts_have_no_frame_in_common(tmp_path):
    """The first 60 % and the rest of five frames: three and two; a part that is none is refused."""
    folder = write_plain(tmp_path, [pose(0.01 * i) for i in range(5)])
    names = [
        rgbd_sequences(RgbdConfig(folders=(folder,), num_frames=2, part=part)).sets[0].names
        for part in ((0, 0.6), (0.6, 1))
    ]
    assert names == [["0000", "0001", "0002"], ["0003", "0004"]]
    with pytest.raises(ConfigError, match="part"):
        RgbdConfig(part=(0.5, 0.5))


def test_a_pose_that_is_no_rotation_is_named_with_its_line(tmp_path):
    """A scale in the second line of poses.txt; a reflection in a pose file of its own."""
    folder = write_plain(tmp_path / "plain")
    rows = np.loadtxt(folder / "poses.txt")
    rows[1, :3] *= 1.1
    np.savetxt(folder / "poses.txt", rows)
    with pytest.raises(GeometryError, match=r"poses.txt:2: .* not a rotation"):
        read_rgbd(folder)
    folder = write_seven_scenes(tmp_path / "seven", POSES[:1])
    text(folder / "frame-000000.pose.txt", np.diag([1.0, 1, -1, 1]))
    with pytest.raises(GeometryError, match=r"frame-000000.pose.txt: .* not a rotation"):
        read_rgbd(folder)


def test_frames_that_lost_their_tracking_are_left_out_and_counted(tmp_path):
    """ScanNet writes -inf; one warning has the count, the others keep their numbers in the order of time."""
    folder = write_scannet(tmp_path, (POSES[0],) * 12)
    text(folder / "pose" / "3.txt", [["-inf"] * 4] * 4)
    (folder / "depth" / "5.png").unlink()
    with pytest.warns(UserWarning, match="2 frames left out, the first: 3: the tracking was lost"):
        frames = read_rgbd(folder)
    assert frames.names == ["0", "1", "2", "4", "6", "7", "8", "9", "10", "11"]
    assert frames.left_out == ("3: the tracking was lost", "5: no 5.png in depth")


def test_images_without_depth_or_pose_at_their_time_are_left_out(tmp_path):
    """0.02 s is allowed, 0.03 s is not; without any match the reason is in the error."""
    folder = write_tum(tmp_path / "freiburg3", "3", POSES[:2])
    text(folder / "rgb.txt", [(100.015, "rgb/100.png"), (101.03, "rgb/101.png")])
    with pytest.warns(
        UserWarning, match=r"1 frames left out, the first: rgb/101.png: the nearest depth map is 0.02\d s"
    ):
        assert read_rgbd(folder).names == ["rgb/100.png"]
    text(folder / "rgb.txt", [(300, "rgb/100.png")])
    with pytest.raises(DataError, match=r"1 left out, the first: rgb/100.png: the nearest depth map is 19\d"):
        read_rgbd(folder)


def test_a_tum_folder_of_an_unknown_camera_asks_for_K(tmp_path):
    """With K it is read, and undistorted images are expected."""
    folder = write_tum(tmp_path / "my_office", "3", POSES[:2])
    with pytest.raises(DataError, match="my_office: which camera"):
        read_rgbd(folder)
    K = torch.tensor([[535.4, 0, 320.6], [0, 539.2, 248.1], [0, 0, 1]])
    frames = read_rgbd(folder, K)
    assert torch.equal(frames.frame(0).K, K)
    assert color_error(frames.frame(0), frames.frame(1))[0] < 0.01


def test_what_is_no_recording_is_refused(tmp_path):
    """No folder, an unknown layout, fewer poses than images, an image of another size than its depth."""
    with pytest.raises(DataError, match="no such folder"):
        read_rgbd(tmp_path / "nowhere")
    with pytest.raises(DataError, match="neither TUM RGB-D"):
        read_rgbd(tmp_path)
    folder = write_plain(tmp_path / "plain")
    write_png(folder / "images" / "0000.png", np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(GeometryError, match=r"0000.png: .*120, 160.* does not fit .*60, 80"):
        read_rgbd(folder).frame(0)
    write_png(folder / "images" / "0009.png", np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(FormatError, match=r"poses.txt: 3 poses for 4 images"):
        read_rgbd(folder)
    text(folder / "K.txt", np.zeros((3, 3)))
    (folder / "images" / "0009.png").unlink()
    with pytest.raises(GeometryError, match=r"K.txt: not a calibration matrix"):
        read_rgbd(folder)


needs_hololens = pytest.mark.skipif(not HOLOLENS.is_dir(), reason="the HoloLens recording is not here")


@needs_hololens
def test_real_neighbours_look_alike_where_they_see_the_same():
    """Warped by depth and pose, a real neighbour resembles the frame several times better than unwarped."""
    frames = read_rgbd(HOLOLENS)
    assert len(frames) == 187
    ratios = []
    for i in range(0, 180, 30):
        a, b = frames.frame(i), frames.frame(i + 1)
        if frames.overlap(i, i + 1) < 0.5:
            continue
        xy = pixel_grid(360, 540, 3)[None]
        unwarped = float((sample(a.image[None], xy, (540, 360)) - sample(b.image[None], xy, (540, 360))).abs().mean())
        ratios.append(color_error(a, b)[0] / unwarped)
    assert len(ratios) >= 4 and max(ratios) < 0.8 and sum(ratios) / len(ratios) < 0.55


@pytest.mark.slow
@needs_hololens
def test_real_sequences_keep_to_their_band_and_show_mostly_known_depth():
    """Five frames at 240x240; about a third of the pixels are holes or edges."""
    config = RgbdConfig(folders=(HOLOLENS,), image_size=(240, 240), overlap=(0.3, 0.8), max_gap=20)
    batch = rgbd_sequences(config).sample(2, torch.Generator().manual_seed(0))
    assert batch.images.shape == (2, 5, 3, 240, 240)
    xy = pixel_grid(240, 240, 4)[None].expand(2, -1, -1)
    for target in range(1, 5):
        assert (batch.geometry.warp(0, target, xy).visible.float().mean(1) > 0.1).all()
    assert batch.geometry.valid(0).float().mean() > 0.5
