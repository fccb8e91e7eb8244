"""What a user gets of photographs, good and bad: a model and its report, or what failed and why."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import small_scenes
from films import write_film

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.apps import sfm  # noqa: E402
from traqpoint.apps.sfm import photos_to_model, without_copies  # noqa: E402
from traqpoint.cli.main import main  # noqa: E402
from traqpoint.distributed.place import Place  # noqa: E402
from traqpoint.distributed.shards import claim_place, divided  # noqa: E402
from traqpoint.distributed.workers import ExtractShard, MatchShard  # noqa: E402
from traqpoint.errors import ConfigError, DataError, GeometryError  # noqa: E402
from traqpoint.files import read_settings  # noqa: E402
from traqpoint.image import write_image  # noqa: E402
from traqpoint.inference.extractor import Extractor  # noqa: E402
from traqpoint.inference.pairs import exhaustive_pairs  # noqa: E402
from traqpoint.inference.pipeline import match_pairs  # noqa: E402
from traqpoint.inference.settings import describe_extractor, settings_path  # noqa: E402
from traqpoint.io.colmap_model import read_model  # noqa: E402
from traqpoint.sfm.config import MATCHER, MappingConfig, PhotosConfig  # noqa: E402

MAPPING = MappingConfig(num_threads=1)


@pytest.fixture(scope="module")
def extractor():
    return Extractor(max_keypoints=512, device="cpu")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def no_network(page):
    """Whether a page asks for nothing beyond itself."""
    return not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\((?!data:)|https?://""", page)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, extractor):
    """Photographs of which one does not belong to the others, and what an undisturbed run made of them."""
    folder, rng = tmp_path_factory.mktemp("whole"), np.random.default_rng(0)
    photos = small_scenes.write_photos(folder / "a <b> photos", [*small_scenes.walls(rng), *small_scenes.flat(rng, 1)])
    return photos, folder / "out", photos_to_model(photos, folder / "out", extractor, config=MAPPING)


@pytest.mark.slow
def test_photos_become_a_model_and_one_page_that_tells_of_each_image(whole, extractor):
    photos, out, found = whole
    assert found.stats["registered"] == 5
    page = (out / "report.html").read_text()
    assert "5 of 6 images are in one model." in page and "only 0 keypoints: flat" in page
    assert "a &lt;b&gt; photos" in page and no_network(page) and "a <b>" not in page
    assert page.count('class="out"') == 1 and page.count("data:image/jpeg") == 6 + 1  # the one that is worth a look
    scene = json.loads(re.search(r"const SCENE = (.*);</script>", page)[1])
    assert [camera["image"] for camera in scene["cameras"]] == [0, 1, 2, 3, 4] and len(scene["links"]) == 10
    assert (out / "points.ply").is_file()
    assert f"image_path={photos}\n" in (out / "sparse" / "0" / "project.ini").read_text()
    written = (out / "report.html").stat().st_mtime_ns
    assert photos_to_model(photos, out, extractor, config=MAPPING).notes == found.notes
    assert (out / "report.html").stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ("standing_still", "the camera stood still"),
        ("turning", "one homography explains most pairs: the camera only turned"),
        ("junk", "none agrees on one motion: they show different things"),
        ("flat", "no image has 50 keypoints"),
    ],
)
def test_what_makes_no_model_is_told_with_the_reason(tmp_path, extractor, rng, scene, words):
    photos = small_scenes.write_photos(tmp_path / "photos", getattr(small_scenes, scene)(rng))
    found = photos_to_model(photos, tmp_path / "out", extractor, config=MAPPING)
    assert any(words in note for note in found.notes)
    page = (tmp_path / "out" / "report.html").read_text()
    assert words in page and no_network(page)
    if scene != "turning":  # COLMAP believes in it
        assert found.path is None and f"No model: {next(n for n in found.notes if words in n)}." in page


def test_copies_are_left_out_and_one_image_is_told_with_a_report(tmp_path, extractor, rng):
    picture = small_scenes.walls(rng, 1)[0]
    photos = small_scenes.write_photos(tmp_path / "photos", [picture, picture])
    with pytest.raises(DataError, match=r"the only one; 1\.png: left out, it is a copy of 0\.png"):
        photos_to_model(photos, tmp_path / "out", extractor, config=MAPPING)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "No model: 0.png: a model needs two images or more" in page and page.count("data:image/jpeg") == 2


def test_names_that_differ_in_the_case_of_the_suffix_are_two_images(tmp_path):
    for name in ("a.jpg", "a.JPG"):
        (tmp_path / name).write_bytes(name.encode())
    named = {name: tmp_path / name for name in ("a.jpg", "a.JPG")}
    assert without_copies(named) == (named, [])


def test_copies_are_those_of_the_same_bytes_and_each_names_the_first(tmp_path):
    """Files of one size alone say nothing; one that is not there is kept, so that reading tells of it."""
    contents = {"a": b"one", "b": b"two", "c": b"one", "d": b"longer", "e": b"one", "f": b"two"}
    named = {name: tmp_path / name for name in [*contents, "gone"]}
    for name, content in contents.items():
        named[name].write_bytes(content)
    kept, notes = without_copies(named)
    assert list(kept) == ["a", "b", "d", "gone"]
    assert notes == [f"{copy}: left out, it is a copy of {first}" for copy, first in ("ca", "ea", "fb")]


@pytest.mark.slow
def test_a_run_that_is_ended_in_any_step_goes_on_and_ends_with_the_same_model(tmp_path, extractor, whole):
    photos, out, _ = whole

    def stopped_in(step):
        class Bar:
            def __init__(self, what):
                self.what = what

            def __enter__(self):
                if self.what == step == "report":
                    raise KeyboardInterrupt
                return self.move

            def __exit__(self, *_):
                return None

            def move(self, done, total):
                if self.what == step and done:
                    raise KeyboardInterrupt

        return Bar

    for step in ("extract", "match", "verify", "map", "report"):
        with pytest.raises(KeyboardInterrupt):
            photos_to_model(photos, tmp_path / "out", extractor, config=MAPPING, bar=stopped_in(step))
    photos_to_model(photos, tmp_path / "out", extractor, config=MAPPING)
    models = [read_model(folder / "sparse" / "0") for folder in (tmp_path / "out", out)]
    assert np.array_equal(models[0].xyz, models[1].xyz) and (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
def test_shards_of_many_workers_merged_into_the_output_are_mapped_without_extracting_or_matching_again(
    tmp_path, extractor, whole, monkeypatch
):
    photos, undisturbed, _ = whole
    settings = {"verb": "extract", "format": "hloc", "extractor": describe_extractor(extractor)}
    shards, pairs = Place(tmp_path / "shards"), Place(tmp_path / "pairs")
    claim_place(shards, settings)
    names = [path.name for path in sorted(photos.iterdir())]
    items = [(name, [name, str(photos / name)]) for name in names]
    assert not any(
        ExtractShard(shards.folder, lambda: extractor)(shard)["error"] for shard in divided(items, shards, 4)[0]
    )
    features = read_settings(settings_path(Path(shards.folder)))
    claim_place(pairs, {"verb": "match", "matcher": MATCHER.described(), "features": features})
    work = MatchShard(pairs.folder, shards.folder, MATCHER, "cpu")
    items = [(" ".join(pair), list(pair)) for pair in exhaustive_pairs(names)]
    assert not any(work(shard)["error"] for shard in divided(items, pairs, 9)[0])
    out = tmp_path / "out"
    arguments = [shards.folder, pairs.folder, "--out", str(out / "features.h5"), "--matches", str(out / "matches.h5")]
    assert main(["merge", *arguments]) == 0
    monkeypatch.setattr(Extractor, "__call__", lambda *_: pytest.fail("extracted again"))
    monkeypatch.setattr(sfm, "match_pairs", lambda *given: _skipping(match_pairs(*given)))
    found = photos_to_model(photos, out, extractor, config=MAPPING)
    assert found.stats["registered"] == 5
    assert len(read_model(found.path).xyz) == len(read_model(undisturbed / "sparse" / "0").xyz)


def _skipping(outcome):
    assert not outcome.done and len(outcome.skipped) == 15
    return outcome


@pytest.mark.slow
def test_a_film_with_a_known_calibration_is_mapped_by_its_sharp_frames(tmp_path, extractor, rng):
    write_film(tmp_path / "film.mp4", small_scenes.walls(rng, 6))
    (tmp_path / "K.txt").write_text("350 350 159.5 119.5")
    known = PhotosConfig(calibration=tmp_path / "K.txt", max_frames=6)
    found = photos_to_model(tmp_path / "film.mp4", tmp_path / "out", extractor, config=MAPPING, photos=known)
    assert found.stats["registered"] == 6
    (camera,) = {tuple(i.camera.params.tolist()) for i in read_model(tmp_path / "out/sparse/0").images.values()}
    assert camera == (350, 350, 160, 120)
    assert len(list((tmp_path / "out" / "frames").glob("*.jpg"))) == 6
    with pytest.raises(ConfigError, match=r"max_frames: 6 there, 3 here"):
        photos_to_model(tmp_path / "film.mp4", tmp_path / "out", extractor, photos=PhotosConfig(max_frames=3))
    with pytest.raises(ConfigError, match="one film, or images"):
        photos_to_model([tmp_path / "film.mp4", tmp_path], tmp_path / "o", extractor)


def test_a_calibration_of_other_images_is_told_with_the_first_image(tmp_path, extractor, rng):
    photos = small_scenes.write_photos(tmp_path / "photos", small_scenes.walls(rng, 2))
    write_image(photos / "2.png", small_scenes.texture(rng, 200, 320))
    (tmp_path / "K.txt").write_text("350 350 159.5 119.5")
    with pytest.raises(GeometryError, match=r"the images, which are 200x320: .* \(as 2\.png\)"):
        photos_to_model(photos, tmp_path / "o", extractor, photos=PhotosConfig(calibration=tmp_path / "K.txt"))


@pytest.mark.slow
def test_portrait_and_landscape_are_two_cameras_of_one_model(tmp_path, extractor, rng):
    pictures = [w if number % 2 else w[:, 60:260] for number, w in enumerate(small_scenes.walls(rng, 6))]
    photos = small_scenes.write_photos(tmp_path / "photos", pictures)
    model = MappingConfig(num_threads=1, camera_model="SIMPLE_PINHOLE")
    found = photos_to_model(photos, tmp_path / "out", extractor, config=model)
    images = read_model(tmp_path / "out" / "sparse" / "0").images.values()
    assert found.stats["registered"] == 6
    assert {(image.camera.model, image.camera.image_size) for image in images} == {
        ("SIMPLE_PINHOLE", (320, 240)),
        ("SIMPLE_PINHOLE", (200, 240)),
    }
