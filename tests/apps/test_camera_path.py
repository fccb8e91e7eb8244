"""The path of a webcam, and the films of paths."""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from drive import FRAMES, SIZE, Drive
from webcam import plug_in_webcam

pytest.importorskip("matplotlib")
pytest.importorskip("pycolmap")

from traqpoint.apps.camera_path import camera_to_path
from traqpoint.apps.path_film import TRAIL, with_path
from traqpoint.errors import ConfigError, DataError
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.metrics.trajectory import absolute_errors, align
from traqpoint.io.trajectory import read_tum
from traqpoint.types import Features, Matches

PICTURE = np.full((SIZE[1], SIZE[0], 3), 90, dtype=np.uint8)
BENCHMARK = OdometryBenchmark(mode="map", scale="none", estimator="opencv-magsac", window=3)


@dataclass(frozen=True)
class ExactConfig:
    """Configuration of the fake extractor."""

    name: str = "exact"
    max_keypoints: int = 300
    long_side: int | None = None


class Exact:
    """The exact features of a drive, frame by frame, whatever the image shows."""

    config = ExactConfig()

    def __init__(self, world: Drive, interrupt_at: int | None = None) -> None:
        self.world, self.frame, self.interrupt_at = world, 0, interrupt_at

    def __call__(self, image: np.ndarray) -> Features:
        if self.frame == self.interrupt_at:
            raise KeyboardInterrupt
        self.frame += 1
        return self.world.features[self.frame - 1]


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """A webcam is followed into a folder, by default through the whole drive."""
    plug_in_webcam(monkeypatch, PICTURE)
    (tmp_path / "K.txt").write_text("500 500 319.5 239.5\n")
    return partial(camera_to_path, 0, tmp_path / "K.txt")


def frames_of(film):
    capture, frames = cv2.VideoCapture(str(film)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


@pytest.mark.slow
def test_a_webcams_path_is_the_true_one_and_its_film_has_every_frame(tmp_path, follow, monkeypatch):
    world = Drive()
    result = follow(tmp_path / "out", Exact(world), BENCHMARK, max_frames=FRAMES, film=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"path.webm", "path.png", "path_tum.txt", "path_kitti.txt", "path_euroc.csv", *RESULT}
    path = read_tum(tmp_path / "out" / "path_tum.txt")
    assert bool((path.timestamps.diff() > 0).all()) and path.timestamps[0] == 0
    true = type(path)(path.timestamps, world.truth.cam_from_world)
    assert absolute_errors(align(path, true, "sim3"), true).max() < 5e-3
    assert result.stats["failed_frames"] == 0 and result.stats["mean_track_length"] > 5
    assert result.protocol["dataset"] == {"name": "camera 0", "images": FRAMES}
    monkeypatch.undo()
    frames = frames_of(tmp_path / "out" / "path.webm")
    assert len(frames) == FRAMES and frames[0].shape == PICTURE.shape
    trails = [int((np.ptp(frame[200:], axis=-1) > 60).sum()) for frame in frames]  # coloured, and below the inset
    assert trails[0] == 0 and trails[-1] > 500


RESULT = ("result.json", "result.npz")


@pytest.mark.slow
def test_ctrl_c_is_the_end_of_a_webcam_that_has_shown_two_frames(tmp_path, follow):
    """Wherever it comes: what was begun of the third frame is forgotten."""
    result = follow(tmp_path / "out", Exact(Drive(), interrupt_at=7), BENCHMARK)
    assert len(result.arrays["estimate"]) == 7
    with pytest.raises(KeyboardInterrupt):
        follow(tmp_path / "short", Exact(Drive(), interrupt_at=1), BENCHMARK)
    assert not (tmp_path / "short" / "result.json").exists()


def test_an_update_that_was_interrupted_does_not_count():
    """The frame is there, and its matches, but not the time that belongs to it."""
    world = Drive()
    follower = BENCHMARK.follower(world.sequence.camera)
    for features in world.features[:8]:
        follower.update(features)
    assert max(map(max, follower.verified)) == 7
    path = follower.path(torch.arange(6.0))
    assert len(path.trajectory) == len(path.reference) == 6 and max(map(max, path.verified)) < 6


def test_closing_the_window_ends_it(tmp_path, follow):
    shown = []
    show = lambda image: shown.append(image) or len(shown) < 5  # noqa: E731
    assert len(follow(tmp_path / "out", Exact(Drive()), BENCHMARK, show=show).arrays["estimate"]) == 5
    assert len(shown) == 5 and shown[4].shape == PICTURE.shape and (shown[4] != shown[0]).any()


def test_what_a_webcam_cannot_be_is_said_before_it_is_opened(tmp_path, follow):
    with pytest.raises(ConfigError, match="mode map, not keyframe"):
        follow(tmp_path / "out", Exact(Drive()), OdometryBenchmark(mode="keyframe", scale="none"))
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a path already"):
        follow(tmp_path, Exact(Drive()), BENCHMARK)
    one = lambda image: False  # noqa: E731
    with pytest.raises(DataError, match="camera 0: odometry needs two images or more, found 1"):
        follow(tmp_path / "out", Exact(Drive()), BENCHMARK, show=one)


def test_a_film_shows_tracks_of_some_frames_and_only_the_last_ones():
    """A row of points: one is seen in all frames, one in the first two only, one long ago."""
    count = TRAIL + 5
    ones = lambda xy: Features(torch.tensor(xy), torch.ones(len(xy)), torch.ones(len(xy), 1), SIZE)  # noqa: E731
    features = [ones([[100.0 + 5 * t, 300], [100.0 + 5 * t, 350], [100.0 + 5 * t, 400]]) for t in range(count)]
    last = count - 1
    first, short = torch.tensor([[0, 0]]), torch.tensor([[0, 0], [1, 1]])
    verified = {
        (t, t + 1): Matches(short if t == last - 1 else first, torch.ones(2)[: 1 + (t == last - 1)])
        for t in range(last)
    }
    poses = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    drawn = with_path(PICTURE, last, lambda t: features[t], verified, poses, lost=False)
    coloured = (np.ptp(drawn.astype(int), axis=-1) > 30).any(axis=0)
    rows = (np.ptp(drawn.astype(int), axis=-1) > 30).any(axis=1)
    assert rows[297:303].any() and not rows[340:].any()
    x = np.flatnonzero(coloured[: SIZE[0] - 200])
    assert abs(x.max() - (100 + 5 * last)) < 5 and abs(x.min() - (100 + 5 * (last - TRAIL + 1))) < 5
    early = with_path(PICTURE, 3, lambda t: features[t], verified, poses, lost=False)
    assert np.ptp(early[297:303].astype(int), axis=-1).max() > 30
