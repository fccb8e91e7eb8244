"""Pass 1 of an evaluation: what is on disk afterwards, whatever went wrong with single images."""

import dataclasses

import numpy as np
import pytest
import torch

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.evaluation.benchmarks.track_sets import in_memory
from traqpoint.evaluation.methods.method import build_method, label
from traqpoint.evaluation.predict import predict, predict_sequences
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.image import write_image
from traqpoint.inference.pipeline import extract_folder
from traqpoint.io.hloc import HlocFeatures
from traqpoint.io.npz import NpzFeatures
from traqpoint.matching.config import MatcherConfig, MutualConfig
from traqpoint.types import Features, SequenceBatch


@dataclasses.dataclass(frozen=True)
class GridConfig:
    name: str = "grid"
    max_keypoints: int = 16
    long_side: int | None = None


class Grid:
    """Keypoints on a grid with one-hot descriptors; the red value of the first pixel shifts them."""

    def __init__(self, config: GridConfig | None = None) -> None:
        self.config = config or GridConfig()
        self.calls = 0

    def __call__(self, image) -> Features:
        self.calls += 1
        tensor = isinstance(image, torch.Tensor)
        height, width = image.shape[1:] if tensor else image.shape[:2]
        shift = round(float(image[0, 0, 0]) * 255) if tensor else int(image[0, 0, 0])
        n = self.config.max_keypoints
        descriptors = torch.eye(n).roll(shift, 0)
        return Features(torch.arange(2.0 * n).reshape(n, 2), torch.linspace(1, 0.1, n), descriptors, (width, height))


@pytest.fixture
def images(tmp_path):
    out = {}
    for i in range(3):
        out[f"scene/{i}.png"] = tmp_path / "photos" / f"{i}.png"
        write_image(out[f"scene/{i}.png"], np.full((48, 64, 3), i, dtype=np.uint8))
    return out


PAIRS = [("scene/0.png", "scene/1.png"), ("scene/2.png", "scene/1.png")]


def test_features_and_matches_are_there_under_the_names_given(images, tmp_path):
    found = predict(images, PAIRS, Grid(), tmp_path / "out")
    assert found.method == "grid"
    assert found.failed == ()
    assert found.features.read("scene/2.png").image_size == (64, 48)
    a, b, matches = found.pair(*PAIRS[0])
    assert len(matches) == 16
    # Image 1's descriptors are those of image 0, one place on.
    assert torch.equal(matches.indices[:, 1], (matches.indices[:, 0] + 1) % 16)
    assert torch.equal(a.descriptors[matches.indices[:, 0]], b.descriptors[matches.indices[:, 1]])


def test_a_pair_the_other_way_round_is_matched_once_and_read_turned_round(images, tmp_path):
    a, b = PAIRS[0]
    found = predict(images, [(a, b), (b, a)], Grid(), tmp_path / "out")
    assert len(found.matches) == 1
    forth, back = found.pair(a, b)[2], found.pair(b, a)[2]
    assert torch.equal(forth.indices, back.indices.flip(1))


def test_what_is_there_is_not_done_again(images, tmp_path):
    method = Grid()
    first = dict(list(images.items())[:2])
    predict(first, PAIRS[:1], method, tmp_path / "out")
    predict(images, PAIRS, method, tmp_path / "out")
    predict(images, PAIRS, method, tmp_path / "out")
    assert method.calls == 3


def test_predictions_of_another_configuration_are_not_mixed_in(images, tmp_path):
    predict(images, PAIRS, Grid(), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"max_keypoints: 16 there, 8 here"):
        predict(images, PAIRS, Grid(GridConfig(max_keypoints=8)), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"max_ratio: None there, 0.9 here"):
        predict(images, PAIRS, Grid(), tmp_path / "out", MatcherConfig(mutual=MutualConfig(max_ratio=0.9)))


def test_missing_images_are_one_error_or_listed_as_failed(images, tmp_path):
    for name in list(images)[:1]:
        images[name].unlink()
    with pytest.raises(DataError, match=r"1 of 3 images are missing: .*0\.png"):
        predict(images, PAIRS, Grid(), tmp_path / "out")
    found = predict(images, PAIRS, Grid(), tmp_path / "out", missing="skip")
    assert len(found.failed) == 1 and "0.png: no such file" in found.failed[0]
    assert found.pair(*PAIRS[0]) is None
    assert len(found.pair(*PAIRS[1])[2]) == 16


def test_nothing_but_missing_images_is_an_error_in_any_case(images, tmp_path):
    for path in images.values():
        path.unlink()
    with pytest.raises(DataError, match="3 of 3 images are missing"):
        predict(images, PAIRS, Grid(), tmp_path / "out", missing="skip")


def test_an_unreadable_image_fails_its_pairs_and_no_others(images, tmp_path):
    images["scene/0.png"].write_bytes(b"not a picture")
    found = predict(images, PAIRS, Grid(), tmp_path / "out")
    assert len(found.failed) == 1 and "0.png" in found.failed[0]
    assert found.pair(*PAIRS[0]) is None
    assert found.pair(*PAIRS[1]) is not None


def test_a_pair_that_was_never_matched_is_an_error_not_a_failure(images, tmp_path):
    found = predict(images, PAIRS, Grid(), tmp_path / "out")
    with pytest.raises(FormatError, match="no such file"):
        found.pair("scene/0.png", "scene/2.png")


def test_the_protocol_says_what_was_done(images, tmp_path):
    strict = MatcherConfig(mutual=MutualConfig(max_ratio=0.9))
    protocol = predict(images, PAIRS, Grid(), tmp_path / "out", strict).protocol
    assert protocol["max_keypoints"] == 16
    assert protocol["long_side"] is None
    assert protocol["matcher"] == {"method": "mutual", "max_ratio": 0.9, "min_similarity": None}
    assert protocol["extractor"]["name"] == "grid"
    assert set(protocol["versions"]) == {"traqpoint", "torch"}


@pytest.mark.parametrize("name", ["../up.png", "/rooted.png", ""])
def test_names_do_not_climb_out_of_the_output(images, tmp_path, name):
    with pytest.raises(DataError, match="is no name for an image"):
        extract_folder({name: images["scene/0.png"]}, tmp_path / "out", Grid())


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_features_computed_elsewhere_come_out_as_they_went_in(images, tmp_path, suffix):
    original = predict(images, PAIRS, Grid(), tmp_path / "original")
    elsewhere = tmp_path / f"elsewhere{suffix}"
    store = HlocFeatures(elsewhere) if suffix else NpzFeatures(elsewhere)
    for name in images:
        store.write(name, original.features.read(name))
    store.close()
    method = build_method(f"features:{elsewhere}", max_keypoints=12)
    assert label(method) == "elsewhere"
    found = predict(images, PAIRS, method, tmp_path / "out")
    for name in images:
        a, b = original.features.read(name), found.features.read(name)
        torch.testing.assert_close(b.keypoints, a.keypoints[:12], atol=1e-6, rtol=0)
        assert torch.equal(b.descriptors, a.descriptors[:12])
    assert found.protocol["long_side"] == "as computed elsewhere"


def test_features_of_an_image_of_another_size_are_refused(images, tmp_path):
    predict(images, [], Grid(), tmp_path / "original")
    write_image(images["scene/1.png"], np.zeros((24, 32, 3), dtype=np.uint8))
    found = predict(images, PAIRS, build_method(f"features:{tmp_path / 'original/features'}"), tmp_path / "out")
    assert len(found.failed) == 1
    assert "is 32x24, and its stored features are of 64x48 pixels" in found.failed[0]


def test_images_without_stored_features_are_failures(images, tmp_path):
    some = dict(list(images.items())[1:])
    predict(some, [], Grid(), tmp_path / "original")
    found = predict(images, PAIRS, build_method(f"features:{tmp_path / 'original/features'}"), tmp_path / "out")
    assert len(found.failed) == 1 and found.pair(*PAIRS[0]) is None


def test_changed_features_from_elsewhere_are_noticed(images, tmp_path):
    stored = predict(images, [], Grid(), tmp_path / "original").features
    method = f"features:{stored.path}"
    predict(images, PAIRS, build_method(method), tmp_path / "out")
    stored.write("scene/0.png", Grid()(np.full((48, 64, 3), 9, dtype=np.uint8)))
    with pytest.raises(ConfigError, match="content"):
        predict(images, PAIRS, build_method(method), tmp_path / "out")


def test_an_empty_folder_is_no_method(tmp_path):
    with pytest.raises(DataError, match="no features in there"):
        build_method(f"features:{tmp_path}")


def sequences():
    frames = torch.zeros(1, 3, 3, 32, 40)
    geometry = HomographyGeometry(torch.eye(3).expand(1, 3, 3, 3), torch.ones(1, 3, 32, 40).bool())
    return in_memory("black", [SequenceBatch(frames, geometry)] * 2)


def test_frames_of_sequences_are_kept_by_name_and_not_done_again(tmp_path):
    method, seen = Grid(), []
    store = predict_sequences(sequences(), method, tmp_path, progress=lambda *now: seen.append(now)).features
    assert store.names() == [f"000{i}/{t:04}" for i in range(2) for t in range(3)]
    assert store.read("0001/0002").image_size == (40, 32) and seen == [(1, 2), (2, 2)]
    (tmp_path / "features/0001/0002.npz").unlink()
    predict_sequences(sequences(), method, tmp_path)
    assert method.calls == 7
    with pytest.raises(ConfigError, match="max_keypoints"):
        predict_sequences(sequences(), Grid(GridConfig(max_keypoints=8)), tmp_path)


def test_stored_features_of_frames_are_looked_up_by_the_same_names(tmp_path):
    store = predict_sequences(sequences(), Grid(), tmp_path / "out").features
    stored = build_method(f"features:{tmp_path / 'out/features'}")
    again = predict_sequences(sequences(), stored, tmp_path / "again").features
    assert torch.equal(again.read("0000/0001").keypoints, store.read("0000/0001").keypoints)


def test_in_memory_there_is_the_same_and_nothing_on_disk(images, tmp_path, monkeypatch):
    images["scene/2.png"].write_bytes(b"not a picture")
    kept = predict(images, PAIRS, Grid(), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    found = predict(images, PAIRS, Grid())
    assert sorted(tmp_path.rglob("*")) == before and found.folder is None
    assert (found.protocol, found.failed) == (kept.protocol, kept.failed) and len(found.failed) == 1
    assert torch.equal(found.pair(*PAIRS[0])[2].indices, kept.pair(*PAIRS[0])[2].indices)
    assert found.pair(*PAIRS[1]) is None
    frames = predict_sequences(sequences(), Grid())
    assert frames.features.names() == predict_sequences(sequences(), Grid(), tmp_path / "s").features.names()
