"""Shards without a cluster: what is a task, what a worker makes of it, and what a stopped run left."""

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from traqpoint.distributed.place import Place, list_sources
from traqpoint.distributed.shards import claim_place, divided, finished, open_collection
from traqpoint.distributed.workers import ExtractShard, MatchShard
from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.files import locked
from traqpoint.image import write_image
from traqpoint.inference.merge import merge
from traqpoint.io.stores import open_features, open_matches
from traqpoint.matching.config import MatcherConfig
from traqpoint.types import Features


@dataclass(frozen=True)
class Config:
    weights: str = "none"


class Grey:
    """One keypoint per image, at the first pixel's value; one descriptor."""

    config = Config()

    def __call__(self, image):
        xy = torch.full((4, 2), float(image[0, 0, 0]))
        return Features(xy, torch.ones(4), torch.eye(4, 8), (image.shape[1], image.shape[0]))


@pytest.fixture
def photos(tmp_path):
    for i in range(7):
        write_image(tmp_path / "photos" / f"{i}.png", np.full((20, 20, 3), i + 1, np.uint8))
    return tmp_path / "photos"


def items(photos):
    return [(name, [name, source]) for name, source in list_sources([str(photos)]).items()]


def values(folder):
    with closing(open_collection(folder)) as store:
        return {name: int(store.read(name).keypoints[0, 0]) for name in store.names()}


def test_shards_become_one_file_and_finished_ones_are_no_tasks(tmp_path, photos):
    place = Place(tmp_path / "out")
    shards, skipped = divided(items(photos), place, 3)
    assert [len(shard.items) for shard in shards] == [3, 3, 1] and not skipped
    worker = ExtractShard(place.folder, Grey)
    for shard in shards[:2]:
        result = worker(shard)
        assert not result["error"] and not result["failed"] and len(result["done"]) == 3
    again, skipped = divided(items(photos), place, 3)
    assert again == shards[2:] and len(skipped) == 6
    worker(again[0])
    assert divided(items(photos), place, 3)[0] == []
    assert values(tmp_path / "out") == {f"{i}.png": i + 1 for i in range(7)}
    merged = merge([tmp_path / "out"], tmp_path / "features.h5")
    assert merged.images == 7 and not merged.failed
    write_image(photos / "00.png", np.full((20, 20, 3), 9, np.uint8))
    assert [shard.items[0][0] for shard in divided(items(photos), place, 3)[0]] == ["00.png"]


def test_a_corrupt_image_loses_nothing_else_and_is_tried_again_last(tmp_path, photos):
    (photos / "1.png").write_bytes(b"\x89PNG")
    place = Place(tmp_path / "out")
    shards, _ = divided(items(photos), place, 3)
    results = [ExtractShard(place.folder, Grey)(shard) for shard in shards[:1]]
    assert results[0]["done"] == ["0.png", "2.png"] and results[0]["failed"] == ["1.png"]
    assert len(results[0]["told"]) == 1 and "1.png" in results[0]["told"][0]
    again, _ = divided(items(photos), place, 3)
    assert [item[0] for shard in again for item in shard.items] == ["3.png", "4.png", "5.png", "6.png", "1.png"]
    assert again[0] == shards[1]


def test_what_a_lost_worker_left_of_a_shard_is_gone_on_with(tmp_path, photos):
    """Killed in its third image: the next worker makes that one only."""

    class Dying(Grey):
        calls = 0

        def __call__(self, image):
            type(self).calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().__call__(image)

    place = Place(tmp_path / "out")
    (shard,), _ = divided(items(photos)[:3], place, 3)
    with pytest.raises(KeyboardInterrupt):
        ExtractShard(place.folder, Dying)(shard)
    assert not place.names(".json")
    assert ExtractShard(place.folder, Dying)(shard)["done"] == ["0.png", "1.png", "2.png"] and Dying.calls == 4
    assert values(tmp_path / "out") == {"0.png": 1, "1.png": 2, "2.png": 3}


def test_pairs_become_shards_of_matches(tmp_path, photos):
    place, features = Place(tmp_path / "pairs"), Place(tmp_path / "out")
    for shard in divided(items(photos), features, 3)[0]:
        ExtractShard(features.folder, Grey)(shard)
    pairs = [("0.png", "3.png"), ("0.png", "6.png"), ("2.png", "5.png")]
    shards, _ = divided([(" ".join(pair), list(pair)) for pair in pairs], place, 2)
    worker = MatchShard(place.folder, features.folder, MatcherConfig(), "cpu")
    assert [worker(shard)["done"] for shard in shards] == [["0.png 3.png", "0.png 6.png"], ["2.png 5.png"]]
    merged = merge([features.folder, place.folder], tmp_path / "all.h5")
    assert (merged.images, merged.pairs) == (7, 3)
    with closing(open_matches(tmp_path / "all-matches.h5")) as matches:
        assert matches.read("5.png", "2.png").indices.tolist() == [[i, i] for i in range(4)]


def test_a_place_may_be_a_url(tmp_path, photos):
    """Images at URLs, and shards that are uploaded when they are whole."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    for path in photos.iterdir():
        files.put_file(str(path), f"/bucket/trip/{path.name}")
    sources = list_sources(["memory://bucket/trip"])
    assert list(sources) == [f"{i}.png" for i in range(7)] and all("://" in url for url in sources.values())
    assert list(list_sources(["memory://bucket/*/[12].png"])) == ["1.png", "2.png"]
    place = Place("memory://bucket/out")
    claim_place(place, {"verb": "extract"})
    for shard in divided([(n, [n, url]) for n, url in sources.items()], place, 4)[0]:
        assert not ExtractShard(place.folder, Grey)(shard)["error"]
    files.rm_file("/bucket/trip/1.png")
    assert len(finished(place)[0]) == 7
    (tmp_path / "local").mkdir()
    assert len(values(place.download(tmp_path / "local"))) == 7
    with pytest.raises(
        ConfigError, match=r"memory://bucket/out: holds shards of another configuration \(verb: extract"
    ):
        claim_place(place, {"verb": "match"})
    with pytest.raises(DataError, match=r"nothing.*: no images"):
        list_sources(["memory://bucket/nothing/*"])
    with pytest.raises(DataError, match="nosuch://x"):
        list_sources(["nosuch://x"])
    with pytest.raises(DataError, match="not both"):
        list_sources(["memory://bucket/trip", str(photos)])


def test_an_image_that_cannot_be_fetched_is_one_line(tmp_path, photos):
    pytest.importorskip("fsspec")
    worker = ExtractShard(str(tmp_path / "out"), Grey)
    named = [["0.png", str(photos / "0.png")], ["gone.png", "memory://bucket/gone.png"]]
    (shard,), _ = divided([(item[0], item) for item in named], Place(tmp_path / "out"), 5)
    result = worker(shard)
    assert (
        result["done"] == ["0.png"]
        and result["failed"] == ["gone.png"]
        and "gone.png: cannot be f" in result["told"][0]
    )


def test_a_list_of_paths_is_read_line_by_line(tmp_path, photos):
    (tmp_path / "list.txt").write_text("\n".join(str(photos / f"{i}.png") for i in (3, 5)))
    assert list(list_sources([str(tmp_path / "list.txt")])) == ["3.png", "5.png"]
    with pytest.raises(DataError, match=r"no\.txt: cannot be read as a list of images"):
        list_sources([str(tmp_path / "no.txt")])


def test_equal_names_in_different_folders_stay_apart(tmp_path):
    for folder in "ab":
        write_image(tmp_path / folder / "1.png", np.zeros((8, 8, 3), np.uint8))
    assert list(list_sources([str(tmp_path / "a"), str(tmp_path / "b")])) == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FormatError("cannot be written")])
def test_a_full_disk_is_a_result_in_one_line(tmp_path, photos, error, monkeypatch):
    """No list is written: the shard counts as not done."""
    place = Place(tmp_path / "out")
    (shard,), _ = divided(items(photos)[:2], place, 2)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("traqpoint.io.hloc.HlocFeatures.write", fail)
    result = ExtractShard(place.folder, Grey)(shard)
    assert shard.stem in result["error"] and "\n" not in result["error"] and not place.names(".json")
    assert str(error.args[-1]) in result["error"]


def test_a_shard_that_another_worker_writes_is_not_touched(tmp_path, photos):
    place = Place(tmp_path / "out")
    (shard,), _ = divided(items(photos)[:2], place, 2)
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out" / f"{shard.stem}.h5"):
        assert "another process is writing there" in ExtractShard(place.folder, Grey)(shard)["error"]


def test_damaged_lists_and_read_only_shards_are_told(tmp_path, photos):
    place = Place(tmp_path / "out")
    (shard,), _ = divided(items(photos)[:2], place, 2)
    ExtractShard(place.folder, Grey)(shard)
    with closing(open_collection(tmp_path / "out")) as store:
        with pytest.raises(FormatError, match="extract --engine ray"):
            store.write("x", store.read("0.png"))
        with pytest.raises(FormatError, match="no features of image 'x'"):
            store.read("x")
        assert "0.png" in store and "x" not in store
    assert json.loads(Path(place.folder, f"{shard.stem}.json").read_text())["done"] == ["0.png", "1.png"]
    Path(place.folder, f"{shard.stem}.json").write_text("{")
    with pytest.raises(FormatError, match="delete it, and its shard is made again"):
        finished(place)
    with pytest.raises(ConfigError, match="on a disk that all workers see"):
        open_collection("memory://bucket/out")
    with closing(open_features(tmp_path / "out" / f"{shard.stem}.h5")) as store:
        assert store.names() == ["0.png", "1.png"]
