"""traqpoint data sequences: what it keeps of a film, and what it says of sources that give nothing."""

import numpy as np
import pytest
from films import write_film

pytest.importorskip("pycolmap")

from traqpoint.apps.sequences import real_sequences
from traqpoint.cli.main import main
from traqpoint.errors import ConfigError, DataError
from traqpoint.image import list_images, read_image, write_image
from traqpoint.inference.extractor import Extractor


@pytest.fixture(scope="module")
def extractor():
    return Extractor("traqpoint-s", max_keypoints=64, device="cpu")


def test_of_each_part_of_a_film_the_sharpest_frame_is_kept(tmp_path, extractor):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    sharp = {2, 4, 11}  # of four parts of three frames
    write_film(tmp_path / "film.mp4", [noise if number in sharp else noise // 8 + 100 for number in range(12)])
    with pytest.raises(DataError, match=r"film\.mp4: no sequences can be made of it"):
        real_sequences(tmp_path / "film.mp4", tmp_path / "out", extractor, max_frames=4)
    kept = [int(path.stem) for path in list_images(tmp_path / "out" / "images")]
    assert len(kept) == 4 and sharp <= set(kept)


def test_photographs_are_copied_upright_and_small_and_unreadable_ones_left_out(tmp_path, extractor):
    rng = np.random.default_rng(0)
    write_image(tmp_path / "in" / "large.png", rng.integers(0, 255, (60, 2048, 3), dtype=np.uint8))
    (tmp_path / "in" / "cut.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(DataError):
        real_sequences(tmp_path / "in", tmp_path / "out", extractor)
    (copy,) = list_images(tmp_path / "out" / "images")
    assert read_image(copy).shape == (30, 1024, 3)
    with pytest.raises(ConfigError, match="source"):
        real_sequences(tmp_path, tmp_path / "out", extractor)


def test_one_bad_source_is_one_line_and_two_of_one_name_are_refused(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["data", "sequences", str(tmp_path / "a"), *out]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "b" / "a").mkdir(parents=True)
    assert main(["data", "sequences", str(tmp_path / "a"), str(tmp_path / "b" / "a"), *out]) == 1
    assert "two sources are called a" in capsys.readouterr().err
