import cv2
import numpy as np
import pytest
import research_data
import torch

from traqpoint.data.testsets.hpatches import TOO_LARGE, read_hpatches
from traqpoint.errors import DataError, FormatError, GeometryError
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import colmap_from_opencv
from traqpoint.image import write_image

HOMOGRAPHY = research_data.DATA / "homography"
H = np.array([[1.1, 0.08, -20.0], [-0.05, 0.93, 12.0], [2e-4, -1e-4, 1.0]])


def sequence(folder, count=3, suffix=".ppm", text=None):
    for k in range(1, count + 1):
        write_image(folder / f"{k}{suffix}", np.zeros((8, 8, 3), dtype=np.uint8))
        if k > 1:
            (folder / f"H_1_{k}").write_text(text or "\n".join(" ".join(map(str, row)) for row in H))


def test_homographies_are_carried_over_from_pixel_centres_to_corners(tmp_path):
    sequence(tmp_path / "v_one")
    pair = read_hpatches(tmp_path).pairs[0]
    theirs = np.random.default_rng(0).random((20, 2)) * 400
    expected = colmap_from_opencv(cv2.perspectiveTransform(theirs[None], H)[0])
    got = apply_homography(pair.b_from_a, torch.from_numpy(colmap_from_opencv(theirs)))
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-9)
    assert not torch.allclose(got, apply_homography(torch.from_numpy(H), torch.from_numpy(expected)), atol=0.01)


def test_every_sequence_gives_its_pairs_with_the_first_image(tmp_path):
    sequence(tmp_path / "v_one", 6)
    sequence(tmp_path / "i_two", 3, ".png")
    (tmp_path / "notes").mkdir()
    dataset = read_hpatches(tmp_path)
    assert [pair.kind for pair in dataset.pairs] == ["illumination"] * 2 + ["viewpoint"] * 5
    assert dataset.names[0] == ("i_two/1.png", "i_two/2.png") and dataset.names[-1] == ("v_one/1.ppm", "v_one/6.ppm")
    assert all(path.is_file() for path in dataset.images.values()) and len(dataset.images) == 9
    alone = read_hpatches(tmp_path / "v_one")
    assert alone.name == "v_one" and alone.names == dataset.names[2:]


def test_the_large_sequences_are_left_out_on_request(tmp_path):
    assert len(TOO_LARGE) == 8
    sequence(tmp_path / "v_one")
    sequence(tmp_path / "v_talent")
    assert len(read_hpatches(tmp_path).pairs) == 4
    assert {a.split("/")[0] for a, _ in read_hpatches(tmp_path, skip_large=True).names} == {"v_one"}


def test_broken_layouts_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing.*no such"):
        read_hpatches(tmp_path / "nothing")
    with pytest.raises(DataError, match="no HPatches sequences"):
        read_hpatches(tmp_path)
    sequence(tmp_path / "short", text="1 2 3")
    with pytest.raises(FormatError, match=r"H_1_2.*9 numbers, this file 3"):
        read_hpatches(tmp_path / "short")
    sequence(tmp_path / "words", text="a " * 9)
    with pytest.raises(FormatError, match=r"H_1_2.*not a homography"):
        read_hpatches(tmp_path / "words")
    sequence(tmp_path / "flat", text="0 " * 9)
    with pytest.raises(GeometryError, match=r"H_1_2.*singular"):
        read_hpatches(tmp_path / "flat")
    sequence(tmp_path / "gap")
    (tmp_path / "gap" / "2.ppm").unlink()
    with pytest.raises(FormatError, match="gap: image 2"):
        read_hpatches(tmp_path / "gap")


@pytest.mark.skipif(not HOMOGRAPHY.is_dir(), reason="the research data is not there")
def test_a_real_sequence_is_read():
    dataset = read_hpatches(HOMOGRAPHY)
    assert len(dataset.pairs) == 5 and {pair.kind for pair in dataset.pairs} == {"viewpoint"}
