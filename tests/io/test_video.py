"""Frames from files and folders, and back."""

import warnings
from itertools import islice

import cv2
import numpy as np
import pytest
from films import write_film

from traqpoint.errors import DataError, ImageError
from traqpoint.image import write_image
from traqpoint.io.video import VideoWriter, count_frames, frame_rate, read_frames


def picture(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    out = np.zeros((height, width, 3), dtype=np.uint8)
    out[..., 0] = value  # red only: a swap of channels would show
    out[: height // 2, :, 1] = 200
    return out


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1, 1)])
def test_a_video_round_trip_keeps_order_size_and_colour(tmp_path, size):
    """Frames come back in order, RGB, at the even size just above, 8 pixels at least."""
    with VideoWriter(tmp_path / "v.webm", fps=12) as video:
        for value in (40, 120, 220):
            video.write(picture(value, *size))
    frames = list(read_frames(tmp_path / "v.webm"))
    even = tuple(max(8, n + n % 2) for n in size)
    assert [f.shape for f in frames] == [(even[1], even[0], 3)] * 3 and frames[0].dtype == np.uint8
    assert count_frames(tmp_path / "v.webm") == 3 and frame_rate(tmp_path / "v.webm") == 12
    if size[0] > 1:
        for frame, value in zip(frames, (40, 120, 220), strict=True):
            below = frame[frame.shape[0] // 2 + 4 :].reshape(-1, 3).mean(0)
            np.testing.assert_allclose(below, (value, 0, 0), atol=12)
            assert frame[: frame.shape[0] // 2 - 4, :, 1].mean() > 180


def test_frames_of_other_sizes_are_fitted(tmp_path):
    """A later frame of another shape is scaled into the first one's size without distortion, the rest black."""
    with VideoWriter(tmp_path / "v.webm") as video:
        video.write(np.full((100, 200, 3), 255, dtype=np.uint8))
        video.write(np.full((400, 400, 3), 255, dtype=np.uint8))
        video.write(np.full((40, 80, 3), 255, dtype=np.uint8))
    frames = list(read_frames(tmp_path / "v.webm"))
    assert {f.shape for f in frames} == {(100, 200, 3)}
    assert frames[1][:, :90].min() > 200 and frames[1][:, 110:].max() < 50
    assert frames[2].min() > 200


def test_an_interrupted_video_leaves_no_file(tmp_path):
    """A video appears whole or not at all."""
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "v.webm") as video:
        video.write(picture(1))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_folders_and_lists(tmp_path):
    """A folder gives its images by path, a list its paths and arrays as they come."""
    for name, value in (("b.png", 20), ("a.png", 10)):
        write_image(tmp_path / name, picture(value))
    assert [f[-1, 0, 0] for f in read_frames(tmp_path)] == [10, 20] and count_frames(tmp_path) == 2
    mixed = [tmp_path / "b.png", picture(30)]
    assert [f[-1, 0, 0] for f in read_frames(mixed)] == [20, 30] and count_frames(mixed) == 2
    assert count_frames(iter(mixed)) is None and frame_rate(tmp_path) == 15.0


def test_sources_that_cannot_be_read_are_named(tmp_path):
    """Missing, empty, truncated and non-video files, empty folders and absent webcams raise one clear error."""
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    whole = write_film(tmp_path / "good.mp4", noise).read_bytes()
    for name, content in {"empty": b"", "text": b"hello" * 100, "half": whole[: len(whole) // 2]}.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
        with pytest.raises(ImageError, match=f"{name}.mp4"):
            list(read_frames(tmp_path / f"{name}.mp4"))
    with pytest.raises(ImageError, match=r"nothing\.mp4: no such video"):
        list(read_frames(tmp_path / "nothing.mp4"))
    with pytest.raises(ImageError, match="empty"):
        list(read_frames([]))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="no images"):
        list(read_frames(tmp_path / "folder"))


def test_an_absent_webcam_is_named(monkeypatch):
    """A webcam that cannot be opened raises ImageError with its index."""

    class Absent:
        def __init__(self, index):
            assert index == 7

        def isOpened(self):
            return False

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Absent)
    with pytest.raises(ImageError, match="webcam 7"):
        list(read_frames(7))


def test_one_image_is_not_taken_for_a_video(tmp_path):
    """OpenCV would read it as a film of one frame, truncated or not."""
    write_image(tmp_path / "a.png", picture(10))
    with pytest.raises(ImageError, match=r"a\.png: one image is no video"):
        list(read_frames(tmp_path / "a.png"))


def test_a_film_that_breaks_off_is_told(tmp_path, monkeypatch):
    """A warning says how many of the stated frames could be read; asking for fewer frames is no break."""

    class Broken:
        def __init__(self, source):
            self.left = 4

        def isOpened(self):
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, picture(10)

        def get(self, what):
            assert what == cv2.CAP_PROP_FRAME_COUNT
            return 30.0

        def release(self):
            pass

    (tmp_path / "film.mp4").write_bytes(b"film")
    monkeypatch.setattr(cv2, "VideoCapture", Broken)
    with pytest.warns(UserWarning, match=r"film\.mp4: only 4 of 30 frames"):
        assert len(list(read_frames(tmp_path / "film.mp4"))) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(islice(read_frames(tmp_path / "film.mp4"), 3))) == 3


def test_films_are_vp8_in_webm_of_a_size_to_look_at(tmp_path, capfd):
    """What browsers play, told to nobody but the file; a large frame is made smaller, its shape kept."""
    with VideoWriter(tmp_path / "film.webm") as video:
        video.write(np.full((1030, 3840, 3), 90, dtype=np.uint8))
    assert b"webm" in (content := (tmp_path / "film.webm").read_bytes()) and b"V_VP8" in content
    assert [frame.shape for frame in read_frames(tmp_path / "film.webm")] == [(344, 1280, 3)]
    assert capfd.readouterr() == ("", "")


def test_a_film_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(ImageError, match=r"film\.txt: this OpenCV cannot write it"),
        VideoWriter(tmp_path / "film.txt") as video,
    ):
        video.write(picture(1))
    assert list(tmp_path.iterdir()) == []
