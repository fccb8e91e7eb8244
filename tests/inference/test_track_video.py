"""tp.track on a video whose true motion is known."""

import threading
import time

import numpy as np
import pytest
import torch
from webcam import plug_in_webcam

from traqpoint.errors import ConfigError, ImageError
from traqpoint.image import write_image
from traqpoint.inference.tracker import track, track_frames
from traqpoint.tracking.config import TrackerConfig
from traqpoint.tracking.online import OnlineTracker


def test_a_panning_camera_is_followed(panning_frames, corner_extractor):
    """Nearly all observations of long tracks move by exactly the true 6 px per frame."""
    tracks = track(panning_frames, corner_extractor(), TrackerConfig(max_displacement=10))
    assert tracks.num_frames == 10
    lengths = tracks.track_id.unique(return_counts=True)[1]
    assert int((lengths == 10).sum()) >= 15
    same = tracks.track_id[1:] == tracks.track_id[:-1]
    steps = (tracks.xy[1:] - tracks.xy[:-1])[same]
    gaps = (tracks.frame[1:] - tracks.frame[:-1])[same]
    true = torch.stack([-6.0 * gaps, torch.zeros(len(gaps))], dim=-1)
    assert float(((steps - true).norm(dim=-1) < 1.5).float().mean()) > 0.95


def test_all_sources_give_the_same_tracks(tmp_path, panning_frames, corner_extractor):
    """A folder, a list of paths and a list of arrays are the same video; max_frames cuts it."""
    for i, frame in enumerate(panning_frames):
        write_image(tmp_path / f"{i}.png", frame)
    expected = track(panning_frames, corner_extractor())
    for source in (tmp_path, sorted(tmp_path.iterdir())):
        assert torch.equal(track(source, corner_extractor()).xy, expected.xy)
    short = track(tmp_path, corner_extractor(), max_frames=4)
    assert short.num_frames == 4 and int(short.frame.max()) == 3
    assert len(track(tmp_path, corner_extractor(), min_length=10)) < len(expected)


def test_a_video_of_nothing_has_no_tracks(corner_extractor):
    """Flat frames give an empty result that counts the frames."""
    tracks = track([np.full((40, 40, 3), 99, dtype=np.uint8)] * 3, corner_extractor())
    assert len(tracks) == 0 and tracks.num_frames == 3


def test_bad_sources_are_named(tmp_path, panning_frames, corner_extractor):
    """A missing video, a damaged frame in a folder and a senseless limit raise."""
    with pytest.raises(ImageError, match=r"nothing\.mp4"):
        track(tmp_path / "nothing.mp4", corner_extractor())
    write_image(tmp_path / "0.png", panning_frames[0])
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"1\.png"):
        track(tmp_path, corner_extractor())
    with pytest.raises(ConfigError, match="max_frames"):
        track(panning_frames, corner_extractor(), max_frames=0)


class Careful:
    """Two threads may call it; it remembers which did, with how many of PyTorch's threads. The first call is
    slow."""

    at_once = 2

    def __init__(self, extractor):
        self.extractor, self.seen = extractor, []

    def __call__(self, image):
        self.seen.append((threading.current_thread().name, torch.get_num_threads()))
        if len(self.seen) == 1:
            time.sleep(0.05)
        return self.extractor(image)


def test_frames_are_extracted_at_once_and_tracked_in_order(panning_frames, corner_extractor):
    """By threads that share no work, each with its share of the cores, which are given back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        careful = Careful(corner_extractor())
        tracks = track(panning_frames, careful)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(tracks.xy, track(panning_frames, corner_extractor()).xy)
    assert len({name for name, _ in careful.seen}) == 2 and {n for _, n in careful.seen} == {1}


def test_a_webcam_is_not_waited_for(panning_frames, corner_extractor, monkeypatch):
    """Its next frame is not there yet: each is tracked before another one is asked for."""
    plug_in_webcam(monkeypatch, panning_frames[0])
    careful, tracker = Careful(corner_extractor()), OnlineTracker()
    for number, _ in enumerate(track_frames(0, careful, tracker, 3), start=1):
        assert len(careful.seen) == tracker.num_frames == number
    assert {name for name, _ in careful.seen} == {threading.current_thread().name}
