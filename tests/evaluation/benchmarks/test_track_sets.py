"""The track benchmark from the sequences on: perfect features are perfect, noise is measured, and nothing varies."""

import numpy as np
import pytest
import torch
from random_inputs import blocks, write_pictures

from traqpoint.data.config import HomographyConfig
from traqpoint.data.posed.colmap import ColmapSet
from traqpoint.data.posed.frames import PosedSet
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.errors import ConfigError, DataError
from traqpoint.evaluation.benchmarks.track_sets import (
    covisible_set,
    homography_set,
    in_memory,
    window_set,
    worlds_set,
)
from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark
from traqpoint.evaluation.metrics.tracks import bootstrap, track_scores
from traqpoint.evaluation.predict import Predictions, frame_names
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.image import write_image
from traqpoint.io.memory import MemoryFeatures, MemoryMatches
from traqpoint.types import Features, Frame, PointState, SequenceBatch, WarpedPoints

SMALL = HomographyConfig(image_size=96, zoom=(1.2, 1.4), photometric=0.0, num_frames=4)


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos", (blocks(120, 144, i) for i in range(5)))


class Slope(PosedSet):
    """A posed video of a slanted plane, with depth; the camera moves 0.1 m to the right per frame."""

    name = "slope"

    def __init__(self, length, size=(64, 48)):
        self.names = [f"{i}.png" for i in range(length)]
        self.size = size

    def shares(self, source):
        return 1 - 0.1 * (torch.arange(len(self)) - source).abs()

    def overlap(self, source, target):
        return float(self.shares(source)[target])

    def frame(self, index):
        width, height = self.size
        K = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]])
        pose = torch.eye(4)
        pose[0, 3] = -0.1 * index
        x = (torch.arange(width) + 0.5) / width - 0.5
        # z = 4 + x_world / 2 with x_world = z x + centre.
        depth = ((4 + 0.05 * index) / (1 - x / 2)).expand(height, width)
        return Frame(torch.full((3, height, width), index / 100), K, pose, depth)


def perfect_features(sequence, noise=0.0, count=16, seed=0):
    """Keypoints of the first frame and where they truly are in the others; one-hot descriptors by identity."""
    generator = torch.Generator().manual_seed(seed)
    height, width = sequence.images.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float)
    xy = (0.2 + 0.6 * torch.rand(count, 2, generator=generator)) * size
    out = [Features(xy, torch.ones(count), torch.eye(count), (width, height))]
    for t in range(1, sequence.num_frames):
        warped = sequence.geometry.warp(0, t, xy[None])
        seen = warped.visible[0]
        angle = 2 * torch.pi * torch.rand(int(seen.sum()), generator=generator)
        moved = warped.xy[0][seen] + noise * torch.stack([angle.cos(), angle.sin()], dim=-1)
        out.append(Features(moved, torch.ones(len(moved)), torch.eye(count)[seen], (width, height)))
    return out


def judged(sequences, perfect=perfect_features, **options):
    """The benchmark's result for features that know the truth."""
    noise = {key: options.pop(key) for key in ("noise",) if key in options}
    store = MemoryFeatures()
    for name, sequence in sequences:
        for frame, features in zip(frame_names(name, sequence), perfect(sequence, **noise), strict=True):
            store.write(frame, features)
    found = Predictions("perfect", store, MemoryMatches(), {})
    return TracksBenchmark(**options).on(sequences).score(found)


def sources(photos):
    return {
        "homographies": homography_set(photos, SMALL),
        "windows": window_set(Slope(12), num_frames=4),
        "covisible": covisible_set(Slope(12), num_frames=4, min_overlap=0.5, stride=4),
        "worlds": worlds_set(WorldsConfig(image_size=(96, 96), num_frames=3, motion=0.1, num_textures=3), count=2),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["homographies", "windows", "covisible", "worlds"])
def test_perfect_features_live_as_long_as_they_are_seen_whatever_the_source(photos, kind):
    sequences = sources(photos)[kind]
    result = judged(sequences)
    assert result.stats["completeness"] == result.stats["precision"] == result.stats["repeatability"] == 1
    assert result.stats["matching_score"] == pytest.approx(1, abs=0.02)  # a point may leave by rounding on the way back
    assert result.stats["survival"] == 1 and result.stats["completeness_low"] == 1
    assert result.stats["localization_px"] < 1e-3
    assert np.nanmin(result.arrays["survival_at"]) == np.nanmin(result.arrays["completeness_at"]) == 1
    assert len(result.arrays["completeness"]) == len(sequences) == result.protocol["dataset"]["sequences"]


def test_points_that_never_leave_are_found_in_every_frame():
    sequences = window_set(Slope(8, size=(640, 480)), num_frames=4)
    result = judged(sequences)
    assert result.stats["track_length"] == result.stats["track_length_low"] == 4
    assert result.arrays["length_histogram"].tolist() == [0, 0, 0, 32]


def test_known_noise_is_the_known_error_at_every_distance():
    sequences = window_set(Slope(8, size=(640, 480)), num_frames=4)
    result = judged(sequences, noise=1.25)
    assert result.stats["localization_px"] == pytest.approx(1.25, abs=1e-3)
    assert result.arrays["localization_px_at"] == pytest.approx([1.25] * 3, abs=1e-3)
    strict = judged(sequences, noise=1.25, threshold_px=1.0)
    assert strict.stats["completeness"] == 0 and np.isnan(strict.arrays["localization_px_at"]).all()


def test_a_track_that_breaks_and_returns_counts_for_completeness_and_not_for_survival():
    """Half of the points are missing in target 2 of 3 alone: completeness 1, 1/2, 1, survival 1, 1/2, 1/2."""
    (_, sequence), *_ = window_set(Slope(4, size=(640, 480)), num_frames=4)
    features = perfect_features(sequence)
    half = features[2]
    features[2] = Features(half.keypoints[:8], half.scores[:8], half.descriptors[:8], half.image_size)
    scores = track_scores(features, sequence)
    curves = scores.curves()
    assert curves["completeness_at"].tolist() == [1, 0.5, 1]
    assert curves["survival_at"].tolist() == [1, 0.5, 0.5]
    assert scores.summary()["survival"] == 0.5
    assert scores.length_histogram == (0, 0, 8, 8)
    # 8 + 16 keypoints see each other in target 2; matching score is correct / mean number in common.
    assert scores.summary()["matching_score"] == pytest.approx(2 * 40 / (2 * 32 + 24))


class Leaving:
    """The first keypoint of frame 0 is outside of all others; everything else stays where it is."""

    def warp(self, source, target, xy):
        state = torch.full(xy.shape[:-1], int(PointState.VISIBLE))
        if target > source:
            state[:, 0] = int(PointState.OUTSIDE)
        return WarpedPoints(xy, state)


def test_a_point_that_leaves_the_view_no_longer_counts_for_survival():
    xy, one = torch.tensor([[10.0, 10], [20, 20]]), torch.ones(2)
    features = [Features(xy, one, torch.eye(2), (50, 50)), Features(xy[1:], one[1:], torch.eye(2)[1:], (50, 50))]
    scores = track_scores(features, SequenceBatch(torch.zeros(1, 2, 3, 50, 50), Leaving()))
    assert scores.visible_through == (1,) and scores.found_through == (1,)


def test_unknown_truth_is_left_out_and_its_share_is_told():
    """The depth of the left half of the reference is unknown."""
    (_, sequence), *_ = window_set(Slope(3, size=(640, 480)), num_frames=3)
    depth = sequence.geometry.depth.clone()
    depth[:, 0, :, :320] = torch.nan
    holes = SequenceBatch(sequence.images, DepthGeometry(depth, sequence.geometry.K, sequence.geometry.cam_from_world))
    features = perfect_features(sequence)
    known = int((features[0].keypoints[:, 0] > 320).sum())
    result = judged(in_memory("holes", [holes]), lambda _: features)
    assert 0 < known < 16
    assert result.stats["completeness"] == result.stats["precision"] == 1
    expected = f"{(16 - known) * 2} of 32"
    assert expected in result.notes[0] and f"{(16 - known) / 16:.1%}" in result.notes[0]


def test_a_method_without_keypoints_scores_zero_and_it_is_told():
    sequences = window_set(Slope(8), num_frames=4)
    nothing = Features(torch.empty(0, 2), torch.empty(0), torch.empty(0, 8), (64, 48))
    result = judged(sequences, lambda sequence: [nothing] * sequence.num_frames)
    assert result.stats["completeness"] == result.stats["track_length"] == result.stats["repeatability"] == 0
    assert np.isnan(result.stats["localization_px"])
    assert result.notes == ("no keypoints in the reference frame of 2 of 2 sequences",)


def test_the_same_set_is_the_same_bits_and_another_seed_is_another_set(photos):
    for make in (
        lambda seed: homography_set(photos, SMALL, seed=seed),
        lambda seed: worlds_set(WorldsConfig(image_size=(48, 48), num_frames=2, num_textures=2), 1, seed),
    ):
        (_, a), *_ = make(0)
        (_, b), *_ = make(0)
        (_, c), *_ = make(1)
        assert torch.equal(a.images, b.images) and not torch.equal(a.images, c.images)


def test_a_limit_keeps_the_sequences_that_it_keeps_as_they_are(photos):
    """First, middle and last of five photos, each with the motion that it has without a limit."""
    everything, few = list(homography_set(photos, SMALL)), list(homography_set(photos, SMALL, limit=3))
    assert [name for name, _ in few] == ["0000", "0001", "0002"]
    for (_, some), (_, same) in zip(few, everything[::2], strict=True):
        assert torch.equal(some.images, same.images)


def test_every_so_manyth_photo_keeps_the_sequence_that_it_has_among_all(photos):
    everything, few = list(homography_set(photos, SMALL)), homography_set(photos, SMALL, stride=2)
    for (_, some), (_, same) in zip(few, everything[::2], strict=True):
        assert torch.equal(some.images, same.images)
    assert few.protocol["dataset"]["stride"] == 2 and "stride" not in homography_set(photos, SMALL).protocol["dataset"]


def test_a_milder_set_moves_by_that_share_and_none_at_all_at_zero():
    still = SMALL.milder(0.0)
    assert (still.rotation_degrees, still.scale, still.translation, still.perspective) == (0, 1, 0, 0)
    half = SMALL.milder(0.5)
    assert half.rotation_degrees == SMALL.rotation_degrees / 2 and half.scale**2 == pytest.approx(SMALL.scale)
    assert SMALL.milder(1.0) == SMALL


def test_windows_start_where_they_are_told_and_do_not_overlap():
    def shown(**options):
        return [
            (sequence.images[0, :, 0, 0, 0] * 100).round().int().tolist()
            for _, sequence in window_set(Slope(12), **options)
        ]

    assert shown(num_frames=3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert shown(num_frames=3, gap=2, first=1) == [[1, 3, 5], [7, 9, 11]]
    assert shown(num_frames=3, stride=4, limit=2) == [[0, 1, 2], [8, 9, 10]]


def test_covisible_images_are_spread_from_the_most_to_the_least_overlap():
    (_, sequence), *_ = covisible_set(Slope(12), num_frames=3, min_overlap=0.65)
    # Frame 0 shares 0.9, 0.8, 0.7 with 1, 2, 3.
    assert (sequence.images[0, :, 0, 0, 0] * 100).round().int().tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: window_set(Slope(4), num_frames=5), DataError, "slope: 4 frames from number 0 on are too few"),
        (lambda: window_set(Slope(4), num_frames=3, first=2), DataError, "2 frames from number 2 on"),
        (lambda: covisible_set(Slope(4), num_frames=4, min_overlap=0.99), DataError, "no image has 3 others"),
        (lambda: window_set(Slope(4), num_frames=1), ConfigError, "frames >= 2"),
        (lambda: window_set(Slope(4), num_frames=2, limit=0), ConfigError, "limit must be at least 1"),
        (lambda: worlds_set(count=0), ConfigError, "at least 1 world"),
    ],
)
def test_impossible_sets_say_what_is_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_frames_of_different_sizes_are_named():
    class Mixed(Slope):
        def frame(self, index):
            return Slope(9, (64, 48 + index)).frame(index)

    with pytest.raises(DataError, match=r"1\.png has 64x49 px and 0\.png 64x48"):
        list(window_set(Mixed(4), num_frames=2))


def test_the_interval_holds_the_value_and_shrinks_with_more_sequences():
    (_, sequence), *_ = window_set(Slope(4, size=(640, 480)), num_frames=2)
    good = track_scores(perfect_features(sequence), sequence)
    bad = track_scores([perfect_features(sequence)[0], perfect_features(sequence, noise=9.0)[1]], sequence)
    few, many = bootstrap([good, bad] * 5), bootstrap([good, bad] * 50)
    assert few["completeness_low"] < 0.5 < few["completeness_high"]
    assert few["track_length_low"] < 1.5 < few["track_length_high"]
    width = [x["completeness_high"] - x["completeness_low"] for x in (few, many)]
    assert width[1] < 0.5 * width[0]
    uneven = [good, bad, bad] * 7
    assert bootstrap(uneven) == bootstrap(uneven) != bootstrap(uneven, seed=1)
    assert np.isnan(bootstrap([good])["completeness_low"])


def colmap_workspace(folder):
    """Three cameras, 0.2 m apart, that all observe a grid of points on a wall 4 m away, 8 px apart."""
    lines = {"cameras.txt": ["1 PINHOLE 64 48 64 64 32 24"], "images.txt": [], "points3D.txt": []}
    pixels = [(x, y) for y in range(4, 48, 8) for x in range(16, 64, 8)]
    for i in range(3):
        observed = [f"{x - 3.2 * i} {y} {p}" for p, (x, y) in enumerate(pixels, start=1)]
        lines["images.txt"] += [f"{i + 1} 1 0 0 0 {-0.2 * i} 0 0 1 {i}.png", " ".join(observed)]
        write_image(folder / "images" / f"{i}.png", np.full((48, 64, 3), i, dtype=np.uint8))
    for p, (x, y) in enumerate(pixels):
        track = " ".join(f"{i + 1} {p}" for i in range(3))
        lines["points3D.txt"].append(f"{p + 1} {(x - 32) / 16} {(y - 24) / 16} 4 0 0 0 0.1 {track}")
    (folder / "sparse").mkdir()
    for name, content in lines.items():
        (folder / "sparse" / name).write_text("\n".join(content) + "\n")
    return folder


def test_without_depth_maps_a_colmap_workspace_judges_keypoints_near_its_points(tmp_path):
    """A keypoint on a point is carried with it; one between the points has no truth; neither counts as a failure."""
    pytest.importorskip("pycolmap")
    ((_, sequence),) = covisible_set(ColmapSet(colmap_workspace(tmp_path)), num_frames=3, stride=3)
    xy, one = torch.tensor([[32.0, 20], [40, 28], [36, 24]]), torch.ones(3)
    features = [Features(xy - torch.tensor([3.2 * t, 0]), one, torch.eye(3), (64, 48)) for t in range(3)]
    scores = track_scores(features, sequence)
    assert scores.visible_at == scores.found_at == (2, 2) and scores.unknown == 2
    assert scores.summary()["localization_px"] < 1e-3
