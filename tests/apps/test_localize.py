"""Photographs located in the model of others: poses, the page, and what is told where there is none."""

import json
import re

import numpy as np
import pytest
import small_scenes

pytest.importorskip("pycolmap")

from traqpoint.apps.localize import localize
from traqpoint.apps.sfm import photos_to_model
from traqpoint.cli.main import main
from traqpoint.errors import ConfigError, DataError, FormatError, GeometryError
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.image import write_image
from traqpoint.inference.extractor import Extractor
from traqpoint.io.colmap_model import read_model
from traqpoint.sfm.config import LocalizeConfig, MappingConfig, PhotosConfig


@pytest.fixture(scope="module")
def extractor():
    return Extractor(max_keypoints=512, device="cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory, extractor):
    """The folder of a model of the first, second, fourth and fifth picture, in `map`, and of queries: the third, one of
    elsewhere, one that is no image, one of the map, cut, under its own name."""
    folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    pictures = small_scenes.walls(rng)
    small_scenes.write_photos(folder / "photos", [*pictures[:2], *pictures[3:]])
    (folder / "K.txt").write_text("350 350 159.5 119.5")
    photos = PhotosConfig(calibration=folder / "K.txt")
    found = photos_to_model(
        folder / "photos", folder / "map", extractor, config=MappingConfig(num_threads=1), photos=photos
    )
    assert found.stats["registered"] == 4
    write_image(folder / "queries" / "third.png", pictures[2])
    write_image(folder / "queries" / "0.png", pictures[0][:, 20:290])
    write_image(folder / "queries" / "elsewhere.png", small_scenes.junk(rng, 1)[0])
    (folder / "queries" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def located(place, extractor):
    return localize(place / "map", place / "queries", place / "out", extractor)


def centre(pose):
    return invert_rigid(pose.double())[:3, 3]


def test_a_query_between_two_images_of_the_map_is_found_there_by_the_maps_camera(place, located):
    model = read_model(place / "map" / "sparse" / "0")
    before, after = (centre(model.images[name].cam_from_world) for name in ("1.png", "2.png"))
    found = located.located["third.png"]
    assert found.guess.source == "the map's" and found.inliers > 100
    away = (centre(found.cam_from_world) - (before + after) / 2).norm() / (after - before).norm()
    assert float(away) < 0.05
    assert located.nearest["third.png"] in ("1.png", "2.png")


def test_a_query_of_an_unknown_camera_may_have_the_name_of_an_image_of_the_map(place, located):
    model = read_model(place / "map" / "sparse" / "0")
    found = located.located["0.png"]
    apart = (centre(model.images["2.png"].cam_from_world) - centre(model.images["0.png"].cam_from_world)).norm()
    assert found.guess.source == "estimated" and found.guess.camera.image_size == (270, 240)
    assert float((centre(found.cam_from_world) - centre(model.images["0.png"].cam_from_world)).norm() / apart) < 0.3


def test_what_is_not_located_is_named_with_the_reason_in_every_file(place, located):
    assert set(located.failed) == {"elsewhere.png", "broken.png"}
    assert (
        "another place" in located.failed["elsewhere.png"] or "would have to agree" in located.failed["elsewhere.png"]
    )
    lines = (place / "out" / "poses.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0.png", "third.png"] and all(
        len(line.split()) == 8 for line in lines
    )
    told = json.loads((place / "out" / "poses.json").read_text())
    assert told["broken.png"] == {"located": False, "reason": located.failed["broken.png"]}
    assert np.array(told["third.png"]["covariance"]).shape == (6, 6) and told["third.png"]["position_sigma"] > 0
    page = (place / "out" / "report.html").read_text()
    assert "2 of 4 queries are located." in page and located.failed["broken.png"] in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\((?!data:)|https?://""", page)
    scene = json.loads(re.search(r"const SCENE = (.*);</script>", page)[1])
    assert [(c["image"], c["found"]) for c in scene["cameras"]] == [(-1, False)] * 4 + [(0, True), (3, True)]
    assert not (place / "out" / "map.h5").exists()  # the model's own features are used


def test_a_second_run_makes_nothing_again_and_other_settings_are_refused(place, located, extractor):
    written = {name: (place / "out" / name).read_bytes() for name in ("poses.txt", "features.h5", "matches.h5")}
    localize(place / "map", place / "queries", place / "out", extractor)
    assert written == {name: (place / "out" / name).read_bytes() for name in written}
    with pytest.raises(ConfigError, match="max_keypoints: 512 there, 100 here"):
        localize(place / "map", place / "queries", place / "out", Extractor(max_keypoints=100, device="cpu"))


@pytest.mark.slow
def test_a_model_of_others_features_is_tied_to_ours(place, extractor, tmp_path):
    """The bare model, without the features that it was made of: its images are looked for and looked at again."""
    import shutil

    shutil.copytree(place / "map" / "sparse" / "0", tmp_path / "model")
    query = place / "queries" / "third.png"
    told = localize(tmp_path / "model", query, tmp_path / "out", extractor)  # by project.ini
    assert told.located["third.png"].inliers > 100 and (tmp_path / "out" / "map.h5").is_file()
    (tmp_path / "model" / "project.ini").unlink()
    with pytest.raises(DataError, match=r"its images are not found, 0\.png for one; name their folder \(--images\)"):
        localize(tmp_path / "model", query, tmp_path / "other", extractor)
    with pytest.raises(DataError, match=r"no image of the model is there"):
        localize(tmp_path / "model", query, tmp_path / "other", extractor, images=tmp_path)
    told = localize(tmp_path / "model", query, tmp_path / "other", extractor, images=place / "photos")
    assert "third.png" in told.located


def test_the_command_line_tells_who_is_where_and_all_that_fails_in_a_line_each(place, located, capsys, tmp_path):
    small = ["--max-keypoints", "512", "--device", "cpu"]
    command = ["localize", "--map", str(place / "map"), "--queries"]
    assert main([*command, str(place / "queries"), "--out", str(place / "out"), *small]) == 0
    told = capsys.readouterr()
    assert "2 of 4 queries located" in told.out and "elsewhere.png: not located: " in told.err
    assert main([*command, str(place / "queries" / "elsewhere.png"), "--out", str(tmp_path / "o"), *small]) == 1
    assert "0 of 1 queries located" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "query", "error", "words"),
    [
        ("nowhere", "queries/third.png", FormatError, "no such folder of a COLMAP model"),
        ("queries", "queries/third.png", FormatError, "a COLMAP model is cameras, images and points3D"),
        ("map", "queries/broken.png", DataError, "none of 1 queries can be used: .*broken.png"),
        ("map", "queries/missing.png", Exception, "missing.png: no such file"),
    ],
)
def test_what_cannot_be_used_is_named(place, tmp_path, extractor, model, query, error, words):
    with pytest.raises(error, match=words):
        localize(place / model, place / query, tmp_path, extractor)


def test_a_calibration_of_another_size_is_refused_with_the_query(place, tmp_path, extractor):
    (tmp_path / "K.txt").write_text("350 350 600 500")
    config = LocalizeConfig(calibration=tmp_path / "K.txt")
    with pytest.raises(GeometryError, match=r"another image size \(as third\.png\)"):
        localize(place / "map", place / "queries" / "third.png", tmp_path / "out", extractor, config=config)
