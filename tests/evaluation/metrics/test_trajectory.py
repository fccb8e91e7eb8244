"""Trajectory errors: by hand, and against implementations of other people on public trajectories."""

import math
from itertools import pairwise

import numpy as np
import pytest
import research_data
import torch
from drive import drive

from traqpoint import optional
from traqpoint.errors import GeometryError
from traqpoint.evaluation.metrics.trajectory import (
    KITTI_LENGTHS,
    Similarity,
    absolute_errors,
    align,
    fit_alignment,
    kitti_errors,
    path_lengths,
    relative_errors,
    segment_lengths,
    trajectory_scores,
)
from traqpoint.geometry.transforms import invert_rigid, rigid, rotation_from_quaternion
from traqpoint.io.trajectory import Trajectory, associate, read_kitti, read_tum

PUBLIC = research_data.DATA / "formats/trajectories"
needs_public = pytest.mark.skipif(not PUBLIC.is_dir(), reason="public trajectories are not there")


def path_of(centres, yaw=None):
    """Cameras at `centres` (N, 3), turned about y by `yaw` (N,) radians."""
    c = torch.tensor(centres, dtype=torch.float64)
    angle = torch.zeros(len(c), dtype=torch.float64) if yaw is None else torch.tensor(yaw, dtype=torch.float64)
    zero = torch.zeros_like(angle)
    R = rotation_from_quaternion(torch.stack([(angle / 2).cos(), zero, (angle / 2).sin(), zero], dim=-1))
    return Trajectory(torch.arange(len(c), dtype=torch.float64), invert_rigid(rigid(R, c)))


def curve(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(n, 3, dtype=torch.float64, generator=generator).cumsum(0)
    R = rotation_from_quaternion(torch.randn(n, 4, dtype=torch.float64, generator=generator))
    return Trajectory(torch.arange(n, dtype=torch.float64), invert_rigid(rigid(R, centres)))


def some_similarity(scale=2.5):
    R = rotation_from_quaternion(torch.tensor([0.3, -0.5, 0.7, 0.2], dtype=torch.float64))
    return Similarity(scale, R, torch.tensor([10.0, -4, 7], dtype=torch.float64))


@pytest.fixture(scope="module")
def fr1():
    estimate = read_tum(PUBLIC / "freiburg1_xyz-rgbdslam_drift.txt")
    reference = read_tum(PUBLIC / "freiburg1_xyz-groundtruth.txt")
    i, j = associate(estimate, reference)
    return estimate[i], reference[j]


@pytest.fixture(scope="module")
def kitti():
    return read_kitti(PUBLIC / "KITTI_00_ORB.txt"), read_kitti(PUBLIC / "KITTI_00_gt.txt")


def test_alignment_undoes_a_known_similarity_and_leaves_no_error():
    truth = curve()
    moved = some_similarity().trajectory(truth)
    aligned = align(moved, truth, "sim3")
    assert absolute_errors(aligned, truth).max() < 1e-10
    assert (aligned.cam_from_world - truth.cam_from_world).abs().max() < 1e-10
    rigidly = some_similarity(1.0).trajectory(truth)
    assert absolute_errors(align(rigidly, truth, "se3"), truth).max() < 1e-10


def test_se3_keeps_the_scale_and_none_touches_nothing():
    truth = curve()
    double = Similarity(2.0, torch.eye(3).double(), torch.zeros(3).double()).trajectory(truth)
    assert fit_alignment(double.centres, truth.centres, "se3").scale == 1
    spread = truth.centres - truth.centres.mean(0)
    rmse = absolute_errors(align(double, truth, "se3"), truth).square().mean().sqrt()
    assert float(rmse) == pytest.approx(float(spread.square().sum(-1).mean().sqrt()))
    assert torch.allclose(align(double, truth, "none").centres, double.centres, atol=1e-12)
    assert fit_alignment(double.centres, truth.centres, "scale").scale == pytest.approx(0.5)


def test_a_mirrored_path_is_never_fitted_by_a_reflection():
    truth = curve()
    mirrored = truth.centres * torch.tensor([1.0, 1, -1], dtype=torch.float64)
    fit = fit_alignment(mirrored, truth.centres, "sim3")
    assert float(torch.linalg.det(fit.R)) == pytest.approx(1)


@pytest.mark.parametrize("alignment", ["none", "scale", "se3", "sim3"])
def test_no_change_of_the_free_parameters_lowers_the_error(alignment):
    """The definition of least squares, tried in every direction that the alignment may move."""
    generator = torch.Generator().manual_seed(1)
    reference = curve(seed=3).centres
    estimate = some_similarity().points(reference) + torch.randn(reference.shape, generator=generator).double()
    best = fit_alignment(estimate, reference, alignment)

    def cost(fit):
        return float((fit.points(estimate) - reference).square().sum())

    for _ in range(100):
        turn = rotation_from_quaternion(torch.cat([torch.ones(1), 1e-3 * torch.randn(3, generator=generator)]).double())
        shift = 1e-3 * torch.randn(3, generator=generator).double()
        factor = 1 + 1e-3 * float(torch.randn((), generator=generator))
        free = alignment in ("se3", "sim3")
        other = Similarity(
            best.scale * (factor if alignment in ("scale", "sim3") else 1),
            turn @ best.R if free else best.R,
            best.t + shift if free else best.t,
        )
        assert cost(other) >= cost(best) - 1e-9


def test_a_path_that_stands_still_or_is_straight_can_be_aligned():
    truth = path_of([[0.0, 0, i] for i in range(5)])
    still = path_of([[7.0, 7, 7]] * 5)
    assert torch.allclose(absolute_errors(align(still, truth, "sim3"), truth), torch.tensor([2.0, 1, 0, 1, 2]).double())
    bent = path_of([[float(i), 0, 0] for i in range(5)])
    assert absolute_errors(align(bent, truth, "se3"), truth).max() < 1e-9
    assert fit_alignment(torch.zeros(3, 3), torch.ones(3, 3), "scale").scale == 1


def test_relative_errors_by_hand():
    """1.1 m per frame instead of 1 m is 0.1 m off; half a degree of turn per frame is half a degree off."""
    truth = path_of([[0.0, 0, i] for i in range(6)])
    fast = path_of([[0.0, 0, 1.1 * i] for i in range(6)])
    translation, rotation = relative_errors(fast, truth, 1)
    assert translation.tolist() == pytest.approx([0.1] * 5) and rotation.abs().max() < 1e-12
    translation, _ = relative_errors(fast, truth, 2)
    assert translation.tolist() == pytest.approx([0.2] * 4)
    turned = path_of([[0.0, 0, i] for i in range(6)], yaw=[math.radians(0.5) * i for i in range(6)])
    assert relative_errors(turned, truth, 3)[1].tolist() == pytest.approx([1.5] * 3)
    assert relative_errors(fast, truth, 9)[0].shape == (0,)


def test_relative_errors_over_metres_start_everywhere_and_end_just_beyond():
    """Steps of 1 m: the first pose farther than 1.5 m is two frames on."""
    truth = path_of([[0.0, 0, i] for i in range(6)])
    fast = path_of([[0.0, 0, 1.1 * i] for i in range(6)])
    assert relative_errors(fast, truth, 1.5, "metres")[0].tolist() == pytest.approx([0.2] * 4)
    assert relative_errors(fast, truth, 1.0, "metres")[0].tolist() == pytest.approx([0.2] * 4)  # farther, not as far


def test_relative_errors_do_not_depend_on_where_the_worlds_lie():
    truth, other = curve(), curve(seed=5)
    moved = some_similarity(1.0).trajectory(other)
    for a, b in zip(relative_errors(other, truth, 2), relative_errors(moved, truth, 2), strict=True):
        assert torch.allclose(a, b)


def test_kitti_errors_by_hand():
    """3 % too fast and 0.01 degrees per metre of turn, on a straight road of 1 m per frame."""
    truth = path_of([[0.0, 0, i] for i in range(41)])
    fast = path_of([[0.0, 0, 1.03 * i] for i in range(41)])
    translation, rotation, length = kitti_errors(fast, truth, lengths=(10.0, 20.0))
    # From 0, 10 and 20 for 10 m (not 30: the path ends at 40, and must go farther); from 0 and 10 for 20 m.
    assert length.tolist() == [10.0] * 3 + [20.0] * 2
    # 11 frames are needed to go farther than 10 m, so 0.33 m on 10 m.
    assert translation.tolist() == pytest.approx([3.3] * 3 + [3.15] * 2)
    turned = path_of([[0.0, 0, i] for i in range(41)], yaw=[math.radians(0.01) * i for i in range(41)])
    assert kitti_errors(turned, truth, (10.0,))[1].tolist() == pytest.approx([0.011] * 3)
    assert rotation.abs().max() < 1e-12
    assert all(len(x) == 0 for x in kitti_errors(fast, truth))  # shorter than 100 m


def test_trajectories_that_do_not_pair_up_are_an_error():
    with pytest.raises(GeometryError, match="3 estimated and 2 true"):
        absolute_errors(path_of([[0.0, 0, 0]] * 3), path_of([[0.0, 0, 0]] * 2))
    with pytest.raises(GeometryError, match="0 estimated and 0 true"):
        align(curve()[:0], curve()[:0], "sim3")


@pytest.mark.parametrize("seed", range(3))
def test_alignment_is_opencvs_and_colmaps(seed):
    """Both on noisy points, so that the fit is no exact one; OpenCV writes scale and rotation apart."""
    generator = torch.Generator().manual_seed(seed)
    reference = curve(seed=seed).centres
    estimate = some_similarity().points(reference) + torch.randn(reference.shape, generator=generator).double()
    fit = fit_alignment(estimate, reference, "sim3")
    matrix, scale = optional.load("cv2").estimateAffine3D(estimate.numpy(), reference.numpy(), force_rotation=True)
    assert fit.scale == pytest.approx(scale)
    assert np.abs(matrix[:, :3] - fit.R.numpy()).max() < 1e-9
    theirs = pytest.importorskip("pycolmap").estimate_sim3d(estimate.numpy(), reference.numpy())
    assert fit.scale == pytest.approx(theirs.scale)
    assert np.abs(theirs.matrix()[:, :3] / theirs.scale - fit.R.numpy()).max() < 1e-9
    assert np.abs(theirs.matrix()[:, 3] - fit.t.numpy()).max() < 1e-8


def quaternion_fit(x, y):
    """Horn's closed form (1987): the rotation from an eigenvector, the scale from the rotated points; numpy alone."""
    x0, y0 = x - x.mean(0), y - y.mean(0)
    S = x0.T @ y0
    N = np.empty((4, 4))
    N[0, 0] = np.trace(S)
    N[0, 1:] = N[1:, 0] = [S[1, 2] - S[2, 1], S[2, 0] - S[0, 2], S[0, 1] - S[1, 0]]
    N[1:, 1:] = S + S.T - np.trace(S) * np.eye(3)
    w, a, b, c = np.linalg.eigh(N)[1][:, -1]
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    R = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    return R, float((y0 * (x0 @ R.T)).sum() / (x0**2).sum())


@needs_public
@pytest.mark.parametrize("name", ["fr1", "kitti"])
@pytest.mark.parametrize("alignment", ["se3", "sim3"])
def test_absolute_errors_of_public_trajectories_are_those_of_horns_method(request, name, alignment):
    estimate, reference = request.getfixturevalue(name)
    x, y = estimate.centres.numpy(), reference.centres.numpy()
    R, scale = quaternion_fit(x, y)
    moved = (scale if alignment == "sim3" else 1.0) * (x - x.mean(0)) @ R.T + y.mean(0)
    theirs = np.linalg.norm(moved - y, axis=1)
    ours = absolute_errors(align(estimate, reference, alignment), reference).numpy()
    assert np.abs(ours - theirs).max() < 1e-7
    assert 0 < np.sqrt((ours**2).mean()) < {"fr1": 0.1, "kitti": 10.0}[name]


@needs_public
def test_kitti_errors_of_a_public_trajectory_are_those_of_a_plain_rewriting_of_the_benchmarks_code(kitti):
    """The loop of evaluate_odometry.cpp in numpy, on the matrices as the files have them."""
    estimate, reference = kitti
    files = [np.loadtxt(PUBLIC / f"KITTI_00_{name}.txt").reshape(-1, 3, 4) for name in ("ORB", "gt")]
    result, truth = (np.concatenate([m, np.tile([[[0, 0, 0, 1]]], (len(m), 1, 1))], axis=1) for m in files)
    dist = [0.0]
    for a, b in pairwise(truth):
        dist.append(dist[-1] + float(np.linalg.norm(b[:3, 3] - a[:3, 3])))
    errors = []
    for first in range(0, len(truth), 10):
        for length in range(100, 900, 100):
            last = next((i for i in range(first, len(truth)) if dist[i] > dist[first] + length), None)
            if last is None:
                continue
            delta_truth = np.linalg.inv(truth[first]) @ truth[last]
            delta_result = np.linalg.inv(result[first]) @ result[last]
            error = np.linalg.inv(delta_result) @ delta_truth
            angle = math.acos(max(min(0.5 * (np.trace(error[:3, :3]) - 1), 1.0), -1.0))
            errors.append((100 * np.linalg.norm(error[:3, 3]) / length, math.degrees(angle) / length))
    translation, rotation, length = kitti_errors(estimate, reference)
    assert len(length) == len(errors)
    theirs = np.mean(errors, axis=0)
    assert float(translation.mean()) == pytest.approx(theirs[0], rel=1e-4)
    assert float(rotation.mean()) == pytest.approx(theirs[1], rel=1e-3)


@needs_public
def test_errors_of_orb_slam2_on_kitti_00_are_those_that_its_authors_printed(kitti):
    """Mur-Artal and Tardós 2017, table I: 0.70 %, 0.25 degrees per 100 m, 1.3 m after a rigid alignment. The file is
    another run of their program, which agrees to the digits that they print."""
    estimate, reference = kitti
    translation, rotation, _ = kitti_errors(estimate, reference)
    absolute = absolute_errors(align(estimate, reference, "se3"), reference)
    assert round(float(translation.mean()), 2) == 0.70
    assert round(100 * float(rotation.mean()), 2) == 0.25
    assert round(float(absolute.square().mean().sqrt()), 1) == 1.3


@needs_public
def test_relative_errors_of_a_public_trajectory_are_those_of_the_tum_definition(fr1):
    """E_i = (Q_i^-1 Q_i+d)^-1 (P_i^-1 P_i+d) with general inverses of world_from_cam, one pose at a time."""
    estimate, reference = fr1
    P, Q = (np.linalg.inv(path.cam_from_world.numpy()) for path in (estimate, reference))
    errors = []
    for i in range(len(P) - 10):
        E = np.linalg.inv(np.linalg.inv(Q[i]) @ Q[i + 10]) @ (np.linalg.inv(P[i]) @ P[i + 10])
        vector, _ = optional.load("cv2").Rodrigues(E[:3, :3])
        errors.append((np.linalg.norm(E[:3, 3]), np.degrees(np.linalg.norm(vector))))
    ours = torch.stack(relative_errors(estimate, reference, 10), dim=-1).numpy()
    assert np.abs(ours - np.array(errors)).max() < 1e-6


def test_path_lengths_add_up_the_steps():
    assert path_lengths(path_of([[0.0, 0, 0], [3, 4, 0], [3, 4, 2]])).tolist() == [0, 5, 7]


def test_a_path_with_gaps_is_judged_where_it_has_poses_and_its_coverage_told():
    """Every third pose of the truth, a little later, and moved as a whole."""
    truth = drive()
    part = truth[::3]
    turn = rigid(rotation_from_quaternion(torch.tensor([0.9, 0.1, 0.3, 0.2]).double()), torch.ones(3).double())
    estimate = Trajectory(part.timestamps + 0.01, part.cam_from_world @ turn)
    stats, arrays, _ = trajectory_scores(estimate, truth, "se3")
    assert stats["coverage"] == pytest.approx(4 / 12) and stats["ate_max_m"] < 1e-9
    assert arrays["ate_m"].shape == (4,)
    assert trajectory_scores(estimate, truth, "none")[0]["ate_rmse_m"] > 0.1
    with pytest.raises(GeometryError, match="no pose of the estimate"):
        trajectory_scores(estimate, truth, "se3", max_difference=0.001)


def test_short_runs_have_segments_of_a_tenth_or_a_hundredth():
    assert segment_lengths(3724.0) == segment_lengths(200.0) == KITTI_LENGTHS
    assert segment_lengths(59.9) == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80])
    assert segment_lengths(7.0)[0] == pytest.approx(1) and segment_lengths(0.0) == KITTI_LENGTHS
