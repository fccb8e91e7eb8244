"""A tracked folder: files, refusal to mix, interruption, webcam."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from webcam import plug_in_webcam

import traqpoint.io.video as video
from traqpoint.apps.track import track_to_folder, watch
from traqpoint.errors import ConfigError
from traqpoint.image import read_image
from traqpoint.io.npz import load_tracks
from traqpoint.tracking.config import TrackerConfig
from traqpoint.types import Features


@dataclass(frozen=True)
class DotConfig:
    """Configuration of the fake extractor."""

    weights: str = "dots"


class DotExtractor:
    """Eight points that move 3 px to the right per frame, whatever the image shows."""

    config = DotConfig()

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.frame = 0
        self.interrupt_at = interrupt_at

    def __call__(self, image: np.ndarray) -> Features:
        if self.frame == self.interrupt_at:
            raise KeyboardInterrupt
        y = torch.arange(8) * 5.0 + 10
        xy = torch.stack([torch.full((8,), 5.0 + 3 * self.frame), y], dim=-1)
        self.frame += 1
        return Features(xy, torch.ones(8), torch.eye(8), (image.shape[1], image.shape[0]))


FRAMES = [np.full((60, 81, 3), 90, dtype=np.uint8)] * 6


def test_everything_is_written(tmp_path):
    """Tracks, statistics, a picture, a video of all frames and the configuration agree with each other."""
    calls = []
    progress = lambda done, total: calls.append((done, total))  # noqa: E731
    statistics = track_to_folder(FRAMES, tmp_path / "out", DotExtractor(), progress=progress)
    assert (statistics.num_tracks, statistics.mean_length, statistics.num_frames) == (8, 6.0, 6)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"tracks.npz", "tracks.png", "tracks.webm", "statistics.json", "config.yaml"}
    tracks = load_tracks(tmp_path / "out/tracks.npz")
    assert len(tracks) == 8 and tracks.xy[tracks.track_id == 0][:, 0].tolist() == [5, 8, 11, 14, 17, 20]
    assert json.loads((tmp_path / "out/statistics.json").read_text())["mean_length"] == 6.0
    assert len(list(video.read_frames(tmp_path / "out/tracks.webm"))) == 6
    assert read_image(tmp_path / "out/tracks.png").shape == (60, 81, 3)
    assert calls == [(i, 6) for i in range(1, 7)]


def test_a_finished_folder_is_left_alone_and_another_configuration_refused(tmp_path):
    """The second run extracts nothing; other settings raise, and replace with overwrite."""
    track_to_folder(FRAMES, tmp_path, DotExtractor())
    again = DotExtractor()
    assert track_to_folder(FRAMES, tmp_path, again).num_tracks == 8 and again.frame == 0
    with pytest.raises(ConfigError, match=r"tracker\.max_gap: 3 there, 1 here"):
        track_to_folder(FRAMES, tmp_path, DotExtractor(), TrackerConfig(max_gap=1))
    track_to_folder(FRAMES, tmp_path, again, TrackerConfig(max_gap=1), overwrite=True)
    assert again.frame == 6


def test_ctrl_c_in_a_video_leaves_no_result_that_looks_finished(tmp_path):
    """A video is one item: interrupted it has no tracks and no film, and the next run starts it again."""
    with pytest.raises(KeyboardInterrupt):
        track_to_folder(FRAMES, tmp_path, DotExtractor(interrupt_at=3))
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml"}
    assert track_to_folder(FRAMES, tmp_path, DotExtractor()).num_frames == 6


@pytest.fixture
def camera(monkeypatch):
    """A webcam 0 that always shows the same."""
    plug_in_webcam(monkeypatch, FRAMES[0])


def test_ctrl_c_is_the_normal_end_of_a_webcam(tmp_path, camera):
    """What a webcam has shown until Ctrl-C is a complete result."""
    statistics = track_to_folder(0, tmp_path, DotExtractor(interrupt_at=4))
    assert statistics.num_frames == 4 and (tmp_path / "tracks.webm").is_file()
    assert track_to_folder(0, tmp_path, DotExtractor(), max_frames=2, overwrite=True).num_frames == 2


def test_the_picture_is_the_richest_frame(tmp_path):
    """tracks.png shows the frame with the most trail, here the last one."""
    track_to_folder(FRAMES, tmp_path, DotExtractor())
    changed = (read_image(tmp_path / "tracks.png") != read_image(tmp_path / "tracks.png")[0, 0]).any(-1)
    assert changed[10, 8:20].all()


class Screen:
    """Counts frames and closes after some."""

    def __init__(self, frames):
        self.frames, self.images = frames, []

    def __call__(self, image):
        self.images.append(image)
        return len(self.images) < self.frames


def test_a_webcam_is_watched_until_its_window_closes(camera):
    """Trails are on the picture, and nothing is written."""
    screen = Screen(4)
    assert watch(0, DotExtractor(), screen).num_frames == 4
    assert len(screen.images) == 4 and (screen.images[3] != screen.images[0]).any()
    assert watch(0, DotExtractor(interrupt_at=3), Screen(9)).num_frames == 3

    def interrupted(image):
        raise KeyboardInterrupt

    assert watch(0, DotExtractor(), interrupted).num_frames == 1
    with pytest.raises(KeyboardInterrupt):
        watch(FRAMES, DotExtractor(), interrupted)


def test_closing_the_window_ends_a_webcam_and_not_a_file(tmp_path, camera):
    """What is in the folder is the whole film, however long it was watched."""
    assert track_to_folder(0, tmp_path / "camera", DotExtractor(), show=Screen(2)).num_frames == 2
    screen = Screen(2)
    assert track_to_folder(FRAMES, tmp_path / "file", DotExtractor(), show=screen).num_frames == 6
    assert len(screen.images) == 2
