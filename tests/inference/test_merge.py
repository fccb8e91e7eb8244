"""Many outputs become one."""

from contextlib import closing

import numpy as np
import pytest
import torch

from traqpoint.cli.main import main
from traqpoint.errors import ConfigError, DataError
from traqpoint.files import locked
from traqpoint.image import write_image
from traqpoint.inference.merge import merge
from traqpoint.inference.pairs import exhaustive_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.io.colmap_db import ColmapDatabase
from traqpoint.io.stores import FORMATS, open_features, open_matches, resolve_output

SUFFIX = {"npz": "", "hloc": ".h5", "colmap": ".db"}


@pytest.fixture
def photos(tmp_path, panning_frames):
    """A function that writes some of ten frames into a folder."""

    def write(folder, numbers):
        for i in numbers:
            write_image(tmp_path / folder / f"{i}.png", panning_frames[i])
        return tmp_path / folder

    return write


def contents(path):
    """Name -> keypoints."""
    with closing(open_features(path)) as store:
        return {name: store.read(name).keypoints for name in store.names()}


@pytest.mark.slow
@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_two_outputs_become_one_of_any_format(tmp_path, photos, corner_extractor, source, target):
    """Features and matches of both, those in common once; the second time nothing is new."""
    parts = []
    for name, numbers in (("first", (0, 1)), ("second", (1, 2))):
        out = tmp_path / f"{name}{SUFFIX[source]}"
        parts.append(extract_folder(photos(name, numbers), out, corner_extractor()).out)
        parts.append(match_pairs(out, exhaustive_pairs, device="cpu").out)
    whole, out = photos("all", (0, 1, 2)), tmp_path / f"out{SUFFIX[target]}"
    images = {f"{i}.png": whole / f"{i}.png" for i in range(3)}
    parts = list(dict.fromkeys(parts))
    merged = merge(parts, out, images=images)
    assert (merged.images, merged.pairs, merged.duplicates) == (3, 2, 1) and not merged.conflicts and not merged.failed
    direct = contents(extract_folder(whole, tmp_path / f"direct{SUFFIX[target]}", corner_extractor()).out)
    found = contents(out)
    assert list(found) == list(direct) and all(torch.allclose(found[n], direct[n], atol=1e-5) for n in direct)
    to = out if target == "colmap" else tmp_path / f"out-matches{SUFFIX[target]}"
    with closing(open_matches(to)) as matches, closing(open_features(out)) as features:
        assert len(matches) == 2 and len(matches.read("1.png", "0.png")) > 20
        assert {frozenset(p) for p in matches.pairs(features.names())} == {
            frozenset(p) for p in (("0.png", "1.png"), ("1.png", "2.png"))
        }
    again = merge(parts, out, images=images)
    assert (again.images, again.pairs, again.duplicates) == (0, 0, 4 + 2) and not again.conflicts
    assert len(extract_folder(whole, out, corner_extractor()).skipped) == 3
    assert len(match_pairs(out, exhaustive_pairs, device="cpu").skipped) == 2


def test_another_photograph_of_the_same_name_is_a_conflict(tmp_path, photos, corner_extractor, panning_frames):
    """The first one stays; its pairs are left out, whose nobody knows; other matches of one pair are told."""
    first = extract_folder(photos("a", (0, 1)), tmp_path / "a.h5", corner_extractor()).out
    write_image(tmp_path / "b/0.png", panning_frames[5])
    second = extract_folder(photos("b", (1, 2)), tmp_path / "b.h5", corner_extractor()).out
    for part in (first, second):
        match_pairs(part, exhaustive_pairs, device="cpu")
    parts = [first, second, tmp_path / "a-matches.h5", tmp_path / "b-matches.h5"]
    merged = merge(parts, tmp_path / "out.h5")
    assert len(merged.conflicts) == 1 and "b.h5: 0.png has other features than in" in merged.conflicts[0]
    assert torch.equal(contents(tmp_path / "out.h5")["0.png"], contents(first)["0.png"])
    with closing(open_matches(tmp_path / "out-matches.h5")) as matches:
        assert len(matches) == 1 and ("1.png", "2.png") in matches
    with closing(FORMATS["hloc"].matches(tmp_path / "b-matches.h5", "a")) as matches:
        short = matches.read("1.png", "2.png")
        matches.write("1.png", "2.png", type(short)(short.indices[:3], short.scores[:3]))
    assert "other matches" in merge([tmp_path / "b-matches.h5"], tmp_path / "out.h5").conflicts[0]


def test_features_are_not_read_again_for_each_pair(tmp_path, photos, corner_extractor, monkeypatch):
    part = extract_folder(photos("all", (0, 1, 2)), tmp_path / "part.h5", corner_extractor()).out
    found = match_pairs(part, exhaustive_pairs, device="cpu").out
    merge([part], tmp_path / "out.h5")
    store, read = FORMATS["hloc"].features, []
    original = store.read
    monkeypatch.setattr(store, "read", lambda self, name: read.append(name) or original(self, name))
    assert merge([found], tmp_path / "out.h5").pairs == 3 and sorted(read) == ["0.png", "1.png", "2.png"]


def test_matches_of_keypoints_that_do_not_exist_are_a_conflict(tmp_path, photos, corner_extractor):
    images = photos("a", (0, 1))
    extract_folder(images, tmp_path / "many.h5", corner_extractor())
    match_pairs(tmp_path / "many.h5", exhaustive_pairs, device="cpu")
    extract_folder(images, tmp_path / "few.h5", corner_extractor(max_keypoints=5))
    merged = merge([tmp_path / "few.h5", tmp_path / "many-matches.h5"], tmp_path / "out.h5")
    assert "names keypoints that the features" in merged.conflicts[0] and not merged.pairs


def test_different_settings_do_not_mix(tmp_path, photos, corner_extractor):
    extract_folder(photos("a", (0,)), tmp_path / "a.h5", corner_extractor())
    extract_folder(photos("b", (1,)), tmp_path / "b.h5", corner_extractor(max_keypoints=50))
    with pytest.raises(ConfigError, match=r"b\.h5: made with another configuration than .*a\.h5 \(extractor\.max_key"):
        merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_an_unreadable_shard_or_item_is_told_and_the_rest_is_merged(tmp_path, photos, corner_extractor, capsys):
    shards = tmp_path / "shards"
    extract_folder(photos("a", (0, 1)), shards / "shard-0.h5", corner_extractor())
    (shards / "shard-1.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (shards / ".shard-2.h5").write_bytes(b"of a killed writer")
    assert main(["merge", str(shards), "--out", str(tmp_path / "out.h5")]) == 1
    captured = capsys.readouterr()
    assert "2 images and 0 pairs added, 0 there already, 0 in conflict, 1 unreadable" in captured.out
    assert captured.err.count("\n") == 1 and "shard-1.h5: not a readable HDF5 file" in captured.err
    npz = extract_folder(photos("b", (2, 3)), tmp_path / "npz", corner_extractor()).out
    (npz / "2.png.npz").write_bytes(b"PK")
    merged = merge([npz], tmp_path / "out.h5")
    assert merged.images == 1 and "2.png.npz: not a readable npz file" in merged.failed[0]


def test_what_cannot_be_merged_is_one_line(tmp_path):
    with pytest.raises(Exception, match="nowhere: no such file or folder"):
        merge([tmp_path / "nowhere"], tmp_path / "out.h5")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(DataError, match=r"text\.txt: neither features nor matches: no features to merge"):
        merge([tmp_path / "text.txt"], tmp_path / "out.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no features to merge"):
        merge([tmp_path / "empty"], tmp_path / "out")
    with locked(tmp_path / "out.h5"), pytest.raises(ConfigError, match="another process is writing there"):
        merge([tmp_path / "empty"], tmp_path / "out.h5")


def test_cameras_of_databases_are_kept_and_shared_as_they_were(tmp_path, photos, corner_extractor):
    """Guesses stay guesses: COLMAP must not take them for calibrations."""
    pytest.importorskip("pycolmap")
    parts = [extract_folder(photos(n, (i,)), tmp_path / f"{n}.db", corner_extractor()).out for i, n in enumerate("ab")]
    merge(parts, tmp_path / "out.db")
    with ColmapDatabase(tmp_path / "out.db", "r") as merged, ColmapDatabase(parts[0], "r") as part:
        a, b, before = merged.camera("0.png"), merged.camera("1.png"), part.camera("0.png")
        assert a.camera_id == b.camera_id and np.array_equal(a.params, before.params)
        assert a.has_prior_focal_length is before.has_prior_focal_length is False


def test_npz_folders_with_matches_beside_features_are_two_parts(tmp_path, photos, corner_extractor):
    out = resolve_output(tmp_path / "f", None)[1]
    extract_folder(photos("a", (0, 1)), out, corner_extractor())
    match_pairs(out, exhaustive_pairs, device="cpu")
    merged = merge([out, tmp_path / "f-matches"], tmp_path / "out.h5", matches=tmp_path / "pairs.h5")
    assert merged.pairs == 1 and (tmp_path / "pairs.h5").is_file()
