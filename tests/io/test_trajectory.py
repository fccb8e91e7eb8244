"""Trajectory files: conventions, round trips and every way in which a file can be wrong."""

import math

import pytest
import research_data
import torch
from wavy_world import pose

from traqpoint.errors import FormatError, GeometryError
from traqpoint.geometry.transforms import quaternion_from_rotation, rigid, rotation_from_quaternion
from traqpoint.io.trajectory import (
    Trajectory,
    associate,
    interpolate,
    nearest,
    read_kitti,
    read_tum,
    write_euroc,
    write_kitti,
    write_tum,
)

PUBLIC = research_data.DATA / "formats/trajectories"
needs_public = pytest.mark.skipif(not PUBLIC.is_dir(), reason="public trajectories are not there")


def random_path(n=20, seed=0, far=1000.0):
    generator = torch.Generator().manual_seed(seed)
    quaternions = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    t = far * torch.randn(n, 3, dtype=torch.float64, generator=generator)
    times = torch.rand(n, dtype=torch.float64, generator=generator).cumsum(0) + 1305031098.6659
    return Trajectory(times, rigid(rotation_from_quaternion(quaternions), t))


def written(path, text):
    path.write_text(text)
    return path


def test_tum_lines_are_world_from_cam_with_the_scalar_last(tmp_path):
    """A camera at (1, 2, 3) turned by 90 degrees about z: its x axis points along the world's y."""
    half = math.sqrt(0.5)
    path = written(tmp_path / "t.txt", f"# comment\n\n10.5 1 2 3 0 0 {half} {half}\n11,1,2,3,0,0,{half},{half}\n")
    trajectory = read_tum(path)
    assert trajectory.timestamps.tolist() == [10.5, 11.0]
    assert torch.allclose(trajectory.centres[0], torch.tensor([1.0, 2, 3], dtype=torch.float64))
    world_from_cam = trajectory.cam_from_world[0, :3, :3].T
    assert torch.allclose(world_from_cam[:, 0], torch.tensor([0.0, 1, 0], dtype=torch.float64))


def test_kitti_rows_are_world_from_cam(tmp_path):
    path = written(tmp_path / "k.txt", "0 -1 0 1 1 0 0 2 0 0 1 3\n")
    trajectory = read_kitti(path)
    assert torch.allclose(trajectory.centres[0], torch.tensor([1.0, 2, 3], dtype=torch.float64))
    assert trajectory.timestamps.tolist() == [0.0]
    point = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64)  # one ahead of the camera along its own x axis
    assert torch.allclose(trajectory.cam_from_world[0] @ point, torch.tensor([1.0, 0, 0, 1], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_written_trajectories_are_read_back_to_the_last_digits(tmp_path, seed):
    path = random_path(seed=seed)
    write_tum(tmp_path / "a" / "t.txt", path)
    back = read_tum(tmp_path / "a" / "t.txt")
    assert torch.equal(back.timestamps, path.timestamps)
    assert (back.cam_from_world - path.cam_from_world)[:, :3, :3].abs().max() < 1e-14
    assert (back.centres - path.centres).abs().max() < 1e-11  # at 3 km
    write_kitti(tmp_path / "k.txt", path)
    back = read_kitti(tmp_path / "k.txt")
    assert (back.cam_from_world - path.cam_from_world)[:, :3, :3].abs().max() < 1e-14
    assert (back.centres - path.centres).abs().max() < 1e-11


def test_a_quaternion_comes_back_from_its_rotation_at_every_angle():
    """0 and 180 degrees about an axis included, where the usual formulas divide by nothing."""
    generator = torch.Generator().manual_seed(0)
    special = [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1e-9, 1, 0, 0], [0, 0.6, 0, 0.8]]
    wxyz = torch.cat([torch.tensor(special), torch.randn(200, 4, generator=generator)]).double()
    wxyz = torch.nn.functional.normalize(wxyz, dim=-1)
    back = quaternion_from_rotation(rotation_from_quaternion(wxyz))
    assert ((back * wxyz).sum(-1).abs() - 1).abs().max() < 1e-12
    assert (back[:, 0] >= 0).all()


@needs_public
def test_the_public_trajectories_have_their_published_size():
    """Poses, length and duration of KITTI 00 as evo prints them: 4541, 3724.187 m, 470.582 s."""
    truth = read_kitti(PUBLIC / "KITTI_00_gt.txt", PUBLIC / "KITTI_00_gt_times.txt")
    assert len(truth) == 4541
    assert float(truth.centres.diff(dim=0).norm(dim=-1).sum()) == pytest.approx(3724.187, abs=5e-4)
    assert float(truth.timestamps[-1]) == pytest.approx(470.582, abs=5e-4)


@needs_public
@pytest.mark.parametrize("name", ["freiburg1_xyz-groundtruth.txt", "freiburg1_xyz-rgbdslam_drift.txt"])
def test_the_public_tum_files_survive_reading_and_writing(tmp_path, name):
    path = read_tum(PUBLIC / name)
    write_tum(tmp_path / name, path)
    back = read_tum(tmp_path / name)
    assert torch.equal(back.timestamps, path.timestamps)
    assert (back.cam_from_world - path.cam_from_world).abs().max() < 1e-14
    numbers = [line.split() for line in (PUBLIC / name).read_text().splitlines() if not line.startswith("#")]
    positions = torch.tensor([[float(x) for x in words[1:4]] for words in numbers], dtype=torch.float64)
    assert (back.centres - positions).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 0\n", r":2: expected 8 numbers, got 7"),
        ("1 0 0 0 0 0 0 1\n\n2 0 nan 0 0 0 0 1\n", r":3: NaN or infinity"),
        ("1 0 0 0 0 0 0 1\n2 0 inf 0 0 0 0 1\n", r":2: NaN or infinity"),
        ("1 0 0 0 0 0 0 0\n", r":1: the quaternion has norm 0"),
        ("2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1\n", r":2: timestamp 1.0 does not come after 2.0"),
        ("2 0 0 0 0 0 0 1\n2 0 0 0 0 0 0 1\n", r":2: timestamp"),
        ("a b c d e f g h\n", r":1: not numbers"),
        ("# nothing\n", r"no numbers in this file"),
    ],
)
def test_a_wrong_tum_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(FormatError, match=r"bad\.txt.*" + message):
        read_tum(written(tmp_path / "bad.txt", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0 0 0 1 0 0 0 0 1\n", r":1: expected 12 numbers, got 11"),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n2 0 0 0 0 2 0 0 0 0 2 0\n", r":2: the 3x3 block is not a rotation"),
        ("1 0 0 0 0 1 0 0 0 0 -1 0\n", r":1: the 3x3 block is not a rotation"),
        ("0 0 0 0 0 0 0 0 0 0 0 0\n", r":1: the 3x3 block is not a rotation"),
        ("1 0 0 nan 0 1 0 0 0 0 1 0\n", r":1: NaN or infinity"),
    ],
)
def test_a_wrong_kitti_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(FormatError, match=r"bad\.txt.*" + message):
        read_kitti(written(tmp_path / "bad.txt", text))


def test_files_that_are_missing_or_do_not_belong_together_are_told(tmp_path):
    with pytest.raises(FormatError, match=r"none\.txt: cannot be read"):
        read_tum(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"binary\.txt: cannot be read"):
        read_kitti(tmp_path / "binary.txt")
    poses = written(tmp_path / "k.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n")
    times = written(tmp_path / "times.txt", "0\n1\n")
    with pytest.raises(FormatError, match=r"times\.txt: 2 timestamps for the 1 poses"):
        read_kitti(poses, times)


def test_a_trajectory_is_checked_when_it_is_made():
    eye = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    with pytest.raises(GeometryError, match="must increase"):
        Trajectory(torch.tensor([1.0, 1.0]), eye)
    with pytest.raises(GeometryError, match=r"\(N, 4, 4\)"):
        Trajectory(torch.tensor([1.0]), eye)
    with pytest.raises(GeometryError, match="rotation"):
        Trajectory(torch.tensor([0.0, 1.0]), 2 * eye)


def at_times(times):
    return Trajectory(
        torch.tensor(times, dtype=torch.float64), torch.eye(4, dtype=torch.float64).repeat(len(times), 1, 1)
    )


def test_association_pairs_each_pose_with_at_most_one_other():
    """1.0 and 1.02 both are nearest to 1.01; 2.0 has a partner at the limit, 3.0 has none within it."""
    a, b = at_times([1.0, 1.02, 2.0, 3.0]), at_times([0.5, 1.015, 2.25, 3.5])
    i, j = associate(a, b, max_difference=0.25)
    assert i.tolist() == [1, 2] and j.tolist() == [1, 2]
    j, i = associate(b, a, max_difference=0.25)
    assert i.tolist() == [1, 2] and j.tolist() == [1, 2]


def test_association_with_nothing_is_empty():
    for a, b in ((at_times([]), at_times([1.0])), (at_times([1.0]), at_times([]))):
        i, j = associate(a, b)
        assert i.tolist() == j.tolist() == []


def test_the_nearest_time_is_found_on_either_side_and_beyond_the_ends():
    among = torch.tensor([0.0, 1.0, 3.0])
    assert nearest(torch.tensor([-5.0, 0.4, 0.5, 0.6, 2.1, 9.0]), among).tolist() == [0, 0, 0, 1, 2, 2]


def test_poses_between_two_moments_are_interpolated():
    """A quarter of the way between 0 and 40 degrees is 10 degrees, whichever sign the quaternions have."""
    path = Trajectory(torch.tensor([0.0, 1.0], dtype=torch.float64), torch.stack([pose(), pose(2.0, roll=40)]))
    found = interpolate(path, torch.tensor([-5, 0.25, 0.5, 1.0], dtype=torch.float64))
    torch.testing.assert_close(found[0], pose())
    torch.testing.assert_close(found[2], pose(1.0, roll=20))
    torch.testing.assert_close(found[3], pose(2.0, roll=40))
    torch.testing.assert_close(found[1], pose(0.5, roll=10), atol=5e-3, rtol=0)  # a chord, not an arc


def test_eurocs_csv_has_nanoseconds_and_the_scalar_first(tmp_path):
    pose = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    pose[1, 0, 3] = -2.0
    times = torch.tensor([1403636579.763555584, 1403636579.813555456], dtype=torch.float64)
    write_euroc(tmp_path / "path.csv", Trajectory(times, pose))
    header, first, second = (tmp_path / "path.csv").read_text().splitlines()
    assert header.startswith("#timestamp [ns],p_x") and len(first.split(",")) == 8
    assert abs(int(second.split(",")[0]) - 1403636579813555456) < 200
    assert [float(word) for word in second.split(",")[1:]] == [2, 0, 0, 1, 0, 0, 0]
