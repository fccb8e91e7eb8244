"""What the page shows, without a browser and without Gradio."""

import numpy as np
import pytest
import small_scenes
import torch

pytest.importorskip("matplotlib")
pytest.importorskip("pycolmap")

from traqpoint.apps.web import _answer, render
from traqpoint.apps.web_limits import WebLimits
from traqpoint.apps.web_results import Shown, show_collection, show_pair
from traqpoint.errors import ConfigError, DataError
from traqpoint.inference.extractor import Extractor
from traqpoint.io.npz import load_features

LIMITS = WebLimits(max_images=4, max_frames=4, max_megabytes=1)


@pytest.fixture(scope="module")
def extractor():
    return Extractor(max_keypoints=256, device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    small_scenes.write_photos(folder, small_scenes.walls(np.random.default_rng(0), 2))
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_a_pair_has_both_methods_numbers_pictures_and_files(photos, tmp_path, extractor):
    shown = show_pair(*photos, tmp_path, extractor, LIMITS)
    assert [row["method"] for row in shown.rows] == ["TraqPoint", "SIFT"] and len(shown.pictures) == 4
    assert all(file.is_file() for file in shown.files)
    assert len(load_features(tmp_path / "1_0.npz")) == 256
    page = render(shown)
    assert page.count("data:image/png") == 4 and "http" not in page


@pytest.mark.slow
def test_two_images_of_one_name_have_a_file_each(photos, tmp_path, extractor):
    """Uploads lie in folders of their own."""
    pair = [tmp_path / folder / "photo.png" for folder in "ab"]
    for photo, path in zip(photos, pair, strict=True):
        path.parent.mkdir()
        path.write_bytes(photo.read_bytes())
    shown = show_pair(*pair, tmp_path, extractor, LIMITS)
    first, second = (load_features(tmp_path / f"{number}_photo.npz") for number in (1, 2))
    assert not torch.equal(first.keypoints, second.keypoints)
    assert len(shown.files) == 7


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a.png"], "two photographs or more"),
        (["a.mp4", "a.png"], r"a\.mp4: give one film"),
        ([f"{i}.png" for i in range(5)], "5 files, and 4 are the most"),
    ],
)
def test_uploads_beyond_what_is_taken_are_refused(tmp_path, extractor, files, words):
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=words):
        show_collection([tmp_path / name for name in files], tmp_path / "out", extractor, LIMITS)


def test_a_file_that_is_too_large_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(bytes(1_600_000))
    with pytest.raises(DataError, match=r"a\.png: 2 MB, and 1 MB are the most"):
        LIMITS.check([tmp_path / "a.png"])
    with pytest.raises(ConfigError, match="at least 2"):
        WebLimits(max_images=1)


def test_errors_call_a_file_as_its_owner_does_and_nothing_is_taken_for_html(tmp_path, extractor):
    bad = tmp_path / "<b>.png"
    bad.write_bytes(b"no image")
    text, files = _answer([str(bad)] * 2, "", lambda f, out: show_pair(*f, out, extractor, LIMITS), tmp_path)
    assert text == "<p class='wrong'>&lt;b&gt;.png: not an image that OpenCV can read</p>" and files == []
    assert "Give two images." in _answer([None, None], "two images", None, tmp_path)[0]
    assert "<i>" not in render(Shown("<i>", rows=[{"a": "<i>"}], notes=["<i>"]))
